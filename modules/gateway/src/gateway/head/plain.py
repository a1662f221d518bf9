"""The plain head: MQTT without TLS for clients with topics of their own. One `PlainConnection` per client."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from edgewire.codec.mqtt.packets import Publish
from edgewire.codec.mqtt.properties import PropertyLimits, PublishProperties
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError
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
from gateway.broker.broker import Grant, LocalBroker
from gateway.broker.messages import MAX_QOS, LocalMessage, Subscription
from gateway.broker.sessions import LocalSession, Owner
from gateway.dispatch.echoes import Echoes, has_been_here
from gateway.dispatch.mapped import MappedIngress
from gateway.dispatch.presence import Ending
from gateway.head.mqtt_words import GOODBYES
from gateway.head.plain_intake import PlainIntake
from gateway.head.plain_outlet import PlainOutlet
from gateway.head.plain_rights import BRIDGE_STATE, Rights
from gateway.head.wills import Wills
from gateway.identity.gatekeeper import Gatekeeper, Knock, TurnedAway, Verdict
from gateway.identity.users import User
from gateway.observe.broker import (
    PlainClientConnected,
    PlainClientDisconnected,
    PlainEchoesDropped,
    PlainLoginRefused,
    PlainMessageRefused,
    PlainRefusal,
    PlainSubscriptionRefused,
    RefusedPlain,
    RefusedPlainFilter,
)
from gateway.observe.events import Event
from gateway.observe.head import ClosedBeforeLogin, ConnectionRefused, Leaving, ProtocolBroken

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Allowances  # most sites limit nobody
    from gateway.head.toll import Toll

MAX_CLIENT_ID_CHARS: Final = 256
"""Of clients' own choice; mosquitto's bridges make theirs of two host names."""
MAX_ALIASES: Final = 10
"""Topics that an MQTT 5 client may abbreviate."""
MAX_LATE_ANSWERS: Final = 64
"""SUBSCRIBEs of one client that wait for the disk; above it we stop reading from that client."""
MAX_DELAYED_WILLS: Final = 256
"""That wait for their delay; one more is published at once."""
EVENTS_PER_TURN: Final = 256
"""Packets of one client that are handled in one turn of the loop: each message may be for hundreds of subscribers."""
MAX_SILENCE_S: Final = 98_303
"""Half as long again as the longest keep-alive there is, for clients that ask for none: they only listen, for days."""

REFUSALS: Final = {
    PlainRefusal.BUSY: Refusal.SERVER_UNAVAILABLE,
    PlainRefusal.BAD_CLIENT_ID: Refusal.BAD_CLIENT_ID,
}
"""All other reasons look the same from outside: not authorized."""

_REFUSED_FILTERS: Final = {
    Grant.TOO_MANY: (RefusedPlainFilter.TOO_MANY, ReasonCode.QUOTA_EXCEEDED),
    Grant.TOO_DEEP: (RefusedPlainFilter.TOO_DEEP, ReasonCode.TOPIC_FILTER_INVALID),
}


def plain_limits(max_session_s: int) -> ServerLimits:
    """What one plain connection may send, hold and ask for: as on the other listeners, but for what a broker has."""
    return ServerLimits(
        keep_alive_ceiling_s=MAX_SILENCE_S,
        topic_alias_maximum=MAX_ALIASES,
        max_session_expiry_s=max_session_s,
        subscription_identifiers=True,
        properties=PropertyLimits(max_bytes=65_536, max_user_properties=128),
    )


class PlainHead:
    """What all plain connections share. `clock` gives seconds since 1970; `name` is the gateway's, in its echoes.

    `hears_a_broker`: the gateway is also a client of the site's broker, over which anything that leaves here may come
    round: a bridge that hides what it is looks like any client. `allowances`: what users may send, None while nobody is
    limited.
    """

    def __init__(
        self,
        *,
        gatekeeper: Gatekeeper,
        broker: LocalBroker,
        mapped: MappedIngress,
        echoes: Echoes,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        limits: ServerLimits,
        name: str,
        hears_a_broker: bool = False,
        allowances: "Callable[[], Allowances | None]" = lambda: None,
    ) -> None:
        self.gatekeeper = gatekeeper
        self.broker = broker
        self.mapped = mapped
        self.echoes = echoes
        self.emit = emit
        self.clock = clock
        self.limits = limits
        self.name = name
        self.hears_a_broker = hears_a_broker
        self.allowances = allowances
        self.clients: dict[Owner, PlainConnection] = {}
        self._strangers = Strangers()
        self.wills: Wills[Owner, Callable[[], None]] = Wills(lambda publish: publish())

    def accept(self, peer: Peer) -> "tuple[ServerSession, PlainConnection]":
        """A session and its owner, for a connection that has come."""
        session = ServerSession(self.limits, asyncio.get_running_loop().time(), self._strangers)
        return session, PlainConnection(self, session, peer)

    def end_users(self, changed: set[str]) -> None:
        """These users are others now, or gone: their clients log in again."""
        for connection in [each for each in self.clients.values() if each.user in changed]:
            connection.end(Ending.CREDENTIALS_CHANGED)


class PlainConnection:
    """One client's connection, from its CONNECT to its end."""

    def __init__(self, head: PlainHead, session: ServerSession, peer: Peer) -> None:
        self._head = head
        self._session = session
        self._peer = peer
        self._pump: Pump[ServerEvent]
        self._owner: Owner | None = None
        self._client = ""
        self._rights: Rights
        self._outlet: PlainOutlet
        self._local: LocalSession
        self._intake: PlainIntake
        self._leaving: tuple[Leaving, str] | None = None
        self._gone = False
        self._paused = False
        self._held: list[ServerEvent] = []
        """What the client sent and is still to be handled."""
        self._is_working = False
        self._late = 0
        """SUBSCRIBEs and UNSUBSCRIBEs that wait for the disk."""
        self._timer: asyncio.TimerHandle | None = None
        self._toll: Toll[Publish] | None = None

    @property
    def user(self) -> str:
        """The name of its user; empty before the login."""
        return "" if self._owner is None else self._owner[0]

    # What the pump calls.

    def on_connected(self, pump: Pump[ServerEvent]) -> None:
        """The socket is ready; the client speaks first."""
        self._pump = pump

    def on_events(self, events: list[ServerEvent]) -> None:
        """What the client sent, in its order."""
        self._held += events
        if not self._is_working:
            self._work()

    def _work(self) -> None:
        """Handle some of what the client sent; the rest in the next turn, when others have had theirs."""
        some, self._held = self._held[:EVENTS_PER_TURN], self._held[EVENTS_PER_TURN:]
        self._is_working = bool(self._held)
        self._handle(some)
        if self._is_working:
            asyncio.get_running_loop().call_soon(self._work)
        if self._owner is not None:
            self._steer_reading()

    def _handle(self, events: list[ServerEvent]) -> None:
        """Messages that follow each other as one batch."""
        publishes: list[Publish] = []
        for event in events:
            if isinstance(event, PublishReceived):
                publishes.append(event)
                continue
            self._take(publishes)
            publishes = []
            if self._leaving is None:
                self._on_event(event)
        self._take(publishes)

    def on_failed(self, error: ProtocolError) -> None:
        """The client broke the protocol."""
        self._head.emit(ProtocolBroken(self._client[:200], self._peer.address, _with_advice(error)))
        self._leave(Leaving.PROTOCOL_ERROR, str(error))

    def on_stopping(self) -> None:
        """The gateway stops."""
        self.end(Ending.SHUTDOWN)

    def on_closed(self) -> None:
        """The connection is gone: its will is due, its session's life runs."""
        if self._timer is not None:
            self._timer.cancel()
        rest, self._held = self._held, []
        self._handle(rest)  # it may have said its last words and gone
        self._gone = True
        if self._toll is not None:
            self._toll.close()
        if self._owner is None:
            return
        self._leave(Leaving.LOST, "")
        assert self._leaving is not None
        self._leave_will(self._session.connection_lost())
        reason, detail = self._leaving
        self._head.emit(PlainClientDisconnected(self._client, self.user, reason, detail))

    def on_sending_paused(self) -> None:
        """The client reads more slowly than we send."""
        if self._owner is not None:
            self._outlet.on_sending_paused()

    def on_sending_resumed(self) -> None:
        """The client has caught up."""
        if self._owner is not None:
            self._outlet.on_sending_resumed()

    # What the head calls.

    def end(self, why: Ending) -> None:
        """Say goodbye and close."""
        leaving, reason = GOODBYES[why]
        self._leave(leaving, "")
        self._session.disconnect(reason)
        self._pump.close()

    # Login.

    def _on_event(self, event: ServerEvent) -> None:
        match event:
            case ConnectReceived():
                self._log_in(event)
            case PublishReceived():
                pass  # taken as a batch
            case PublishAcknowledged(packet_id=packet_id):
                self._head.broker.acknowledged(self._local, packet_id)
            case SubscribeReceived():
                self._subscribe(event)
            case UnsubscribeReceived():
                self._unsubscribe(event)
            case Disconnected():
                self._on_disconnected(event)
            case _:
                assert_never(event)

    def _log_in(self, connect: ConnectReceived) -> None:
        client = connect.client_id
        if not client and connect.clean_start:
            client = f"auto-{secrets.token_hex(8)}"
        self._client = client
        if not client or len(client) > MAX_CLIENT_ID_CHARS:
            self._refuse(connect, TurnedAway(PlainRefusal.BAD_CLIENT_ID))
            return
        knock = Knock(
            user=connect.username, password=connect.password, address=self._peer.address, now=self._head.clock()
        )
        self._head.gatekeeper.judge(knock, partial(self._on_verdict, connect))

    def _on_verdict(self, connect: ConnectReceived, verdict: Verdict) -> None:
        """Perhaps later: the client may have gone meanwhile."""
        if self._leaving is not None or self._gone:
            return
        if isinstance(verdict, TurnedAway):
            self._refuse(connect, verdict)
            return
        rights = Rights(verdict, self._client)
        if connect.will is not None and not rights.may_publish(connect.will.topic):
            self._refuse(connect, TurnedAway(PlainRefusal.FORBIDDEN_WILL))
        else:
            self._admit(connect, verdict, rights)
        self._pump.flush()

    def _refuse(self, connect: ConnectReceived, why: TurnedAway) -> None:
        user = connect.username or ""
        self._head.emit(PlainLoginRefused(self._client[:200], user[:200], self._peer.address, why.reason))
        if why.hold_s:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(why.hold_s, self._answer_refusal, why.reason)
        else:
            self._answer_refusal(why.reason)

    def _answer_refusal(self, reason: PlainRefusal) -> None:
        self._session.refuse(REFUSALS.get(reason, Refusal.NOT_AUTHORIZED))
        self._pump.close()

    def _admit(self, connect: ConnectReceived, user: User, rights: Rights) -> None:
        head, owner = self._head, (user.name, self._client)
        before = head.clients.get(owner)
        if before is not None:
            before.end(Ending.TAKEN_OVER)
        self._owner = owner
        self._rights = rights
        head.clients[owner] = self
        head.wills.take_back(owner)
        expiry_s = connect.session_expiry_s
        if connect.level < 5:
            expiry_s = 0 if connect.clean_start else None
        self._outlet = PlainOutlet(self._session, self._pump, clock=head.clock, on_room=self._drain)
        bridge = is_bridge(connect)
        self._local, present = head.broker.enter(
            owner, self._outlet, clean=connect.clean_start, expiry_s=expiry_s, bridge=bridge
        )
        head.broker.keep_only(self._local, rights.may_subscribe)
        if bridge:
            self._become_bridge()
        elif head.hears_a_broker:
            self._outlet.on_sent = self._note_sent
        self._intake = PlainIntake(
            rights=rights,
            mapped=head.mapped,
            broker=head.broker,
            session=self._local,
            answers=self,
            is_echo=self._is_echo,
            clock=head.clock,
        )
        self._session.accept(session_present=present, assigned_client_id=None if connect.client_id else self._client)
        head.emit(PlainClientConnected(self._client, user.name, self._peer.address, bridge))
        self._outlet.open()
        if (allowances := head.allowances()) is not None:
            self._pay(allowances).look()
        self._drain()

    # Messages of the client.

    def _take(self, publishes: list[Publish]) -> None:
        if not publishes or self._leaving is not None:
            return
        if (allowances := self._head.allowances()) is None:
            self._intake.take(publishes)
        else:
            self._pay(allowances).come(publishes)

    def _pay(self, allowances: "Allowances") -> "Toll[Publish]":
        if self._toll is None:
            from gateway.dispatch.allowance import user_key  # noqa: PLC0415 — most sites limit nobody
            from gateway.head.toll import Toll  # noqa: PLC0415 — as above

            self._toll = Toll(allowances.account(user_key(self.user)), self, _size_of)
        return self._toll

    def take_paid(self, paid: Sequence[Publish], over: Sequence[Publish]) -> None:
        """Take the first; the others are more than the user is allowed."""
        self._intake.take([*paid, *over], len(paid))

    def hold(self) -> None:
        """Read no more for now."""
        self._steer_reading()

    release = hold

    def excuse(self, now: float) -> None:
        """Its silence was ours."""
        self._session.excuse(now)

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """PUBACK for these."""
        if packet_ids and not self._session.dead:
            self._session.acknowledge_many(packet_ids)

    def refuse(self, packet_id: int, reason: ReasonCode) -> bool:
        """Refuse one message of QoS 1; False where MQTT 3 has no word for it."""
        return self._session.dead or self._session.refuse_publish(packet_id, reason)

    def on_refused(self, reason: RefusedPlain, detail: str) -> None:
        """A message was refused."""
        self._head.emit(PlainMessageRefused(self._client, self.user, reason, detail))

    def give_up(self, reason: RefusedPlain) -> None:
        """Close without an answer: what was not answered is sent again on the next connection."""
        self._leave(Leaving.REFUSED_MESSAGE, reason.value.replace("_", " "))
        self._pump.close()

    def answered(self) -> None:
        """All that could be answered was: send the answers, and read on or not."""
        if not self._gone:
            self._steer_reading()
            self._pump.flush()

    def _steer_reading(self) -> None:
        """Read no more while too much waits for its answer."""
        is_full = bool(self._held) or self._intake.is_full or self._late > MAX_LATE_ANSWERS
        is_full = is_full or (self._toll is not None and self._toll.holds)
        if is_full != self._paused:
            self._paused = is_full
            (self._pump.pause_reading if is_full else self._pump.resume_reading)()

    def _is_echo(self, publish: Publish) -> bool:
        """Whether a broker at the other end brings back what it has from us."""
        head = self._head
        users = () if publish.properties is None else publish.properties.user_properties
        came_back = bool(users) and has_been_here(users, head.name)
        if not came_back and self._outlet.gateway:  # a bridge
            now = asyncio.get_running_loop().time()
            came_back = head.echoes.is_echo(self._peer_name, publish.topic, publish.payload, now)
        if came_back:
            head.emit(PlainEchoesDropped(self._client, 1))
        return came_back

    def _become_bridge(self) -> None:
        """What goes out here may come back: it is remembered, and carries our name where it can."""
        self._outlet.on_sent = self._note_sent
        self._outlet.gateway = self._head.name

    def _note_sent(self, message: LocalMessage) -> None:
        now = asyncio.get_running_loop().time()
        self._head.echoes.sent(self._peer_name, message.topic, message.payload, now)

    @property
    def _peer_name(self) -> str:
        return f"plain {self._client}"

    # Its subscriptions.

    def _subscribe(self, event: SubscribeReceived) -> None:
        codes: list[int] = []
        wanted: list[tuple[str, Subscription]] = []
        for each in event.filters:
            if self._rights.may_subscribe(each.filter):
                codes.append(min(each.qos, MAX_QOS))
                wanted.append(
                    (
                        each.filter,
                        Subscription(
                            qos=min(each.qos, MAX_QOS),
                            no_local=each.no_local,
                            retain_as_published=each.retain_as_published,
                            retain_handling=each.retain_handling,
                            identifier=event.subscription_identifier,
                        ),
                    )
                )
            else:
                codes.append(self._refuse_filter(each.filter, RefusedPlainFilter.FORBIDDEN, ReasonCode.NOT_AUTHORIZED))
        if any(each.no_local for each in event.filters):
            self._become_bridge()  # as bridges of MQTT 5 say it, which have no bit for it
        self._late += 1
        self._head.broker.subscribe(self._local, wanted, partial(self._granted, event, codes, wanted))
        self._steer_reading()

    def _granted(
        self,
        event: SubscribeReceived,
        codes: list[int],
        wanted: Sequence[tuple[str, Subscription]],
        grants: Sequence[Grant],
    ) -> None:
        places = [place for place, code in enumerate(codes) if code <= MAX_QOS]
        for place, (topic_filter, _), grant in zip(places, wanted, grants, strict=True):
            if grant is not Grant.GRANTED:
                codes[place] = self._refuse_filter(topic_filter, *_REFUSED_FILTERS[grant])
        self._answer_late(lambda: self._session.grant(event.packet_id, codes))

    def _refuse_filter(self, topic_filter: str, reason: RefusedPlainFilter, code: ReasonCode) -> int:
        self._head.emit(PlainSubscriptionRefused(self._client, self.user, reason, topic_filter))
        return code

    def _unsubscribe(self, event: UnsubscribeReceived) -> None:
        """Drop filters; one that was never there is no error: mosquitto's bridges begin so."""

        def confirm(were_there: list[bool]) -> None:
            codes = [ReasonCode.SUCCESS if each else ReasonCode.NO_SUBSCRIPTION_EXISTED for each in were_there]
            self._answer_late(lambda: self._session.confirm_unsubscribe(event.packet_id, codes))

        self._late += 1
        self._head.broker.unsubscribe(self._local, event.filters, confirm)
        self._steer_reading()

    def _answer_late(self, answer: Callable[[], None]) -> None:
        """Answer what waited for the disk; the connection may be gone by then."""
        self._late -= 1
        if self._leaving is None:
            answer()
            self._steer_reading()
            self._pump.flush()

    def _drain(self) -> None:
        """There is room for what waits."""
        if self._leaving is None:
            self._head.broker.drain(self._local)

    # The end.

    def _on_disconnected(self, event: Disconnected) -> None:
        silent = event.reason == ReasonCode.KEEP_ALIVE_TIMEOUT
        if self._owner is None:
            if silent:
                what = f"no CONNECT within {self._head.limits.connect_timeout_s:g} s"
                self._head.emit(ConnectionRefused(ClosedBeforeLogin.TIMEOUT, self._peer.address, what))
        else:
            if event.session_expiry_s is not None:
                self._local.expiry_s = event.session_expiry_s
            self._leave_will(event.will)
        self._leave(Leaving.SILENT if silent else Leaving.GOODBYE, "")
        self._pump.close()

    def _leave_will(self, will: Will | None) -> None:
        if will is not None and self._owner is not None:
            publish = partial(self._intake.take, [_publish_of(will)])
            delay_s = will.delay_s if len(self._head.wills) < MAX_DELAYED_WILLS else 0
            self._head.wills.leave(self._owner, publish, delay_s, will.size)

    def _leave(self, reason: Leaving, detail: str) -> None:
        """Remember why; the first reason counts. From now on nothing comes or goes here."""
        if self._leaving is not None:
            return
        self._leaving = (reason, detail)
        if self._owner is not None:
            self._outlet.close()
            # Now, not when the socket is gone: a connection that takes over finds the session.
            self._head.broker.leave(self._local)
            if self._head.clients.get(self._owner) is self:
                del self._head.clients[self._owner]


