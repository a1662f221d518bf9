"""One AMQP connection: who may use it, its links, the telemetry on them (iothub_wire.md §2).

Many identities may share it. A link attaches when its identity has proven itself on this connection: by a token put
to `$cbs`, by SASL PLAIN, or by the certificate of TLS. A transfer is accepted once all its messages are committed.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Address, Purpose, is_cbs, parse_address
from edgewire.iothub.amqp.sasl import read_plain
from edgewire.iothub.limits import MAX_MESSAGE_BYTES
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
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.server import AmqpServer
from edgewire.transport.pump import Pump
from standin.admission import Admission, Admitted, Reason, Refused
from standin.amqp_cbs import OK, UNAUTHORIZED, CbsNode
from standin.amqp_claims import Claims
from standin.amqp_client import CONDITIONS, AmqpClient, Attachment, Key, serves
from standin.amqp_telemetry import TelemetryReader
from standin.hub import Closing, Hub

LIMITS: Final = AmqpLimits()
CONTAINER_ID: Final = "standin"
CREDIT: Final = 1_000
"""Transfers that a link may send ahead of our answers (amqp.md §7.5: edgeHub's figure)."""
MAX_LINK_MESSAGE_BYTES: Final = MAX_MESSAGE_BYTES + 4_096
"""What our attach says: the largest message as IoT Hub counts it, and what AMQP writes around its properties."""
MAX_UNANSWERED_BYTES: Final = 4 * 1024 * 1024
"""Transfers of one connection whose commit is outstanding; reading stops there and goes on at half of it."""
_MESSAGE_BYTES: Final = 512
"""What a message takes in memory besides its own bytes."""
_NOT_KEPT: Final = Rejected(
    Error(condition=conditions.DEVICE_CONTAINER_THROTTLED, description="the message could not be kept")
)
_THROTTLED: Final = Rejected(Error(condition=conditions.DEVICE_CONTAINER_THROTTLED, description="throttled on purpose"))
_NOT_SERVED: Final = Rejected(
    Error(condition=conditions.NOT_IMPLEMENTED, description="the stand-in answers nothing on this link")
)


class AmqpConnection:
    """Owns one AMQP connection to the end. Implements `transport.pump.Owner` and `hub.Line`."""

    def __init__(
        self,
        hub: Hub,
        admission: Admission,
        session: AmqpServer,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub = hub
        self._admission = admission
        self._session = session
        self._claims = Claims(clock=clock, on_expired=self._expired)
        self._cbs = CbsNode(session, self._put_token)
        self._clients: dict[Identity, AmqpClient] = {}
        self._login: Identity | None = None
        """Who logged in by SASL PLAIN: nobody else may have links here, as with edgeHub (amqp.md §7.5)."""
        self._accepted: dict[Link, list[int]] = {}
        self._unanswered = 0
        self._paused = False
        self._flushing = False
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
        client = self._clients.pop(who, None)
        if client is None:
            return
        self._hub.note(f"detaching {who}: {reason.value}")
        for link in client.links.values():
            link.owner = None
            self._session.detach(link, CONDITIONS[reason], reason.value)
        self._hub.disconnect(client)
        self._flush_soon()

    # Opening

    def _on_event(self, event: AmqpEvent) -> None:
        match event:
            case SaslInitReceived() | OpenReceived() | AttachReceived():
                if not self._hub.faults.stalled:
                    self._on_question(event)
            case CreditReceived():
                self._credit(event)
            case DeliveryStateChanged(link, delivery, state, settled):
                if not settled:
                    self._session.settle_sent(link, delivery, state)
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
        if event.mechanism != "PLAIN":
            self._session.accept_sasl()
            return
        decision = self._read_login(event.response)
        if isinstance(decision, Refused):
            self._closing = True
            self._count_refusal(decision)
            self._session.refuse_sasl()
            self._pump.close()
            return
        self._login = decision.identity
        self._claims.grant(decision)
        self._session.accept_sasl()

    def _read_login(self, response: bytes) -> Admitted | Refused:
        try:
            login = read_plain(response)
        except ProtocolError as error:
            return Refused(Reason.MALFORMED_LOGIN, f"a login by SASL PLAIN: {error}")
        return self._admission.admit_login(login)

    def _open(self, event: OpenReceived) -> None:
        if self._hub.faults.refusing:
            self._hub.counters["refused: refusing on purpose"] += 1
            self._hub.note(f"refused {event.container_id!r}: as asked for")
            self._session.close(conditions.SERVER_BUSY, "refusing on purpose")
            return
        self._hub.counters["connections accepted"] += 1
        self._hub.note(f"AMQP connection of {event.container_id!r} from {self._pump.peer.address}")
        self._session.open()

    # Tokens

    def _put_token(self, token: str) -> tuple[int, str]:
        """The status of a put-token and its description: a reason, never what the registry holds."""
        named = self._admission.named_by(token)
        decision = (
            named if isinstance(named, Refused) else self._admission.admit_identity(named, token.encode("utf-8"), ())
        )
        if isinstance(decision, Admitted):
            self._hub.counters["tokens accepted"] += 1
            self._claims.grant(decision)
            return OK, "OK"
        self._count_refusal(decision)
        if isinstance(named, Identity):
            # As edgeHub does: a token that fails ends what the one before it had begun (iothub_wire.md §2.5).
            self._claims.withdraw(named)
            self.cut(named, Closing.NO_LONGER_ALLOWED)
            if self._hub.faults.late:
                return OK, "OK"
        return UNAUTHORIZED, decision.reason.value

    def _expired(self, who: Identity) -> None:
        self._hub.counters[f"closed: {Closing.TOKEN_EXPIRED.value}"] += 1
        self.cut(who, Closing.TOKEN_EXPIRED)

    def _count_refusal(self, refused: Refused) -> None:
        self._hub.counters[f"refused: {refused.reason.value}"] += 1
        self._hub.note(f"refused {refused.what}")

    # Links

    def _attach(self, link: Link) -> None:
        address = link.address or ""
        try:
            if is_cbs(address):
                link.owner = Attachment(None, None, self._cbs.take)
                self._cbs.attach(link)
                return
            found = parse_address(address)
        except ProtocolError as error:
            self._refuse(link, conditions.NOT_ALLOWED, error.what)
            return
        key = (found.purpose, link.role)
        if not serves(found.identity, key):
            self._refuse(link, conditions.NOT_ALLOWED, f"'{address[:80]}' is for the other direction")
        elif self._login not in (None, found.identity):
            self._refuse(link, conditions.NOT_ALLOWED, f"only {self._login} logged in on this connection")
        elif self._may_attach(found.identity):
            self._accept(link, found, key)
        else:
            what = f"{found.identity} has not proven itself on this connection"
            self._refuse(link, conditions.UNAUTHORIZED_ACCESS, what)

    def _may_attach(self, who: Identity) -> bool:
        certificates = self._pump.peer.certificates
        if who not in self._claims and certificates:
            decision = self._admission.admit_identity(who, None, certificates)
            if isinstance(decision, Refused):
                self._count_refusal(decision)
            else:
                self._claims.grant(decision)
        return who in self._claims

    def _accept(self, link: Link, found: Address, key: Key) -> None:
        client = self._clients.get(found.identity)
        if client is None:
            client = self._clients[found.identity] = AmqpClient(self, found.identity)
            self._hub.note(f"connected {found.identity}")
            self._hub.connect(client)
        older = client.links.get(key)
        if older is not None:
            older.owner = None
            self._session.detach(older, conditions.STOLEN, "another link took its place")
        client.links[key] = link
        is_telemetry = key == (Purpose.EVENTS, Role.RECEIVER)
        take = partial(self._telemetry, TelemetryReader(found.identity)) if is_telemetry else self._not_served
        link.owner = Attachment(client, key, take)
        self._hub.counters["links attached"] += 1
        self._session.accept_link(link, credit=CREDIT, max_message_size=MAX_LINK_MESSAGE_BYTES)

    def _refuse(self, link: Link, condition: Symbol, what: str) -> None:
        self._hub.counters["links refused"] += 1
        self._hub.note(f"refused a link of {self._name()}: {what}")
        self._session.refuse_link(link, condition, what)

    def _detached(self, link: Link) -> None:
        """A link is gone, and with its last one its identity."""
        self._cbs.detached(link)
        self._accepted.pop(link, None)
        attachment: Attachment | None = link.owner
        link.owner = None
        if attachment is None or attachment.client is None or attachment.key is None:
            return
        client = attachment.client
        del client.links[attachment.key]
        if not client.links:
            self._clients.pop(client.identity, None)
            self._hub.disconnect(client)

    def _credit(self, event: CreditReceived) -> None:
        self._cbs.send()
        if event.drain:
            self._session.drained(event.link)

    # Messages

    def _message_received(self, event: MessageReceived) -> None:
        attachment: Attachment | None = event.link.owner
        if attachment is None or self._closing:
            return
        if self._hub.faults.stalled:
            self._hub.counters["messages swallowed while stalled"] += 1
            return
        attachment.take(event)

    def _telemetry(self, reader: TelemetryReader, event: MessageReceived) -> None:
        link, delivery_id = event.link, event.delivery_id
        if self._hub.faults.throttling:
            self._hub.counters["messages throttled"] += 1
            self._session.settle(link, (delivery_id,), _THROTTLED)
            self._session.grant(link, CREDIT)
            return
        try:
            messages = reader.read(event.message_format, event.payload)
        except ProtocolError as error:
            self._reject(event, error)
            return
        size = len(event.payload) + _MESSAGE_BYTES * len(messages)
        self._unanswered += size
        if self._unanswered >= MAX_UNANSWERED_BYTES and not self._paused:
            self._paused = True
            self._pump.pause_reading()
        self._hub.receive_batch(messages, lambda kept: self._answered(link, delivery_id, size, kept=kept))

    def _reject(self, event: MessageReceived, error: ProtocolError) -> None:
        """One transfer is refused, batch or not; its link stays."""
        condition = error.reply if isinstance(error.reply, Symbol) else conditions.ARGUMENT_ERROR
        self._hub.counters["messages refused: malformed"] += 1
        self._hub.note(f"refused a message of {self._name()}: {error}")
        rejected = Rejected(Error(condition=condition, description=error.what))
        self._session.settle(event.link, (event.delivery_id,), rejected)
        self._session.grant(event.link, CREDIT)

    def _not_served(self, event: MessageReceived) -> None:
        """Requests of twins and answers of methods: nobody here waits for them."""
        self._hub.counters["messages on links not served"] += 1
        self._session.settle(event.link, (event.delivery_id,), _NOT_SERVED)
        self._session.grant(event.link, CREDIT)

    def _answered(self, link: Link, delivery_id: int, size: int, *, kept: bool) -> None:
        self._unanswered -= size
        if self._paused and self._unanswered <= MAX_UNANSWERED_BYTES // 2:
            self._paused = False
            self._pump.resume_reading()
        if self._hub.faults.stalled or self._session.dead:
            return
        if kept:
            self._accepted.setdefault(link, []).append(delivery_id)
        else:
            self._session.settle(link, (delivery_id,), _NOT_KEPT)
        self._flush_soon()

    # Sending

    def _flush_soon(self) -> None:
        """One write for all that is said in this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        accepted, self._accepted = self._accepted, {}
        for link, delivery_ids in accepted.items():
            self._session.settle(link, delivery_ids, ACCEPTED)
            self._session.grant(link, CREDIT)
        self._pump.flush()

    # The end

    def _leave(self) -> None:
        """Nobody here is connected any longer; a second call does nothing."""
        self._hub.leave(self)
        self._claims.clear()
        clients, self._clients = self._clients, {}
        for client in clients.values():
            self._hub.disconnect(client)

    def _name(self) -> str:
        who = next(iter(self._clients), self._login)
        if who is None:
            return f"an AMQP connection from {self._pump.peer.address}"
        return str(who) if len(self._clients) <= 1 else f"the connection of {who} and {len(self._clients) - 1} more"
