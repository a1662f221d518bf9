"""What a session of the server reports to its owner."""

from dataclasses import dataclass, field

from edgewire.codec.mqtt.packets import Publish, SubscribeFilter, Will
from edgewire.codec.mqtt.properties import UserProperties

__all__ = [
    "ConnectReceived",
    "Disconnected",
    "PublishAcknowledged",
    "PublishReceived",
    "ServerEvent",
    "SubscribeFilter",
    "SubscribeReceived",
    "UnsubscribeReceived",
    "Will",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectReceived:
    """A client asks to connect: answer with `accept` or `refuse`. No other event comes before that.

    clean_start: clean session, in MQTT 3.
    session_expiry_s: MQTT 5 only, already cut to our limit; None in MQTT 3, where a session without clean start stays.
    keep_alive_s: as sent; the session keeps watch itself.
    """

    client_id: str
    username: str | None
    password: bytes | None = field(repr=False)
    level: int
    bridge: bool
    clean_start: bool
    keep_alive_s: int
    will: Will | None
    session_expiry_s: int | None = None
    receive_maximum: int = 65_535
    maximum_packet_size: int | None = None
    topic_alias_maximum: int = 0
    request_response_information: bool = False
    user_properties: UserProperties = ()


PublishReceived = Publish
"""A message of the peer, its topic alias resolved; with QoS 1, `acknowledge` or `refuse_publish` answers it.

The packet is its own event: one more object per message would cost what the gateway has no time for. `retain` and
`dup` are as sent. `properties` is None in MQTT 3.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishAcknowledged:
    """The peer's PUBACK to a `publish`; `reason` is 0 in MQTT 3, and 0x80 or above if an MQTT 5 peer refused it."""

    packet_id: int
    reason: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeReceived:
    """The client subscribes: answer with `grant`."""

    packet_id: int
    filters: tuple[SubscribeFilter, ...]
    subscription_identifier: int | None = None
    user_properties: UserProperties = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribeReceived:
    """The client unsubscribes: answer with `confirm_unsubscribe`."""

    packet_id: int
    filters: tuple[str, ...]
    user_properties: UserProperties = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The connection is over and is to be closed once the output is sent; the last event there is.

    clean: the client said DISCONNECT without asking for its will.
    reason: of its DISCONNECT, or of our farewell.
    will: what must now be published, if anything; `will.delay_s` is how long that may wait for the client's return.
    session_expiry_s: what an MQTT 5 client's DISCONNECT changed its session's life to, cut to our limit.
    """

    clean: bool
    reason: int
    will: Will | None = None
    session_expiry_s: int | None = None


ServerEvent = ConnectReceived | Publish | PublishAcknowledged | SubscribeReceived | UnsubscribeReceived | Disconnected
"""Anything a ServerSession reports."""
