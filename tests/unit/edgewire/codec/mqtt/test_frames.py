import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.mqtt import v3
from edgewire.codec.mqtt.frames import Bounds, FrameReader, flags_allowed, frame, whole_packets
from edgewire.codec.mqtt.packets import Packet, PacketType, Pingreq, Publish
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.packets import Frame
from support import mqtt_packets
from support.mqtt_reading import everything


def publish(size: int) -> bytes:
    return v3.write(Publish("t", bytes(size), 0, False, False, 0))


def cut(reader: FrameReader, pieces: list[bytes]) -> list[Frame]:
    found = []
    for piece in pieces:
        reader.push(piece)
        found += reader.rest()
    return found


@given(st.lists(mqtt_packets.packets(4), min_size=1, max_size=5), st.data())
def test_packets_come_out_whole_however_they_arrive(packets: list[Packet], data: st.DataObject) -> None:
    written = [v3.write(packet) for packet in packets]
    wire = b"".join(written)
    ends = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=8)) | {0, len(wire)})
    pieces = [wire[a:b] for a, b in pairwise(ends)]
    assert [frame(*found) for found in cut(FrameReader(everything(4)), pieces)] == written


def test_packets_come_out_whole_one_byte_at_a_time() -> None:
    wire = publish(0) + publish(200) + publish(20_000) + v3.write(Pingreq())
    found = cut(FrameReader(everything(4)), [bytes((byte,)) for byte in wire])
    assert [len(body) for _, body in found] == [3, 203, 20_003, 0]


def test_the_first_packet_can_be_taken_alone() -> None:
    reader = FrameReader(everything(4))
    reader.push(publish(1) + publish(2) + publish(3)[:4])
    assert reader.next() == (0x30, b"\0\1t\0")
    assert reader.held == 11
    reader.push(publish(3)[4:])
    assert [len(body) for _, body in reader.rest()] == [5, 6]
    assert reader.next() is None


def test_what_is_pushed_while_packets_wait_keeps_its_place() -> None:
    reader = FrameReader(everything(4))
    for size in range(4):
        reader.push(publish(size))
    assert [len(body) for _, body in reader.rest()] == [3, 4, 5, 6]


def test_a_packet_over_the_limit_is_refused_before_its_body_has_come() -> None:
    reader = FrameReader(everything(4, max_packet_bytes=262_144))
    reader.push(bytes.fromhex("10 ffffff7f"))  # a CONNECT of 268 MB
    with pytest.raises(ProtocolError) as caught:
        reader.next()
    assert caught.value.reply == ReasonCode.PACKET_TOO_LARGE


@pytest.mark.parametrize("most", [2, 5, 129, 130, 131, 132, 16_386, 16_387, 16_388, 300_000])
def test_the_limit_counts_the_fixed_header_too(most: int) -> None:
    """The longest packet of at most `most` bytes passes; any longer one does not. Spec: MQTT 5 §3.1.2.11.4."""
    packets = [frame(0x30, bytes(size)) for size in range(most - 6 if most > 6 else 0, most)]
    for packet in packets:
        reader = FrameReader(everything(5, max_packet_bytes=most))
        reader.push(packet)
        if len(packet) <= most:
            assert reader.next() is not None
        else:
            with pytest.raises(ProtocolError):
                reader.next()


def test_packets_before_a_refused_one_are_given_first() -> None:
    for bad in (b"\x00\x00", bytes.fromhex("30ffffffff01"), b"\x36\x05", bytes.fromhex("308080808001")):
        reader = FrameReader(everything(4, max_packet_bytes=1000))
        reader.push(publish(1) + publish(2) + bad)
        assert len(reader.rest()) == 2
        assert reader.refused
        for _ in range(2):
            with pytest.raises(ProtocolError):
                reader.rest()


def test_what_may_not_come_now_is_refused() -> None:
    connect_only = Bounds({PacketType.CONNECT}, level=5, max_packet_bytes=100)
    afterwards = Bounds({PacketType.PUBLISH}, level=5, max_packet_bytes=100, max_qos=1)
    for bounds, first, reply in [
        (connect_only, 0xC0, ReasonCode.PROTOCOL_ERROR),
        (connect_only, 0x16, ReasonCode.MALFORMED_PACKET),  # how a TLS record begins
        (afterwards, 0x10, ReasonCode.PROTOCOL_ERROR),
        (afterwards, 0x34, ReasonCode.QOS_NOT_SUPPORTED),
        (afterwards, 0x36, ReasonCode.MALFORMED_PACKET),
        (afterwards, 0x20, ReasonCode.PROTOCOL_ERROR),
    ]:
        reader = FrameReader(bounds)
        reader.push(bytes((first, 50)))
        with pytest.raises(ProtocolError) as caught:
            reader.next()
        assert caught.value.reply == reply


def test_a_large_packet_in_small_pieces_costs_linear_time() -> None:
    def seconds(size: int) -> float:
        wire = publish(size)
        pieces = [wire[at : at + 16] for at in range(0, len(wire), 16)]
        reader = FrameReader(everything(4, max_packet_bytes=10_000_000))
        began = time.process_time()  # of this process alone: others have the machine too
        found = cut(reader, pieces)
        took = time.process_time() - began
        assert len(found) == 1
        return took

    small = min(seconds(100_000) for _ in range(5))
    assert min(seconds(1_600_000) for _ in range(3)) < 16 * 5 * small  # quadratic would be 256 times


@given(st.binary(max_size=60), st.sampled_from([4, 5]))
def test_garbage_is_packets_or_a_protocol_error(data: bytes, level: int) -> None:
    reader = FrameReader(everything(level, max_packet_bytes=64))
    reader.push(data)
    try:
        while reader.rest():
            pass
    except ProtocolError:
        pass


def test_what_is_dropped_is_gone() -> None:
    reader = FrameReader(everything(4))
    reader.push(publish(5)[:4])
    reader.rest()
    reader.drop()
    assert reader.held == 0


def test_flags_are_as_in_the_table_of_the_specification() -> None:
    assert flags_allowed(PacketType.CONNECT, 4) == {0}
    assert flags_allowed(PacketType.PUBREL, 4) == {2}
    assert flags_allowed(PacketType.PUBREL, 3) == {2, 10}
    assert flags_allowed(PacketType.PUBLISH, 5) == {0, 1, 2, 3, 4, 5, 10, 11, 12, 13}


@pytest.mark.plain
def test_there_is_no_packet_of_more_than_268_megabytes() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 268_435_456

    with pytest.raises(UsageError):
        frame(0x30, Huge())


@given(st.lists(mqtt_packets.packets(4), max_size=5))
def test_output_is_taken_apart_into_the_packets_it_was_made_of(packets: list[Packet]) -> None:
    written = [v3.write(packet) for packet in packets]
    assert whole_packets(b"".join(written)) == written


def test_a_packet_of_two_length_digits_is_found_whole() -> None:
    assert whole_packets(publish(200) + b"\xd0\x00") == [publish(200), b"\xd0\x00"]


@pytest.mark.parametrize("torn", [b"\x30", b"\x30\x05abc", b"\x30\x80"])
def test_output_that_ends_within_a_packet_is_a_fault_of_ours(torn: bytes) -> None:
    with pytest.raises(UsageError):
        whole_packets(b"\xd0\x00" + torn)
