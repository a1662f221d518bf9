"""The ways out: one forwarder per endpoint, each in a task of its own."""

import asyncio
from collections.abc import Callable, Iterable

from edgewire.message import Endpoint
from gateway.observe.events import Event
from gateway.store.store import Store
from gateway.store.values import Entry
from gateway.upstream.forwarder import Forwarder, Window
from gateway.upstream.proxy import CloudProxy


class Exits:
    """Starts a forwarder for each endpoint that routes or a backlog name, and stops them all at the end."""

    def __init__(
        self,
        *,
        store: Store,
        proxy: CloudProxy,
        window: Window,
        emit: Callable[[Event], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._store = store
        self._proxy = proxy
        self._window = window
        self._emit = emit
        self._tasks = tasks
        self._forwarders: dict[Endpoint, tuple[Forwarder[Entry], asyncio.Task[None]]] = {}

    def serve(self, endpoints: Iterable[Endpoint]) -> None:
        """Forward to these from now on; who is served already stays. A backlog is sent even if no route names it."""
        for endpoint in {*endpoints, *self._store.endpoints()} - set(self._forwarders):
            forwarder = Forwarder[Entry](
                endpoint=endpoint,
                backlog=self._store.reader(endpoint),
                proxy=self._proxy,
                emit=self._emit,
                window=self._window,
            )
            task = self._tasks.create_task(forwarder.run(), name=f"forward to {endpoint}")
            self._forwarders[endpoint] = (forwarder, task)

    async def stop(self, grace_s: float) -> None:
        """Take nothing more, give what is in flight a moment to be acknowledged; the rest stays in the store."""
        for forwarder, _ in self._forwarders.values():
            forwarder.stop()
        running = [task for _, task in self._forwarders.values()]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for task in running:
            task.cancel()
