"""The gateway's page of views before a server that answers what a test says: numbers that no device sends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from edgepage.guard import Guard
from gateway.dashboard.door import HOUSE, Reporter
from gateway.dashboard.frame import ViewPages
from gateway.dashboard.server import DashboardServer
from gateway.observe.metrics import Metrics
from support.page_visit import TOKEN

LOOK_S: Final = 0.05
OVERVIEW: Final[dict[str, Any]] = {
    "gateway": {
        "version": "0.1.0",
        "hostName": "pi-4711",
        "startedAt": "2026-11-21T09:00:00.000Z",
        "uptimeSecs": 1_000,
        "rssBytes": 61_000_000,
    },
    "counts": {"devices": 0, "connected": 0, "routes": 0, "messagesPerSecond": 0, "refusedPerMinute": 0},
    "upstream": [],
    "store": {"bytes": 0, "maxBytes": 1_000, "state": "ready", "queues": []},
    "certificates": [],
    "settings": {
        "version": None,
        "source": "default",
        "good": True,
        "problems": [],
        "moreProblems": 0,
        "warnings": [],
        "moreWarnings": 0,
    },
    "rates": [0] * 60,
}


class FakeApi:
    """Answers with what stands in `said`, by path; `rows` go into each live stream at once."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {
            "overview": OVERVIEW,
            "devices": {"devices": [], "known": 0, "connected": 0, "found": 0, "more": 0},
            "routes": {"version": None, "source": "default", "routes": [], "unrouted": 0, "document": {}},
            "messages": {"messages": [], "kept": 0, "leftOut": 0},
            "events": {"events": []},
        }
        self.rows: list[dict[str, Any]] = []
        self.streams = 0
        """That are open now."""
        self.is_silent = False
        """Whether the streams say nothing any more, as if the line were dead."""
        self.opened = 0
        """Streams that were opened since the start."""
        self.asked: list[str] = []
        """Paths with their queries, the latest last."""
        self.refusals: dict[str, str] = {}
        """What is refused, by its name, and in which words."""

    def add_to(self, application: web.Application) -> None:
        """Serve it."""
        application.router.add_get("/api/live", self._live)
        application.router.add_get("/api/{name}", self._tell)

    async def _tell(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.asked.append(request.path_qs)
        if name in self.refusals:
            return web.json_response({"error": {"message": self.refusals[name]}}, status=429)
        return web.json_response(self.said[name])

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if "live" in self.refusals:
            return web.json_response({"error": {"message": self.refusals["live"]}}, status=429)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        self.streams += 1
        self.opened += 1
        try:
            for at in range(0, len(self.rows), 500):
                lot = self.rows[at : at + 500]
                await stream.write("".join(f"event: message\ndata: {json.dumps(row)}\n\n" for row in lot).encode())
            while True:  # until the reader has gone, which only a write tells
                await stream.write(b": \n\n" if self.is_silent else b"event: overview\ndata: {}\n\n")
                await asyncio.sleep(LOOK_S)
        except ConnectionError:
            pass
        finally:
            self.streams -= 1
        return stream


@asynccontextmanager
async def fake_page(api: FakeApi) -> AsyncIterator[str]:
    """The address to log in at."""
    guard = Guard(HOUSE, token=lambda: TOKEN, address="127.0.0.1", witness=Reporter(lambda _event: None))
    server = DashboardServer(Metrics(), lambda: (guard, ViewPages(), api))
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}/login?token={TOKEN}"
    finally:
        await server.stop()


def row(number: int, *, device: str = "d1", body: str = '{"temperature": 21}') -> dict[str, Any]:
    """A message as the stream has it."""
    return {
        "n": number,
        "at": f"2026-11-21T00:{number // 60_000:02}:{number // 1_000 % 60:02}.{number % 1_000:03}Z",
        "device": device,
        "module": None,
        "topic": None,
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "properties": {"kind": "climate"},
        "system": {"connectionDeviceId": device},
        "bytes": len(body),
        "body": body,
        "bodyBase64": None,
        "bodyCut": False,
        "routes": ["hot"],
        "endpoints": ["$upstream"],
    }
