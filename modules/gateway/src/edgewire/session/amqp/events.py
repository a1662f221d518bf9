"""What an AMQP connection reports to its owner."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewire.codec.amqp.performatives import DeliveryState, Error, Open
from edgewire.session.amqp.link import Delivery, Link

if TYPE_CHECKING:
    from edgewire.session.amqp.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslInitReceived:
    """A client shows who it is: answer with `accept_sasl` or `refuse_sasl`. No other event comes before that."""

    mechanism: str
    response: bytes = field(repr=False)
    hostname: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslOutcomeReceived:
    """The server has answered our sasl-init; if not `ok`, the connection is over. Spec: AMQP 1.0 §5.3.3.6."""

    ok: bool
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReceived:
    """A client opens the connection: answer with `open` or `close`. No other event comes before that."""

    container_id: str
    hostname: str | None
    properties: Mapping[Any, Any] | None
    idle_timeout_ms: int | None
    max_frame_size: int
    channel_max: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The server has opened the connection: sessions may begin."""

    open: Open


@dataclass(frozen=True, slots=True)
class SessionBegun:
    """A session that the peer began, or that we began and the peer has answered."""

    session: "Session"


@dataclass(frozen=True, slots=True)
class AttachReceived:
    """The peer wants a link: answer with `accept_link` or `refuse_link`. Flows may come before that: see `credit`."""

    link: Link


@dataclass(frozen=True, slots=True)
class LinkAttached:
    """The peer has answered our attach. If it refuses the link, its end of it is null and `LinkDetached` follows."""

    link: Link


@dataclass(slots=True)
class MessageReceived:
    """A message, all frames of it. Unless `settled`, `settle` answers it.

    Neither frozen nor keyword-only: there is one per message, and a frozen one costs twice as much to make.
    """

    link: Link
    delivery_id: int
    message_format: int
    payload: bytes
    settled: bool
    tag: bytes


@dataclass(slots=True)
class DeliveryStateChanged:
    """What the peer made of a message of ours. If it has not settled it (`settled` is False), `settle_sent` does.

    Not frozen, as there is one per message.
    """

    link: Link
    delivery: Delivery
    state: DeliveryState | None
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditReceived:
    """More can be sent on a link now; with `drain`, `drained` is to be called when there is nothing more to send."""

    link: Link
    credit: int
    drain: bool


@dataclass(frozen=True, slots=True)
class LinkDrained:
    """The sender has used up the credit that `drain` asked it to, or has nothing more to send."""

    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDetached:
    """A link is over, by the peer's detach or by a fault of it; `link.deliveries` are those left unsettled."""

    link: Link
    error: Error | None
    closed: bool


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session is over and all links that `session.links` still gives with it; they have no event of their own."""

    session: "Session"
    error: Error | None


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The connection is over, all sessions and links with it, and is to be closed once the output is sent.

    error: what the peer gave as its reason, if it gave one; with `silent`, what we have told a peer that said nothing.
    The last event there is.
    """

    error: Error | None
    silent: bool = False


AmqpEvent = (
    SaslInitReceived
    | SaslOutcomeReceived
    | OpenReceived
    | Opened
    | SessionBegun
    | AttachReceived
    | LinkAttached
    | MessageReceived
    | DeliveryStateChanged
    | CreditReceived
    | LinkDrained
    | LinkDetached
    | SessionEnded
    | ConnectionClosed
)
"""Anything an AMQP connection reports."""
