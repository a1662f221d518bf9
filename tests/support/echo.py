"""A session that sends back what it gets, and an owner that writes down what it hears: for tests of transports."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from edgewire.errors import ProtocolError
from edgewire.transport.cutting import Cutter
from edgewire.transport.limits import TransportLimits
from edgewire.transport.listener import Listener, listen
from edgewire.transport.pump import Accept, Owner, Peer, Pump, Session
from edgewire.transport.reports import Report
from edgewire.transport.tls import Security
from edgewire.transport.websocket import WebSocketService

PATIENCE_S = 30.0
"""Longest wait for something that must come."""


class EchoSession:
    """Echoes; `BAD` is against its protocol, `BUG` is a fault of ours."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.output = bytearray()
        self.wake_at: float | None = None

    def receive(self, data: bytes, now: float) -> list[bytes]:
        self.received += data
        if b"BAD" in data:
            self.output += b"farewell"
            raise ProtocolError("BAD was said")
        if b"BUG" in data:
            raise RuntimeError("a bug in the session")
        self.output += data
        return [data]

    def take_output(self) -> bytes:
        output = bytes(self.output)
        self.output.clear()
        return output

    def deadline(self) -> float | None:
        return self.wake_at

    def on_deadline(self, now: float) -> list[bytes]:
        self.wake_at = None
        return [b"deadline"]


class RecordingOwner:
    """Writes down the names of its calls, and can be made to do things in them."""

    def __init__(self, peer: Peer | None = None, doing: dict[str, Callable[[], None]] | None = None) -> None:
        self.peer = peer
        self.doing = {} if doing is None else doing
        self.calls: list[str] = []
        self.events: list[bytes] = []
        self.closed = asyncio.Event()
        self.paused = asyncio.Event()
        self.pump: Pump[bytes]

    def on_connected(self, pump: Pump[bytes]) -> None:
        self.pump = pump
        self._note("connected")

    def on_events(self, events: list[bytes]) -> None:
        self.events += events
        self._note("events")

    def on_failed(self, error: ProtocolError) -> None:
        self._note("failed")

    def on_closed(self) -> None:
        self.closed.set()
        self._note("closed")

    def on_sending_paused(self) -> None:
        self.paused.set()
        self._note("paused")

    def on_sending_resumed(self) -> None:
        self._note("resumed")

    def on_stopping(self) -> None:
        self._note("stopping")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.doing.get(call, lambda: None)()


@dataclass
class EchoServer:
    """A listener of echo sessions, with all that it reported."""

    limits: TransportLimits = field(default_factory=TransportLimits)
    sessions: list[EchoSession] = field(default_factory=list)
    owners: list[RecordingOwner] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    crashes: list[Exception] = field(default_factory=list)
    loop_errors: list[dict[str, object]] = field(default_factory=list)
    doing: dict[str, Callable[[], None]] = field(default_factory=dict)
    listener: Listener = field(init=False)

    @property
    def port(self) -> int:
        return self.listener.port

    def accept(self, peer: Peer) -> tuple[Session[bytes], Owner[bytes]]:
        self.sessions.append(EchoSession())
        self.owners.append(RecordingOwner(peer, self.doing))
        return self.sessions[-1], self.owners[-1]

    def crashed(self, error: Exception, _address: str) -> None:
        self.crashes.append(error)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Turn the loop until something holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - what is awaited has no event of its own
                await asyncio.sleep(0.001)


@asynccontextmanager
async def echo_server(
    *,
    security: Security | None = None,
    cut: Cutter | None = None,
    limits: TransportLimits | None = None,
    serve: Callable[[Accept], Accept | WebSocketService] = lambda accept: accept,
    address: str = "127.0.0.1",
    clean: bool = True,
) -> AsyncIterator[EchoServer]:
    """An echo server while the block runs; afterwards nothing may be left, and, if `clean`, no fault of ours seen."""
    server = EchoServer(limits=limits or TransportLimits())
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: server.loop_errors.append(context))
    server.listener = await listen(
        address,
        0,
        serve=serve(server.accept),
        security=security,
        cut=cut,
        limits=server.limits,
        report=server.reports.append,
        on_crash=server.crashed,
    )
    try:
        yield server
    finally:
        await server.listener.close(2)
    assert server.listener.connections == 0
    assert all(owner.calls.count("closed") == 1 and owner.calls[-1] == "closed" for owner in server.owners)
    assert server.loop_errors == []
    if clean:
        assert server.crashes == []
