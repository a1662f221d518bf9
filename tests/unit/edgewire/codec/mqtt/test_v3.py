from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.mqtt import v3
from edgewire.codec.mqtt.packets import (
    Auth,
    Connack,
    Packet,
    Puback,
    Publish,
    Subscribe,
    SubscribeFilter,
    Unsubscribe,
)
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.names import TopicCache
from support import mqtt_packets
from support.mqtt_reading import agrees, as_row, read_one, refusal_of, write_one
from support.mqtt_vectors import Row, rows

ROWS = list(rows("mqtt311"))


@pytest.mark.parametrize("row", [row for row in ROWS if row.refused], ids=lambda row: f"{row.rule}: {row.what}")
def test_what_the_specification_forbids_is_refused(row: Row) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_one(row.wire, 4)
    assert row.says in str(caught.value)
    if row.reply is not None:
        assert caught.value.reply == row.reply


@pytest.mark.parametrize("row", [row for row in ROWS if not row.refused], ids=lambda row: f"{row.rule}: {row.what}")
def test_what_the_specification_allows_is_read_and_written(row: Row) -> None:
    packet = read_one(row.wire, 4)
    assert type(packet).__name__ == row.packet
    assert agrees(as_row(packet), row.fields), as_row(packet)
    if not row.longer:
        assert write_one(packet, 4) == row.wire


@given(mqtt_packets.packets(4))
def test_what_is_written_is_read_back(packet: Packet) -> None:
    assert read_one(v3.write(packet), 4) == packet


@given(st.integers(0, 255), st.binary(max_size=40))
def test_a_garbled_body_is_a_protocol_error_and_nothing_else(first: int, body: bytes) -> None:
    refusal_of(lambda: v3.read(first, body))


@given(mqtt_packets.packets(4), st.data())
def test_a_packet_with_a_changed_byte_is_read_or_refused(packet: Packet, data: st.DataObject) -> None:
    wire = bytearray(v3.write(packet))
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    refusal_of(lambda: v3.read(wire[0], bytes(wire[2:])))


@given(mqtt_packets.packets(4))
def test_a_packet_cut_short_is_read_or_refused(packet: Packet) -> None:
    wire = v3.write(packet)
    for body in [wire[2:end] for end in range(2, min(len(wire), 60))]:
        refusal_of(partial(v3.read, wire[0], body))


def test_a_cached_topic_does_not_stand_for_one_that_is_cut() -> None:
    topics = TopicCache()
    v3.read_publish(0x30, b"\0\3abc", topics)
    with pytest.raises(ProtocolError):
        v3.read_publish(0x30, b"\0\4abc", topics)


@pytest.mark.parametrize("first", [0x82, 0x8A])
def test_mqtt_3_1_may_mark_a_subscribe_as_sent_again(first: int) -> None:
    body = b"\0\1\0\1a\1"
    assert isinstance(v3.read(first, body, level=3), Subscribe)


def test_mqtt_3_1_1_may_not() -> None:
    with pytest.raises(ProtocolError):
        v3.read(0x8A, b"\0\1\0\1a\1", level=4)


@pytest.mark.parametrize(
    "packet",
    [
        Auth(),
        Puback(packet_id=0),
        Puback(packet_id=65_536),
        Publish("a/#", b"", 0, False, False, 0),
        Publish("", b"", 0, False, False, 0),
        Publish("t", b"", 3, False, False, 1),
        Publish("t", b"", 0, False, True, 0),
        Publish("t", b"", 1, False, False, 0),
        Publish("t" * 65_536, b"", 0, False, False, 0),
        Subscribe(packet_id=1, filters=(SubscribeFilter(filter="a\0", qos=0),)),
        Unsubscribe(packet_id=1, filters=("\ud800",)),
    ],
    ids=repr,
)
def test_we_cannot_write_what_may_not_be_sent(packet: Packet) -> None:
    with pytest.raises(UsageError):
        v3.write(packet)


def test_connack_has_its_four_bytes() -> None:
    assert v3.write(Connack(session_present=True, code=0)) == bytes.fromhex("20020100")
