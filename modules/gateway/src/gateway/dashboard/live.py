"""The live stream of the page: server-sent events (HTML §9.2), each one line of JSON.

A reader that is slow loses rows and is told how many; the flow never waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from aiohttp import web

from edgepage.guard import HEADERS, PageClosedError
from gateway.dashboard.answers import NotAnsweredError, refused, text_of, written
from gateway.observe.timeline import Happened, Timeline
from gateway.observe.watching import Follower

LIVE: Final = "/api/live"
OVERVIEW_S: Final = 2.0
"""Between two overviews in the stream."""
PAUSE_S: Final = 0.1
"""Between two lots of rows: a browser draws no faster, and a lot is one write."""
STUCK_S: Final = 30.0
"""For a reader to take what was written; then it is gone."""
MAX_WAITING_EVENTS: Final = 100
"""Events of the timeline that a reader has not read yet; the oldest go."""


class LiveDesk(Protocol):
    """What is streamed."""

    @property
    def timeline(self) -> Timeline:
        """The events."""
        ...

    def overview(self) -> Mapping[str, Any]:
        """The state at a glance."""
        ...

    def follow(self, *, device: str, route: str, text: str) -> Follower:
        """The messages that these fit; empty ones fit all. Raises NotAnsweredError."""
        ...

    def unfollow(self, follower: Follower) -> None:
        """Follow it no more."""
        ...


class LivePages:
    """Serves the stream of `desk`, as long as `knows` says that the login counts."""

    def __init__(self, desk: LiveDesk, knows: Callable[[web.Request], Awaitable[bool]]) -> None:
        self._desk = desk
        self._knows = knows

    def add_to(self, application: web.Application) -> None:
        """Serve it there."""
        application.router.add_get(LIVE, self._live, allow_head=False)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = {name: text_of(request, name) for name in ("device", "route", "text")}
            follower = self._desk.follow(**asked)
        except NotAnsweredError as error:
            return refused(error)
        events: deque[Happened] = deque(maxlen=MAX_WAITING_EVENTS)
        leave = self._desk.timeline.hear(events.append)
        try:
            stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
            await stream.prepare(request)
            await self._run(request, stream, follower, events)
        except (ConnectionError, PageClosedError):
            pass  # the reader has gone; or nobody can say whether it is logged in, which it hears when it comes again
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # it does not read: a goodbye would wait in its buffer, too
        finally:
            leave()
            self._desk.unfollow(follower)
        return stream

    async def _run(
        self, request: web.Request, stream: web.StreamResponse, follower: Follower, events: deque[Happened]
    ) -> None:
        clock = asyncio.get_running_loop().time
        overview_at = clock()
        while True:
            lot = bytearray()
            if clock() >= overview_at:
                if not await self._knows(request):
                    return
                overview_at = clock() + OVERVIEW_S
                lot += _event("overview", written(self._desk.overview()))
            while events:
                lot += _event("event", written(events.popleft().row()))
            rows, left_out = follower.take()
            for row in rows:
                lot += _event("message", row)
            if left_out:
                lot += _event("left-out", written({"count": left_out}))
            if lot:
                async with asyncio.timeout(STUCK_S):
                    await stream.write(bytes(lot))
            await asyncio.sleep(PAUSE_S)


def _event(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), data)
