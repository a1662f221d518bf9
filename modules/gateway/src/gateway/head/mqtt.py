"""The MQTT head: one `MqttHead` for the gateway, one `MqttConnection` per device."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError
from edgewire.iothub.topics import (
    MethodResult,
    Subscription,
    parse_request_topic,
)
from edgewire.message import Identity, Message
from edgewire.session.mqtt.events import (
    ConnectReceived,
    Disconnected,
    PublishAcknowledged,
    PublishReceived,
    ServerEvent,
    SubscribeReceived,
    UnsubscribeReceived,
    Will,
)
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.session.mqtt.server import Refusal, ServerSession
from edgewire.session.mqtt.strangers import Strangers
from edgewire.transport.pump import Peer, Pump
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.ingress import AppendResult, Ingress
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Ending, Presence
from gateway.dispatch.twin_desk import TwinDesk
from gateway.head.mqtt_down import Downlink
from gateway.head.mqtt_twins import MqttTwins
from gateway.head.mqtt_wills import BRIDGE_STATE, may_will
from gateway.head.mqtt_words import GOODBYES, PUBACK_REASONS, REFUSALS
from gateway.head.publications import Publications, RefusedPublishError
from gateway.head.sessions import SessionStore
from gateway.head.subscriptions import MQTT5, Subscriptions
from gateway.head.wills import Wills
from gateway.identity.authenticator import Authenticator
from gateway.identity.credentials import Admitted, Claim, RefusalReason, claimed_identity
from gateway.observe.events import Event
from gateway.observe.head import (
    BridgeStateIgnored,
    ClosedBeforeLogin,
    ConnectionRefused,
    DeviceConnected,
    DeviceDisconnected,
    Leaving,
    MessageRefused,
    ProtocolBroken,
    RefusedMessage,
)
from gateway.observe.identity import LoginRefused

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Allowances  # most sites limit nobody
    from gateway.head.mqtt_dps import MqttProvisioning  # who registers through here; most sites have none
    from gateway.head.toll import Toll

MAX_UNANSWERED_BYTES: Final = 1_048_576
"""Topics and bodies of one device that wait for the disk; above it we stop reading from it. Three of the largest."""

MAX_UNANSWERED_MESSAGES: Final = 2_000
"""The same in messages, for a device that floods with small ones; SUBSCRIBE and UNSUBSCRIBE count as one each."""

TOKEN_CHECK_S: Final = 3600.0
"""A token's end is a time on the wall clock: looked at least this often, for a clock that creeps.
One that is set is noticed at once: `judge_again`."""


class MqttHead:
    """What all MQTT connections share. `clock` gives seconds since 1970."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        ingress: Ingress,
        presence: Presence,
        delivery: Delivery,
        methods: Methods,
        twins: TwinDesk,
        sessions: SessionStore,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        limits: ServerLimits,
        constrained_limits: ServerLimits | None = None,
        provisioning: "MqttProvisioning | None" = None,
    ) -> None:
        self.authenticator = authenticator
        self.ingress = ingress
        self.presence = presence
        self.delivery = delivery
        self.methods = methods
        self.twins = twins
        self.sessions = sessions
        self.emit = emit
        self.clock = clock
        self.limits = limits
        self.constrained_limits = constrained_limits or limits
        self.provisioning = provisioning
        self.allowances: Allowances | None = None
        """What devices may send; None while nobody is limited."""
        self._strangers = Strangers()
        self.wills: Wills[Identity, Message] = Wills(lambda will: ingress.accept([will], _unheard))

    def accept(self, peer: Peer) -> "tuple[ServerSession, MqttConnection]":
        """A session and its owner, for a connection that has come."""
        limits = self.constrained_limits if peer.constrained else self.limits
        session = ServerSession(limits, asyncio.get_running_loop().time(), self._strangers)
        return session, MqttConnection(self, session)


