"""Connections over real sockets on loopback: one suite for plain, both TLS engines, and WebSocket over TLS."""

import asyncio
import random
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import uvloop

from edgewire.transport.connection import Phase
from edgewire.transport.limits import TransportLimits
from edgewire.transport.pump import Accept
from edgewire.transport.reports import ConnectionCut, CutReason, HandshakeFailed, HandshakeFailure
from edgewire.transport.tls import ClientCertificates, Profile, Security
from edgewire.transport.websocket import WebSocketService
from support.axtls_client import AxTlsClient
from support.certificates import Credential, rsa_key, self_signed
from support.echo import PATIENCE_S, EchoServer, echo_server
from support.tls_client import MemoryClient, client_context
from support.websocket_client import MemoryWebSocket, request

SERVER = self_signed("gateway")


def mqtt_over_websocket(accept: Accept) -> WebSocketService:
    return WebSocketService(protocols={"mqtt": accept})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of port."""

    name: str
    client_certificates: ClientCertificates | None = None
    websocket: bool = False

    def security(self) -> Security | None:
        if self.client_certificates is None:
            return None
        return Security(SERVER.pem, SERVER.key_pem, client_certificates=self.client_certificates)

    def serve(self, accept: Accept) -> Accept | WebSocketService:
        return mqtt_over_websocket(accept) if self.websocket else accept


PLAIN = Kind("plain")
TLS = Kind("tls", ClientCertificates.NONE)
TLS_ASKING = Kind("tls asking", ClientCertificates.REQUESTED)
WS = Kind("ws", None, websocket=True)
WSS = Kind("wss", ClientCertificates.NONE, websocket=True)
KINDS = [PLAIN, TLS, TLS_ASKING, WSS]
TLS_KINDS = [TLS, TLS_ASKING]


def kinds(chosen: list[Kind]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", chosen, ids=lambda kind: kind.name)


@asynccontextmanager
async def server_of(
    kind: Kind, *, limits: TransportLimits | None = None, clean: bool = True
) -> AsyncIterator[EchoServer]:
    patient = limits or TransportLimits(close_timeout_s=PATIENCE_S)  # who reads late has its last words all the same
    async with (
        asyncio.timeout(3 * PATIENCE_S),
        echo_server(security=kind.security(), serve=kind.serve, limits=patient, clean=clean) as server,
    ):
        yield server


class Client:
    """A device: clear bytes in and out, whatever the layers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.websocket: MemoryWebSocket | None = None
        self._payload = b""

    async def upgrade(self) -> None:
        self.websocket = MemoryWebSocket()
        self.writer.write(self.websocket.request)
        while self.websocket.accepted is None:
            await self._more()

    def send(self, data: bytes) -> None:
        self.writer.write(data if self.websocket is None else self.websocket.message(data))

    async def receive(self, size: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._payload) < size:
            assert await self._more(), f"closed after {self._payload!r}"
        data, self._payload = self._payload[:size], self._payload[size:]
        return data

    async def rest(self) -> bytes:
        """All up to the server's end."""
        while await self._more():
            pass
        return self._payload

    async def _more(self) -> bool:
        data = await self.reader.read(65_536)
        self._payload += self._unframed(self.websocket, data)
        return bool(data)

    def _unframed(self, websocket: MemoryWebSocket | None, data: bytes) -> bytes:
        if websocket is None:
            return data
        if not data or websocket.closed:
            return b""
        payload = websocket.read(data)
        if close := websocket.closed:
            self.writer.write(websocket.send(close.response()))
        return payload


@asynccontextmanager
async def client_of(server: EchoServer, kind: Kind, context: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    tls = (context or client_context()) if kind.client_certificates else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=tls, server_hostname="gateway" if tls else None
    )
    client = Client(reader, writer)
    try:
        if kind.websocket:
            await client.upgrade()
        yield client
    finally:
        if not writer.transport.is_closing():  # Python 3.11.2 fails to abort what its peer has closed already
            writer.transport.abort()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()  # or the loop ends first, and a later test is told of what was left open


@kinds(KINDS)
async def test_bytes_go_through_the_session_and_back(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"hello")
        assert await client.receive(5) == b"hello"
        assert server.owners[0].calls == ["connected", "events"]


