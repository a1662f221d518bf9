"""Provisioning over MQTT: connections whose user name is one of the provisioning service's (iothub_wire.md §5.1).

Whether a token is good is the service's to say, and it is asked when the device registers: until then the connection
has shown only a token that is for its registration. So it may do little and not for long, and takes nobody's place.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, assert_never

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError
from edgewire.iothub.dps import (
    RESULTS_FILTER,
    Register,
    Registrant,
    Request,
    format_result_topic,
    is_login,
    parse_login,
    parse_topic,
)
from edgewire.session.mqtt.events import (
    ConnectReceived,
    Disconnected,
    PublishAcknowledged,
    PublishReceived,
    ServerEvent,
    SubscribeFilter,
    SubscribeReceived,
    UnsubscribeReceived,
)
from edgewire.session.mqtt.refusal import Refusal
from edgewire.session.mqtt.server import ServerSession
from edgewire.transport.pump import Pump
from gateway.dispatch.provisioning import Applicant, Provisioning, RefusedApplicantError
from gateway.dispatch.provisioning_answers import Answer, shortened
from gateway.observe.events import Event
from gateway.observe.head import ProtocolBroken
from gateway.observe.provisioning import ProvisioningRefusal, ProvisioningRefused

MAX_VISITORS: Final = 512
"""Connections that register, at once."""
MAX_VISITORS_PER_ADDRESS: Final = 128
"""Of them from one address; devices behind a router may share one."""
VISIT_S: Final = 180.0
"""For one connection, from its CONNECT on: an assignment takes seconds, and a service that is away is tried again."""
GOODBYE_S: Final = 5.0
"""For who was refused by the service to say goodbye: Node's SDK tells its caller nothing before it has unsubscribed."""
_REFUSED_FILTER: Final = 0x80
_UNAUTHORIZED_STATUS: Final = 401


