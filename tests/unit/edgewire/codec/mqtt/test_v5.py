from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.mqtt import v5
from edgewire.codec.mqtt.packets import Disconnect, Packet, Puback, Publish
from edgewire.codec.mqtt.properties import AckProperties, PropertyLimits, PublishProperties
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.codec.mqtt.wire import Reader
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.names import TopicCache
from support import mqtt_packets
from support.mqtt_reading import agrees, as_row, read_one, refusal_of, write_one
from support.mqtt_vectors import Row, rows

ROWS = list(rows("mqtt5"))


@pytest.mark.parametrize("row", [row for row in ROWS if row.refused], ids=lambda row: f"{row.rule}: {row.what}")
def test_what_the_specification_forbids_is_refused_with_its_code(row: Row) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_one(row.wire, 5)
    assert row.says in str(caught.value)
    assert caught.value.reply == row.reply


@pytest.mark.parametrize("row", [row for row in ROWS if not row.refused], ids=lambda row: f"{row.rule}: {row.what}")
def test_what_the_specification_allows_is_read_and_written(row: Row) -> None:
    packet = read_one(row.wire, 5)
    assert type(packet).__name__ == row.packet
    assert agrees(as_row(packet), row.fields), as_row(packet)
    written = write_one(packet, 5)
    assert read_one(written, 5) == packet
    if not row.longer:
        assert written == row.wire


@given(mqtt_packets.packets(5))
def test_what_is_written_is_read_back(packet: Packet) -> None:
    assert read_one(v5.write(packet), 5) == packet


@given(st.integers(0, 255), st.binary(max_size=40))
def test_a_garbled_body_is_a_protocol_error_and_nothing_else(first: int, body: bytes) -> None:
    error = refusal_of(lambda: v5.read(first, body))
    assert error is None or error.reply is not None


@given(mqtt_packets.packets(5), st.data())
def test_a_packet_with_a_changed_byte_is_read_or_refused(packet: Packet, data: st.DataObject) -> None:
    wire = bytearray(v5.write(packet))
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    refusal_of(lambda: v5.read(wire[0], bytes(wire[2:])))


@given(mqtt_packets.packets(5))
def test_a_packet_cut_short_is_read_or_refused(packet: Packet) -> None:
    wire = v5.write(packet)
    for body in [wire[2:end] for end in range(2, min(len(wire), 60))]:
        refusal_of(partial(v5.read, wire[0], body))


@given(st.sampled_from([0x30, 0x31, 0x32, 0x3B]), st.binary(max_size=12))
def test_the_short_way_to_read_publish_agrees_with_the_long_one(first: int, body: bytes) -> None:
    def outcome(read: Callable[[], Publish]) -> Publish | int | str | None:
        try:
            return read()
        except ProtocolError as error:
            return error.reply

    long = outcome(lambda: v5._read_full_publish(first, Reader(body), TopicCache(), v5.NO_LIMITS))
    assert outcome(lambda: v5.read_publish(first, body, TopicCache())) == long


def test_ten_thousand_user_properties_are_refused_as_too_many() -> None:
    body = b"\0\1t" + b"\xd0\x86\x03" + b"\x26\0\0\0\0" * 10_000
    with pytest.raises(ProtocolError) as caught:
        v5.read(0x30, body, PropertyLimits(max_bytes=100_000, max_user_properties=100))
    assert caught.value.reply == ReasonCode.QUOTA_EXCEEDED


def test_a_property_section_over_the_limit_is_not_looked_into() -> None:
    body = b"\0\1t" + b"\xd0\x86\x03" + b"\x00" * 50_000
    with pytest.raises(ProtocolError) as caught:
        v5.read(0x30, body, PropertyLimits(max_bytes=1_000))
    assert caught.value.reply == ReasonCode.QUOTA_EXCEEDED


def test_an_answer_that_says_nothing_more_takes_the_shortest_form() -> None:
    assert v5.write(Puback(packet_id=1, properties=AckProperties())) == bytes.fromhex("40020001")
    assert v5.write(Disconnect()) == bytes.fromhex("e000")


def test_an_empty_topic_can_be_written_beside_an_alias_only() -> None:
    by_alias = Publish("", b"", 0, False, False, 0, PublishProperties(topic_alias=1))
    assert v5.write(by_alias) == bytes.fromhex("3006 0000 03 230001")
    with pytest.raises(UsageError):
        v5.write(Publish("", b"", 0, False, False, 0))
