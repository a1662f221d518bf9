"""The packets of MQTT 3.1, 3.1.1 and 5 as values.

One class serves all versions: `properties` is None in a packet of MQTT 3, and what only MQTT 5 has is left at its
default there. Spec: MQTT 3.1.1 §3, MQTT 5 §3.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from edgewire.codec.mqtt.properties import (
    AckProperties,
    AuthProperties,
    ConnackProperties,
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    UnsubscribeProperties,
    WillProperties,
    size_of_said,
)


class PacketType(IntEnum):
    """The upper four bits of a packet's first byte. Spec: MQTT 3.1.1 §2.2.1, MQTT 5 §2.1.2."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the server publishes for a client that goes without a word. Spec: MQTT 3.1.1 §3.1.2.5, MQTT 5 §3.1.2.5."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: WillProperties | None = None

    @property
    def delay_s(self) -> int:
        """How long the server waits before it publishes. Spec: MQTT 5 §3.1.3.2.2."""
        return 0 if self.properties is None else self.properties.will_delay_s or 0

    @property
    def size(self) -> int:
        """Characters and bytes of all that is published."""
        size = len(self.topic) + len(self.payload)
        return size if self.properties is None else size + size_of_said(self.properties)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """CONNECT. `level` is 3, 4 or 5; `bridge` is bit 7 of the level byte, with which mosquitto says it is a bridge."""

    client_id: str
    level: int
    bridge: bool = False
    clean_start: bool
    keep_alive_s: int
    will: Will | None = None
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    properties: ConnectProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connack:
    """CONNACK. `code` is a return code in MQTT 3 (0 to 5) and a reason code in MQTT 5."""

    session_present: bool
    code: int
    properties: ConnackProperties | None = None


@dataclass(slots=True)
class Publish:
    """PUBLISH. `packet_id` is 0 with QoS 0.

    Neither frozen nor keyword-only, unlike our other values, and nobody changes one all the same: there is one per
    message, and freezing seven fields costs 1.1 µs of the 9 µs that the gateway may take for it.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    properties: PublishProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Puback:
    """PUBACK."""

    packet_id: int
    reason: int = 0
    properties: AckProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pubrec:
    """PUBREC."""

    packet_id: int
    reason: int = 0
    properties: AckProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pubrel:
    """PUBREL."""

    packet_id: int
    reason: int = 0
    properties: AckProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pubcomp:
    """PUBCOMP."""

    packet_id: int
    reason: int = 0
    properties: AckProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeFilter:
    """One filter of a SUBSCRIBE and its options. Spec: MQTT 3.1.1 §3.8.3, MQTT 5 §3.8.3.1."""

    filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """SUBSCRIBE."""

    packet_id: int
    filters: tuple[SubscribeFilter, ...]
    properties: SubscribeProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suback:
    """SUBACK: a code per filter, the granted QoS or a failure."""

    packet_id: int
    codes: tuple[int, ...]
    properties: AckProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """UNSUBSCRIBE."""

    packet_id: int
    filters: tuple[str, ...]
    properties: UnsubscribeProperties | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsuback:
    """UNSUBACK; MQTT 3 has no codes in it."""

    packet_id: int
    codes: tuple[int, ...] = ()
    properties: AckProperties | None = None


@dataclass(frozen=True, slots=True)
class Pingreq:
    """PINGREQ."""


@dataclass(frozen=True, slots=True)
class Pingresp:
    """PINGRESP."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """DISCONNECT; MQTT 3 has no reason in it."""

    reason: int = 0
    properties: DisconnectProperties | None = None


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH, of MQTT 5 alone."""

    reason: int = 0
    properties: AuthProperties | None = None


Packet = (
    Connect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
    | Auth
)
"""Any packet."""