@kinds(KINDS)
async def test_the_owner_learns_who_the_peer_is(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        peer = server.owners[0].peer
        assert peer is server.owners[0].pump.peer
        assert peer is not None
        assert (peer.address, peer.port) == client.writer.get_extra_info("sockname")
        assert peer.tls == ("TLSv1.3" if kind.client_certificates else "")
        assert peer.websocket == kind.websocket
        assert peer.certificates == ()


@kinds(TLS_KINDS)
async def test_a_device_of_tls_1_2_only_is_served(kind: Kind) -> None:
    async with (
        server_of(kind) as server,
        client_of(server, kind, client_context(version=ssl.TLSVersion.TLSv1_2)) as client,
    ):
        client.send(b"x")
        assert await client.receive(1) == b"x"
        assert server.owners[0].peer is not None
        assert server.owners[0].peer.tls == "TLSv1.2"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_self_signed_certificate_of_a_device_is_handed_on(version: ssl.TLSVersion, tmp_path: Path) -> None:
    device = self_signed("dev1")
    file = tmp_path / "device.pem"
    file.write_bytes(device.key_pem + device.pem)
    context = client_context(version=version)
    context.load_cert_chain(file)
    async with server_of(TLS_ASKING) as server, client_of(server, TLS_ASKING, context) as client:
        client.send(b"x")
        await client.receive(1)
        assert server.owners[0].peer is not None
        assert server.owners[0].peer.certificates == (device.der,)


@kinds(KINDS)
async def test_megabytes_go_both_ways_unchanged(kind: Kind) -> None:
    data = random.Random(7).randbytes(3_000_000)
    async with server_of(kind) as server, client_of(server, kind) as client:
        for at in range(0, len(data), 500_000):
            client.send(data[at : at + 500_000])
        assert await client.receive(len(data)) == data


@kinds(KINDS)
async def test_a_device_that_writes_one_byte_at_a_time_is_served(kind: Kind) -> None:
    async with server_of(kind) as server:
        tls = MemoryClient(client_context()) if kind.client_certificates else None
        socket_ = socket.create_connection(("127.0.0.1", server.port))
        socket_.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        socket_.setblocking(False)
        try:
            await trickle(tls, socket_, request() if kind.websocket else b"hello")
            if kind.websocket:
                await trickle(tls, socket_, b"\x82\x85\0\0\0\0hello")
            await server.until(lambda: bool(server.sessions) and bytes(server.sessions[0].received) == b"hello")
        finally:
            socket_.close()


async def trickle(tls: MemoryClient | None, socket_: socket.socket, data: bytes) -> None:
    """Send in single bytes, in TLS if there is any, the handshake too."""
    loop = asyncio.get_running_loop()

    async def send(wire: bytes) -> None:
        for byte in wire:
            await loop.sock_sendall(socket_, bytes([byte]))

    if tls is not None:
        while not tls.handshake():
            await send(tls.to_server.read())
            tls.from_server.write(await loop.sock_recv(socket_, 65_536))
        data = tls.to_server.read() + tls.send(data)
    await send(data)


@kinds(KINDS)
async def test_a_fault_of_the_peer_is_answered_and_ends_its_connection(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"BAD")
        assert await client.rest() == b"farewell"
        client.writer.close()
        await server.owners[0].closed.wait()
        assert server.owners[0].calls == ["connected", "failed", "closed"]


@kinds(KINDS)
async def test_a_fault_of_ours_ends_one_connection_and_no_other(kind: Kind) -> None:
    async with (
        server_of(kind, clean=False) as server,
        client_of(server, kind) as victim,
        client_of(server, kind) as bystander,
    ):
        victim.send(b"BUG")
        with suppress(ConnectionResetError):
            assert await victim.rest() == b""
        bystander.send(b"hello")
        assert await bystander.receive(5) == b"hello"
        assert [str(crash) for crash in server.crashes] == ["a bug in the session"]


async def test_a_fault_in_making_the_session_ends_that_connection() -> None:
    def broken(_accept: Accept) -> Accept:
        def accept(_peer: object) -> tuple[object, object]:
            raise RuntimeError("a bug in accept")

        return accept  # type: ignore[return-value]  # it never returns

    async with echo_server(serve=broken, clean=False) as server, client_of(server, PLAIN) as client:
        with suppress(ConnectionResetError):
            assert await client.rest() == b""
        assert [str(crash) for crash in server.crashes] == ["a bug in accept"]


@kinds(KINDS)
async def test_close_sends_what_the_session_has_and_ends_in_good_order(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        server.sessions[0].output += bytes(1_000_000)
        server.owners[0].pump.close()
        assert await client.rest() == bytes(1_000_000)
        client.writer.close()
        await server.owners[0].closed.wait()
        if client.websocket is not None:
            assert client.websocket.closed is not None
            assert client.websocket.closed.code == 1000


@kinds(KINDS)
async def test_what_the_peer_still_sends_while_we_close_does_not_destroy_our_last_words(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"BAD")
        for _ in range(20):
            client.send(bytes(10_000))
        assert await client.rest() == b"farewell"


@kinds(KINDS)
async def test_a_peer_that_never_closes_its_side_is_cut_in_time(kind: Kind) -> None:
    limits = TransportLimits(close_timeout_s=0.1)
    async with server_of(kind, limits=limits) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket has it
        server.owners[0].pump.close()
        await asyncio.wait_for(server.owners[0].closed.wait(), PATIENCE_S)


@kinds(KINDS)
async def test_abort_ends_at_once(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        server.owners[0].pump.abort()
        server.owners[0].pump.abort()
        with suppress(ConnectionResetError):
            assert await client.rest() == b""
        await server.owners[0].closed.wait()


@kinds(KINDS)
async def test_a_peer_that_resets_is_gone(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        reset(client.writer)
        await server.owners[0].closed.wait()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@kinds(KINDS)
async def test_a_peer_that_closes_its_side_still_gets_what_was_on_its_way(kind: Kind) -> None:
    async with server_of(kind) as server:
        tls = MemoryClient(client_context()) if kind.client_certificates else None
        with socket.create_connection(("127.0.0.1", server.port)) as socket_:
            socket_.setblocking(False)
            await trickle(tls, socket_, request() + b"\x82\x85\0\0\0\0hello" if kind.websocket else b"hello")
            socket_.shutdown(socket.SHUT_WR)
            received = b""
            while data := await asyncio.get_running_loop().sock_recv(socket_, 65_536):
                received += data
            assert b"hello" in (received if tls is None else tls.read(received))
        await server.owners[0].closed.wait()


@kinds(TLS_KINDS)
async def test_a_peer_that_says_close_notify_is_gone(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        client.writer.close()
        await server.owners[0].closed.wait()
        assert server.reports == []


# Back-pressure.


@kinds(KINDS)
async def test_nothing_is_read_while_reading_is_paused(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        owner, session = server.owners[0], server.sessions[0]
        server.doing["events"] = owner.pump.pause_reading
        client.send(b"y" * 3_000_000)
        await server.until(lambda: len(session.received) > 1)
        seen = len(session.received)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert len(session.received) == seen < 300_000
        server.doing.clear()
        owner.pump.resume_reading()
        owner.pump.resume_reading()
        assert await client.receive(3_000_000) == b"y" * 3_000_000


@kinds(KINDS)
async def test_the_owner_is_told_when_the_peer_reads_too_slowly_and_when_it_has_caught_up(kind: Kind) -> None:
    limits = TransportLimits(sending_high_water=100_000, max_buffered=100_000_000)
    async with server_of(kind, limits=limits) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        owner, session = server.owners[0], server.sessions[0]
        waited: list[int] = []
        server.doing["paused"] = lambda: waited.append(owner.pump.buffered)
        sent = 0
        while not owner.paused.is_set():
            session.output += bytes(1_000_000)
            sent += 1_000_000
            owner.pump.flush()
            await asyncio.sleep(0)
        assert waited[0] > 100_000
        assert await client.receive(sent) == bytes(sent)
        await server.until(lambda: owner.calls[-1] == "resumed")
        assert owner.pump.buffered < 100_000


@kinds(KINDS)
async def test_a_peer_that_does_not_read_at_all_is_cut_at_the_hard_limit(kind: Kind) -> None:
    limits = TransportLimits(sending_high_water=50_000, max_buffered=200_000)
    async with server_of(kind, limits=limits) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        owner, session = server.owners[0], server.sessions[0]
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket has it
        while not owner.closed.is_set():
            session.output += bytes(100_000)
            owner.pump.flush()
            assert owner.pump.buffered < 400_000
            await asyncio.sleep(0)
        assert [(type(report), report.reason) for report in server.reports if isinstance(report, ConnectionCut)] == [
            (ConnectionCut, CutReason.NOT_READING)
        ]


@kinds([PLAIN, TLS])
async def test_the_session_is_woken_at_its_deadline(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        server.sessions[0].wake_at = asyncio.get_running_loop().time() + 0.02
        server.owners[0].pump.flush()
        await server.until(lambda: server.owners[0].events[-1] == b"deadline")


# Handshakes that fail.


async def failure(server: EchoServer, sent: bytes) -> tuple[HandshakeFailure, bytes]:
    """Send bytes; gives what was reported and what came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    answer = b""
    with suppress(ConnectionResetError):
        answer = await reader.read()
    writer.transport.abort()
    await server.until(lambda: bool(server.reports) and server.listener.connections == 0)
    (report,) = server.reports
    assert isinstance(report, HandshakeFailed)
    assert report.address == "127.0.0.1"
    assert report.detail
    assert server.owners == []
    return report.reason, answer


@kinds(TLS_KINDS)
@pytest.mark.parametrize("sent", [b"\x10", b"\x10\x10\x00\x04MQTT", b"GET / HTTP/1.0\r\n\r\n", b"AMQP\x00\x01\x00\x00"])
async def test_a_plain_peer_on_a_tls_port_is_closed_at_once_without_a_word(kind: Kind, sent: bytes) -> None:
    async with server_of(kind) as server:
        assert await failure(server, sent) == (HandshakeFailure.NOT_TLS, b"")


@kinds(TLS_KINDS)
async def test_tls_1_1_is_refused_with_an_alert_that_says_so(kind: Kind) -> None:
    hello = bytearray(MemoryClient(client_context(version=ssl.TLSVersion.TLSv1_2)).hello())
    hello[9:11] = b"\x03\x02"
    async with server_of(kind) as server:
        reason, answer = await failure(server, bytes(hello))
        assert (reason, answer[-2:]) == (HandshakeFailure.TLS_VERSION, b"\x02\x46")


@kinds(TLS_KINDS)
async def test_a_device_without_our_root_is_reported(kind: Kind) -> None:
    async with server_of(kind) as server:
        context = client_context()
        context.verify_mode = ssl.CERT_REQUIRED

        def connect() -> None:
            with (
                socket.create_connection(("127.0.0.1", server.port)) as raw,
                pytest.raises(ssl.SSLCertVerificationError),
            ):
                context.wrap_socket(raw)

        await asyncio.to_thread(connect)
        await server.until(lambda: bool(server.reports))
        assert [getattr(report, "reason", None) for report in server.reports] == [HandshakeFailure.CERTIFICATE_REFUSED]


@kinds([TLS, TLS_ASKING, WS, WSS])
@pytest.mark.parametrize("said", ["nothing", "half"])
async def test_a_slow_handshake_is_cut(kind: Kind, said: str) -> None:
    half = request()[:30] if kind is WS else MemoryClient(client_context()).hello()[:30]
    async with server_of(kind, limits=TransportLimits(handshake_timeout_s=0.1)) as server:
        sent = b"" if said == "nothing" else half
        assert await failure(server, sent) == (HandshakeFailure.TIMEOUT, b"")


async def test_a_slow_upgrade_after_a_quick_tls_handshake_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    now, allowed_s = loop.time, TransportLimits().handshake_timeout_s
    async with server_of(WSS) as server, client_of(server, TLS) as client:
        client.send(b"GET / HTTP/1.1\r\n")
        await server.until(lambda: [each._phase for each in server.listener._connections] == [Phase.UPGRADING])
        monkeypatch.setattr(loop, "time", lambda: now() + allowed_s)
        with suppress(ConnectionResetError):
            assert await client.rest() == b""
        assert [getattr(report, "reason", None) for report in server.reports] == [HandshakeFailure.TIMEOUT]


@kinds([TLS, TLS_ASKING, WS])
async def test_a_peer_that_goes_away_before_its_handshake_is_reported_once(kind: Kind) -> None:
    async with server_of(kind) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await server.until(lambda: server.listener.connections == 1)
        reset(writer)
        await server.until(lambda: server.listener.connections == 0)
        assert [getattr(report, "reason", None) for report in server.reports] == [HandshakeFailure.LOST]


@kinds(TLS_KINDS)
async def test_a_broken_record_cuts_the_connection_and_is_reported(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        client.send(b"x")
        await client.receive(1)
        raw = socket.socket(fileno=socket.dup(client.writer.get_extra_info("socket").fileno()))
        raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        raw.close()
        with suppress(ConnectionResetError, ssl.SSLError):
            await client.rest()
        assert [getattr(report, "reason", None) for report in server.reports] == [CutReason.TLS_BROKEN]


# WebSocket on the wire.


@pytest.mark.parametrize(
    ("sent", "reason", "status"),
    [
        (request(Upgrade=None), HandshakeFailure.NOT_AN_UPGRADE, b"HTTP/1.1 426 "),
        (request(Sec_WebSocket_Protocol="chat"), HandshakeFailure.NO_SUBPROTOCOL, b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00", HandshakeFailure.NOT_HTTP, b""),
    ],
)
async def test_a_request_that_is_refused_is_answered_and_closed(
    sent: bytes, reason: HandshakeFailure, status: bytes
) -> None:
    async with server_of(WS) as server:
        reported, answer = await failure(server, sent)
        assert reported is reason
        assert answer.startswith(status)
        assert bool(answer) == bool(status)


async def test_text_closes_a_websocket_with_1003() -> None:
    async with server_of(WS) as server, client_of(server, WS) as client:
        client.writer.write(b"\x81\x85\0\0\0\0hello")
        await client.rest()
        assert client.websocket is not None
        assert client.websocket.closed is not None
        assert client.websocket.closed.code == 1003
        assert [getattr(report, "reason", None) for report in server.reports] == [CutReason.WEBSOCKET_BROKEN]


async def test_what_comes_in_one_piece_with_a_close_is_taken_and_not_answered() -> None:
    async with server_of(WS) as server, client_of(server, WS) as client:
        close = b"\x88\x82\0\0\0\0\x03\xe8"
        client.writer.write(
            b"\x82\x85\0\0\0\0hello" + close
        )  # AMQP's close and WebSocket's: azure-eventhub's last words
        assert await client.rest() == b""
        assert client.websocket is not None
        assert client.websocket.closed is not None
        assert server.owners[0].events == [b"hello"]
        assert server.crashes == []


async def test_frames_sent_along_with_the_request_are_served() -> None:
    async with server_of(WS) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request() + b"\x82\x85\0\0\0\0early")
        assert (await reader.readuntil(b"\x82\x05early")).startswith(b"HTTP/1.1 101 ")
        writer.transport.abort()


async def test_http_goes_raw_to_its_own_service() -> None:
    def with_http(accept: Accept) -> WebSocketService:
        return WebSocketService(protocols={}, http=accept)

    async with echo_server(serve=with_http) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
        writer.write(post[:20])
        await writer.drain()
        writer.write(post[20:])
        assert await reader.readexactly(len(post)) == post
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.transport.abort()


async def test_the_client_of_aiohttp_is_served_though_it_offers_compression() -> None:
    async with server_of(WSS) as server, aiohttp.ClientSession() as http:
        url = f"https://127.0.0.1:{server.port}/$iothub/websocket"
        async with http.ws_connect(url, protocols=["MQTT"], ssl=client_context(), compress=15) as websocket:
            assert (websocket.protocol, websocket.compress) == ("MQTT", 0)
            await websocket.send_bytes(b"hello")
            assert await websocket.receive_bytes() == b"hello"
            await websocket.ping()
            ours = websocket.get_extra_info("socket")
            server.owners[0].pump.close()
            assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE
            await server.owners[0].closed.wait()
            await server.until(lambda: ours.fileno() == -1)  # its end of TLS too


async def test_a_flood_of_tiny_frames_leaves_turns_to_other_connections() -> None:
    async with server_of(WS) as server, client_of(server, WS) as flood, client_of(server, WS) as good:
        flood.writer.write(b"\x82\x81\0\0\0\0x" * 30_000)
        good.send(b"hello")
        _, behind = server.listener._connections
        assert behind._transport is not None
        select.select([behind._transport.get_extra_info("socket")], [], [], PATIENCE_S)  # both are there to be read
        assert await good.receive(5) == b"hello"
        assert len(server.sessions[0].received) < 30_000
        assert await flood.receive(30_000) == b"x" * 30_000


# Noise.


def mangled(seed: random.Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(seed.randrange(1, 10)):
        data[seed.randrange(len(data))] = seed.randrange(256)
    return bytes(data)


def noises(seed: random.Random, kind: Kind) -> list[bytes]:
    """Pure noise, and things that were good once."""
    good = request() + 20 * b"\x82\x85\0\0\0\0hello" if kind is WS else MemoryClient(client_context()).hello()
    start = b"GET " if kind is WS else b"\x16\x03\x01"
    return (
        [seed.randbytes(seed.randrange(1, 3000)) for _ in range(50)]
        + [start + seed.randbytes(seed.randrange(1, 3000)) for _ in range(50)]
        + [mangled(seed, good) for _ in range(100)]
    )


async def poke(port: int, data: bytes) -> None:
    """Send, and wait for the end; what comes back does not matter."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
    writer.transport.abort()


@kinds([TLS, TLS_ASKING, WS])
async def test_noise_only_closes_the_connection_it_came_by(kind: Kind) -> None:
    limits = TransportLimits(close_timeout_s=0.5)
    async with server_of(kind, limits=limits) as server, client_of(server, kind) as bystander:
        every = noises(random.Random(20), kind)
        for at in range(0, len(every), 25):
            await asyncio.gather(*(poke(server.port, noise) for noise in every[at : at + 25]))
        await server.until(lambda: server.listener.connections == 1)
        bystander.send(b"hello")
        assert await bystander.receive(5) == b"hello"


@kinds([TLS, TLS_ASKING])
async def test_noise_inside_a_session_only_closes_that_session(kind: Kind) -> None:
    seed = random.Random(21)
    async with server_of(kind, limits=TransportLimits(close_timeout_s=0.5)) as server:
        for _ in range(20):
            async with client_of(server, kind) as client:
                raw = client.writer.get_extra_info("socket")
                noise = socket.socket(fileno=socket.dup(raw.fileno()))
                noise.send(b"\x17\x03\x03" + struct.pack("!H", 500) + seed.randbytes(500))
                noise.close()
                with suppress(ConnectionError, ssl.SSLError):
                    await client.rest()
        async with client_of(server, kind) as client:
            client.send(b"hello")
            assert await client.receive(5) == b"hello"


# The other loop.


async def _a_day_of_a_connection(kind: Kind) -> None:
    async with server_of(kind) as server, client_of(server, kind) as client:
        data = bytes(1_000_000)
        client.send(data)
        assert await client.receive(len(data)) == data
        server.owners[0].pump.pause_reading()
        client.send(b"BAD")
        server.owners[0].pump.resume_reading()
        assert await client.rest() == b"farewell"


async def _a_day_of_a_stranger(kind: Kind) -> None:
    async with server_of(kind, limits=TransportLimits(handshake_timeout_s=0.1)) as server:
        await poke(server.port, b"\x10" if kind.client_certificates else b"BAD")
        await server.until(lambda: server.listener.connections == 0)


@kinds([*KINDS, WS])
@pytest.mark.parametrize("day", [_a_day_of_a_connection, _a_day_of_a_stranger])
def test_uvloop_carries_the_same(kind: Kind, day: Callable[[Kind], Awaitable[None]]) -> None:
    async def run() -> None:
        await day(kind)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_certificates_of_the_suite_are_made_on_the_spot() -> None:
    assert isinstance(SERVER, Credential)


# --- small boards ---------------------------------------------------------------------------------------------------


async def test_a_small_board_gets_each_piece_of_output_in_a_record_of_its_own() -> None:
    server = self_signed("gateway", key=rsa_key())
    security = Security(server.pem, server.key_pem, profile=Profile.CONSTRAINED)

    def pairs(data: bytes) -> list[bytes]:
        return [data[at : at + 2] for at in range(0, len(data), 2)]

    async with (
        echo_server(security=security, cut=pairs) as echo,
        AxTlsClient.connect("127.0.0.1", echo.port) as board,
    ):
        await board.write(b"abcdef")
        assert await board.read_exactly(6) == b"abcdef"
        assert board.record_sizes == [2, 2, 2]
        assert echo.owners[0].peer is not None
        assert echo.owners[0].peer.constrained
        await board.close()


async def test_other_peers_are_no_small_boards() -> None:
    async with echo_server(security=Security(SERVER.pem, SERVER.key_pem)) as echo:
        _, writer = await asyncio.open_connection("127.0.0.1", echo.port, ssl=client_context())
        await echo.until(lambda: bool(echo.owners))
        assert echo.owners[0].peer is not None
        assert not echo.owners[0].peer.constrained
        writer.transport.abort()
