import asyncio
import select
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from edgewire.transport.dialer import DialError, DialFault, DialTimes, Route, WebSocketTarget, dial
from edgewire.transport.limits import TransportLimits
from edgewire.transport.proxy import Proxy
from edgewire.transport.pump import Accept, Owner, Peer, Session
from edgewire.transport.reports import Report
from edgewire.transport.tls import Security
from edgewire.transport.tls_client import ClientSecurity
from edgewire.transport.websocket import WebSocketService
from support.certificates import self_signed
from support.echo import PATIENCE_S, EchoServer, EchoSession, RecordingOwner, echo_server
from support.tunnel import tunnel

SERVER = self_signed("localhost")
OTHER = self_signed("elsewhere")
BELIEVING = ClientSecurity(SERVER.anchor_pem)
TARGET = WebSocketTarget("/$iothub/websocket", "AMQPWSB10")


def security(server: object = SERVER) -> Security:
    assert server in (SERVER, OTHER)
    made = SERVER if server is SERVER else OTHER
    return Security(made.pem, made.key_pem)


def as_websocket(accept: Accept) -> WebSocketService:
    return WebSocketService({"AMQPWSB10": accept})


class SilentSession(EchoSession):
    """Takes what comes, and says nothing by itself."""

    def receive(self, data: bytes, now: float) -> list[bytes]:
        self.received += data
        return [data]


class Caller:
    """What dials: one connection's session and owner, and what was reported."""

    def __init__(self) -> None:
        self.session = SilentSession()
        self.owner = RecordingOwner()
        self.reports: list[Report] = []
        self.crashes: list[Exception] = []
        self.peer: Peer | None = None

    def make(self, peer: Peer) -> tuple[Session[bytes], Owner[bytes]]:
        self.peer = peer
        return self.session, self.owner

    async def dial(self, route: Route, times: DialTimes | None = None) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await dial(
                route,
                self.make,
                on_crash=lambda error, _address: self.crashes.append(error),
                report=self.reports.append,
                times=times,
                limits=TransportLimits(max_http_head_bytes=1_000),
            )

    async def echoed(self, server: EchoServer, data: bytes) -> None:
        """Send, and wait until all of it is back."""
        self.session.output += data
        self.owner.pump.flush()
        before = len(self.session.received)
        await server.until(lambda: len(self.session.received) - before >= len(data))
        assert bytes(self.session.received[before:]) == data

    async def hang_up(self) -> None:
        self.owner.pump.close()
        async with asyncio.timeout(PATIENCE_S):
            await self.owner.closed.wait()


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("over_websocket", [False, True])
@pytest.mark.parametrize("secured", [False, True])
async def test_bytes_go_both_ways_through_all_layers(*, secured: bool, over_websocket: bool, proxied: bool) -> None:
    serve: Callable[[Accept], Accept | WebSocketService] = as_websocket if over_websocket else lambda accept: accept
    async with tunnel() as through, echo_server(security=security() if secured else None, serve=serve) as server:
        caller = Caller()
        await caller.dial(
            Route(
                host="localhost" if secured else "127.0.0.1",
                port=server.port,
                security=BELIEVING if secured else None,
                websocket=TARGET if over_websocket else None,
                proxy=Proxy(host="127.0.0.1", port=through.port) if proxied else None,
            )
        )
        assert caller.owner.calls == ["connected"]
        await caller.echoed(server, b"hello")
        await caller.echoed(server, b"x" * 300_000)
        assert caller.peer is not None
        assert (caller.peer.tls != "", caller.peer.websocket) == (secured, over_websocket)
        await caller.hang_up()
        assert len(through.requests) == proxied
    assert caller.owner.calls[-1] == "closed"
    assert caller.reports == []
    assert caller.crashes == []


async def test_a_proxy_is_told_who_we_are() -> None:
    async with tunnel() as through, echo_server() as server:
        caller = Caller()
        proxy = Proxy(host="127.0.0.1", port=through.port, user="site", password="p:w")
        await caller.dial(Route(host="127.0.0.1", port=server.port, security=None, proxy=proxy))
        await caller.hang_up()
        assert through.requests[0].splitlines()[:3] == [
            b"CONNECT 127.0.0.1:%d HTTP/1.1" % server.port,
            b"Host: 127.0.0.1:%d" % server.port,
            b"Proxy-Authorization: Basic c2l0ZTpwOnc=",
        ]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it answers 407 Proxy Authentication Required"),
        (b"SSH-2.0\r\n\r\n", "its answer is no HTTP/1.1"),
        (b"HTTP/1.1 200" + b"x" * 9_000, "too long"),
        (b"", "closed"),
    ],
)
async def test_a_proxy_that_refuses_is_named_with_its_words(answer: bytes, says: str) -> None:
    async with tunnel(answer=answer.replace(b" 200", b" 20O")) as through:
        caller = Caller()
        proxy = Proxy(host="127.0.0.1", port=through.port)
        with pytest.raises(DialError, match=f"through the proxy 127.0.0.1:{through.port}") as failed:
            await caller.dial(Route(host="hub.example", port=5671, security=BELIEVING, proxy=proxy))
        assert says in str(failed.value)
        assert caller.peer is None


