"""A forwarder for each endpoint that routes name or that has a backlog; by which way it goes, its kind says."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from edgewire.message import Endpoint, EndpointKind
from gateway.observe.events import Event
from gateway.observe.metrics import Histograms
from gateway.store.store import Store
from gateway.store.values import Entry
from gateway.upstream.forwarder import Forwarder
from gateway.upstream.proxy import MessageProxy

Way = Callable[[Endpoint], MessageProxy | None]
"""The proxy that carries an endpoint's messages, None if nothing does now: what is stored for it waits."""

LAST_SENDS_S: Final = 1.0
"""For what is on its way to be acknowledged at shutdown; the rest is sent after the next start."""


class Forwarding:
    """Forwards what the store holds, one task per endpoint, so that no endpoint waits for another.

    `round_trips`, by endpoint, hears how long messages take to be acknowledged.
    """

    def __init__(self, store: Store, emit: Callable[[Event], None], round_trips: Histograms | None = None) -> None:
        self._store = store
        self._emit = emit
        self._round_trips = round_trips or Histograms("", ("endpoint",))
        self._ways: dict[EndpointKind, Way] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[Endpoint, tuple[Forwarder[Entry], asyncio.Task[None]]] = {}

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Those that are forwarded to."""
        return tuple(self._running)

    def use(self, kind: EndpointKind, way: Way) -> None:
        """By `way` go messages to endpoints of this kind. To be said before the start."""
        self._ways[kind] = way

    def start(self, tasks: asyncio.TaskGroup, endpoints: Iterable[Endpoint]) -> None:
        """Forward to these endpoints, and to those with a backlog."""
        self._tasks = tasks
        self.serve(endpoints)

    def serve(self, endpoints: Iterable[Endpoint]) -> None:
        """Forward to these too from now on. A backlog is sent even if no route names its endpoint any more."""
        if self._tasks is None:
            return
        for endpoint in {*endpoints, *self._store.endpoints()} - set(self._running):
            way = self._ways.get(endpoint.kind)
            proxy = None if way is None else way(endpoint)
            if proxy is not None:
                self._forward(self._tasks, endpoint, proxy)

    async def stop(self) -> None:
        """Take nothing more, and give what is in flight a moment to be acknowledged."""
        forwarding = [task for _, task in self._running.values()]
        for forwarder, _ in self._running.values():
            forwarder.stop()
        if forwarding:
            await asyncio.wait(forwarding, timeout=LAST_SENDS_S)
        for task in forwarding:
            task.cancel()
        await asyncio.gather(*forwarding, return_exceptions=True)

    def _forward(self, tasks: asyncio.TaskGroup, endpoint: Endpoint, proxy: MessageProxy) -> None:
        backlog = self._store.reader(endpoint)
        forwarder = Forwarder[Entry](
            endpoint=endpoint,
            backlog=backlog,
            proxy=proxy,
            emit=self._emit,
            round_trips=self._round_trips.of(str(endpoint)),
        )
        self._running[endpoint] = forwarder, tasks.create_task(forwarder.run(), name=f"forward to {endpoint}")
