"""The AMQP head: one `AmqpHead` for the gateway, one `AmqpConnection` per connection, with one or many identities."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, assert_never

from edgewire.codec.amqp.conditions import (
    NOT_ALLOWED,
    RESOURCE_LIMIT_EXCEEDED,
    SERVER_BUSY,
    UNAUTHORIZED_ACCESS,
)
from edgewire.codec.amqp.performatives import AUTH, SYS_TEMP
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.sasl import PlainLogin, hub_label, read_plain
from edgewire.message import Identity
from edgewire.session.amqp.events import (
    AmqpEvent,
    AttachReceived,
    ConnectionClosed,
    CreditReceived,
    DeliveryStateChanged,
    LinkAttached,
    LinkDetached,
    LinkDrained,
    MessageReceived,
    Opened,
    OpenReceived,
    SaslInitReceived,
    SaslOutcomeReceived,
    SessionBegun,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.server import AmqpServer
from edgewire.session.amqp.states import LinkState
from edgewire.transport.pump import Peer, Pump
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.ingress import Ingress
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Presence
from gateway.dispatch.twin_desk import TwinDesk
from gateway.head.amqp_cbs import CbsNode
from gateway.head.amqp_guest import Guest
from gateway.head.amqp_line import House, Line, LinkEnd
from gateway.head.amqp_links import RefusedLinkError, Wish, end_of, read_attach, wants_cbs
from gateway.head.amqp_telemetry import Telemetry, TelemetryLink
from gateway.identity.authenticator import Authenticator
from gateway.identity.credentials import Admitted, Claim, RefusalReason, Refused
from gateway.identity.neighbours import Neighbours
from gateway.observe.events import Event
from gateway.observe.head import (
    ClosedBeforeLogin,
    ConnectionRefused,
    Leaving,
    LinkRefused,
    ProtocolBroken,
    RefusedLink,
)
from gateway.observe.identity import LoginRefused

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Allowances  # most sites limit nobody

UNCLAIMED_S: Final = 60.0
"""For somebody to be let in, from when the connection is open; Java's client opens it before it has its token."""

MAX_UNCLAIMED_SESSIONS: Final = 64
"""Sessions of a connection on which nobody was let in yet; clients begin one, and one more per device."""

MAX_UNCLAIMED_LINKS: Final = 66
"""Links of such a connection: two to and from $cbs, and as many as can be refused late. Each costs 1.2 kB."""

MAX_UNCLAIMED_BYTES: Final = 16_384
"""Of requests on such a connection whose last frame has not come; a token has 4 KiB at most."""

MAX_GUESTS: Final = 2_000
"""Identities of one connection: twice what the gateway itself puts on one towards the cloud."""

MAX_HELD_REFUSALS: Final = 64
"""Links whose refusal is held back, so that guessing is slow; a connection with more is closed."""

MAX_SHOWN_NAMES: Final = 3
"""Names of a connection's identities in one line of the log."""


