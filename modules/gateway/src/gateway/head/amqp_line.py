"""One AMQP connection as its parts use it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewire.errors import UsageError
from edgewire.message import Identity
from edgewire.session.amqp.events import AmqpEvent, CreditReceived, DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.server import AmqpServer
from edgewire.transport.pump import Peer, Pump
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.ingress import Ingress
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Presence
from gateway.dispatch.twin_desk import TwinDesk
from gateway.head.amqp_credentials import Credentials
from gateway.identity.authenticator import Authenticator
from gateway.identity.credentials import Admitted, Refused
from gateway.observe.events import Event
from gateway.observe.identity import LoginRefused

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Account, Allowances  # most sites limit nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all AMQP connections share. `clock` gives seconds since 1970; `hubs` hub names by their first label."""

    authenticator: Authenticator
    ingress: Ingress
    presence: Presence
    delivery: Delivery
    methods: Methods
    twins: TwinDesk
    emit: Callable[[Event], None]
    clock: Callable[[], float]
    hub: str
    allowances: "Callable[[], Allowances | None]" = lambda: None
    """What devices may send; None while nobody is limited."""

    def account(self, who: Identity) -> "Account | None":
        """What `who` has sent and may send, where the settings limit devices."""
        allowances = self.allowances()
        return None if allowances is None else allowances.account(str(who))


class Line:
    """One connection: its engine, its peer, what the peer has shown, and a way to send what is to be sent."""

    __slots__ = ("_pump", "closed", "credentials", "engine", "house", "peer")

    def __init__(self, house: House, engine: AmqpServer, peer: Peer) -> None:
        self.house = house
        self.engine = engine
        self.peer = peer
        self.credentials = Credentials(peer, house.hub)
        self.closed = False
        """Nothing that waited for a disk or a clock may be answered any more."""
        self._pump: Pump[AmqpEvent] | None = None

    @property
    def pump(self) -> Pump[AmqpEvent]:
        """The pump, from when the transport is ready."""
        if self._pump is None:
            raise UsageError("an AMQP connection used before its transport was ready")
        return self._pump

    def connect(self, pump: Pump[AmqpEvent]) -> None:
        """The transport is ready."""
        self._pump = pump

    def flush(self) -> None:
        """Send what came of something that was no call of the pump's."""
        if not self.closed:
            self.pump.flush()

    def judge(self, who: Identity) -> Admitted | Refused:
        """Whether what was shown here lets `who` in; who is not is in the log."""
        claim = self.credentials.claim(who, self.house.clock())
        verdict = self.house.authenticator.authenticate(claim)
        if isinstance(verdict, Refused):
            self.house.emit(LoginRefused(str(who), self.peer.address, verdict.reason))
        return verdict


class LinkEnd:
    """Our end of one link: its `owner`. What a kind of link does not say otherwise, it does not do."""

    __slots__ = ("line", "link", "whose")

    def __init__(self, line: Line, link: Link) -> None:
        self.line = line
        self.link = link
        self.whose: Identity | None = None
        """Whose link it is; nobody's, if it is to or from $cbs."""

    def begin(self) -> None:
        """Answer the attach; the link is good."""
        self.line.engine.accept_link(self.link)

    def on_message(self, event: MessageReceived) -> None:
        """The peer has sent a message. Only links that it sends on hear this."""
        raise UsageError(f"delivery {event.delivery_id} on {self.link}")

    def on_credit(self, event: CreditReceived) -> None:
        """The peer takes messages: there is none."""
        if event.drain:
            self.line.engine.drained(self.link)

    def on_state(self, event: DeliveryStateChanged) -> None:
        """The peer's word on a message of ours, which it may leave to us to settle."""
        if not event.settled:
            self.line.engine.settle_sent(self.link, event.delivery, event.state)

    def on_over(self) -> None:
        """The link is over."""
