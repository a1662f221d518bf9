"""One AMQP connection: who may use it, and which node its links go to (iothub_wire.md §2).

Many identities may share it. A link of a device attaches when its identity has proven itself on this connection: by a
token put to `$cbs`, by SASL PLAIN, or by the certificate of TLS. What policies have proven counts for all other nodes.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import is_cbs, parse_address
from edgewire.message import Identity
from edgewire.session.amqp.events import (
    AmqpEvent,
    AttachReceived,
    ConnectionClosed,
    CreditReceived,
    DeliveryStateChanged,
    LinkDetached,
    MessageReceived,
    OpenReceived,
    SaslInitReceived,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.server import AmqpServer
from edgewire.transport.pump import Peer, Pump
from standin.admission import Admission, Admitted, Holder, Reason, Refused
from standin.amqp_cbs import OK, UNAUTHORIZED, CbsNode
from standin.amqp_claims import Claims
from standin.amqp_client import CONDITIONS
from standin.amqp_devices import DeviceLinks, may_have
from standin.amqp_login import PolicyLogin, read_login, read_raw_login
from standin.amqp_nodes import Attached, Guests, Need, Node
from standin.hub import Closing, Hub

LIMITS: Final = AmqpLimits()
CONTAINER_ID: Final = "standin"


class AmqpConnection:
    """Owns one AMQP connection to the end. Implements `transport.pump.Owner`, `hub.Line` and `amqp_nodes.AmqpLine`."""

    def __init__(
        self,
        hub: Hub,
        admission: Admission,
        session: AmqpServer,
        *,
        nodes: Sequence[Node] = (),
        guests: Sequence[Guests] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub = hub
        self._admission = admission
        self._session = session
        self._nodes = nodes
        self._guests = guests
        self._clock = clock
        self._claims: Claims[Identity] = Claims(clock=clock, on_expired=self._expired)
        self._holders: Claims[Holder] = Claims(clock=clock, on_expired=self._holder_expired)
        self._cbs = CbsNode(session, self._put_token)
        self._devices = DeviceLinks(hub, self)
        self._login: Identity | None = None
        """Who logged in by SASL PLAIN: nobody else may have links of devices here, as with edgeHub (amqp.md §7.5)."""
        self._guest: object | None = None
        self._hostname: str | None = None
        self._attached: dict[Link, None] = {}
        self._flushing = False
        self._choked = False
        self._closing = False

    # What the pump calls

    def on_connected(self, pump: Pump[AmqpEvent]) -> None:
        """The transport is ready; the session waits for the peer and gives up by itself."""
        self._pump = pump
        self._hub.join(self)

    def on_events(self, events: list[AmqpEvent]) -> None:
        """What the peer said, in its order; nothing counts any more once we have decided to close."""
        for event in events:
            if type(event) is MessageReceived:
                self._message_received(event)
            elif not self._closing:
                self._on_event(event)

    def on_failed(self, error: ProtocolError) -> None:
        """The peer broke a rule; the pump closes after this."""
        self._hub.counters["closed: protocol error"] += 1
        self._hub.note(f"closing {self._name()}: {error}")

    def on_stopping(self) -> None:
        """The listener closes: say so."""
        self._session.close(CONDITIONS[Closing.SHUT_DOWN], Closing.SHUT_DOWN.value)

    def on_closed(self) -> None:
        """The connection is gone."""
        self._session.connection_lost()
        self._leave()

    def on_sending_paused(self) -> None:
        """The peer reads slower than we send."""
        self._choked = True

    def on_sending_resumed(self) -> None:
        """The peer has caught up."""
        self._choked = False
        for link in tuple(self._attached):
            owner: Attached | None = link.owner
            if owner is not None:
                owner.on_writable()

    # What the hub and the clients call

    def close(self, reason: Closing) -> None:
        """Close the connection; nothing that still comes counts."""
        self._closing = True
        self._hub.note(f"closing {self._name()}: {reason.value}")
        self._session.close(CONDITIONS[reason], reason.value)
        self._leave()
        self._pump.close()

    def abort(self) -> None:
        """End the connection as a cut cable does."""
        self._closing = True
        self._leave()
        self._pump.abort()

    def withdraw(self, who: Identity) -> None:
        """Forget that this identity has proven itself here."""
        self._claims.withdraw(who)

    def cut(self, who: Identity, reason: Closing) -> None:
        """Detach the links of one identity; the others stay."""
        self._devices.cut(who, reason)

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""
        self._pump.pause_reading()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        self._pump.resume_reading()

    # What nodes call

    @property
    def session(self) -> AmqpServer:
        """The engine."""
        return self._session

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""
        return self._pump.peer

    @property
    def hostname(self) -> str | None:
        """What the peer's open named."""
        return self._hostname

    @property
    def guest(self) -> object | None:
        """What a `Guests` has made of the login by SASL PLAIN, if one has."""
        return self._guest

    @property
    def is_closing(self) -> bool:
        """Nothing counts any more, and nothing is sent."""
        return self._closing or self._session.dead

    @property
    def is_choked(self) -> bool:
        """The peer reads slower than we send."""
        return self._choked

    def may(self, need: Need) -> bool:
        """Whether a policy that was proven on this connection gives this."""
        return any(holder.gives(need.right, need.realm, need.path) for holder in self._holders)

    def refuse(self, link: Link, condition: str, what: str) -> None:
        """Refuse a link that wants to attach."""
        self._hub.counters["links refused"] += 1
        self._hub.note(f"refused a link of {self._name()}: {what}")
        self._session.refuse_link(link, condition, what)

    def detach(self, link: Link, condition: str, what: str) -> None:
        """End a link that is attached; its owner hears of it."""
        self._detached(link)
        self._session.detach(link, condition, what)
        self.flush_soon()

    def flush_soon(self) -> None:
        """One write for all that is said in this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    # Opening

    def _on_event(self, event: AmqpEvent) -> None:
        match event:
            case SaslInitReceived() | OpenReceived() | AttachReceived():
                if not self._hub.faults.stalled:
                    self._on_question(event)
            case CreditReceived():
                self._credit(event)
            case DeliveryStateChanged():
                self._state(event)
            case LinkDetached():
                self._detached(event.link)
            case SessionEnded(session):
                for link in session.links:
                    self._detached(link)
            case ConnectionClosed():
                self._closing = True
                self._pump.close()
            case _:
                pass  # sessions begin by themselves, and the rest is for who dials

    def _on_question(self, event: SaslInitReceived | OpenReceived | AttachReceived) -> None:
        match event:
            case SaslInitReceived():
                self._sasl(event)
            case OpenReceived():
                self._open(event)
            case AttachReceived(link):
                self._attach(link)

    def _sasl(self, event: SaslInitReceived) -> None:
        """PLAIN proves something by itself; all else leaves that to tokens and certificates."""
        refused = self._log_in(event.response) if event.mechanism == "PLAIN" else None
        if refused is None:
            self._session.accept_sasl()
            return
        self._closing = True
        self._count_refusal(refused)
        self._session.refuse_sasl()
        self._pump.close()

    def _log_in(self, response: bytes) -> Refused | None:
        try:
            raw = read_raw_login(response)
            for guests in self._guests:
                if guests.knows(raw.name):
                    self._guest = guests.log_in(raw.name, raw.token, self._pump.peer)
                    return None if self._guest is not None else Refused(Reason.WRONG_KEY, raw.name[:80])
            login = read_login(response)
        except ProtocolError as error:
            return Refused(Reason.MALFORMED_LOGIN, f"a login by SASL PLAIN: {error}")
        if isinstance(login, PolicyLogin):
            holder = self._admission.admit_policy_login(login.policy, login.hub, login.token)
            return self._take_decision(holder)
        admitted = self._admission.admit_login(login)
        self._login = admitted.identity if isinstance(admitted, Admitted) else None
        return self._take_decision(admitted)

    def _open(self, event: OpenReceived) -> None:
        if self._hub.faults.refusing:
            self._hub.counters["refused: refusing on purpose"] += 1
            self._hub.note(f"refused {event.container_id!r}: as asked for")
            self._session.close(conditions.SERVER_BUSY, "refusing on purpose")
            return
        self._hostname = event.hostname
        self._hub.counters["connections accepted"] += 1
        self._hub.note(f"AMQP connection of {event.container_id!r} from {self._pump.peer.address}")
        self._session.open()

    # Tokens

    def _put_token(self, token: str) -> tuple[int, str]:
        """The status of a put-token and its description: a reason, never what the registry holds."""
        named = self._admission.named_by(token)
        decision: Admitted | Holder | Refused
        if named is None:
            decision = self._admission.admit_policy(token)
        elif isinstance(named, Identity):
            decision = self._admission.admit_identity(named, token.encode("utf-8"), ())
        else:
            decision = named
        refused = self._take_decision(decision)
        if refused is None:
            self._hub.counters["tokens accepted"] += 1
            return OK, "OK"
        self._count_refusal(refused)
        if isinstance(named, Identity):
            # As edgeHub does: a token that fails ends what the one before it had begun (iothub_wire.md §2.5).
            self._claims.withdraw(named)
            self.cut(named, Closing.NO_LONGER_ALLOWED)
            if self._hub.faults.late:
                return OK, "OK"
        return UNAUTHORIZED, refused.reason.value

    def _take_decision(self, decision: Admitted | Holder | Refused) -> Refused | None:
        match decision:
            case Admitted():
                self._claims.grant(decision.identity, decision.expires_at)
            case Holder():
                self._holders.grant(decision, decision.expires_at)
            case Refused():
                return decision
        return None

    def _expired(self, who: Identity) -> None:
        self._claim_by_policy(who)
        if who in self._claims:
            return  # the policy that stood for it was proven again meanwhile
        self._hub.counters[f"closed: {Closing.TOKEN_EXPIRED.value}"] += 1
        self.cut(who, Closing.TOKEN_EXPIRED)

    def _holder_expired(self, _: Holder) -> None:
        """Links that need what nobody here has proven any more are over."""
        for link in tuple(self._attached):
            owner: Attached | None = link.owner
            if owner is not None and owner.need is not None and not self.may(owner.need):
                self._hub.counters[f"closed: {Closing.TOKEN_EXPIRED.value}"] += 1
                self.detach(link, conditions.UNAUTHORIZED_ACCESS, Closing.TOKEN_EXPIRED.value)

    def _count_refusal(self, refused: Refused) -> None:
        self._hub.counters[f"refused: {refused.reason.value}"] += 1
        self._hub.note(f"refused {refused.what}")

    # Links

    def _attach(self, link: Link) -> None:
        try:
            self._attach_to(link.address or "", link)
        except ProtocolError as error:
            self.refuse(link, conditions.NOT_ALLOWED, error.what)
        if link.owner is not None:
            self._attached[link] = None

    def _attach_to(self, address: str, link: Link) -> None:
        node = next((each for each in self._nodes if each.claims(address)), None)
        if is_cbs(address):
            self._cbs.attach(link)
        elif node is not None:
            node.attach(self, link)
        else:
            self._attach_device(link, address)

    def _attach_device(self, link: Link, address: str) -> None:
        found = parse_address(address)
        if not may_have(found, link.role):
            self.refuse(link, conditions.NOT_ALLOWED, f"'{address[:80]}' is for the other direction")
        elif self._login not in (None, found.identity):
            self.refuse(link, conditions.NOT_ALLOWED, f"only {self._login} logged in on this connection")
        elif self._may_attach(found.identity):
            self._devices.attach(link, found)
        else:
            what = f"{found.identity} has not proven itself on this connection"
            self.refuse(link, conditions.UNAUTHORIZED_ACCESS, what)

    def _may_attach(self, who: Identity) -> bool:
        certificates = self._pump.peer.certificates
        if who not in self._claims and certificates:
            refused = self._take_decision(self._admission.admit_identity(who, None, certificates))
            if refused is not None:
                self._count_refusal(refused)
        elif who not in self._claims:
            self._claim_by_policy(who)
        return who in self._claims

    def _claim_by_policy(self, who: Identity) -> None:
        """Who may connect devices may be each of them that the registry lets in."""
        for holder in self._holders:
            if holder.expires_at <= self._clock():
                continue  # its own timer is about to say so
            admitted = self._admission.admit_by_holder(who, holder)
            if isinstance(admitted, Admitted):
                self._take_decision(admitted)
                return

    def _detached(self, link: Link) -> None:
        """A link is gone."""
        self._attached.pop(link, None)
        owner: Attached | None = link.owner
        link.owner = None
        if owner is not None:
            owner.on_detached()

    def _credit(self, event: CreditReceived) -> None:
        owner: Attached | None = event.link.owner
        if owner is not None:
            owner.on_credit(event)
        if event.drain:
            self._session.drained(event.link)

    def _state(self, event: DeliveryStateChanged) -> None:
        owner: Attached | None = event.link.owner
        if owner is not None and not self._hub.faults.stalled:
            owner.on_state(event)
        if not event.settled:
            self._session.settle_sent(event.link, event.delivery, event.state)

    def _message_received(self, event: MessageReceived) -> None:
        owner: Attached | None = event.link.owner
        if owner is None or self._closing:
            return
        if self._hub.faults.stalled:
            self._hub.counters["messages swallowed while stalled"] += 1
            return
        owner.take(event)

    def _flush(self) -> None:
        self._flushing = False
        self._devices.write_answers()
        self._pump.flush()

    # The end

    def _leave(self) -> None:
        """Nobody here is connected any longer; a second call does nothing."""
        self._hub.leave(self)
        self._claims.clear()
        self._holders.clear()
        self._devices.clear()
        for link in tuple(self._attached):
            self._detached(link)

    def _name(self) -> str:
        identities = self._devices.identities
        who = identities[0] if identities else self._login
        if who is None:
            return f"an AMQP connection from {self._pump.peer.address}"
        return str(who) if len(identities) <= 1 else f"the connection of {who} and {len(identities) - 1} more"