class MqttConnection:
    """One device's connection, from its CONNECT to its end."""

    __slots__ = (
        "_down",
        "_expires_at",
        "_gone",
        "_head",
        "_identity",
        "_leaving",
        "_paused",
        "_publications",
        "_pump",
        "_receive_maximum",
        "_session",
        "_subscriptions",
        "_timer",
        "_toll",
        "_twin",
        "_unanswered",
        "_unanswered_bytes",
    )

    def __init__(self, head: MqttHead, session: ServerSession) -> None:
        self._head = head
        self._session = session
        self._pump: Pump[ServerEvent]
        self._identity: Identity | None = None
        self._publications: Publications
        self._subscriptions: Subscriptions
        self._twin: MqttTwins | None = None
        self._receive_maximum = 0
        self._down: Downlink | None = None
        """What comes down, from the first subscription on: most devices only send."""
        self._leaving: tuple[Leaving, str] | None = None
        self._gone = False
        self._expires_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._toll: Toll[PublishReceived] | None = None
        self._unanswered = 0
        self._unanswered_bytes = 0
        self._paused = False

    # What the pump calls.

    def on_connected(self, pump: Pump[ServerEvent]) -> None:
        """The transport is ready; the device speaks first."""
        self._pump = pump

    def on_events(self, events: list[ServerEvent]) -> None:
        """What the device sent: its messages as one batch, then the rest one by one."""
        if len(events) == 1 and type(events[0]) is PublishReceived:  # nearly always, with one message per read
            self._take([events[0]])
            return
        publishes = [event for event in events if type(event) is PublishReceived]
        if publishes:
            self._take(publishes)
        if len(publishes) != len(events):
            for event in events:
                if self._leaving is None:
                    self._on_event(event)

    def on_failed(self, error: ProtocolError) -> None:
        """The device broke the protocol."""
        self._head.emit(ProtocolBroken(str(self._identity or ""), self._pump.peer.address, str(error)))
        self._leave(Leaving.PROTOCOL_ERROR, str(error))

    def on_stopping(self) -> None:
        """The gateway stops."""
        self.end(Ending.SHUTDOWN)

    def on_closed(self) -> None:
        """The connection is gone: its session's life runs, its will is due, somebody else may be here already."""
        self._gone = True
        if self._timer is not None:
            self._timer.cancel()
        if self._toll is not None:
            self._toll.close()
        if self._identity is None:
            return
        self._leave(Leaving.LOST, "")
        assert self._leaving is not None
        self._leave_will(self._session.connection_lost())
        self._subscriptions.leave(self._head.clock())
        self._head.presence.leave(self._identity, self)
        reason, detail = self._leaving
        self._head.emit(DeviceDisconnected(str(self._identity), reason, detail))

    def on_sending_paused(self) -> None:
        """The device reads slower than we send."""
        if self._down is not None:
            self._down.on_sending_paused()

    def on_sending_resumed(self) -> None:
        """The device has caught up."""
        if self._down is not None:
            self._down.on_sending_resumed()

    # What dispatch calls.

    def end(self, why: Ending) -> None:
        """Say goodbye and close."""
        leaving, reason = GOODBYES[why]
        self._leave(leaving, "")
        self._session.disconnect(reason)
        if self._identity is not None:
            # Now, not when the socket is gone: a connection that takes over reads the session next.
            self._subscriptions.leave(self._head.clock())
        self._pump.close()

    def judge_again(self) -> None:
        """The wall clock was set: the token may have expired."""
        if self._timer is not None:
            self._timer.cancel()
        if self._leaving is None:
            self._watch_token()

    # Login.

    def _on_event(self, event: ServerEvent) -> None:
        now = self._head.clock()
        match event:
            case ConnectReceived():
                self._log_in(event, now)
            case PublishReceived():
                pass  # taken as a batch
            case PublishAcknowledged(packet_id=packet_id, reason=reason):
                if self._down is not None:
                    self._down.on_acknowledged(packet_id, reason)
            case SubscribeReceived(packet_id=packet_id):
                grant = self._late(lambda codes: self._grant(packet_id, codes))
                self._subscriptions.subscribe(event.filters, now, grant)
            case UnsubscribeReceived(packet_id=packet_id):
                confirm = self._late(lambda codes: self._confirm_unsubscribe(packet_id, codes))
                self._subscriptions.unsubscribe(event.filters, now, confirm)
            case Disconnected():
                self._on_disconnected(event)
            case _:
                assert_never(event)

    def _log_in(self, connect: ConnectReceived, now: float) -> None:
        peer, provisioning = self._pump.peer, self._head.provisioning
        if provisioning is not None and provisioning.takes(connect, self._session, self._pump):
            return
        try:
            claimed = claimed_identity(connect.client_id, connect.username)
        except ProtocolError as error:
            self._refuse(RefusalReason.MALFORMED_USERNAME, connect.client_id, error.what)
            return
        claim = Claim(
            identity=claimed.identity,
            hub=claimed.hub,
            token=None if connect.password is None else connect.password.decode("utf-8", "replace"),
            certificates=peer.certificates,
            address=peer.address,
            now=now,
        )
        if not self._head.authenticator.asks(claim, partial(self._log_in_late, connect, claim)):
            self._decide(connect, claim)

    def _log_in_late(self, connect: ConnectReceived, claim: Claim) -> None:
        """The hub was asked about this device; it may have gone meanwhile."""
        if self._leaving is None and not self._gone:
            self._decide(connect, claim)
            self._pump.flush()

    def _decide(self, connect: ConnectReceived, claim: Claim) -> None:
        verdict = self._head.authenticator.authenticate(claim)
        if not isinstance(verdict, Admitted):
            self._refuse(verdict.reason, connect.client_id, "", verdict.hold_s)
        elif connect.will is not None and not may_will(verdict.identity, connect.will):
            self._refuse(RefusalReason.FOREIGN_WILL, connect.client_id, connect.will.topic)
        else:
            self._admit(connect, verdict, self._head.clock())

    def _refuse(self, reason: RefusalReason, client_id: str, detail: str, hold_s: float = 0.0) -> None:
        self._head.emit(LoginRefused(client_id, self._pump.peer.address, reason, detail))
        if hold_s:
            self._timer = asyncio.get_running_loop().call_later(hold_s, self._answer_refusal, reason)
        else:
            self._answer_refusal(reason)

    def _answer_refusal(self, reason: RefusalReason) -> None:
        self._session.refuse(REFUSALS.get(reason, Refusal.NOT_AUTHORIZED))
        self._pump.close()

    def _admit(self, connect: ConnectReceived, verdict: Admitted, now: float) -> None:
        head, who = self._head, verdict.identity
        self._identity = who
        self._expires_at = verdict.expires_at
        self._publications = Publications(who)
        head.presence.enter(who, self)
        head.wills.take_back(who)
        self._subscriptions = Subscriptions(who, head.sessions, connect, now, head.emit)
        self._receive_maximum = connect.receive_maximum
        self._session.accept(session_present=self._subscriptions.present)
        head.emit(DeviceConnected(str(who), self._pump.peer.address))
        self._watch_token()
        if head.allowances is not None:
            self._pay(head.allowances).look()
        if self._leaving is None:
            self._listen()

    def _watch_token(self) -> None:
        """End the connection when its token expires."""
        if self._expires_at is None:
            return
        left_s = self._expires_at - self._head.clock()
        if left_s <= 0:
            self.end(Ending.TOKEN_EXPIRED)
        else:
            self._timer = asyncio.get_running_loop().call_later(min(left_s, TOKEN_CHECK_S), self._watch_token)

    # What comes down.

    def _grant(self, packet_id: int, codes: Sequence[int]) -> None:
        self._session.grant(packet_id, codes)
        self._listen()

    def _confirm_unsubscribe(self, packet_id: int, codes: Sequence[int]) -> None:
        self._session.confirm_unsubscribe(packet_id, codes)
        self._listen()

    def _listen(self) -> None:
        """Take what is subscribed now, by a stored session too."""
        assert self._identity is not None
        kinds = self._subscriptions.kinds
        if self._down is None:
            if not kinds:
                return
            head = self._head
            self._down = Downlink(
                self._identity,
                self._session,
                self._pump,
                delivery=head.delivery,
                methods=head.methods,
                emit=head.emit,
                receive_maximum=self._receive_maximum,
            )
        self._down.listen(kinds)
        if Subscription.TWIN_DESIRED in kinds:
            self._own_twin(self._identity).watch()
        elif self._twin is not None:
            self._twin.unwatch()

    def _leave_down(self) -> None:
        if self._down is not None:
            self._down.leave()
        if self._twin is not None:
            self._twin.unwatch()

    def _own_twin(self, who: Identity) -> MqttTwins:
        if self._twin is None:
            self._twin = MqttTwins(self._head.twins, who, self._send, self._head.emit)
        return self._twin

    def _send(self, topic: str, payload: bytes) -> bool:
        """Publish something about the twin. False if this client takes no packet of this size."""
        if self._leaving is not None or self._gone:
            return True
        sent = self._session.publish(topic, payload, qos=0)
        self._pump.flush()
        return sent is not None or self._session.dead

    # Messages.

    def _take(self, publishes: Sequence[PublishReceived]) -> None:
        """Take what the device published, as far as it may send so much."""
        if self._head.allowances is None:
            self._take_all(publishes)
            return
        self._pay(self._head.allowances).come(publishes)

    def _pay(self, allowances: "Allowances") -> "Toll[PublishReceived]":
        if self._toll is None:
            from gateway.head.toll import Toll  # noqa: PLC0415 — most sites limit nobody

            self._toll = Toll(allowances.account(str(self._identity)), self, _size_of)
        return self._toll

    # What its toll calls.

    def take_paid(self, paid: Sequence[PublishReceived], over: Sequence[PublishReceived]) -> None:
        """Take the first, and refuse those that are more than the device is allowed."""
        self._take_all(paid)
        for publish in over:
            if self._leaving is None and self._toll is not None:
                self._refuse_publish(publish, RefusedPublishError(RefusedMessage.OVER_LIMIT, self._toll.why))
        self._pump.flush()

    def hold(self) -> None:
        """Read no more for now."""
        if not self._paused:
            self._paused = True
            self._pump.pause_reading()

    def release(self) -> None:
        """Read on, unless something waits for the disk or the device has sent too much."""
        if self._toll is not None and self._toll.holds:
            return
        if self._unanswered <= MAX_UNANSWERED_MESSAGES and self._unanswered_bytes <= MAX_UNANSWERED_BYTES:
            self._paused = False
            self._pump.resume_reading()

    def excuse(self, now: float) -> None:
        """Its silence was ours."""
        self._session.excuse(now)

    def _take_all(self, publishes: Sequence[PublishReceived]) -> None:
        """Hand in what the device published: all of it as one batch, unless something else comes between."""
        messages: list[Message] = []
        packet_ids: list[int] = []
        size = 0
        read = self._publications.message
        for publish in publishes:
            try:
                messages.append(read(publish))
            except RefusedPublishError as refused:
                self._hand_in(messages, packet_ids, size)
                messages, packet_ids, size = [], [], 0
                self._take_other(publish, refused)
                if self._leaving is not None:
                    return
            else:
                size += len(publish.topic) + len(publish.payload)
                if publish.qos:
                    packet_ids.append(publish.packet_id)
        self._hand_in(messages, packet_ids, size)

    def _hand_in(self, messages: Sequence[Message], packet_ids: Sequence[int], size: int) -> None:
        if not messages:
            return
        count = len(messages)
        self._await_answer(count, size)
        # Not a lambda, which would hold five cells more per message: it waits for the disk, and the collector counts.
        self._head.ingress.accept(messages, partial(self._on_result, packet_ids, count, size))

    def _on_result(self, packet_ids: Sequence[int], count: int, size: int, result: AppendResult) -> None:
        """The store has answered for a batch."""
        self._note_answer(count, size)
        if self._leaving is not None:
            return
        match result:
            case AppendResult.STORED:
                if packet_ids:
                    self._session.acknowledge_many(packet_ids)
            case AppendResult.FULL:
                self._refuse_batch(packet_ids, RefusedMessage.STORE_FULL)
            case AppendResult.FAILED:
                self._refuse_batch(packet_ids, RefusedMessage.STORE_FAILED)
            case _:
                assert_never(result)
        self._pump.flush()

    def _answer_in_turn(self, answer: Callable[[], object]) -> None:
        """Answer what needs no disk, behind the messages that wait for it: PUBACKs keep the order of the PUBLISHes.

        Spec: MQTT311-4.6.0-2, MQTT5-4.6.0-2.
        """
        if not self._unanswered:
            answer()
            return
        self._await_answer(1, 0)
        # A batch of nothing is answered in the order of the batches.
        self._head.ingress.accept((), lambda _: self._on_turn(answer))

    def _on_turn(self, answer: Callable[[], object]) -> None:
        self._note_answer(1, 0)
        if self._leaving is None:
            answer()
            self._pump.flush()

    def _await_answer(self, count: int, size: int) -> None:
        """So much more waits for the disk; above the bounds we read no more from this device."""
        self._unanswered += count
        self._unanswered_bytes += size
        if self._unanswered > MAX_UNANSWERED_MESSAGES or self._unanswered_bytes > MAX_UNANSWERED_BYTES:
            self.hold()

    def _note_answer(self, count: int, size: int) -> None:
        """The disk has answered for so much."""
        self._unanswered -= count
        self._unanswered_bytes -= size
        if self._paused:
            self.release()

    def _refuse_batch(self, packet_ids: Sequence[int], reason: RefusedMessage) -> None:
        """Tell the device that a batch was not kept: by a PUBACK for each, or by closing without any."""
        detail = reason.value.replace("_", " ")
        self._head.emit(MessageRefused(str(self._identity), reason, detail))
        code = PUBACK_REASONS[reason]
        if not all(self._session.refuse_publish(packet_id, code) for packet_id in packet_ids):
            self._leave(Leaving.REFUSED_MESSAGE, detail)
            self._pump.close()

    def _take_other(self, publish: PublishReceived, refused: RefusedPublishError) -> None:
        """What is no telemetry: a bridge's state, a twin request, or a message to refuse."""
        if refused.reason is not RefusedMessage.UNKNOWN_TOPIC:
            self._refuse_publish(publish, refused)
        elif publish.topic.startswith(BRIDGE_STATE):
            self._head.emit(BridgeStateIgnored(str(self._identity)))
            self._acknowledge(publish)
        elif publish.topic.startswith("$iothub/"):
            self._answer_request(publish, refused)
        else:
            self._refuse_publish(publish, refused)

    def _refuse_publish(self, publish: PublishReceived, refused: RefusedPublishError) -> None:
        self._head.emit(MessageRefused(str(self._identity), refused.reason, refused.detail))
        code = PUBACK_REASONS[refused.reason]
        if publish.qos and self._session.level == MQTT5:
            self._answer_in_turn(lambda: self._session.refuse_publish(publish.packet_id, code))
            return
        self._leave(Leaving.REFUSED_MESSAGE, refused.detail)
        self._session.disconnect(code)
        self._pump.close()

    def _answer_request(self, publish: PublishReceived, refused: RefusedPublishError) -> None:
        """A method's answer, or a twin request: that gets a status, or the device would wait for its time-out."""
        try:
            request = parse_request_topic(publish.topic)
        except ProtocolError:
            request = None
        if request is None:
            self._refuse_publish(publish, refused)
            return
        assert self._identity is not None
        if isinstance(request, MethodResult):
            self._head.methods.answered(self._identity, request.rid, request.status, publish.payload)
        else:
            self._own_twin(self._identity).take(request, publish.payload)
        self._acknowledge(publish)

    def _acknowledge(self, publish: PublishReceived) -> None:
        if publish.qos:
            self._answer_in_turn(lambda: self._session.acknowledge(publish.packet_id))

    # The end.

    def _on_disconnected(self, event: Disconnected) -> None:
        if self._identity is not None:
            if event.session_expiry_s is not None:
                self._subscriptions.change_expiry(event.session_expiry_s)
            self._leave_will(event.will)
        silent = event.reason == ReasonCode.KEEP_ALIVE_TIMEOUT
        if self._identity is None and silent:
            what = f"no CONNECT within {self._head.limits.connect_timeout_s:g} s"
            self._head.emit(ConnectionRefused(ClosedBeforeLogin.TIMEOUT, self._pump.peer.address, what))
        self._leave(Leaving.SILENT if silent else Leaving.GOODBYE, "")
        self._pump.close()

    def _leave_will(self, will: Will | None) -> None:
        if will is None or self._identity is None or will.topic.startswith(BRIDGE_STATE):
            return
        # The login has checked that it is a message of the device's own.
        self._head.wills.leave(self._identity, self._publications.will_message(will), will.delay_s, will.size)

    def _leave(self, reason: Leaving, detail: str) -> None:
        """Remember why; the first reason counts. From now on nothing comes down here."""
        if self._leaving is None:
            self._leaving = (reason, detail)
            self._leave_down()

    def _late(self, answer: Callable[[list[int]], None]) -> Callable[[list[int]], None]:
        """`answer`, for after the call that asked for it: the connection may be gone by then, or must be flushed."""
        self._await_answer(1, 0)

        def answer_and_flush(codes: list[int]) -> None:
            self._note_answer(1, 0)
            if self._leaving is None:
                answer(codes)
                self._pump.flush()

        return answer_and_flush


def _size_of(publish: PublishReceived) -> int:
    return len(publish.topic) + len(publish.payload)


def _unheard(_result: AppendResult) -> None:
    """A will's sender is gone; the store has said what there is to say."""
