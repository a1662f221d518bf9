from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp import message as m
from edgewire.codec.amqp.conditions import DECODE_ERROR
from edgewire.codec.amqp.kinds import ULong
from edgewire.codec.amqp.types import read_value
from edgewire.errors import ProtocolError, UsageError
from support.amqp_reading import MAPS, SIMPLE, TEXTS, VALUES, Row, changed, refusal_of, rows, typed
from support.mqtt_reading import agrees, as_row

ROWS = rows("amqp_sections")
GOOD = [row for row in ROWS if not row.refused]

IDS = st.one_of(st.none(), TEXTS, st.uuids(), st.binary(max_size=4), st.integers(0, 1 << 63).map(ULong))
WORDS = st.none() | st.text(st.characters(max_codepoint=127), max_size=8)
TIMES = st.none() | st.integers(-5, 1 << 60)
PROPERTIES = st.builds(
    m.Properties,
    *(IDS, st.none() | st.binary(max_size=4), st.none() | TEXTS, st.none() | TEXTS, st.none() | TEXTS, IDS),
    *(WORDS, WORDS, TIMES, TIMES, st.none() | TEXTS, st.none() | st.integers(0, 300), st.none() | TEXTS),
)
MESSAGES = st.builds(
    m.AmqpMessage,
    st.none() | st.builds(m.Header, durable=st.booleans(), priority=st.integers(0, 255)),
    *(st.none() | MAPS, st.none() | MAPS, st.none() | PROPERTIES),
    st.none() | st.dictionaries(TEXTS, SIMPLE, max_size=3),
    st.one_of(st.none(), st.binary(max_size=300), VALUES.map(m.Value), st.lists(VALUES, max_size=2).map(m.Sequence)),
    st.none() | MAPS,
)


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_what_the_specification_has_is_read_and_written(row: Row) -> None:
    found = m.read_message(row.wire)
    assert agrees(as_row(found), row.fields), as_row(found)
    written = m.write_message(found)
    assert m.read_message(written) == found
    assert (written == row.wire) != row.longer


@pytest.mark.parametrize("row", [row for row in ROWS if row.refused], ids=str)
def test_what_the_specification_has_not_is_refused(row: Row) -> None:
    with pytest.raises(ProtocolError) as caught:
        m.read_message(row.wire)
    assert row.says in str(caught.value)
    assert caught.value.reply == DECODE_ERROR


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_a_message_cut_anywhere_is_a_shorter_one_or_refused(row: Row) -> None:
    for end in range(len(row.wire)):
        refusal_of(partial(m.read_message, row.wire[:end]))
    assert refusal_of(lambda: m.read_message(row.wire + b"\x40")) is not None


@given(MESSAGES)
def test_what_is_written_is_read_back(message: m.AmqpMessage) -> None:
    assert m.read_message(m.write_message(message)) == message


@given(MESSAGES.flatmap(lambda message: changed(m.write_message(message))))
def test_a_changed_message_is_read_or_refused(data: bytes) -> None:
    refusal_of(lambda: m.read_message(data))
    refusal_of(lambda: m.read_batch(data))


@given(st.sampled_from([0x70, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77]), st.binary(max_size=40))
def test_garbage_in_a_section_is_read_or_refused(code: int, data: bytes) -> None:
    refusal_of(lambda: m.read_message(b"\0\x53" + bytes((code,)) + data))


@given(
    PROPERTIES.map(lambda one: m.write_message(m.AmqpMessage(properties=one))[3:]).flatmap(
        lambda x: st.just(x) | changed(x)
    )
)
def test_properties_read_the_short_way_are_those_of_the_table(data: bytes) -> None:
    def long() -> m.Properties | None:
        value, at = read_value(data)
        return m._PROPERTIES.read(value) if at == len(data) else None

    found = refusal_of(lambda: m.read_message(b"\0\x53\x73" + data))
    if found is None:
        assert m.read_message(b"\0\x53\x73" + data).properties == long()
    else:
        assert refusal_of(long) is not None or long() is None


@given(st.dictionaries(TEXTS, SIMPLE, max_size=3).map(m._write_application_properties).flatmap(changed))
def test_application_properties_read_the_short_way_are_a_map(data: bytes) -> None:
    if refusal_of(lambda: m.read_message(b"\0\x53\x74" + data)) is None:
        found = m.read_message(b"\0\x53\x74" + data).application_properties
        value, end = read_value(data)
        if end == len(data):
            assert typed(found) == typed(value)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_a_batch_is_its_messages(messages: list[bytes]) -> None:
    assert m.read_batch(m.write_batch(messages)) == messages


@pytest.mark.parametrize("wire", [b"", b"\0\x53\x77\x40", b"\0\x53\x73\x45"])
def test_a_batch_without_data_sections_is_refused(wire: bytes) -> None:
    assert refusal_of(lambda: m.read_batch(wire)) is not None


@pytest.mark.parametrize(
    "message",
    [
        m.AmqpMessage(body=m.Value(object())),
        m.AmqpMessage(properties=m.Properties(group_sequence=-1)),
        m.AmqpMessage(properties=m.Properties(content_type="ü")),
        m.AmqpMessage(application_properties={"k": "\ud800"}),
        m.AmqpMessage(header=m.Header(priority=256)),
        m.AmqpMessage(message_annotations={1.5: 1}),
    ],
    ids=repr,
)
def test_a_message_that_cannot_be_is_our_fault(message: m.AmqpMessage) -> None:
    with pytest.raises(UsageError):
        m.write_message(message)
