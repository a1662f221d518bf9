import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edgewire.errors import ProtocolError
from edgewire.session.http.events import RequestReceived
from edgewire.session.http.server import Response
from edgewire.transport.pump import Peer, Pump
from standin.errors import HubError
from standin.http import LIMITS, HttpConnection, Router
from support.http_reading import Answer, read_answers
from support.http_site import until
from support.mqtt_site import MemoryWire

PEER = Peer(address="127.0.0.96", port=5000)
Act = Callable[[RequestReceived], Awaitable[Response]]


class Api:
    """Claims one path, and does what the test says."""

    def __init__(self, path: str, act: Act) -> None:
        self.path = path
        self.act = act
        self.asked = 0

    def claims(self, request: RequestReceived) -> bool:
        return request.path == self.path

    async def answer(self, request: RequestReceived, peer: Peer) -> Response:
        assert peer is PEER
        self.asked += 1
        return await self.act(request)


class Client:
    """One connection to a router, without a socket."""

    def __init__(self, *apis: Api) -> None:
        self.faults: list[Exception] = []
        self.wire = MemoryWire()
        self.session, self.owner = Router(apis, lambda error, _: self.faults.append(error)).accept(PEER)
        clock = asyncio.get_running_loop().time
        self.pump: Pump[object] = Pump(self.wire, self.session, self.owner, peer=PEER, clock=clock)  # type: ignore[arg-type] # events of HTTP
        self.pump.begin()

    def ask(self, *paths: str, body: bytes = b"") -> None:
        heads = (f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n" for path in paths)
        self.pump.receive(b"".join(head.encode() + body for head in heads))

    async def answers(self, count: int = 1) -> list[Answer]:
        await until(lambda: self.wire.written.count(b"HTTP/1.1 ") >= count)
        return read_answers(bytes(self.wire.written))


async def echo(request: RequestReceived) -> Response:
    return Response(status=200, body=request.body, content_type="text/plain")


async def test_the_first_api_that_claims_a_request_answers_it() -> None:
    first, second = Api("/a", echo), Api("/a", echo)
    client = Client(Api("/b", echo), first, second)
    client.ask("/a", body=b"hello")
    [answer] = await client.answers()
    assert (answer.status, answer.body) == (200, b"hello")
    assert (first.asked, second.asked) == (1, 0)


async def test_nobody_s_path_is_not_found() -> None:
    client = Client()
    client.ask("/nowhere")
    [answer] = await client.answers()
    assert answer.status == 404
    assert b"ErrorCode:DeviceNotFound;" in answer.body


def failing(error: Exception) -> Act:
    async def act(_: RequestReceived) -> Response:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (HubError(412001, "another etag"), 412, b"PreconditionFailed;another etag"),
        (ProtocolError("no id"), 400, b"ArgumentInvalid;no id"),
        (ProtocolError("no such method", reply=405), 405, b"MethodNotAllowed;no such method"),
        (RuntimeError("secret"), 500, b"ServerError;a fault of the stand-in"),
    ],
)
async def test_an_error_of_an_api_is_an_answer(error: Exception, status: int, name: bytes) -> None:
    client = Client(Api("/a", failing(error)))
    client.ask("/a", "/a")
    answers = await client.answers(2)
    assert [answer.status for answer in answers] == [status] * 2
    assert name in answers[0].body
    assert b"secret" not in answers[0].body
    assert client.faults == ([error] * 2 if status == 500 else [])


async def test_requests_sent_ahead_are_answered_one_after_the_other() -> None:
    gate = asyncio.Event()

    async def wait(request: RequestReceived) -> Response:
        await gate.wait()
        return Response(status=202)

    slow, fast = Api("/slow", wait), Api("/fast", echo)
    client = Client(slow, fast)
    client.ask("/slow", "/fast")
    await until(lambda: slow.asked == 1)
    assert fast.asked == 0
    gate.set()
    assert [answer.status for answer in await client.answers(2)] == [202, 200]


async def test_who_works_for_a_peer_that_has_gone_is_cancelled() -> None:
    ended = asyncio.Event()

    async def wait(request: RequestReceived) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Response(status=200)

    api = Api("/a", wait)
    client = Client(api)
    client.ask("/a")
    await until(lambda: api.asked == 1)
    client.pump.lost()
    async with asyncio.timeout(10):
        await ended.wait()
    assert not client.wire.written


async def test_an_answer_that_http_cannot_carry_is_a_fault_of_ours() -> None:
    async def split(_: RequestReceived) -> Response:
        return Response(status=200, headers=(("A", "b\r\nc: d"),))

    client = Client(Api("/a", split))
    client.ask("/a")
    await until(lambda: client.wire.closed)
    assert len(client.faults) == 1
    assert b"c: d" not in client.wire.written


async def test_a_connection_ends_after_a_broken_request_and_after_silence() -> None:
    client = Client()
    client.pump.receive(b"NONSENSE\r\n\r\n")
    assert client.wire.closed
    silent = Client()
    silent.pump.wake(asyncio.get_running_loop().time() + LIMITS.idle_s)
    assert silent.wire.closed
    stopped = Client(Api("/a", echo))
    stopped.pump.stop()
    assert stopped.wire.closed
    assert isinstance(stopped.owner, HttpConnection)
