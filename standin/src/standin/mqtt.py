"""One MQTT connection: who it is, and what its events mean (iothub_wire.md §1.1, §1.2)."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, assert_never

from edgewire.errors import ProtocolError
from edgewire.iothub.dps import is_login
from edgewire.iothub.username import Username, parse_username
from edgewire.message import Identity
from edgewire.session.mqtt.events import (
    ConnectReceived,
    Disconnected,
    PublishAcknowledged,
    PublishReceived,
    ServerEvent,
    SubscribeReceived,
    UnsubscribeReceived,
)
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.session.mqtt.refusal import Refusal
from edgewire.session.mqtt.server import ServerSession
from edgewire.transport.pump import Pump
from standin.admission import Admission, Admitted, Refused
from standin.dps import Provisioning
from standin.dps_mqtt import DpsMqtt
from standin.hub import Closing, Hub
from standin.mqtt_client import MqttClient, telemetry

LIMITS: Final = ServerLimits(levels=frozenset({4}), bridge_bit=False)
"""MQTT 3.1.1 and nothing else (iothub_wire.md §1.1, §1.9); a bridge's mark in the level is not known to IoT Hub."""
_LONGEST_TIMER_S: Final = 86_400.0
"""Tokens may live for thousands of years; timers need not."""


class MqttConnection:
    """Owns one MQTT session from the handshake to the end. Implements `transport.pump.Owner`."""

    def __init__(
        self,
        hub: Hub,
        admission: Admission,
        session: ServerSession,
        *,
        dps: Provisioning | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub = hub
        self._admission = admission
        self._dps = dps
        self._guest: DpsMqtt | None = None
        """Who does not speak to the hub but to the provisioning service."""
        self._session = session
        self._clock = clock
        self._client: MqttClient | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._closing = False

    def on_connected(self, pump: Pump[ServerEvent]) -> None:
        """The transport is ready; the session waits for CONNECT and gives up by itself."""
        self._pump = pump

    def on_events(self, events: list[ServerEvent]) -> None:
        """What the peer said, in its order; nothing counts any more once we have decided to close."""
        for event in events:
            speaker = self._guest or self._client
            if self._closing or (speaker is not None and speaker.ended):
                return
            if self._guest is not None:
                self._guest.on_event(event)
            else:
                self._on_event(event)

    def on_failed(self, error: ProtocolError) -> None:
        """The peer broke a rule; the pump closes after this."""
        self._hub.counters["closed: protocol error"] += 1
        self._hub.note(f"closing {self._name()}: {error}")

    def on_closed(self) -> None:
        """The connection is gone: publish the will that is due, and leave."""
        if self._expiry is not None:
            self._expiry.cancel()
        if self._guest is not None:
            self._guest.on_closed()
        if self._client is None:
            return
        will = self._session.connection_lost()
        if will is not None:
            self._client.publish_will(will)
        self._hub.disconnect(self._client)

    def on_sending_paused(self) -> None:
        """The peer reads slower than we send."""
        if self._client is not None:
            self._client.sending_paused()

    def on_sending_resumed(self) -> None:
        """The peer has caught up."""
        if self._client is not None:
            self._client.sending_resumed()

    def _on_event(self, event: ServerEvent) -> None:
        match event:
            case ConnectReceived():
                self._connect(event)
            case Disconnected():
                self._disconnected(event)
            case PublishReceived():
                self._known().publish_received(event)
            case SubscribeReceived():
                self._known().subscribe_received(event)
            case UnsubscribeReceived():
                self._known().unsubscribe_received(event)
            case PublishAcknowledged():
                self._known().acknowledged(event.packet_id)
            case _:
                assert_never(event)

    def _connect(self, event: ConnectReceived) -> None:
        if self._hub.faults.refusing:
            self._refuse(Refusal.SERVER_UNAVAILABLE, "refusing on purpose", f"{event.client_id!r}: as asked for")
            return
        if self._dps is not None and is_login(event.username or ""):
            self._guest = DpsMqtt(self._dps, self._session, self._pump)
            self._guest.on_event(event)
            return
        try:
            username = parse_username(event.username or "")
        except ProtocolError as error:
            self._refuse(Refusal.BAD_CREDENTIALS, "malformed user name", f"{event.client_id!r}: {error}")
            return
        if event.client_id != username.client_id:
            self._refuse(
                Refusal.BAD_CLIENT_ID,
                "client id",
                f"client id {event.client_id!r} is not the {username.client_id!r} of the user name",
            )
            return
        self._authenticate(event, username)

    def _authenticate(self, event: ConnectReceived, username: Username) -> None:
        decision = self._admission.admit(username, event.password, self._pump.peer.certificates)
        if isinstance(decision, Refused):
            self._refuse(Refusal.NOT_AUTHORIZED, decision.reason.value, decision.what)
            return
        if event.will is not None:
            try:
                telemetry(decision.identity, event.will.topic, event.will.payload, {})
            except ProtocolError as error:
                self._refuse(Refusal.NOT_AUTHORIZED, "foreign will", f"the will of {decision.identity}: {error}")
                return
        self._enter(event, decision)

    def _enter(self, event: ConnectReceived, admitted: Admitted) -> None:
        who = admitted.identity
        present = not event.clean_start and self._hub.session(who) is not None
        if event.clean_start:
            self._hub.forget_session(who)
        elif not present:
            self._hub.store_session(who, {})
        self._client = MqttClient(self._hub, self._session, self._pump, who, clean=event.clean_start)
        self._hub.counters["connections accepted"] += 1
        self._hub.note(f"connected {who}")
        self._session.accept(session_present=present)
        self._hub.connect(self._client)
        self._watch_expiry(who, admitted.expires_at)
        self._client.send_waiting()

    def _refuse(self, refusal: Refusal, reason: str, what: str) -> None:
        self._closing = True
        self._hub.counters[f"refused: {reason}"] += 1
        self._hub.note(f"refused {what}")
        self._session.refuse(refusal)
        self._pump.close()

    def _disconnected(self, event: Disconnected) -> None:
        self._closing = True
        if not event.clean:
            self._hub.counters["closed: silent"] += 1
            self._hub.note(f"closing {self._name()}: nothing heard for too long")
        if event.will is not None and self._client is not None:
            self._client.publish_will(event.will)
        self._pump.close()

    def _watch_expiry(self, who: Identity, expires_at: float | None) -> None:
        """Close the connection when its token or certificate expires (iothub_wire.md §7.1, rule 5)."""
        if expires_at is None:
            return
        left_s = expires_at - self._clock()
        if left_s > 0:
            self._expiry = asyncio.get_running_loop().call_later(
                min(left_s, _LONGEST_TIMER_S), self._watch_expiry, who, expires_at
            )
            return
        self._hub.counters[f"closed: {Closing.TOKEN_EXPIRED.value}"] += 1
        if self._client is not None:
            self._client.close(Closing.TOKEN_EXPIRED)

    def _known(self) -> MqttClient:
        """The client of this connection; the session lets nothing through before CONNECT is answered."""
        assert self._client is not None
        return self._client

    def _name(self) -> str:
        if self._guest is not None:
            return self._guest.name
        return f"a connection from {self._pump.peer.address}" if self._client is None else str(self._client.identity)
