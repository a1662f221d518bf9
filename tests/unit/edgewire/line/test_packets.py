from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.codec.mqtt.wire import write_varint
from edgewire.errors import ProtocolError
from edgewire.line.packets import check_shortest, publish_parts, read_varint, split

LIMITS = tuple(1_000 if first >> 4 == 3 else 0 if first == 0xC0 else -1 for first in range(256))
"""PUBLISH of any flags, PINGREQ, and nothing else."""
MOST = 1_000_000


@pytest.mark.parametrize("digits", ["8001", "ff7f", "808001", "80808001", "ffffff7f"])
def test_a_variable_byte_integer_that_is_cut_is_not_there_yet(digits: str) -> None:
    for end in range(len(digits) // 2):
        assert read_varint(bytes.fromhex(digits)[:end], 0) is None


def test_a_fifth_byte_is_refused() -> None:
    with pytest.raises(ProtocolError):
        read_varint(bytes.fromhex("8080808001"), 0)


def test_needless_bytes_are_found() -> None:
    check_shortest(128, 2)
    with pytest.raises(ProtocolError):
        check_shortest(127, 2)


@given(st.lists(st.tuples(st.sampled_from([0x30, 0x32, 0x3D]), st.integers(0, 300)), max_size=6), st.data())
def test_packets_are_cut_where_they_end(sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    packets = [(first, bytes(size)) for first, size in sizes]
    written = [bytes((first,)) + write_varint(len(body)) + body for first, body in packets]
    wire = b"".join(written)
    end = data.draw(st.integers(0, len(wire)))
    whole = 0
    while whole < len(written) and len(b"".join(written[: whole + 1])) <= end:
        whole += 1
    frames, at, needed, refused = split(wire[:end], 0, LIMITS, 5, MOST)
    assert frames == packets[:whole]
    assert at == len(b"".join(written[:whole]))
    assert not refused
    assert not needed or needed == len(written[whole])


def test_no_more_are_cut_than_asked_for() -> None:
    wire = b"\xc0\0" * 5
    for most in range(6):
        frames, at, needed, refused = split(wire, 0, LIMITS, 4, most)
        assert (len(frames), at, needed, refused) == (most, 2 * most, 0, False)
    assert split(wire, 8, LIMITS, 4, MOST) == ([(0xC0, b"")], 10, 0, False)


@pytest.mark.parametrize("bad", ["10 00", "c0 01", "30 e907", "00 00"])
def test_what_may_not_come_is_marked_behind_what_may(bad: str) -> None:
    refused = bytes.fromhex(bad)
    assert split(refused, 0, LIMITS, 4, MOST) == ([], 0, 0, True)
    assert split(b"\xc0\0" + refused, 0, LIMITS, 4, MOST) == ([(0xC0, b"")], 2, 0, True)


def test_a_length_that_is_none_is_raised_when_its_turn_comes() -> None:
    for bad, levels in (("30 ffffffff01", (4, 5)), ("30 808000", (5,))):
        wire = bytes.fromhex(bad)
        for level in levels:
            assert split(b"\xc0\0" + wire, 0, LIMITS, level, MOST) == ([(0xC0, b"")], 2, 0, True)
            with pytest.raises(ProtocolError) as caught:
                split(wire, 0, LIMITS, level, MOST)
            assert caught.value.reply == ReasonCode.MALFORMED_PACKET


@given(st.binary(max_size=60), st.sampled_from([3, 4, 5]))
def test_any_bytes_are_packets_or_a_protocol_error(data: bytes, level: int) -> None:
    try:
        frames, at, needed, refused = split(data, 0, LIMITS, level, MOST)
    except ProtocolError:
        return
    assert 0 <= at <= len(data)
    assert all(len(body) <= LIMITS[first] for first, body in frames)
    assert not (needed and refused)
    assert not needed or needed > len(data) - at


# first byte, body; where the topic ends, packet identifier, where the rest starts
PUBLISHES = [
    (0x30, "0001 74", (3, 0, 3)),
    (0x30, "0001 74 70", (3, 0, 3)),
    (0x32, "0001 74 0102 70", (3, 258, 5)),
    (0x34, "0000 ffff", (2, 65_535, 4)),
]


@pytest.mark.parametrize(("first", "body", "parts"), PUBLISHES)
def test_the_parts_of_a_publish(first: int, body: str, parts: tuple[int, int, int]) -> None:
    raw = bytes.fromhex(body)
    assert publish_parts(first, raw) == parts
    assert all(a <= b for a, b in pairwise((2, parts[0], parts[2], len(raw))))


@pytest.mark.parametrize(("first", "body", "parts"), PUBLISHES)
def test_a_publish_that_is_cut_inside_its_parts_is_malformed(
    first: int, body: str, parts: tuple[int, int, int]
) -> None:
    for end in range(parts[2]):
        with pytest.raises(ProtocolError) as caught:
            publish_parts(first, bytes.fromhex(body)[:end])
        assert caught.value.reply == ReasonCode.MALFORMED_PACKET


def test_packet_identifier_0_breaks_a_rule() -> None:
    with pytest.raises(ProtocolError) as caught:
        publish_parts(0x32, bytes.fromhex("0001 74 0000"))
    assert caught.value.reply == ReasonCode.PROTOCOL_ERROR
