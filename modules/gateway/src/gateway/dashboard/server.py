"""The HTTP server with the counters and the pages."""

import asyncio
import importlib
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.observe.metrics import CONTENT_TYPE, Metrics

if TYPE_CHECKING:
    from aiohttp import web

GOODBYE_S: Final = 0.5
"""For a visitor who is being answered at shutdown, all of which must fit into five seconds."""
MAX_BODY_BYTES: Final = 4_096
MAX_VISITORS: Final = 64
"""Connections at once, of browsers and programs: who needs no login may not use up the files of the devices."""
SILENT_S: Final = 30.0
"""For a visitor to say what it wants, all of it; the first time and each time after."""


class Pages(Protocol):
    """What is served beside the counters."""

    def add_to(self, application: "web.Application") -> None:
        """Serve it there."""


class _TurnedAway(asyncio.Protocol):
    """One too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        transport.close()


class DashboardServer:
    """Serves `/metrics` in Prometheus' text form, `/healthz/…` for probes, and what `open_pages` opens.

    aiohttp and the pages are loaded with the first visitor, who waits for them in the socket's backlog: most gateways
    have none, and it takes 11 MB.
    """

    def __init__(
        self,
        metrics: Metrics,
        open_pages: Callable[[], Sequence[Pages]] = tuple,
        health: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._open_pages = open_pages
        self._socket: socket.socket | None = None
        self._opening: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._coming = 0
        """Visitors who are accepted, and whom aiohttp does not know yet: many may come in one turn of the loop."""

    async def start(self, address: str, port: int) -> int:
        """Listen; port 0 takes any. Returns the port. Raises OSError where the address cannot be had."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = self._socket = socket.create_server((address, port), family=family)
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self._on_first_visitor, listener)
        bound: int = listener.getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the listener and what is connected."""
        if self._socket is None:
            return
        if self._opening is None:
            asyncio.get_running_loop().remove_reader(self._socket)
        else:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.close()
        self._socket = self._opening = self._runner = self._listening = None

    def _on_first_visitor(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listener)
        self._opening = asyncio.create_task(self._open(listener), name="page with the counters")

    async def _open(self, listener: socket.socket) -> None:
        await asyncio.to_thread(importlib.import_module, "aiohttp.web")  # a tenth of a second, not of the loop's
        from aiohttp import web  # noqa: PLC0415 — loaded by now; see the class

        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_get("/metrics", self._show_metrics)
        application.router.add_get("/healthz/{question:live|ready}", self._show_health)
        for pages in await asyncio.to_thread(self._open_pages):
            pages.add_to(application)
        runner = self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=GOODBYE_S, keepalive_timeout=SILENT_S
        )
        await runner.setup()
        # Known before it serves: a stop that comes in the turn of the loop in which it begins must find it.
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: self._visitor(runner.server), sock=listener, start_serving=False
        )
        await self._listening.start_serving()

    def _visitor(self, server: "web.Server | None") -> asyncio.BaseProtocol:
        """Who speaks with the next one."""
        if server is None or len(server.connections) + self._coming >= MAX_VISITORS:
            return _TurnedAway()
        self._coming += 1
        asyncio.get_running_loop().call_soon(self._came)
        return server()

    def _came(self) -> None:
        self._coming -= 1

    async def _show_health(self, request: "web.Request") -> "web.Response":
        """200 or 503; the reasons are of a closed set, so that nobody need log in to ask."""
        from aiohttp import web  # noqa: PLC0415 — as in _open

        report = self._health()
        status = 200 if report.get(request.match_info["question"]) else 503
        return web.json_response(report, status=status, headers={"Cache-Control": "no-store"})

    async def _show_metrics(self, _request: "web.Request") -> "web.Response":
        from aiohttp import web  # noqa: PLC0415 — as in _open

        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})
