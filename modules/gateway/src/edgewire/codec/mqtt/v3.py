"""Packets of MQTT 3.1.1 (level 4) and MQTT 3.1 (level 3); they differ in flags and CONNECT. Spec: MQTT 3.1.1 §3."""

from collections.abc import Callable, Mapping
from typing import Final

from edgewire.codec.mqtt.connect import read_connect, write_connect
from edgewire.codec.mqtt.frames import flags_allowed, frame
from edgewire.codec.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeFilter,
    Unsuback,
    Unsubscribe,
)
from edgewire.codec.mqtt.reasons import FAILURE
from edgewire.codec.mqtt.topics import check_topic_filter, write_topic_name
from edgewire.codec.mqtt.wire import Reader, malformed, violation, write_packet_id, write_text
from edgewire.errors import UsageError
from edgewire.line.names import TopicCache
from edgewire.line.packets import publish_parts

LAST_RETURN_CODE: Final = 5
"""CONNACK's return codes are 0 to 5; the rest is reserved. Spec: MQTT 3.1.1 §3.2.2.3."""

SUBACK_CODES: Final = frozenset({0, 1, 2, FAILURE})
"""Spec: MQTT311-3.9.3-2."""


def read(first: int, body: bytes, *, level: int = 4) -> Packet:
    """Read one packet from its first byte and its body. Raises ProtocolError if it breaks a rule of MQTT 3.1.1."""
    if first < 16 or first >= 0xF0:
        raise malformed("a packet type that does not exist", "MQTT311 §2.2.1")
    kind = PacketType(first >> 4)
    if first & 15 not in flags_allowed(kind, level):
        raise malformed(f"{kind.name} with flags that it may not have", "MQTT311-2.2.2-2")
    if kind is PacketType.PUBLISH:
        return read_publish(first, body, TopicCache())
    if kind is PacketType.CONNECT:
        return read_connect(body)
    reader = Reader(body)
    packet = _READERS[kind](reader)
    reader.done(f"MQTT311 §3, {kind.name}")
    return packet


def read_publish(first: int, body: bytes, topics: TopicCache) -> Publish:
    """Read PUBLISH; its first byte must be one that `flags_allowed` has. Spec: MQTT 3.1.1 §3.3."""
    end, packet_id, start = publish_parts(first, body)
    topic = topics[body[2:end]]
    return Publish(topic, body[start:], first >> 1 & 3, first & 1 == 1, first & 8 == 8, packet_id)


def _read_connack(reader: Reader) -> Connack:
    flags, code = reader.number(1), reader.number(1)
    if flags > 1:
        raise malformed("CONNACK with reserved flags", "MQTT311 §3.2.2.1")
    if code > LAST_RETURN_CODE:
        raise malformed(f"CONNACK with return code {code}", "MQTT311 §3.2.2.3")
    if code and flags:
        raise violation("a refusal that speaks of a session", "MQTT311-3.2.2-4")
    return Connack(session_present=flags == 1, code=code)


def _read_subscribe(reader: Reader) -> Subscribe:
    packet_id = reader.packet_id()
    filters = []
    while reader.left:
        text = check_topic_filter(reader.text())
        qos = reader.number(1)
        if qos > 2:
            raise malformed("SUBSCRIBE with reserved bits or QoS 3", "MQTT311-3.8.3-4")
        filters.append(SubscribeFilter(filter=text, qos=qos))
    if not filters:
        raise violation("SUBSCRIBE without a filter", "MQTT311-3.8.3-3")
    return Subscribe(packet_id=packet_id, filters=tuple(filters))


def _read_suback(reader: Reader) -> Suback:
    packet_id, codes = reader.packet_id(), reader.rest()
    if not codes or not SUBACK_CODES.issuperset(codes):
        raise malformed("SUBACK without codes or with reserved ones", "MQTT311-3.9.3-2")
    return Suback(packet_id=packet_id, codes=tuple(codes))


def _read_unsubscribe(reader: Reader) -> Unsubscribe:
    packet_id = reader.packet_id()
    filters = []
    while reader.left:
        filters.append(check_topic_filter(reader.text()))
    if not filters:
        raise violation("UNSUBSCRIBE without a filter", "MQTT311-3.10.3-2")
    return Unsubscribe(packet_id=packet_id, filters=tuple(filters))


_READERS: Final[Mapping[PacketType, Callable[[Reader], Packet]]] = {
    PacketType.CONNACK: _read_connack,
    PacketType.PUBACK: lambda reader: Puback(packet_id=reader.packet_id()),
    PacketType.PUBREC: lambda reader: Pubrec(packet_id=reader.packet_id()),
    PacketType.PUBREL: lambda reader: Pubrel(packet_id=reader.packet_id()),
    PacketType.PUBCOMP: lambda reader: Pubcomp(packet_id=reader.packet_id()),
    PacketType.SUBSCRIBE: _read_subscribe,
    PacketType.SUBACK: _read_suback,
    PacketType.UNSUBSCRIBE: _read_unsubscribe,
    PacketType.UNSUBACK: lambda reader: Unsuback(packet_id=reader.packet_id()),
    PacketType.PINGREQ: lambda _: Pingreq(),
    PacketType.PINGRESP: lambda _: Pingresp(),
    PacketType.DISCONNECT: lambda _: Disconnect(),
}


def publish_first_byte(packet: Publish) -> int:
    """PUBLISH's type and flags. Spec: MQTT 3.1.1 §3.3.1, MQTT 5 §3.3.1."""
    if packet.qos not in (0, 1, 2) or (packet.dup and not packet.qos):
        raise UsageError("PUBLISH has QoS 0, 1 or 2, and DUP with 1 or 2 only")
    return 0x30 | packet.dup << 3 | packet.qos << 1 | packet.retain


def write(packet: Packet) -> bytes:  # noqa: C901, PLR0912 - a branch per packet type, nothing else
    """One packet as bytes, fixed header included. What only MQTT 5 can say is left out."""
    match packet:
        case Connect():
            return write_connect(packet)
        case Connack():
            return frame(0x20, bytes((packet.session_present, packet.code)))
        case Publish():
            packet_id = write_packet_id(packet.packet_id) if packet.qos else b""
            topic = write_topic_name(packet.topic)
            return frame(publish_first_byte(packet), b"".join((topic, packet_id, packet.payload)))
        case Puback():
            return frame(0x40, write_packet_id(packet.packet_id))
        case Pubrec():
            return frame(0x50, write_packet_id(packet.packet_id))
        case Pubrel():
            return frame(0x62, write_packet_id(packet.packet_id))
        case Pubcomp():
            return frame(0x70, write_packet_id(packet.packet_id))
        case Subscribe():
            filters = b"".join(write_text(one.filter) + bytes((one.qos,)) for one in packet.filters)
            return frame(0x82, write_packet_id(packet.packet_id) + filters)
        case Suback():
            return frame(0x90, write_packet_id(packet.packet_id) + bytes(packet.codes))
        case Unsubscribe():
            return frame(0xA2, write_packet_id(packet.packet_id) + b"".join(map(write_text, packet.filters)))
        case Unsuback():
            return frame(0xB0, write_packet_id(packet.packet_id))
        case Pingreq():
            return b"\xc0\x00"
        case Pingresp():
            return b"\xd0\x00"
        case Disconnect():
            return b"\xe0\x00"
        case _:
            raise UsageError("MQTT 3 has no AUTH")
