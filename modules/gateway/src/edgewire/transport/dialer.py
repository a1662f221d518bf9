"""Connections that we open: to a host, perhaps through a proxy, in TLS, perhaps as a WebSocket, then the same pump.

Everything behind the handshakes, and the way a connection ends, is the listener's `Connection`.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, RejectConnection, Request
from wsproto.handshake import H11Handshake
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from edgewire.transport.connection import Connection, Phase
from edgewire.transport.cutting import Cutter
from edgewire.transport.limits import PLAIN_PIECE, TLS_PIECE, WEBSOCKET_PIECE, TransportLimits
from edgewire.transport.proxy import ConnectAnswer, Proxy, ProxyError
from edgewire.transport.pump import Accept
from edgewire.transport.reports import HandshakeFailed, HandshakeFailure, Report
from edgewire.transport.tls import Security
from edgewire.transport.tls_client import ClientSecurity
from edgewire.transport.tls_engine import HandshakeError
from edgewire.transport.websocket import HEAD_END, WebSocketService
from edgewire.transport.websocket_stream import WebSocketStream

__all__ = ["DialError", "DialFault", "DialTimes", "Route", "WebSocketTarget", "dial"]


class DialFault(Enum):
    """Why there is no connection."""

    UNREACHABLE = "unreachable"
    """No route, refused, or the name is unknown."""
    TIMED_OUT = "timed_out"
    PROXY = "proxy"
    """The proxy does not let us through."""
    TLS = "tls"
    CERTIFICATE = "certificate"
    """It is not signed by anybody we believe, or is for another name; or the server wants one of ours."""
    UPGRADE = "upgrade"
    """There is no WebSocket of this kind."""
    LOST = "lost"
    """It was closed before all was said."""


class DialError(Exception):
    """There is no connection; the text says why, with the place, for a person."""

    def __init__(self, fault: DialFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class DialTimes:
    """How long each step may take, in seconds."""

    connect_s: float = 10.0
    """The look-up of the name and TCP; a lost SYN is sent again after 1, 3 and 7 s."""
    proxy_s: float = 10.0
    """For the proxy's answer, who connects to the host meanwhile."""
    handshake_s: float = 15.0
    """TLS; the same again for the WebSocket."""


@dataclass(frozen=True, slots=True)
class WebSocketTarget:
    """What to ask for in an upgrade."""

    path: str
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where to, and how."""

    host: str
    port: int
    security: ClientSecurity | None
    """None for a plain connection, which only tests want."""
    websocket: WebSocketTarget | None = None
    proxy: Proxy | None = None

    def __str__(self) -> str:
        through = "" if self.proxy is None else f" through the proxy {self.proxy.host}:{self.proxy.port}"
        return f"{self.host}:{self.port}{through}"


_FAULTS: Final[Mapping[HandshakeFailure, DialFault]] = MappingProxyType(
    {
        HandshakeFailure.CERTIFICATE_REFUSED: DialFault.CERTIFICATE,
        HandshakeFailure.TIMEOUT: DialFault.TIMED_OUT,
        HandshakeFailure.LOST: DialFault.LOST,
        HandshakeFailure.BAD_UPGRADE: DialFault.UPGRADE,
        HandshakeFailure.NO_SUBPROTOCOL: DialFault.UPGRADE,
        HandshakeFailure.NOT_AN_UPGRADE: DialFault.UPGRADE,
        HandshakeFailure.HEAD_TOO_LARGE: DialFault.UPGRADE,
    }
)
"""All other kinds of failure are TLS's."""


async def dial(
    route: Route,
    make: Accept,
    *,
    on_crash: Callable[[Exception, str], None],
    report: Callable[[Report], None],
    times: DialTimes | None = None,
    limits: TransportLimits | None = None,
) -> None:
    """Connect, and serve what `make` gives once all handshakes are done; its `on_connected` comes before this returns.

    `on_crash` hears of an exception that is no ProtocolError, `report` of a connection that the transport cut; either
    comes later, and the owner hears that it is closed. Raises DialError.
    """
    times = times or DialTimes()
    host = _Host(route, make, limits or TransportLimits(), on_crash, report)
    connection = DialedConnection(host, route, make, times)
    host.connection = connection
    near = (route.host, route.port) if route.proxy is None else (route.proxy.host, route.proxy.port)
    try:
        async with asyncio.timeout(times.connect_s):
            await host.loop.create_connection(lambda: connection, *near)
        await host.ready
    except TimeoutError:
        raise DialError(DialFault.TIMED_OUT, f"{near[0]}:{near[1]} did not answer in {times.connect_s:g} s") from None
    except OSError as error:
        # asyncio's own text for a refused connection is "Connect call failed"; the number says why.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise DialError(DialFault.UNREACHABLE, f"cannot reach {near[0]}:{near[1]}: {why.lower()}") from error
    finally:
        if not host.is_open:
            connection.abort()


