"""The ways in: the listeners for devices, and what they report as events."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, assert_never

from edgewire.codec.mqtt.frames import whole_packets
from edgewire.transport.cutting import Cutter
from edgewire.transport.limits import TransportLimits
from edgewire.transport.listener import Listener, listen
from edgewire.transport.pump import Accept
from edgewire.transport.reports import AcceptFailed, ConnectionCut, HandshakeFailed, Report, TurnedAway
from edgewire.transport.tls import Security
from edgewire.transport.websocket import WebSocketService
from gateway.app.settings import Environment
from gateway.observe.events import Event
from gateway.observe.head import (
    AcceptingPaused,
    ClosedBeforeLogin,
    ConnectionCrashed,
    ConnectionRefused,
    ConnectionWasCut,
    Cut,
)

Emit = Callable[[Event], None]


AMQP_OVER_WEBSOCKET: Final = ("AMQPWSB10", "amqp")
"""Azure's clients ask for the first, the standard's binding (AMQP WSB 1.0 §2.1) and others for the second."""

HINT_CONSTRAINED: Final = (
    "It knows no cipher suite with forward secrecy: a small board (ESP8266) must dial GATEWAY_CONSTRAINED_MQTT_PORT or "
    "GATEWAY_CONSTRAINED_HTTPS_PORT, once such a port is set"
)
HINT_MODERN: Final = (
    "The listeners for small boards offer RSA key exchange over an RSA certificate alone: if it is a small board, see "
    "what the gateway said of that certificate at its start; all others must dial the usual ports"
)

CONSTRAINED_HANDSHAKE_S: Final = 40.0
"""For a small board's handshake: at 80 MHz it computes for seconds, perhaps over poor Wi-Fi. Twice the others'."""


class Doors:
    """The listeners of one gateway: MQTT and AMQP over TLS, and on one port both over WebSocket, and HTTPS."""

    def __init__(
        self,
        security: Security,
        emit: Emit,
        limits: TransportLimits,
        *,
        mqtt: Accept,
        amqp: Accept,
        http: Accept,
        bootstrap: Accept | None = None,
        constrained: Security | None = None,
    ) -> None:
        self._security = security
        self._constrained = constrained
        self._mqtt = mqtt
        self._amqp = amqp
        self._http = http
        self._bootstrap = bootstrap
        self._emit = emit
        self._limits = limits
        self._listeners: dict[str, Listener] = {}

    async def open(self, environment: Environment) -> None:
        """Listen where the settings say. Raises ListenError; then nothing is open."""
        over_websocket = {"mqtt": self._mqtt, **dict.fromkeys(AMQP_OVER_WEBSOCKET, self._amqp)}
        services: dict[str, tuple[int, Accept | WebSocketService]] = {
            "mqtt": (environment.mqtt_port, self._mqtt),
            "amqp": (environment.amqp_port, self._amqp),
            "websocket": (environment.websocket_port, WebSocketService(over_websocket, http=self._http)),
        }
        try:
            for name, (port, serve) in services.items():
                if port:
                    self._listeners[name] = await self._listen(environment.address, port, serve, self._security)
            if self._constrained is not None:
                await self._open_constrained(environment, self._constrained)
            if self._bootstrap is not None and (port := environment.bootstrap_plain_port):
                self._listeners["plain bootstrap"] = await self._listen(
                    environment.address, port, self._bootstrap, None
                )
        except BaseException:
            await self.close(0)
            raise

    async def add(self, name: str, address: str, port: int, serve: Accept) -> Listener:
        """One more listener, without TLS; it closes with the others. Raises ListenError."""
        self._listeners[name] = listener = await self._listen(address, port, serve, None)
        return listener

    async def _open_constrained(self, environment: Environment, security: Security) -> None:
        services: dict[str, tuple[int, Accept, Cutter | None]] = {
            "constrained mqtt": (environment.constrained_mqtt_port, self._mqtt, whole_packets),
            "constrained https": (environment.constrained_https_port, self._http, None),
        }
        limits = replace(self._limits, handshake_timeout_s=CONSTRAINED_HANDSHAKE_S)
        for name, (port, serve, cut) in services.items():
            if port:
                self._listeners[name] = await self._listen(
                    environment.address,
                    port,
                    serve,
                    security,
                    limits=limits,
                    cut=cut,
                    report=self._report_constrained,
                )

    async def _listen(
        self,
        address: str,
        port: int,
        serve: Accept | WebSocketService,
        security: Security | None,
        *,
        limits: TransportLimits | None = None,
        cut: Cutter | None = None,
        report: Callable[[Report], None] | None = None,
    ) -> Listener:
        return await listen(
            address,
            port,
            serve=serve,
            security=security,
            cut=cut,
            limits=limits or self._limits,
            report=report or self._report,
            on_crash=self._on_crash,
        )

    def __str__(self) -> str:
        places = [f"{name} on {each.address} port {each.port}" for name, each in self._listeners.items()]
        return ", ".join(places) or "nowhere"

    @property
    def connections(self) -> int:
        """How many there are, handshakes included."""
        return sum(listener.connections for listener in self._listeners.values())

    def by_listener(self) -> Mapping[str, int]:
        """How many there are at each listener."""
        return {name: listener.connections for name, listener in self._listeners.items()}

    def is_listening(self) -> bool:
        """Whether all listeners do what they are there for."""
        return all(listener.is_listening for listener in self._listeners.values())

    async def close(self, deadline_s: float) -> None:
        """Say goodbye to all devices and close; who is left after the deadline is cut."""
        await asyncio.gather(*(listener.close(deadline_s) for listener in self._listeners.values()))
        self._listeners.clear()

    def _report_constrained(self, report: Report) -> None:
        self._report(report, HINT_MODERN)

    def _report(self, report: Report, hint: str = HINT_CONSTRAINED) -> None:
        """Make an event of it; `hint` is what to do for a peer that has no cipher suite in common with us."""
        match report:
            case TurnedAway():
                detail = report.reason.value.replace("_", " ")
                self._emit(ConnectionRefused(ClosedBeforeLogin.TOO_MANY, report.address, detail))
            case HandshakeFailed():
                reason = ClosedBeforeLogin(report.reason.value)
                detail = f"{report.detail}. {hint}" if reason is ClosedBeforeLogin.TLS_CIPHER else report.detail
                self._emit(ConnectionRefused(reason, report.address, detail))
            case ConnectionCut():
                self._emit(ConnectionWasCut(Cut(report.reason.value), report.address, report.detail))
            case AcceptFailed():
                self._emit(AcceptingPaused(report.detail))
            case _:
                assert_never(report)

    def _on_crash(self, error: Exception, address: str) -> None:
        self._emit(ConnectionCrashed(address, f"{type(error).__name__}: {error}"))
