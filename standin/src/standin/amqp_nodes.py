"""What is at the addresses of an AMQP connection besides `$cbs` and devices: nodes that others register.

A node is one object for all connections. It says which addresses are its own, and attaches a link by `accept_link` of
the session and an `Attached` of its own as `link.owner`; whatever it keeps for a link it keeps there.
"""

from dataclasses import dataclass
from typing import Protocol

from edgewire.session.amqp.events import CreditReceived, DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.server import AmqpServer
from edgewire.transport.pump import Peer
from standin.admission import Realm
from standin.policies import Right


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a link needs as long as it is there; when no policy on the connection gives it any more, it is detached."""

    right: Right
    realm: Realm = Realm.HUB
    path: tuple[str, ...] = ()
    """Decoded segments behind the host: a token must be for these, or for a beginning of them (whatever the case)."""


class Attached:
    """What a link is to the stand-in: kept as `link.owner`. Nodes override what they want to hear."""

    __slots__ = ("need",)

    def __init__(self, need: Need | None = None) -> None:
        self.need = need

    def take(self, event: MessageReceived) -> None:
        """A message of the peer's: settle it with `session.settle`, and `session.grant` more credit."""

    def on_credit(self, event: CreditReceived) -> None:
        """More can be sent now. A drain is answered by the connection, after this."""

    def on_state(self, event: DeliveryStateChanged) -> None:
        """What the peer made of a message of ours. The connection settles it after this, if the peer has not."""

    def on_writable(self) -> None:
        """The peer has read what it had not: the line is choked no longer."""

    def on_detached(self) -> None:
        """The link is gone, or its connection, or its right to be here; it is no longer its link's owner."""


class AmqpLine(Protocol):
    """What a node sees of a connection."""

    @property
    def session(self) -> AmqpServer:
        """The engine: send, settle, grant, detach. What it has to say is written by `flush_soon`."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end, with the certificates it has shown."""

    @property
    def hostname(self) -> str | None:
        """What the peer's open named."""

    @property
    def guest(self) -> object | None:
        """What a `Guests` has made of the login by SASL PLAIN, if one has."""

    @property
    def is_closing(self) -> bool:
        """Nothing counts any more, and nothing is sent."""

    @property
    def is_choked(self) -> bool:
        """The peer reads slower than we send: send no more until `on_writable`."""

    def may(self, need: Need) -> bool:
        """Whether a policy that was proven on this connection, by a token or by SASL PLAIN, gives this."""

    def refuse(self, link: Link, condition: str, what: str) -> None:
        """Refuse a link that wants to attach."""

    def detach(self, link: Link, condition: str, what: str) -> None:
        """End a link that is attached; its owner hears `on_detached`."""

    def flush_soon(self) -> None:
        """Write what the session has to say, once for this turn of the loop."""


class Node(Protocol):
    """One address, or one kind of addresses."""

    def claims(self, address: str) -> bool:
        """Whether this is an address of this node, in any of the forms `amqps://host/path`, `/path` and `path`."""

    def attach(self, line: AmqpLine, link: Link) -> None:
        """Accept the link and set its owner, or refuse it."""


class Guests(Protocol):
    """Who understands the user names of SASL PLAIN that are neither a device's nor a policy's of the hub."""

    def knows(self, name: str) -> bool:
        """Whether it is for them to say who this is."""

    def log_in(self, name: str, token: str, peer: Peer) -> object | None:
        """What the login proves, which is `line.guest` from then on; None refuses it."""