class AmqpHead:
    """What all AMQP connections share. `hub_names`: the hub's own first; `clock` gives seconds since 1970."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        ingress: Ingress,
        presence: Presence,
        delivery: Delivery,
        methods: Methods,
        twins: TwinDesk,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        hub_names: Sequence[str],
        limits: AmqpLimits,
        neighbours: Neighbours | None = None,
        allowances: "Callable[[], Allowances | None]" = lambda: None,
    ) -> None:
        self.house = House(
            authenticator=authenticator,
            ingress=ingress,
            presence=presence,
            delivery=delivery,
            methods=methods,
            twins=twins,
            emit=emit,
            clock=clock,
            hub=hub_names[0],
            allowances=allowances,
        )
        self.hubs: Mapping[str, str] = {hub_label(name): name for name in reversed(hub_names)}
        """Host names by what user names call them."""
        self.limits = limits
        self.neighbours = neighbours or Neighbours()

    def accept(self, peer: Peer) -> "tuple[AmqpServer, AmqpConnection]":
        """An engine and its owner, for a connection that has come."""
        engine = AmqpServer(
            self.limits,
            asyncio.get_running_loop().time(),
            offers_external=bool(peer.certificates),
            container_id=self.neighbours.name,
        )
        return engine, AmqpConnection(self, Line(self.house, engine, peer))


class AmqpConnection:
    """One connection, from its first byte to its end."""

    __slots__ = ("_cbs", "_guests", "_head", "_held", "_line", "_opened", "_telemetry", "_unclaimed")

    def __init__(self, head: AmqpHead, line: Line) -> None:
        self._head = head
        self._line = line
        self._guests: dict[Identity, Guest] = {}
        self._cbs = CbsNode(line, self._guests)
        self._telemetry = Telemetry(line)
        self._opened = False
        self._held = 0
        self._unclaimed: asyncio.TimerHandle | None = None

    # What the pump calls.

    def on_connected(self, pump: Pump[AmqpEvent]) -> None:
        """The transport is ready; the client speaks first."""
        self._line.connect(pump)

    def on_events(self, events: list[AmqpEvent]) -> None:
        """What the client sent, in its order; telemetry that comes together as one batch."""
        run: list[MessageReceived] = []
        for event in events:
            if type(event) is MessageReceived and type(event.link.owner) is TelemetryLink:
                run.append(event)
                continue
            if run:
                self._telemetry.take(run)
                run = []
            if not self._line.closed:
                self._on_event(event)
        if run:
            self._telemetry.take(run)

    def on_failed(self, error: ProtocolError) -> None:
        """The client broke the protocol."""
        self._line.house.emit(ProtocolBroken(self._names(), self._line.peer.address, str(error)))
        self._leave_all(Leaving.PROTOCOL_ERROR, str(error))

    def on_stopping(self) -> None:
        """The gateway stops: the socket is closed, without a close of AMQP.

        AMQP 1.0 §2.4.6 has one for this, and Node's device SDK takes it ill: it detaches its links, waits for answers
        on a connection that is gone, is without one for 45 s, and then forgets that it wants messages and methods. What
        it does with a connection that is lost, all clients know how to do: connect again.
        """
        self._leave_all(Leaving.SHUTDOWN)

    def on_closed(self) -> None:
        """The connection is gone."""
        self._leave_all(Leaving.LOST)
        self._head.neighbours.left(self)
        self._line.engine.connection_lost()

    # Opening.

    def _on_event(self, event: AmqpEvent) -> None:
        match event:
            case SaslInitReceived():
                self._on_sasl(event)
            case OpenReceived(container_id=name):
                self._on_open(name)
            case SessionBegun():
                self._on_begun()
            case SessionEnded(session):
                self._cbs.forget(session)
                for link in session.links:
                    self._on_link_over(link)
            case ConnectionClosed():
                self._on_connection_closed(event)
            case Opened() | LinkAttached() | SaslOutcomeReceived() | LinkDrained():
                pass  # of the client's side, and of links that we drain
            case _:
                self._on_link_event(event)

    def _on_link_event(
        self, event: MessageReceived | AttachReceived | CreditReceived | DeliveryStateChanged | LinkDetached
    ) -> None:
        end = event.link.owner
        match event:
            case AttachReceived(link):
                self._on_attach(link)
            case DeliveryStateChanged() if isinstance(end, LinkEnd):
                end.on_state(event)
            case LinkDetached(link=link):
                self._on_link_over(link)
            case MessageReceived() if isinstance(end, LinkEnd):
                end.on_message(event)
            case CreditReceived() if isinstance(end, LinkEnd):
                end.on_credit(event)
            case MessageReceived() | CreditReceived() | DeliveryStateChanged():
                pass  # credit for a link whose answer is held back, a word on a message of one that we have detached
            case _:
                assert_never(event)

    def _on_sasl(self, init: SaslInitReceived) -> None:
        """PLAIN is judged here; by all other mechanisms, whoever wants a link is."""
        if init.mechanism != "PLAIN":
            self._line.engine.accept_sasl()
            return
        line, house = self._line, self._line.house
        try:
            login = read_plain(init.response)
        except ProtocolError as error:
            house.emit(LoginRefused("", line.peer.address, RefusalReason.MALFORMED_USERNAME, error.what))
            self._refuse_login()
            return
        hub = self._head.hubs.get(login.hub, login.hub)
        claim = line.credentials.plain_claim(login, hub, house.clock())
        if not house.authenticator.asks(claim, partial(self._log_in_late, login, claim)):
            self._log_in(login, claim)

    def _log_in_late(self, login: PlainLogin, claim: Claim) -> None:
        """The hub was asked about this device; it may have gone meanwhile."""
        if not self._line.closed:
            self._log_in(login, claim)
            self._line.flush()

    def _log_in(self, login: PlainLogin, claim: Claim) -> None:
        line, house = self._line, self._line.house
        verdict = house.authenticator.authenticate(claim)
        if isinstance(verdict, Admitted):
            line.credentials.log_in(login)
            line.engine.accept_sasl()
            return
        house.emit(LoginRefused(str(login.identity), line.peer.address, verdict.reason))
        code = SYS_TEMP if verdict.reason is RefusalReason.UPSTREAM_AWAY else AUTH
        if verdict.hold_s:
            asyncio.get_running_loop().call_later(verdict.hold_s, self._refuse_login)
        else:
            self._refuse_login(code)

    def _refuse_login(self, code: int = AUTH) -> None:
        if not self._line.closed:
            self._line.engine.refuse_sasl(code)
            self._shut()

    def _on_open(self, name: str) -> None:
        self._opened = True
        if self._head.neighbours.is_above(name):
            self._end_loop()
            return
        self._head.neighbours.came(self, name, self._end_loop)
        self._line.engine.open()
        if self._line.credentials.plain is None:
            self._unclaimed = asyncio.get_running_loop().call_later(UNCLAIMED_S, self._give_up)
            self._line.engine.bound_partial(MAX_UNCLAIMED_BYTES)

    def _end_loop(self) -> None:
        """A gateway that we send to, or we ourselves, would send to us."""
        what = "it is a gateway to which this one sends: set GATEWAY_UPSTREAM_AMQP of one of the two to another place"
        self._line.house.emit(ConnectionRefused(ClosedBeforeLogin.LOOP, self._line.peer.address, what))
        self._leave_all(Leaving.PROTOCOL_ERROR, what)
        self._line.engine.close(NOT_ALLOWED, what)
        self._shut()

    def _give_up(self) -> None:
        what = f"nobody was let in on it within {UNCLAIMED_S:g} s"
        self._line.house.emit(ConnectionRefused(ClosedBeforeLogin.TIMEOUT, self._line.peer.address, what))
        self._line.engine.close(UNAUTHORIZED_ACCESS, what)
        self._shut()

    def _on_begun(self) -> None:
        if self._unclaimed is not None and len(self._line.engine.sessions) > MAX_UNCLAIMED_SESSIONS:
            self._close_for_too_much(f"more than {MAX_UNCLAIMED_SESSIONS} sessions before anybody was let in")

    # Links.

    def _on_attach(self, link: Link) -> None:
        if self._unclaimed is not None and self._links_held() > MAX_UNCLAIMED_LINKS:
            self._close_for_too_much(f"more than {MAX_UNCLAIMED_LINKS} links before anybody was let in")
            return
        try:
            if wants_cbs(link):
                self._begin(link, self._cbs.end_of(link))
                return
            wish = read_attach(link)
            who = wish.address.identity
            self._check_place(who)
        except RefusedLinkError as refused:
            self._line.house.emit(LinkRefused(self._line.peer.address, refused.reason, refused.detail))
            self._line.engine.refuse_link(link, refused.condition, refused.detail)
            return
        claim = self._line.credentials.claim(who, self._line.house.clock())
        late = partial(self._open_late, link, wish)
        if who in self._guests or not self._line.house.authenticator.asks(claim, late):
            self._open(link, wish)

    def _check_place(self, who: Identity) -> None:
        """Raise RefusedLinkError if the connection has no place for `who`, whatever was shown."""
        credentials = self._line.credentials
        if not credentials.may_use(who):
            what = f"the connection was logged in as '{credentials.plain}', and not as '{who}'"
            raise RefusedLinkError(RefusedLink.FOREIGN_DEVICE, NOT_ALLOWED, what)
        if len(self._guests) >= MAX_GUESTS and who not in self._guests:
            what = f"there are {MAX_GUESTS} identities on the connection already"
            raise RefusedLinkError(RefusedLink.TOO_MANY, RESOURCE_LIMIT_EXCEEDED, what)

    def _open_late(self, link: Link, wish: Wish) -> None:
        """The hub was asked about the device; the client may have changed its mind meanwhile, or be gone."""
        if not self._line.closed and link.session.mapped and link.state is LinkState.ATTACH_RCVD:
            self._open(link, wish)
            self._line.flush()

    def _open(self, link: Link, wish: Wish) -> None:
        """Grant a link, if the identity of its address is let in."""
        who = wish.address.identity
        guest = self._guests.get(who) or self._admit(link, who)
        if guest is not None:
            end = end_of(self._line, guest, link, wish.kind)
            guest.take(wish.kind, end, wish.pair)
            self._begin(link, end)

    def _links_held(self) -> int:
        return sum(len(session.links) for session in self._line.engine.sessions)

    def _begin(self, link: Link, end: LinkEnd) -> None:
        link.owner = end
        end.begin()

    def _admit(self, link: Link, who: Identity) -> Guest | None:
        """Let `who` in by what was shown on the connection; None if the link is refused."""
        verdict = self._line.judge(who)
        if isinstance(verdict, Refused):
            self._refuse_guest(link, who, verdict)
            return None
        if self._unclaimed is not None:
            self._unclaimed.cancel()
            self._unclaimed = None
            self._line.engine.bound_partial()
        guest = self._guests[who] = Guest(self._line, verdict, self._forget)
        guest.enter()
        return guest

    def _refuse_guest(self, link: Link, who: Identity, verdict: Refused) -> None:
        """Refuse a link for want of good credentials: whatever is wrong with them, it is said in the same words."""
        if verdict.reason is RefusalReason.UPSTREAM_AWAY:
            condition, what = SERVER_BUSY, f"the hub cannot be asked about '{who}' now; try again"
        elif self._line.credentials.has_any_for(who):
            condition, what = UNAUTHORIZED_ACCESS, f"'{who}' is not let in"
        else:
            condition = NOT_ALLOWED
            what = f"nothing was shown for '{who}': put its token to $cbs, or log in by SASL PLAIN or a certificate"
        answer = partial(self._line.engine.refuse_link, link, condition, what)
        hold_s = verdict.hold_s
        if not hold_s:
            answer()
        elif self._held >= MAX_HELD_REFUSALS:
            self._close_for_too_much(f"more than {MAX_HELD_REFUSALS} links whose refusal is held back")
        else:
            self._held += 1
            asyncio.get_running_loop().call_later(hold_s, self._refuse_late, answer)

    def _refuse_late(self, answer: Callable[[], None]) -> None:
        self._held -= 1
        if not self._line.closed:
            answer()
            self._line.flush()

    def _on_link_over(self, link: Link) -> None:
        end = link.owner
        if not isinstance(end, LinkEnd):
            return
        link.owner = None
        end.on_over()
        guest = None if end.whose is None else self._guests.get(end.whose)
        if guest is not None:
            guest.drop(end)

    # The end.

    def _on_connection_closed(self, event: ConnectionClosed) -> None:
        if not self._opened:
            what = f"it was not opened within {self._head.limits.connect_timeout_s:g} s"
            self._line.house.emit(ConnectionRefused(ClosedBeforeLogin.TIMEOUT, self._line.peer.address, what))
        detail = "" if event.error is None else f"{event.error.condition} {event.error.description or ''}".strip()
        self._leave_all(Leaving.SILENT if event.silent else Leaving.GOODBYE, detail)
        self._shut()

    def _close_for_too_much(self, what: str) -> None:
        self._line.house.emit(ProtocolBroken(self._names(), self._line.peer.address, what))
        self._leave_all(Leaving.PROTOCOL_ERROR, what)
        self._line.engine.close(RESOURCE_LIMIT_EXCEEDED, what)
        self._shut()

    def _shut(self) -> None:
        """Send what is left and close."""
        self._line.pump.close()
        self._line.closed = True

    def _leave_all(self, reason: Leaving, detail: str = "") -> None:
        """Nobody is let in here any more, and nothing that waits is answered."""
        if self._unclaimed is not None:
            self._unclaimed.cancel()
            self._unclaimed = None
        for guest in tuple(self._guests.values()):
            guest.leave(reason, detail)
        self._line.closed = True

    def _forget(self, who: Identity) -> None:
        del self._guests[who]

    def _names(self) -> str:
        """Who is let in, for the log; empty for nobody."""
        shown = ", ".join(map(str, islice(self._guests, MAX_SHOWN_NAMES)))
        return shown if len(self._guests) <= MAX_SHOWN_NAMES else f"{shown} and {len(self._guests)} in all"
