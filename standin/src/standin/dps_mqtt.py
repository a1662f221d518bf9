"""Provisioning over MQTT, and MQTT over WebSocket: one connection (iothub_wire.md §5.1)."""

from typing import Final, assert_never

import orjson

from edgewire.errors import ProtocolError
from edgewire.iothub.dps import RESULTS_FILTER, Register, Request, format_result_topic, parse_login, parse_topic
from edgewire.message import Identity
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
from standin.dps import Answer, Provisioning
from standin.dps_admission import Proven
from standin.dps_errors import DpsError
from standin.hub import Closing

_REFUSED_FILTER: Final = 0x80


class DpsMqtt:
    """A connection whose user name is one of provisioning. Implements `hub.Line`, for whoever cuts connections."""

    def __init__(self, dps: Provisioning, session: ServerSession, pump: Pump[ServerEvent]) -> None:
        self._dps = dps
        self._session = session
        self._pump = pump
        self._proven: Proven | None = None
        self._qos: int | None = None
        """Of the subscription to answers; None without one."""
        self.ended = False
        """We have closed: what the peer sent behind that does not count."""

    @property
    def name(self) -> str:
        """What to call it in a note."""
        return f"a connection from {self._pump.peer.address}" if self._proven is None else str(self._proven.registrant)

    def on_event(self, event: ServerEvent) -> None:
        """What the peer said. Raises ProtocolError for what has no place here."""
        match event:
            case ConnectReceived():
                self._connect(event)
            case PublishReceived():
                self._publish(event)
            case SubscribeReceived():
                self._subscribe(event)
            case UnsubscribeReceived():
                self._unsubscribe(event)
            case PublishAcknowledged():
                pass  # an answer is sent once, whatever becomes of it: the peer asks again
            case Disconnected():
                self.ended = True
                self._pump.close()
            case _:
                assert_never(event)

    def on_closed(self) -> None:
        """The connection is gone."""
        self.ended = True
        self._session.connection_lost()
        self._dps.left(self)

    # What the hub and a newer connection call

    def close(self, reason: Closing) -> None:
        """End the connection; MQTT 3.1.1 has no word for the reason."""
        self.ended = True
        self._dps.hub.note(f"closing {self.name}: {reason.value}")
        self._pump.close()

    def abort(self) -> None:
        """End the connection as a cut cable does."""
        self.ended = True
        self._pump.abort()

    def withdraw(self, who: Identity) -> None:
        """Devices of the hub have nothing to do with who registers."""

    # Events

    def _connect(self, event: ConnectReceived) -> None:
        try:
            registrant = parse_login(event.username or "")
        except ProtocolError as error:
            self._refuse(Refusal.BAD_CREDENTIALS, "malformed user name", error.what)
            return
        if event.client_id.lower() != registrant.key:
            what = f"client id {event.client_id!r} is not the {registrant.registration!r} of the user name"
            self._refuse(Refusal.BAD_CLIENT_ID, "client id", what)
            return
        if event.will is not None:
            self._refuse(Refusal.NOT_AUTHORIZED, "foreign will", f"{registrant} has a will, and nowhere to send it")
            return
        try:
            token = (event.password or b"").decode("utf-8", errors="replace")
            self._proven = self._dps.admit(registrant, token, self._pump.peer.certificates)
        except DpsError:
            self._end(Refusal.NOT_AUTHORIZED)
            return
        self._dps.hub.counters["connections accepted"] += 1
        self._dps.hub.note(f"connected {registrant}")
        self._dps.entered(self._proven.registrant, self)
        # Whatever the flag of the CONNECT says: there is nothing to keep (iothub_wire.md §5.1).
        self._session.accept(session_present=False)

    def _publish(self, event: PublishReceived) -> None:
        if self._dps.hub.faults.stalled:
            self._dps.hub.counters["messages swallowed while stalled"] += 1
            return
        proven = self._known()
        if self._dps.clock() >= proven.expires_at:
            self._dps.hub.counters[f"closed: {Closing.TOKEN_EXPIRED.value}"] += 1
            self.close(Closing.TOKEN_EXPIRED)
            return
        request = parse_topic(event.topic)
        if event.packet_id:
            self._session.acknowledge(event.packet_id)
        self._send(request, self._answer(proven, request, event.payload))

    def _answer(self, proven: Proven, request: Request, payload: bytes) -> Answer:
        try:
            if isinstance(request, Register):
                return self._dps.register(proven, payload)
            return self._dps.poll(proven, request.operation_id)
        except DpsError as error:
            return self._dps.refusal(error)

    def _subscribe(self, event: SubscribeReceived) -> None:
        if not self._dps.hub.faults.stalled:
            self._session.grant(event.packet_id, [self._grant(each) for each in event.filters])

    def _unsubscribe(self, event: UnsubscribeReceived) -> None:
        if self._dps.hub.faults.stalled:
            return
        if RESULTS_FILTER in event.filters:
            self._qos = None
        self._session.confirm_unsubscribe(event.packet_id, [0] * len(event.filters))

    def _grant(self, wanted: SubscribeFilter) -> int:
        if wanted.filter != RESULTS_FILTER:
            self._dps.hub.note(f"{self.name} may not subscribe to {wanted.filter[:80]!r}")
            return _REFUSED_FILTER
        self._qos = min(wanted.qos, 1)
        return self._qos

    # Sending

    def _send(self, request: Request, answer: Answer) -> None:
        """An answer that nobody has subscribed to, or that there is no room for, is lost."""
        if self._qos is None:
            return
        topic = format_result_topic(answer.status, request.request_id, answer.retry_after_s)
        self._session.publish(topic, orjson.dumps(answer.body), qos=self._qos)

    def _refuse(self, refusal: Refusal, reason: str, what: str) -> None:
        self._dps.hub.counters[f"provisioning refused: {reason}"] += 1
        self._dps.hub.note(f"refused provisioning: {what}")
        self._end(refusal)

    def _end(self, refusal: Refusal) -> None:
        self.ended = True
        self._session.refuse(refusal)
        self._pump.close()

    def _known(self) -> Proven:
        """Who this is; the session lets nothing through before CONNECT is answered."""
        assert self._proven is not None
        return self._proven
