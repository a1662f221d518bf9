"""A listening socket and its connections: who is let in, how many, and how they all end."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from edgewire.transport.connection import Connection
from edgewire.transport.cutting import Cutter
from edgewire.transport.limits import (
    ACCEPT_BATCH,
    ACCEPT_RETRY_S,
    DISPLACEABLE_AFTER_S,
    PLAIN_PIECE,
    TLS_PIECE,
    WEBSOCKET_PIECE,
    TransportLimits,
)
from edgewire.transport.pump import Accept
from edgewire.transport.reports import AcceptFailed, Report, TurnedAway, TurnedAwayReason
from edgewire.transport.tls import Security
from edgewire.transport.websocket import WebSocketService

FIRST_UNPRIVILEGED_PORT: Final = 1024
PEER_IS_GONE: Final = frozenset({errno.ECONNABORTED, errno.ECONNRESET, errno.EPERM, errno.EPROTO, errno.EINTR})
"""Errors of accept that concern one connection, already gone (accept(2)); all others concern us."""
MAPPED_IPV4: Final = "::ffff:"


class ListenError(Exception):
    """The address cannot be listened on; the text names address and port and says what to do."""


async def listen(
    address: str,
    port: int,
    *,
    serve: Accept | WebSocketService,
    security: Security | None,
    cut: Cutter | None = None,
    limits: TransportLimits | None = None,
    report: Callable[[Report], None],
    on_crash: Callable[[Exception, str], None],
) -> "Listener":
    """Listen on an IPv4 or IPv6 address ("::" takes both) and serve who connects; port 0 picks a free one.

    `serve` makes session and owner of each connection, or says which sub-protocols a WebSocket port has. Without
    `security` the port is plain. `cut` takes output apart, a write for each piece. `report` hears what owners do not;
    `on_crash` hears of an exception that is no ProtocolError, with the peer's address: that connection was cut.

    Raises ListenError.
    """
    limits = limits or TransportLimits()
    listening = _listening_socket(address, port, limits.backlog)
    return Listener(listening, serve=serve, security=security, cut=cut, limits=limits, report=report, on_crash=on_crash)


class Listener:
    """Accepts connections until `stop_accepting` or `close`. Made by `listen`."""

    def __init__(
        self,
        listening: socket.socket,
        *,
        serve: Accept | WebSocketService,
        security: Security | None,
        cut: Cutter | None,
        limits: TransportLimits,
        report: Callable[[Report], None],
        on_crash: Callable[[Exception, str], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.security = security
        self.cut = cut
        self.serve = serve
        self.piece_bytes = _piece_bytes(serve, security)
        self.report = report
        self.crashed = on_crash
        self.address: str
        self.port: int
        self.address, self.port = listening.getsockname()[:2]
        self._listening = listening
        self._connections: dict[Connection, None] = {}
        self._handshakes: dict[str, dict[Connection, None]] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._attaching: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._accepting = True
        self._start_accepting()

    @property
    def connections(self) -> int:
        """How many connections there are, handshakes and those still closing included."""
        return len(self._connections)

    @property
    def is_listening(self) -> bool:
        """Whether the kernel still takes connections for it; false for one that was stopped too."""
        if not self._accepting or self._listening.fileno() < 0:
            return False
        return self._listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1

    def stop_accepting(self) -> None:
        """Close the listening socket; connections go on."""
        if not self._accepting:
            return
        self._accepting = False
        if self._rest is not None:
            self._rest.cancel()
        self.loop.remove_reader(self._listening)
        self._listening.close()

    async def close(self, deadline_s: float) -> None:
        """Stop accepting, let every owner say goodbye, close in good order; cut who is left after `deadline_s`."""
        self.stop_accepting()
        for connection in tuple(self._connections):
            connection.stop()
        try:
            async with asyncio.timeout(deadline_s):
                await self._empty.wait()
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()
            await self._empty.wait()
        await asyncio.gather(*self._attaching)

    # What connections call.

    def on_handshaken(self, connection: Connection) -> None:
        """The connection is past its handshakes."""
        waiting = self._handshakes.get(connection.address)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._handshakes[connection.address]

    def on_gone(self, connection: Connection) -> None:
        """The connection is closed."""
        self.on_handshaken(connection)
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    # Accepting.

    def _start_accepting(self) -> None:
        self._rest = None
        self.loop.add_reader(self._listening, self._on_acceptable)

    def _on_acceptable(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                client, name = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in PEER_IS_GONE:
                    continue
                self._rest_after(error)
                return
            self._take(client, name)

    def _rest_after(self, error: OSError) -> None:
        """Out of descriptors or memory: without a rest the loop would spin; the kernel keeps who waits."""
        self.loop.remove_reader(self._listening)
        self._rest = self.loop.call_later(ACCEPT_RETRY_S, self._start_accepting)
        self.report(AcceptFailed(f"accept failed: {error.strerror or error}"))

    def _take(self, client: socket.socket, name: tuple[str, int]) -> None:
        connection = self._admit(name)
        if connection is None:
            client.close()
            return
        task = self.loop.create_task(self._attach(client, connection))
        self._attaching.add(task)
        task.add_done_callback(self._attaching.discard)

    def _admit(self, name: tuple[str, int]) -> Connection | None:
        """The connection for a new socket, None if there is no place for it."""
        address = name[0].removeprefix(MAPPED_IPV4) if "." in name[0] else name[0]
        if len(self._connections) >= self.limits.max_connections:
            self.report(TurnedAway(address, TurnedAwayReason.TOO_MANY_CONNECTIONS))
            return None
        waiting = self._handshakes.setdefault(address, {})
        if len(waiting) >= self.limits.max_handshakes_per_address and not self._displace(waiting):
            self.report(TurnedAway(address, TurnedAwayReason.TOO_MANY_HANDSHAKES))
            return None
        connection = Connection(self, address, name[1])
        waiting[connection] = None
        self._connections[connection] = None
        self._empty.clear()
        return connection

    def _displace(self, waiting: dict[Connection, None]) -> bool:
        """Cut the oldest handshake of an address, if it has had its chance.

        Silent connections must not lock out those that speak.
        """
        oldest = next(iter(waiting))
        if self.loop.time() - oldest.accepted_at < DISPLACEABLE_AFTER_S:
            return False
        del waiting[oldest]
        self.report(TurnedAway(oldest.address, TurnedAwayReason.DISPLACED))
        oldest.abort()
        return True

    async def _attach(self, client: socket.socket, connection: Connection) -> None:
        try:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.connect_accepted_socket(lambda: connection, client)
        except OSError:  # the peer is gone already
            client.close()
            self.on_gone(connection)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost this connection only
            client.close()
            self.on_gone(connection)
            self.crashed(error, connection.address)


def _piece_bytes(serve: Accept | WebSocketService, security: Security | None) -> int:
    if isinstance(serve, WebSocketService):
        return WEBSOCKET_PIECE
    return PLAIN_PIECE if security is None else TLS_PIECE


def _listening_socket(address: str, port: int, backlog: int) -> socket.socket:
    try:
        version = ipaddress.ip_address(address).version
    except ValueError as error:
        raise ListenError(
            f"cannot listen on {address!r}: it is not an IP address. Give one of this machine, "
            "or 0.0.0.0 for all its IPv4 addresses, :: for all."
        ) from error
    listening = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == 6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.setblocking(False)
        listening.bind((address, port))
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        raise ListenError(_listen_sentence(address, port, error)) from error
    return listening


def _listen_sentence(address: str, port: int, error: OSError) -> str:
    place = f"cannot listen on {address} port {port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place}: another program has the port. Stop it (see 'ss -ltnp sport = :{port}'), or choose another port."
        )
    if error.errno in {errno.EACCES, errno.EPERM} and port < FIRST_UNPRIVILEGED_PORT:
        return (
            f"{place}: ports below {FIRST_UNPRIVILEGED_PORT} need a privilege. Run as root, give the program "
            "CAP_NET_BIND_SERVICE, lower net.ipv4.ip_unprivileged_port_start, or choose a port from 1024 up."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{place}: this machine does not have the address. See 'ip address', or use 0.0.0.0 for all of them."
    return f"{place}: {error.strerror or error}. Choose another address or port."
