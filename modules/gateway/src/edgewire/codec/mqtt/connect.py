"""CONNECT, whose own bytes say which version of MQTT follows. Spec: MQTT 3.1.1 §3.1, MQTT 5 §3.1."""

from dataclasses import dataclass
from typing import Final

from edgewire.codec.mqtt import properties as props
from edgewire.codec.mqtt.frames import frame
from edgewire.codec.mqtt.packets import Connect, PacketType, Will
from edgewire.codec.mqtt.properties import PropertyLimits
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.codec.mqtt.topics import write_topic_name
from edgewire.codec.mqtt.wire import Reader, malformed, violation, write_binary, write_text
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.names import check_topic_name

BRIDGE_BIT: Final = 0x80
"""With this bit of the level byte mosquitto says that it is a bridge, not a client."""

_NAMES: Final = {3: "MQIsdp", 4: "MQTT", 5: "MQTT"}

IDENTIFIER_REJECTED: Final = 2
"""A return code of MQTT 3, the only one that CONNECT's own bytes can ask for (MQTT311-3.1.3-8)."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which MQTT a client wants to speak: the first two fields of CONNECT."""

    name: str
    level: int
    bridge: bool

    @property
    def exists(self) -> bool:
        """Whether there is such a version of MQTT."""
        return _NAMES.get(self.level) == self.name


def read_protocol(body: bytes) -> Protocol:
    """What CONNECT says about the version; only then is it known how the rest is written.

    Raises ProtocolError if the name is not one of MQTT's: there is nothing to say to such a peer (MQTT311-3.1.2-1).
    """
    return _protocol(Reader(body))


def _protocol(reader: Reader) -> Protocol:
    name = reader.text()
    byte = reader.number(1)
    if name not in _NAMES.values():
        raise violation("a protocol name that is not MQTT's", "MQTT5-3.1.2-1, MQTT311-3.1.2-1")
    return Protocol(name, byte & ~BRIDGE_BIT, byte >= BRIDGE_BIT)


def read_connect(body: bytes, limits: PropertyLimits | None = None) -> Connect:
    """Read the body of CONNECT, of level 3, 4 or 5."""
    reader = Reader(body)
    protocol = _protocol(reader)
    level = protocol.level
    if not protocol.exists:
        what = f"level {level} of {protocol.name}, which does not exist"
        raise ProtocolError(what, reply=ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, spec="MQTT5-3.1.2-2, MQTT311-3.1.2-2")
    flags = _flags(reader, level)
    keep_alive_s = reader.number(2)
    limits = limits or PropertyLimits()
    properties = props.CONNECT.read(reader, limits) if level == 5 else None
    if properties is not None and properties.authentication_data is not None and not properties.authentication_method:
        raise violation("authentication data without a method", "MQTT5 §3.1.2.11.10")
    client_id = _client_id(reader, level, flags)
    connect = Connect(
        client_id=client_id,
        level=level,
        bridge=protocol.bridge,
        clean_start=bool(flags & 0x02),
        keep_alive_s=keep_alive_s,
        properties=properties,
        will=_will(reader, level, flags, limits) if flags & 0x04 else None,
        username=reader.text() if flags & 0x80 else None,
        password=reader.binary() if flags & 0x40 else None,
    )
    reader.done("MQTT5-3.1.3-1, MQTT311-3.1.3-1")
    return connect


def _flags(reader: Reader, level: int) -> int:
    """The connect flags, if they agree with each other. Spec: MQTT 3.1.1 §3.1.2.3, MQTT 5 §3.1.2.3."""
    flags = reader.number(1)
    if flags & 0x01:
        raise malformed("the reserved connect flag is set", "MQTT5-3.1.2-3, MQTT311-3.1.2-3")
    if flags & 0x18 == 0x18:
        raise malformed("a will with both QoS bits set", "MQTT5-3.1.2-12, MQTT311-3.1.2-14")
    if not flags & 0x04 and flags & 0x38:
        raise malformed("a QoS or RETAIN of a will, but no will", "MQTT5-3.1.2-11, MQTT5-3.1.2-13, MQTT311-3.1.2-11")
    if level < 5 and flags & 0xC0 == 0x40:
        raise malformed("a password without a user name", "MQTT311-3.1.2-22")
    return flags


def _client_id(reader: Reader, level: int, flags: int) -> str:
    client_id = reader.text()
    # Without an identifier there is no session to come back to; MQTT 3.1 has no empty one at all (MQTT 3.1 §3.1).
    if not client_id and (level == 3 or (level == 4 and not flags & 0x02)):
        raise ProtocolError("no client identifier", reply=IDENTIFIER_REJECTED, spec="MQTT311-3.1.3-8")
    return client_id


def _will(reader: Reader, level: int, flags: int, limits: PropertyLimits) -> Will:
    properties = props.WILL.read(reader, limits) if level == 5 else None
    return Will(
        properties=properties,
        topic=check_topic_name(reader.text()),
        payload=reader.binary(),
        qos=flags >> 3 & 3,
        retain=bool(flags & 0x20),
    )


def write_connect(packet: Connect) -> bytes:
    """CONNECT as bytes, fixed header included."""
    name = _NAMES.get(packet.level)
    if name is None:
        raise UsageError(f"level {packet.level} is no version of MQTT")
    if packet.password is not None and packet.username is None and packet.level < 5:
        raise UsageError("MQTT 3 has no password without a user name")
    parts = [
        write_text(name),
        bytes((packet.level | (BRIDGE_BIT if packet.bridge else 0), _write_flags(packet))),
        packet.keep_alive_s.to_bytes(2, "big"),
        props.CONNECT.write(packet.properties) if packet.level == 5 else b"",
        write_text(packet.client_id),
    ]
    if packet.will is not None:
        parts.append(props.WILL.write(packet.will.properties) if packet.level == 5 else b"")
        parts.append(write_topic_name(packet.will.topic))
        parts.append(write_binary(packet.will.payload))
    if packet.username is not None:
        parts.append(write_text(packet.username))
    if packet.password is not None:
        parts.append(write_binary(packet.password))
    return frame(PacketType.CONNECT << 4, b"".join(parts))


def _write_flags(packet: Connect) -> int:
    flags = (packet.username is not None) << 7 | (packet.password is not None) << 6 | packet.clean_start << 1
    if packet.will is not None:
        flags |= packet.will.retain << 5 | packet.will.qos << 3 | 0x04
    return flags
