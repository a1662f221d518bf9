import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from edgepage.guard import Guard, PageClosedError
from edgewire.message import Envelope, Message, identity
from gateway.dashboard import live
from gateway.dashboard.answers import NotAnsweredError
from gateway.dashboard.door import HOUSE, Reporter
from gateway.dashboard.live import LivePages
from gateway.observe.app import GatewayStopped
from gateway.observe.tap import Routed, Tap
from gateway.observe.timeline import Timeline
from gateway.observe.watching import Follower, Wanted, Watching
from support.page_visit import TOKEN, Visitor

PATIENCE_S = 10.0
LAST_CHUNK = b"0\r\n"
"""RFC 9112 §7.1: the answer is whole."""


@dataclass
class Desk:
    """A flow without a gateway."""

    tap: Tap = field(default_factory=Tap)
    timeline: Timeline = field(default_factory=lambda: Timeline(lambda: 1_800_000_000.0))
    received: int = 0
    asked: list[Mapping[str, str]] = field(default_factory=list)
    is_full: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.watching = Watching(
            self.tap, received=lambda: self.received, clock=lambda: 1_800_000_000.0, sampler=lambda _: None
        )

    def overview(self) -> Mapping[str, Any]:
        return {"counts": {"connected": 1}}

    def follow(self, *, device: str, route: str, text: str) -> Follower:
        if self.is_full:
            raise NotAnsweredError(429, "too many follow")
        self.asked.append({"device": device, "route": route, "text": text})
        return self.watching.follow(Wanted(per_second=5))

    def unfollow(self, follower: Follower) -> None:
        self.watching.unfollow(follower)
        self.left.set()

    def send(self, count: int, body: bytes = b"{}") -> None:
        envelope = Envelope(sender=identity("d1"), properties={}, system={})
        for _ in range(count):
            self.tap.show(Routed(Message(envelope, body), (), ()))
        self.received += count


class Reader:
    """Reads the stream, by its bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.head = ""

    @classmethod
    @asynccontextmanager
    async def of(cls, visitor: Visitor, query: str = "") -> AsyncIterator[Self]:
        """Who has asked for the stream."""
        host, _, port = visitor.host.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
        said = f"GET /api/live{query} HTTP/1.1\r\nHost: {visitor.host}\r\nCookie: {visitor.cookie}\r\n\r\n"
        writer.write(said.encode())
        mine = cls(reader, writer)
        async with asyncio.timeout(PATIENCE_S):
            mine.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        try:
            yield mine
        finally:
            writer.close()

    async def more(self) -> bytes:
        """The next line, as it is sent."""
        return await self._reader.readline()

    async def next(self, event: str) -> Any:
        """The data of the next event of this kind."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._reader.readline() != f"event: {event}\n".encode():
                pass
            return json.loads((await self._reader.readline()).removeprefix(b"data: "))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def tokens() -> list[str]:
    """The one that counts now is the last; none: it cannot be read."""
    return [TOKEN]


@pytest.fixture
async def visitor(desk: Desk, tokens: list[str]) -> AsyncIterator[Visitor]:
    def current() -> str:
        if not tokens:
            raise PageClosedError("the token cannot be read")
        return tokens[-1]

    guard = Guard(HOUSE, token=current, address="127.0.0.1", witness=Reporter(lambda _event: None))
    async with Visitor.at((guard, LivePages(desk, guard.knows))) as visitor:
        await visitor.log_in()
        yield visitor


async def test_messages_events_and_overviews_come_as_they_happen(
    visitor: Visitor, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "OVERVIEW_S", 0.05)
    async with Reader.of(visitor, "?device=lab&route=hot&text=a%20b") as reader:
        assert " 200 " in reader.head
        for header in ("text/event-stream", "no-store", "default-src 'none'", "nosniff"):
            assert header in reader.head
        assert await reader.next("overview") == {"counts": {"connected": 1}}
        desk.send(8, b'{"t": 1}\nevent: evil')
        assert (await reader.next("message"))["body"] == '{"t": 1}\nevent: evil'
        assert await reader.next("left-out") == {"count": 3}
        desk.timeline.on_event(GatewayStopped("a test"))
        assert (await reader.next("event"))["event"] == "GatewayStopped"
        assert await reader.next("overview") == {"counts": {"connected": 1}}
    assert desk.asked == [{"device": "lab", "route": "hot", "text": "a b"}]


async def test_who_goes_is_followed_no_more(visitor: Visitor, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "OVERVIEW_S", 0.05)
    async with Reader.of(visitor) as reader:
        await reader.next("overview")
    async with asyncio.timeout(PATIENCE_S):
        await desk.left.wait()


@pytest.mark.parametrize("later", [["x" * 43], []])
async def test_a_stream_ends_with_the_login(
    visitor: Visitor, desk: Desk, tokens: list[str], later: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "OVERVIEW_S", 0.05)
    async with Reader.of(visitor) as reader:
        await reader.next("overview")
        tokens[:] = later
        async with asyncio.timeout(PATIENCE_S):
            await desk.left.wait()
            while await reader.more() != LAST_CHUNK:
                pass


async def test_who_does_not_read_is_cut_off_after_a_while(
    visitor: Visitor, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STUCK_S", 0.1)
    monkeypatch.setattr(live, "OVERVIEW_S", 0.0)
    monkeypatch.setattr(Desk, "overview", lambda _self: {"long": "x" * 2_000_000})
    async with Reader.of(visitor), asyncio.timeout(PATIENCE_S):
        await desk.left.wait()


async def test_there_is_no_room_for_any_number_and_no_way_in_without_a_login(visitor: Visitor, desk: Desk) -> None:
    desk.is_full = True
    answer = await visitor.ask("GET", "/api/live")
    assert (answer.status, json.loads(answer.text)) == (429, {"error": {"message": "too many follow"}})
    assert (await visitor.ask("GET", "/api/live?text=" + "x" * 500)).status == 400
    visitor.cookie = ""
    assert (await visitor.ask("GET", "/api/live")).status == 401
    assert desk.asked == []