class _Host:
    """What a dialed connection needs in place of a listener; knows how the dialing went."""

    def __init__(
        self,
        route: Route,
        make: Accept,
        limits: TransportLimits,
        on_crash: Callable[[Exception, str], None],
        report: Callable[[Report], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.serve: Accept | WebSocketService = make
        self.security: Security | None = None
        self.cut: Cutter | None = None
        self.crashed = on_crash
        self.piece_bytes = PLAIN_PIECE
        if route.security is not None:
            self.piece_bytes = TLS_PIECE if route.websocket is None else WEBSOCKET_PIECE
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.connection: DialedConnection
        self._report = report

    @property
    def is_open(self) -> bool:
        """Whether all handshakes were done."""
        return self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None

    def report(self, report: Report) -> None:
        """A failed handshake is the dialer's answer; the rest is passed on."""
        if not isinstance(report, HandshakeFailed):
            self._report(report)
        elif not self.ready.done():
            fault = self.connection.fault or _FAULTS.get(report.reason, DialFault.TLS)
            self.ready.set_exception(DialError(fault, self.connection.sentence(report)))

    def on_handshaken(self, _connection: Connection) -> None:
        """All is done."""
        if not self.ready.done():
            self.ready.set_result(None)

    def on_gone(self, _connection: Connection) -> None:
        """It is closed; whoever waits hears of it by the report that follows."""


class DialedConnection(Connection):
    """The asyncio protocol of a connection that we opened."""

    __slots__ = ("_answer", "_handshake", "_head", "_make", "_name", "_route", "_step", "_times", "fault")

    def __init__(self, host: _Host, route: Route, make: Accept, times: DialTimes) -> None:
        super().__init__(host, route.host, route.port)
        self._make = make
        self._route = route
        self._times = times
        self._answer: ConnectAnswer | None = None
        self._handshake: H11Handshake | None = None
        self._head = b""
        self._step = "TLS"
        self.fault: DialFault | None = None
        """What failed, where the kind of handshake failure does not say."""

    def sentence(self, report: HandshakeFailed) -> str:
        """Why there is no connection, for a person."""
        if self.fault is DialFault.PROXY:
            return f"the proxy of {self._route} does not let us through: {report.detail}"
        if report.reason is HandshakeFailure.CERTIFICATE_REFUSED:
            return (
                f"the certificate of {self._route} is not accepted: {report.detail}. It must be signed by the trust "
                "bundle or an authority of the system, and name this host"
            )
        if report.reason is HandshakeFailure.TIMEOUT:
            return f"{self._route} did not answer in time ({self._step})"
        return f"{self._route}: {self._step} failed: {report.detail}"

    # The steps, in their order.

    def _begin(self) -> None:
        if self._route.proxy is None:
            self._begin_tls()
            return
        self._allow("the proxy's answer", self._times.proxy_s)
        self._answer = ConnectAnswer()
        self._send_raw(self._route.proxy.connect_request(self._route.host, self._route.port))

    def _receive(self, data: bytes) -> None:
        if self._answer is not None and self._phase < Phase.OPEN:
            self._receive_answer(self._answer, data)
        else:
            super()._receive(data)

    def _receive_answer(self, answer: ConnectAnswer, data: bytes) -> None:
        try:
            rest = answer.receive(data)
        except ProxyError as error:
            self.fault = DialFault.PROXY
            self._drop_handshake(HandshakeFailure.LOST, str(error))
            return
        if rest is None:
            return
        self._answer = None
        self._begin_tls()
        if rest:
            super()._receive(rest)

    def _begin_tls(self) -> None:
        if self._route.security is None:
            self._after_tls()
            return
        self._allow("TLS", self._times.handshake_s)
        self._phase = Phase.SECURING
        self._tls = engine = self._route.security.engine(self._route.host)
        try:
            engine.handshake(b"")
        except HandshakeError as error:
            self._drop_handshake(error.reason, str(error))
            return
        self._send_raw(engine.take_output())

    def _after_tls(self) -> None:
        target = self._route.websocket
        if target is None:
            self._open(self._make)
            return
        self._allow("WebSocket", self._times.handshake_s)
        self._phase = Phase.UPGRADING
        self._handshake = H11Handshake(ConnectionType.CLIENT)
        place = self._route.host if self._route.port == 443 else f"{self._route.host}:{self._route.port}"
        request = Request(host=place, target=target.path, subprotocols=[target.protocol])
        self._send(self._handshake.send(request))

    def _receive_upgrade(self, data: bytes) -> None:
        """The server's answer to our upgrade; frames may come right behind it."""
        self._head += data
        end = self._head.find(HEAD_END)
        if end < 0:
            if len(self._head) > self._host.limits.max_http_head_bytes:
                self._drop_handshake(HandshakeFailure.HEAD_TOO_LARGE, "the head of the answer is too long")
            return
        head, rest = self._head[: end + len(HEAD_END)], self._head[end + len(HEAD_END) :]
        self._head = b""
        refusal = self._take_head(head)
        if refusal:
            self._drop_handshake(HandshakeFailure.BAD_UPGRADE, refusal)
            return
        self._open(self._make)
        if rest:
            self._receive_clear(rest)

    def _take_head(self, head: bytes) -> str:
        """Begin the stream if the answer is a good one; gives what is wrong with it if not."""
        handshake, self._handshake = self._handshake, None
        assert handshake is not None
        assert self._route.websocket is not None
        try:
            handshake.receive_data(head)
            answer = next(handshake.events(), None)
        except (RemoteProtocolError, LocalProtocolError, UnicodeError) as error:
            return f"a bad answer: {error}"
        if isinstance(answer, RejectConnection):
            return f"the server answers {answer.status_code}"
        if not isinstance(answer, AcceptConnection) or handshake.connection is None:
            return "no answer to an upgrade"
        if (answer.subprotocol or "").lower() != self._route.websocket.protocol.lower():
            return f"the server does not speak {self._route.websocket.protocol}"
        self._stream = WebSocketStream(handshake.connection, self._host.limits)
        return ""

    def _allow(self, step: str, seconds: float) -> None:
        """So long for the next step."""
        self._step = step
        self._timer.set(self._host.loop.time() + seconds)