class MqttProvisioning:
    """What all connections that register share."""

    def __init__(self, provisioning: Provisioning, emit: Callable[[Event], None], *, visit_s: float = VISIT_S) -> None:
        self.provisioning = provisioning
        self.emit = emit
        self.visit_s = visit_s
        self._visitors: Counter[str] = Counter()

    def takes(self, connect: ConnectReceived, session: ServerSession, pump: Pump[ServerEvent]) -> bool:
        """Whether this CONNECT is one of provisioning: then it is answered, and the connection has a new owner."""
        if not is_login(connect.username or ""):
            return False
        visitor = MqttVisitor(self, session, pump)
        pump.owner = visitor
        visitor.on_connect(connect)
        return True

    def enter(self, address: str) -> bool:
        """Whether one more may come from there; `leave` follows when it may."""
        if self._visitors.total() >= MAX_VISITORS or self._visitors[address] >= MAX_VISITORS_PER_ADDRESS:
            return False
        self._visitors[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One of them is gone."""
        self._visitors[address] -= 1
        if not self._visitors[address]:
            del self._visitors[address]


class MqttVisitor:
    """One connection, from its CONNECT to its end. Implements `transport.pump.Owner`."""

    def __init__(self, room: MqttProvisioning, session: ServerSession, pump: Pump[ServerEvent]) -> None:
        self._room = room
        self._session = session
        self._pump = pump
        self._applicant: Applicant | None = None
        self._name = ""
        self._qos: int | None = None
        """Of the subscription to answers; None without one."""
        self._entered = False
        self._over = False
        self._refused = False
        """By the service; nothing more is asked for it."""
        self._timer: asyncio.TimerHandle | None = None

    # What the pump calls.

    def on_connected(self, pump: Pump[ServerEvent]) -> None:
        """It was, before it came here."""

    def on_events(self, events: list[ServerEvent]) -> None:
        """What the device sent, in its order."""
        for event in events:
            if self._over:
                return
            self._on_event(event)

    def on_failed(self, error: ProtocolError) -> None:
        """The device broke the protocol."""
        self._room.emit(ProtocolBroken(self._name, self._pump.peer.address, str(error)))
        self._over = True

    def on_stopping(self) -> None:
        """The gateway stops."""
        self._end(ReasonCode.SERVER_SHUTTING_DOWN)

    def on_closed(self) -> None:
        """The connection is gone; an answer that comes later is nobody's."""
        self._over = True
        self._session.connection_lost()
        if self._timer is not None:
            self._timer.cancel()
        if self._entered:
            self._entered = False
            self._room.leave(self._pump.peer.address)

    # Login.

    def on_connect(self, connect: ConnectReceived) -> None:
        """Let it in if it may register at all."""
        try:
            registrant = parse_login(connect.username or "")
        except ProtocolError as error:
            self._refuse(Refusal.BAD_CREDENTIALS, connect.client_id, ProvisioningRefusal.MALFORMED, error.what)
            return
        if connect.client_id.lower() != registrant.key:
            what = "the client id is not the registration id of the user name"
            self._refuse(Refusal.BAD_CLIENT_ID, str(registrant), ProvisioningRefusal.FOREIGN_REGISTRATION, what)
        elif connect.will is not None:
            self._refuse(Refusal.BAD_TOPIC, str(registrant), ProvisioningRefusal.MALFORMED, "it has a will")
        else:
            self._admit(registrant, connect)

    def _admit(self, registrant: Registrant, connect: ConnectReceived) -> None:
        peer = self._pump.peer
        token = (connect.password or b"").decode("utf-8", "replace")
        applicant = Applicant(
            registrant=registrant, token=token, address=peer.address, certified=bool(peer.certificates)
        )
        try:
            self._room.provisioning.check(applicant)
        except RefusedApplicantError as refused:
            self._room.provisioning.refused(applicant, refused, lambda _: self._turn_away(Refusal.NOT_AUTHORIZED))
            return
        if not self._room.enter(peer.address):
            self._refuse(Refusal.SERVER_BUSY, str(registrant), ProvisioningRefusal.TOO_MANY, "connections")
            return
        self._entered = True
        self._name = str(registrant)
        self._applicant = applicant
        self._watch(self._room.visit_s)
        # Whatever the flag of the CONNECT says: there is nothing to keep.
        self._session.accept(session_present=False)

    def _refuse(self, refusal: Refusal, who: str, reason: ProvisioningRefusal, detail: str) -> None:
        self._room.emit(ProvisioningRefused(who, self._pump.peer.address, reason, detail))
        self._turn_away(refusal)

    def _turn_away(self, refusal: Refusal) -> None:
        if not self._over:
            self._over = True
            self._session.refuse(refusal)
            self._pump.close()

    # What it asks.

    def _on_event(self, event: ServerEvent) -> None:
        match event:
            case ConnectReceived() | PublishAcknowledged():
                pass  # an answer is sent once, whatever becomes of it: the device asks again
            case PublishReceived():
                self._publish(event)
            case SubscribeReceived():
                self._session.grant(event.packet_id, [self._grant(each) for each in event.filters])
            case UnsubscribeReceived():
                if RESULTS_FILTER in event.filters:
                    self._qos = None
                self._session.confirm_unsubscribe(event.packet_id, [0] * len(event.filters))
            case Disconnected():
                self._over = True
                self._pump.close()
            case _:
                assert_never(event)

    def _grant(self, wanted: SubscribeFilter) -> int:
        if wanted.filter != RESULTS_FILTER:
            return _REFUSED_FILTER
        self._qos = min(wanted.qos, 1)
        return self._qos

    def _publish(self, event: PublishReceived) -> None:
        applicant = self._applicant
        assert applicant is not None  # the session lets nothing through before CONNECT is answered
        if self._refused:
            self._end(ReasonCode.NOT_AUTHORIZED)
            return
        try:
            request = parse_topic(event.topic)
        except ProtocolError as error:
            self._room.emit(
                ProvisioningRefused(self._name, applicant.address, ProvisioningRefusal.MALFORMED, error.what)
            )
            self._end(ReasonCode.TOPIC_NAME_INVALID)
            return
        if event.packet_id:
            self._session.acknowledge(event.packet_id)
        if isinstance(request, Register):
            self._room.provisioning.register(applicant, event.payload, lambda answer: self._answer(request, answer))
        else:
            operation = request.operation_id
            self._room.provisioning.poll(applicant, operation, lambda answer: self._answer(request, answer))

    # Answers.

    def _answer(self, request: Request, answer: Answer) -> None:
        """Send it. One that nobody has subscribed to is lost; who is not let in is not kept either."""
        if self._over:
            return
        if self._qos is not None and not self._send(request, answer):
            self._send(request, shortened(answer))
        self._pump.flush()
        if answer.status == _UNAUTHORIZED_STATUS and not self._refused:
            self._refused = True
            self._watch(GOODBYE_S)

    def _send(self, request: Request, answer: Answer) -> bool:
        topic = format_result_topic(answer.status, request.request_id, answer.retry_after_s)
        return self._session.publish(topic, answer.document, qos=self._qos or 0) is not None

    def _watch(self, patience_s: float) -> None:
        """End the connection in so long, whatever was said before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(patience_s, self._end, ReasonCode.MAXIMUM_CONNECT_TIME)

    def _end(self, reason: ReasonCode) -> None:
        if not self._over:
            self._over = True
            self._session.disconnect(reason)
            self._pump.close()