async def test_a_certificate_for_another_name_or_by_a_stranger_is_refused() -> None:
    async with echo_server(security=security(OTHER)) as server:
        for trusted in (SERVER.anchor_pem, OTHER.anchor_pem):
            with pytest.raises(DialError, match="is not accepted") as failed:
                await Caller().dial(Route(host="localhost", port=server.port, security=ClientSecurity(trusted)))
            assert failed.value.fault is DialFault.CERTIFICATE


@pytest.mark.parametrize(
    ("protocol", "says"), [("mqtt", "the server answers 400"), ("amqpwsb10", "")], ids=["other", "letter case"]
)
async def test_a_websocket_of_another_kind_is_refused(protocol: str, says: str) -> None:
    async with echo_server(serve=as_websocket) as server:
        caller = Caller()
        route = Route(host="127.0.0.1", port=server.port, security=None, websocket=WebSocketTarget("/any", protocol))
        if not says:
            await caller.dial(route)
            await caller.hang_up()
            return
        with pytest.raises(DialError, match=says) as failed:
            await caller.dial(route)
        assert failed.value.fault is DialFault.UPGRADE


@pytest.mark.parametrize(
    ("answer", "fault", "says"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", DialFault.UPGRADE, "the server answers 404"),
        (b"no http at all\r\n\r\n", DialFault.UPGRADE, "a bad answer"),
        (b"x" * 2_000, DialFault.UPGRADE, "too long"),
        (b"", DialFault.LOST, "closed"),
    ],
)
async def test_a_server_that_is_no_websocket_is_told_apart(answer: bytes, fault: DialFault, says: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(DialError, match=says) as failed:
        await Caller().dial(Route(host="127.0.0.1", port=port, security=None, websocket=TARGET))
    assert failed.value.fault is fault
    server.close()


async def test_nobody_there_is_said_with_the_place() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(DialError, match=f"cannot reach 127.0.0.1:{port}") as failed:
            await Caller().dial(Route(host="127.0.0.1", port=port, security=None))
    assert failed.value.fault is DialFault.UNREACHABLE


@pytest.mark.parametrize(
    ("secured", "proxied", "over_websocket", "step"),
    [(True, False, False, "TLS"), (False, True, False, "the proxy's answer"), (False, False, True, "WebSocket")],
)
async def test_a_server_that_says_nothing_is_given_up(
    *, secured: bool, proxied: bool, over_websocket: bool, step: str
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        route = Route(
            host="127.0.0.1",
            port=port,
            security=BELIEVING if secured else None,
            websocket=TARGET if over_websocket else None,
            proxy=Proxy(host="127.0.0.1", port=port) if proxied else None,
        )
        with pytest.raises(DialError, match=f"did not answer in time .{step}") as failed:
            await Caller().dial(route, DialTimes(proxy_s=0.05, handshake_s=0.05))
    assert failed.value.fault is DialFault.TIMED_OUT


async def test_a_connect_that_takes_too_long_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        filling = [socket.socket() for _ in range(2)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        select.select([silent], [], [], PATIENCE_S)  # one is in the queue, which has no room for another
        with pytest.raises(DialError, match=r"did not answer in 0\.05 s") as failed:
            await Caller().dial(Route(host="127.0.0.1", port=port, security=None), DialTimes(connect_s=0.05))
        for one in filling:
            one.close()
    assert failed.value.fault is DialFault.TIMED_OUT


async def test_a_server_that_speaks_no_tls_is_said() -> None:
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"220 mail.example ready\r\n")
            await writer.drain()
            await reader.read()
        writer.close()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(DialError, match="TLS failed") as failed:
        await Caller().dial(Route(host="127.0.0.1", port=port, security=BELIEVING))
    assert failed.value.fault is DialFault.TLS
    server.close()
    await asyncio.wait_for(served.wait(), PATIENCE_S)  # nothing is left open


async def test_who_gives_up_leaves_no_connection_behind() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        caller = Caller()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await caller.dial(Route(host="127.0.0.1", port=silent.getsockname()[1], security=BELIEVING))
        taken, _ = silent.accept()
        taken.setblocking(False)
        with taken, suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while await asyncio.get_running_loop().sock_recv(taken, 65_536):
                    pass
    assert caller.peer is None


async def test_a_fault_of_ours_is_told_and_costs_its_connection() -> None:
    async with echo_server() as server:
        caller = Caller()

        def fail() -> None:
            raise ZeroDivisionError

        caller.owner.doing["events"] = fail
        await caller.dial(Route(host="127.0.0.1", port=server.port, security=None))
        caller.session.output += b"x"
        caller.owner.pump.flush()
        await asyncio.wait_for(caller.owner.closed.wait(), PATIENCE_S)
    assert [type(error) for error in caller.crashes] == [ZeroDivisionError]
