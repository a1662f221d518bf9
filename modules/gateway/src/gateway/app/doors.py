"""The ways in: the listeners for devices, and what they report as events."""

import asyncio
from collections.abc import Callable
from typing import Final, assert_never

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


class Doors:
    """The listeners of one gateway: MQTT and AMQP over TLS, and on one port both over WebSocket, and HTTPS."""

    def __init__(
        self, security: Security, emit: Emit, limits: TransportLimits, *, mqtt: Accept, amqp: Accept, http: Accept
    ) -> None:
        self._security = security
        self._mqtt = mqtt
        self._amqp = amqp
        self._http = http
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
                    self._listeners[name] = await listen(
                        environment.address,
                        port,
                        serve=serve,
                        security=self._security,
                        limits=self._limits,
                        report=self._report,
                        on_crash=self._on_crash,
                    )
        except BaseException:
            await self.close(0)
            raise

    def __str__(self) -> str:
        places = [f"{name} on {each.address} port {each.port}" for name, each in self._listeners.items()]
        return ", ".join(places) or "nowhere"

    @property
    def connections(self) -> int:
        """How many there are, handshakes included."""
        return sum(listener.connections for listener in self._listeners.values())

    async def close(self, deadline_s: float) -> None:
        """Say goodbye to all devices and close; who is left after the deadline is cut."""
        await asyncio.gather(*(listener.close(deadline_s) for listener in self._listeners.values()))
        self._listeners.clear()

    def _report(self, report: Report) -> None:
        match report:
            case TurnedAway():
                detail = report.reason.value.replace("_", " ")
                self._emit(ConnectionRefused(ClosedBeforeLogin.TOO_MANY, report.address, detail))
            case HandshakeFailed():
                reason = ClosedBeforeLogin(report.reason.value)
                self._emit(ConnectionRefused(reason, report.address, report.detail))
            case ConnectionCut():
                self._emit(ConnectionWasCut(Cut(report.reason.value), report.address, report.detail))
            case AcceptFailed():
                self._emit(AcceptingPaused(report.detail))
            case _:
                assert_never(report)

    def _on_crash(self, error: Exception, address: str) -> None:
        self._emit(ConnectionCrashed(address, f"{type(error).__name__}: {error}"))
