from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Array, ULong
from edgewire.codec.amqp.types import MAX_DEPTH, read_value, write_value
from edgewire.errors import ProtocolError
from support.amqp_reading import VALUES, Row, changed, refusal_of, rows, typed, value_of

ROWS = rows("amqp_types")


@pytest.mark.parametrize("row", [row for row in ROWS if not row.refused], ids=str)
def test_what_the_specification_has_is_read_and_written(row: Row) -> None:
    for before, after in ((b"", b""), (b"\x41", b"\x41\x00")):
        value, end = read_value(before + row.wire + after, len(before))
        assert typed(value) == typed(value_of(row.value))
        assert end == len(before) + len(row.wire)
    value, _ = read_value(row.wire)
    written = write_value(value)
    assert typed(read_value(written)[0]) == typed(value)
    assert len(written) != len(row.wire) if row.longer else written == row.wire


@pytest.mark.parametrize("row", [row for row in ROWS if row.refused], ids=str)
def test_what_the_specification_has_not_is_refused(row: Row) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_value(row.wire)
    assert row.says in str(caught.value)
    assert caught.value.reply == conditions.DECODE_ERROR


@pytest.mark.parametrize("row", [row for row in ROWS if not row.refused], ids=str)
def test_a_value_cut_anywhere_is_refused(row: Row) -> None:
    for end in range(len(row.wire)):
        assert refusal_of(partial(read_value, row.wire[:end])) is not None


@given(VALUES, st.binary(max_size=3))
def test_what_is_written_is_read_back_with_its_types(value: object, after: bytes) -> None:
    written = write_value(value)
    found, end = read_value(written + after)
    assert typed(found) == typed(value)
    assert end == len(written)


@given(VALUES.flatmap(lambda value: changed(write_value(value))))
def test_a_changed_value_is_read_or_refused(data: bytes) -> None:
    refusal_of(lambda: read_value(data))


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused(data: bytes) -> None:
    refusal_of(lambda: read_value(data))


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_values_inside_values_have_a_limit(depth: int) -> None:
    value: object = None
    for _ in range(depth):
        value = [value]
    error = refusal_of(lambda: read_value(write_value(value)))
    assert (error is None) == (depth == MAX_DEPTH)


def test_uuids_as_keys_are_refused_since_their_hashes_can_be_made_to_collide() -> None:
    error = refusal_of(lambda: read_value(b"\xc1\x13\x02\x98" + bytes(16) + b"\x40"))
    assert error is not None
    assert "UUID" in error.what


def test_the_type_of_an_empty_array_is_kept() -> None:
    value, _ = read_value(b"\xe0\x05\x00\x00\x53\x25\x50")
    assert value == Array(())
    assert write_value([value, ULong(1)]) == b"\xc0\x0a\x02\xe0\x05\x00\x00\x53\x25\x50\x53\x01"
