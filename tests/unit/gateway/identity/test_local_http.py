import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.identity.local_http import (
    MAX_ANSWER_BYTES,
    Address,
    BadAddressError,
    BrokenOffError,
    Call,
    UnreachableError,
    exchange,
    read_address,
)

GET = Call(method="GET", target="/things?kind=a%2Fb")
PUT = Call(method="PUT", target="/things", body=b'{"a":1}')
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Says `answer` to whatever it has heard until the end of a request, then closes."""

    def __init__(self, answer: bytes, *, closes: bool = True) -> None:
        self.answer = answer
        self.closes = closes
        self.heard = b""
        self.said = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard = await reader.readuntil(b"\r\n\r\n")
        if self.heard.startswith(b"PUT"):
            self.heard += await reader.readexactly(len(PUT.body or b""))
        writer.write(self.answer)
        self.said.set()
        if self.closes:
            writer.close()
        else:
            await reader.read()
            writer.close()
        self.left.set()


@asynccontextmanager
async def by_socket(path: Path, server: Server) -> AsyncIterator[Address]:
    listening = await asyncio.start_unix_server(server.serve, path)
    async with listening:
        yield Address(socket=str(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("unix:///var/run/iotedge/workload.sock", Address(socket="/var/run/iotedge/workload.sock")),
        ("unix:///run/w.sock/", Address(socket="/run/w.sock")),
        ("http://127.0.0.1:15581", Address(host="127.0.0.1", port=15_581)),
        ("http://edge/api/", Address(host="edge", base="/api")),
        ("http://[::1]:81/", Address(host="::1", port=81)),
    ],
)
def test_addresses(uri: str, address: Address) -> None:
    assert read_address(uri) == address


@pytest.mark.parametrize("uri", ["https://x", "fd://x", "x", "http://", "http://x:port", "http://[x"])
def test_what_is_no_address(uri: str) -> None:
    with pytest.raises(BadAddressError):
        read_address(uri)


async def test_a_call_without_a_body(path: Path) -> None:
    server = Server(OK)
    async with by_socket(path, server) as address:
        answer = await exchange(address, GET)
    assert (answer.status, bytes(answer.body)) == (200, b"{}")
    first, *headers = server.heard.decode().split("\r\n")
    assert first == "GET /things?kind=a%2Fb HTTP/1.1"
    assert {"Host: localhost", "Connection: close"} <= set(headers)


async def test_a_call_with_a_body(path: Path) -> None:
    server = Server(OK)
    async with by_socket(path, server) as address:
        await exchange(address, PUT)
    head, _, body = server.heard.partition(b"\r\n\r\n")
    assert body == PUT.body
    assert {b"Content-Type: application/json", b"Content-Length: 7"} <= set(head.split(b"\r\n"))


async def test_a_host_and_a_base_are_said() -> None:
    server = Server(OK)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        await exchange(Address(host="127.0.0.1", port=port, base="/base"), GET)
    assert server.heard.startswith(b"GET /base/things?kind=a%2Fb HTTP/1.1\r\nHost: 127.0.0.1\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
    ],
    ids=["by length", "after an interim answer", "in chunks", "until the connection ends"],
)
async def test_ways_to_send_an_answer(path: Path, answer: bytes) -> None:
    async with by_socket(path, Server(answer)) as address:
        assert (await exchange(address, GET)).body == b"{}"


async def test_an_answer_that_is_whole_is_not_waited_on(path: Path) -> None:
    server = Server(OK, closes=False)
    async with by_socket(path, server) as address:
        assert (await exchange(address, GET)).body == b"{}"
        await server.left.wait()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200", OK[:-1], b"220 mail.test\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000],
    ids=["none", "cut in its head", "cut in its body", "another protocol", "an endless head"],
)
async def test_no_whole_answer(path: Path, answer: bytes) -> None:
    async with by_socket(path, Server(answer)) as address:
        with pytest.raises(BrokenOffError, match="no whole HTTP answer"):
            await exchange(address, GET)


@pytest.mark.parametrize(
    "head", ["HTTP/1.1 200 OK\r\n\r\n", f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_ANSWER_BYTES + 1}\r\n\r\n"]
)
async def test_an_answer_that_is_too_large_is_not_kept(path: Path, head: str) -> None:
    async with by_socket(path, Server(head.encode() + b"x" * (MAX_ANSWER_BYTES + 1))) as address:
        with pytest.raises(BrokenOffError, match="larger than 1048576 bytes"):
            await exchange(address, GET)


async def test_nobody_is_there(path: Path) -> None:
    with pytest.raises(UnreachableError) as raised:
        await exchange(Address(socket=str(path)), GET)
    assert isinstance(raised.value.cause, FileNotFoundError)


async def test_giving_up_lets_the_connection_go(path: Path) -> None:
    server = Server(b"HTTP/1.1 200 OK\r\n", closes=False)
    async with by_socket(path, server) as address:
        asking = asyncio.create_task(exchange(address, GET))
        await server.said.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        await server.left.wait()