def _size_of(publish: Publish) -> int:
    return len(publish.topic) + len(publish.payload)


def is_bridge(connect: ConnectReceived) -> bool:
    """Whether a broker's bridge asks: it says so by its level, or leaves word for the case that it goes.

    In MQTT 5, and with `try_private false`, mosquitto's has no such bit and announces itself all the same.
    """
    return connect.bridge or (connect.will is not None and connect.will.topic.startswith(BRIDGE_STATE))


def _with_advice(error: ProtocolError) -> str:
    """The error; and for QoS 2, which MQTT 3 has no word to refuse, what a person can do."""
    if error.reply == ReasonCode.QOS_NOT_SUPPORTED:
        return f"{error}. Set the client to QoS 1: a message arrives at least once, and QoS 2 is not taken here"
    return str(error)


def _publish_of(will: Will) -> Publish:
    """A will as the message that it becomes. Nobody waits for an answer."""
    said = will.properties
    properties = None
    if said is not None:
        properties = PublishProperties(
            payload_format=said.payload_format,
            message_expiry_s=said.message_expiry_s,
            response_topic=said.response_topic,
            correlation_data=said.correlation_data,
            user_properties=said.user_properties,
            content_type=said.content_type,
        )
    return Publish(will.topic, will.payload, will.qos, will.retain, False, 0, properties)
