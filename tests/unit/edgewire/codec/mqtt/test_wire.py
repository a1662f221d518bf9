import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.mqtt.wire import (
    MAX_VARINT,
    Reader,
    write_binary,
    write_packet_id,
    write_text,
    write_varint,
)
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.packets import read_varint

# MQTT 5 §1.5.5, table 1-1: the ends of what each number of bytes can hold.
TABLE_1_1 = [
    (0, "00"),
    (127, "7f"),
    (128, "8001"),
    (16_383, "ff7f"),
    (16_384, "808001"),
    (2_097_151, "ffff7f"),
    (2_097_152, "80808001"),
    (268_435_455, "ffffff7f"),
]


@pytest.mark.parametrize(("value", "digits"), TABLE_1_1)
def test_variable_byte_integers_are_as_in_the_table(value: int, digits: str) -> None:
    assert write_varint(value).hex() == digits
    assert read_varint(bytes.fromhex(digits), 0) == (value, len(digits) // 2)


@given(st.integers(0, MAX_VARINT), st.binary(max_size=3))
def test_a_variable_byte_integer_is_read_back_with_bytes_left_over(value: int, rest: bytes) -> None:
    written = write_varint(value)
    assert read_varint(written + rest, 0) == (value, len(written))


@pytest.mark.parametrize("value", [-1, MAX_VARINT + 1])
def test_what_does_not_fit_is_our_mistake(value: int) -> None:
    with pytest.raises(UsageError):
        write_varint(value)
    with pytest.raises(UsageError):
        write_packet_id(value)
    with pytest.raises(UsageError):
        write_binary(bytes(65_536))


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_is_read_back(text: str) -> None:
    reader = Reader(write_text(text))
    assert reader.text() == text
    reader.done("")


def test_a_section_ends_where_it_says() -> None:
    reader = Reader(b"\x01\x02\x03\x04")
    section = reader.section(2)
    assert section.number(2) == 0x0102
    with pytest.raises(ProtocolError):
        section.number(1)
    assert reader.rest() == b"\x03\x04"


def test_a_length_does_not_reach_beyond_its_section() -> None:
    section = Reader(b"\x80\x01").section(1)
    with pytest.raises(ProtocolError):
        section.varint()


def test_what_is_left_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Reader(b"x").done("")
