"""Packets of MQTT 5. Spec: MQTT 5 §3."""

from collections.abc import Callable, Mapping
from typing import Final, assert_never

from edgewire.codec.mqtt import properties as props
from edgewire.codec.mqtt.connect import read_connect, write_connect
from edgewire.codec.mqtt.frames import flags_allowed, frame
from edgewire.codec.mqtt.packets import (
    Auth,
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
from edgewire.codec.mqtt.properties import PropertyLimits
from edgewire.codec.mqtt.reasons import (
    AUTH_CODES,
    CONNACK_CODES,
    DISCONNECT_CODES,
    PUBACK_CODES,
    PUBREL_CODES,
    SUBACK_CODES,
    UNSUBACK_CODES,
    ReasonCode,
)
from edgewire.codec.mqtt.topics import check_subscription, is_shared, write_topic_name
from edgewire.codec.mqtt.v3 import publish_first_byte
from edgewire.codec.mqtt.wire import Reader, malformed, violation, write_packet_id, write_text
from edgewire.line.names import TopicCache

NO_LIMITS: Final = PropertyLimits()

_NO_PROPERTIES: Final = props.PUBLISH.empty


def read(first: int, body: bytes, limits: PropertyLimits = NO_LIMITS) -> Packet:
    """Read one packet from its first byte and its body. Raises ProtocolError if it breaks a rule of MQTT 5."""
    if first < 16:
        raise malformed("a packet type that does not exist", "MQTT5 §2.1.2")
    kind = PacketType(first >> 4)
    if first & 15 not in flags_allowed(kind, 5):
        raise malformed(f"{kind.name} with flags that it may not have", "MQTT5-2.1.3-1")
    if kind is PacketType.PUBLISH:
        return read_publish(first, body, TopicCache(), limits)
    if kind is PacketType.CONNECT:
        return read_connect(body, limits)
    reader = Reader(body)
    packet = _READERS[kind](reader, limits)
    reader.done(f"MQTT5 §3, {kind.name}")
    return packet


def read_publish(first: int, body: bytes, topics: TopicCache, limits: PropertyLimits = NO_LIMITS) -> Publish:
    """Read PUBLISH; its first byte must be one that `flags_allowed` has. Spec: MQTT 5 §3.3.

    The topic is empty if, and only if, the packet names it by its topic alias alone (MQTT 5 §3.3.2.3.4).
    """
    size = len(body)
    end = 2 + (body[0] << 8 | body[1]) if size > 1 else 2
    start = end + 2 if first & 6 else end
    # Without properties, as most are, it is read like one of MQTT 3.1.1, which costs a third.
    if start < size and not body[start] and end > 2 and (start == end or body[end] or body[end + 1]):
        packet_id = body[end] << 8 | body[end + 1] if start > end else 0
        topic, payload = topics[body[2:end]], body[start + 1 :]
        return Publish(topic, payload, first >> 1 & 3, first & 1 == 1, first & 8 == 8, packet_id, _NO_PROPERTIES)
    return _read_full_publish(first, Reader(body), topics, limits)


def _read_full_publish(first: int, reader: Reader, topics: TopicCache, limits: PropertyLimits) -> Publish:
    raw = reader.binary()
    packet_id = reader.packet_id() if first & 6 else 0
    properties = props.PUBLISH.read(reader, limits)
    if raw:
        topic = topics[raw]
    elif properties.topic_alias is None:
        raise violation("PUBLISH with neither a topic nor an alias for one", "MQTT5 §3.3.2.1")
    else:
        topic = ""
    return Publish(topic, reader.rest(), first >> 1 & 3, first & 1 == 1, first & 8 == 8, packet_id, properties)


def _reason(reader: Reader, allowed: frozenset[ReasonCode], packet: str) -> int:
    code = reader.number(1)
    if code not in allowed:
        raise malformed(f"{packet} with reason code 0x{code:02X}", f"MQTT5 §2.4, {packet}")
    return code


def _read_connack(reader: Reader, limits: PropertyLimits) -> Connack:
    flags = reader.number(1)
    if flags > 1:
        raise malformed("CONNACK with reserved flags", "MQTT5-3.2.2-1")
    code = _reason(reader, CONNACK_CODES, "CONNACK")
    if code and flags:
        raise violation("a refusal that speaks of a session", "MQTT5-3.2.2-6")
    return Connack(session_present=flags == 1, code=code, properties=props.CONNACK.read(reader, limits))


_Ack = type[Puback] | type[Pubrec] | type[Pubrel] | type[Pubcomp]


def _read_ack(make: _Ack, codes: frozenset[ReasonCode]) -> "Callable[[Reader, PropertyLimits], Packet]":
    def read_ack(reader: Reader, limits: PropertyLimits) -> Packet:
        packet_id = reader.packet_id()
        # Reason code and properties may be left out from the end (MQTT 5 §3.4.2.1, §3.4.2.2.1).
        reason = _reason(reader, codes, make.__name__.upper()) if reader.left else 0
        properties = props.ACK.read(reader, limits) if reader.left else props.ACK.empty
        return make(packet_id=packet_id, reason=reason, properties=properties)

    return read_ack


def _read_subscribe(reader: Reader, limits: PropertyLimits) -> Subscribe:
    packet_id = reader.packet_id()
    properties = props.SUBSCRIBE.read(reader, limits)
    filters = []
    while reader.left:
        text = check_subscription(reader.text())
        filters.append(_subscribe_filter(text, reader.number(1)))
    if not filters:
        raise violation("SUBSCRIBE without a filter", "MQTT5-3.8.3-2")
    return Subscribe(packet_id=packet_id, filters=tuple(filters), properties=properties)


def _subscribe_filter(text: str, options: int) -> SubscribeFilter:
    """Spec: MQTT 5 §3.8.3.1."""
    qos, no_local, handling = options & 3, bool(options & 4), options >> 4 & 3
    if options & 0xC0:
        raise malformed("SUBSCRIBE with reserved option bits", "MQTT5-3.8.3-5")
    if qos > 2 or handling > 2:
        raise violation("SUBSCRIBE with QoS 3 or retain handling 3", "MQTT5 §3.8.3.1")
    if no_local and is_shared(text):
        raise violation("No Local on a shared subscription", "MQTT5-3.8.3-4")
    return SubscribeFilter(
        filter=text,
        qos=qos,
        no_local=no_local,
        retain_as_published=bool(options & 8),
        retain_handling=handling,
    )


def _codes(reader: Reader, allowed: frozenset[ReasonCode], packet: str) -> tuple[int, ...]:
    codes = reader.rest()
    if not codes or not allowed.issuperset(codes):
        raise malformed(f"{packet} without reason codes or with wrong ones", f"MQTT5 §2.4, {packet}")
    return tuple(codes)


def _read_suback(reader: Reader, limits: PropertyLimits) -> Suback:
    packet_id = reader.packet_id()
    properties = props.ACK.read(reader, limits)
    return Suback(packet_id=packet_id, codes=_codes(reader, SUBACK_CODES, "SUBACK"), properties=properties)


def _read_unsubscribe(reader: Reader, limits: PropertyLimits) -> Unsubscribe:
    packet_id = reader.packet_id()
    properties = props.UNSUBSCRIBE.read(reader, limits)
    filters = []
    while reader.left:
        filters.append(check_subscription(reader.text()))
    if not filters:
        raise violation("UNSUBSCRIBE without a filter", "MQTT5-3.10.3-2")
    return Unsubscribe(packet_id=packet_id, filters=tuple(filters), properties=properties)


def _read_unsuback(reader: Reader, limits: PropertyLimits) -> Unsuback:
    packet_id = reader.packet_id()
    properties = props.ACK.read(reader, limits)
    return Unsuback(packet_id=packet_id, codes=_codes(reader, UNSUBACK_CODES, "UNSUBACK"), properties=properties)


def _read_disconnect(reader: Reader, limits: PropertyLimits) -> Disconnect:
    reason = _reason(reader, DISCONNECT_CODES, "DISCONNECT") if reader.left else 0
    return Disconnect(reason, props.DISCONNECT.read(reader, limits) if reader.left else props.DISCONNECT.empty)


def _read_auth(reader: Reader, limits: PropertyLimits) -> Auth:
    if not reader.left:
        return Auth(ReasonCode.SUCCESS, props.AUTH.empty)
    reason = _reason(reader, AUTH_CODES, "AUTH")
    properties = props.AUTH.read(reader, limits)
    if properties.authentication_method is None:
        raise violation("AUTH without a method", "MQTT5 §3.15.2.2.2")
    return Auth(reason, properties)


_READERS: Final[Mapping[PacketType, Callable[[Reader, PropertyLimits], Packet]]] = {
    PacketType.CONNACK: _read_connack,
    PacketType.PUBACK: _read_ack(Puback, PUBACK_CODES),
    PacketType.PUBREC: _read_ack(Pubrec, PUBACK_CODES),
    PacketType.PUBREL: _read_ack(Pubrel, PUBREL_CODES),
    PacketType.PUBCOMP: _read_ack(Pubcomp, PUBREL_CODES),
    PacketType.SUBSCRIBE: _read_subscribe,
    PacketType.SUBACK: _read_suback,
    PacketType.UNSUBSCRIBE: _read_unsubscribe,
    PacketType.UNSUBACK: _read_unsuback,
    PacketType.PINGREQ: lambda _reader, _limits: Pingreq(),
    PacketType.PINGRESP: lambda _reader, _limits: Pingresp(),
    PacketType.DISCONNECT: _read_disconnect,
    PacketType.AUTH: _read_auth,
}


def write(packet: Packet) -> bytes:  # noqa: C901, PLR0912 - a branch per packet type, nothing else
    """One packet as bytes, fixed header included, in the shortest form there is."""
    match packet:
        case Connect():
            return write_connect(packet)
        case Connack():
            body = bytes((packet.session_present, packet.code)) + props.CONNACK.write(packet.properties)
            return frame(0x20, body)
        case Publish():
            return _write_publish(packet)
        case Puback():
            return _write_ack(0x40, packet)
        case Pubrec():
            return _write_ack(0x50, packet)
        case Pubrel():
            return _write_ack(0x62, packet)
        case Pubcomp():
            return _write_ack(0x70, packet)
        case Subscribe():
            return _write_subscribe(packet)
        case Suback():
            head = write_packet_id(packet.packet_id) + props.ACK.write(packet.properties)
            return frame(0x90, head + bytes(packet.codes))
        case Unsubscribe():
            head = write_packet_id(packet.packet_id) + props.UNSUBSCRIBE.write(packet.properties)
            return frame(0xA2, head + b"".join(map(write_text, packet.filters)))
        case Unsuback():
            head = write_packet_id(packet.packet_id) + props.ACK.write(packet.properties)
            return frame(0xB0, head + bytes(packet.codes))
        case Pingreq():
            return b"\xc0\x00"
        case Pingresp():
            return b"\xd0\x00"
        case Disconnect():
            return frame(0xE0, _shortest(packet.reason, props.DISCONNECT.write(packet.properties)))
        case Auth():
            tail = bytes((packet.reason,)) + props.AUTH.write(packet.properties)
            return frame(0xF0, b"" if tail == b"\x00\x00" else tail)
    assert_never(packet)


def _shortest(reason: int, properties: bytes) -> bytes:
    """Reason code and properties; what says nothing is left out. Spec: MQTT 5 §3.4.2.1, §3.14.2.1."""
    if properties != b"\x00":
        return bytes((reason,)) + properties
    return bytes((reason,)) if reason else b""


def _write_ack(first: int, packet: Puback | Pubrec | Pubrel | Pubcomp) -> bytes:
    tail = _shortest(packet.reason, props.ACK.write(packet.properties))
    return frame(first, write_packet_id(packet.packet_id) + tail)


def _write_publish(packet: Publish) -> bytes:
    properties = packet.properties
    by_alias_alone = not packet.topic and properties is not None and properties.topic_alias is not None
    parts = (
        b"\x00\x00" if by_alias_alone else write_topic_name(packet.topic),
        write_packet_id(packet.packet_id) if packet.qos else b"",
        props.PUBLISH.write(properties),
        packet.payload,
    )
    return frame(publish_first_byte(packet), b"".join(parts))


def _write_subscribe(packet: Subscribe) -> bytes:
    head = write_packet_id(packet.packet_id) + props.SUBSCRIBE.write(packet.properties)
    filters = (write_text(one.filter) + bytes((_options(one),)) for one in packet.filters)
    return frame(0x82, head + b"".join(filters))


def _options(one: SubscribeFilter) -> int:
    return one.qos | one.no_local << 2 | one.retain_as_published << 3 | one.retain_handling << 4
