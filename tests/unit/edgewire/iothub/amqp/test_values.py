import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Float, ULong
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.values import MessageId, check_request_id, format_time, parse_time, property_text

LAST_MS = 253_402_300_799_999
FIRST_MS = -62_135_596_800_000


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float_reads_as_the_same_float(value: float) -> None:
    text = property_text(Float(value), "f")
    assert text is not None
    assert struct.pack("<f", float(text)) == struct.pack("<f", value)


@given(st.integers(FIRST_MS, LAST_MS))
def test_a_time_survives_as_text(time_ms: int) -> None:
    assert parse_time(format_time(time_ms, "it")) == time_ms


@pytest.mark.parametrize("value", ["x" * 256, b"x" * 256, ULong(2**64 - 1), uuid.UUID(int=1), None])
def test_the_id_of_a_request_may_be_short(value: MessageId | None) -> None:
    check_request_id(value)


@pytest.mark.parametrize("value", ["x" * 257, b"x" * 257])
def test_the_id_of_a_request_may_not_be_long(value: MessageId) -> None:
    with pytest.raises(ProtocolError, match="257 characters; the limit is 256") as refused:
        check_request_id(value)
    assert refused.value.reply == INVALID_FIELD


@pytest.mark.parametrize("time_ms", [FIRST_MS - 1, LAST_MS + 1, -(2**63), 2**63 - 1])
def test_a_time_outside_of_the_calendar_is_refused(time_ms: int) -> None:
    with pytest.raises(ProtocolError, match="it is a time outside of the years 1 to 9999"):
        format_time(time_ms, "it")


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:00.0010000Z", 1),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:01", 1000),
        ("1970-01-02", 86_400_000),
        ("0001-01-01", FIRST_MS),
    ],
)
def test_a_time_is_read_in_every_form_of_iso_8601(text: str, time_ms: int) -> None:
    assert parse_time(text) == time_ms


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "1795228382", "1970-13-01", "1970-01-01T25:00:00Z", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time(text) is None


@given(st.text(st.sampled_from("0123456789-:.TZW+ "), max_size=30))
def test_any_text_is_a_time_or_none(text: str) -> None:
    time_ms = parse_time(text)
    assert time_ms is None or parse_time(format_time(time_ms, "it")) == time_ms
