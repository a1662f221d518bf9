"""The ways out: the link to edgeHub, a forwarder per endpoint, and the twin that comes down the same link."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from edgewire.message import Endpoint
from gateway.app.configuration import Configuration
from gateway.app.settings import Environment
from gateway.app.twin_settings import DesiredSettings, TwinSync
from gateway.observe.events import Event
from gateway.store.store import Store
from gateway.store.values import Entry
from gateway.upstream.forwarder import Forwarder, Window
from gateway.upstream.methods import ModuleMethods
from gateway.upstream.proxy import CloudProxy

CLOSE_S: Final = 1.5
"""For the link's own goodbye; the whole shutdown must fit into five seconds."""
LAST_SENDS_S: Final = 1.0
"""For what is on its way to be acknowledged at shutdown; the rest is sent after the next start."""

EDGE_VARIABLES: Final = ("IOTEDGE_WORKLOADURI", "EdgeHubConnectionString")
"""One of these is set where there is an edgeHub: by IoT Edge, or by its simulator."""


def has_upstream(environment: Environment, environ: Mapping[str, str]) -> bool:
    """Whether there is an edgeHub to send to."""
    if environment.upstream == "auto":
        return any(environ.get(name) for name in EDGE_VARIABLES)
    return environment.upstream == "edgehub"


class Upstream:
    """Sends what the store holds, one task per endpoint, and keeps the module's twin and methods."""

    def __init__(
        self,
        environment: Environment,
        *,
        store: Store,
        configuration: Configuration,
        status: Callable[[], Mapping[str, Any]],
        emit: Callable[[Event], None],
    ) -> None:
        # The SDK: 9 MB and 0.15 s of the start that a gateway without an edgeHub does without.
        from gateway.upstream.module_proxy import LinkTimes, ModuleProxy  # noqa: PLC0415 — see above

        times = LinkTimes(close_s=CLOSE_S, stall_s=float(environment.upstream_stall_s))
        self.proxy: CloudProxy = ModuleProxy(emit=emit, times=times)
        self._store = store
        self._emit = emit
        self._window = Window(max_messages=environment.upstream_window)
        self.twin = TwinSync(
            configuration=configuration,
            desired=DesiredSettings(configuration) if environment.settings_file is None else None,
            proxy=self.proxy,
            methods=ModuleMethods(status=status, emit=emit),
            emit=emit,
        )
        self.proxy.listen(self.twin)
        self._tasks: asyncio.TaskGroup | None = None
        self._link: list[asyncio.Task[None]] = []
        self._forwarders: dict[Endpoint, tuple[Forwarder[Entry], asyncio.Task[None]]] = {}

    def start(self, tasks: asyncio.TaskGroup, endpoints: Iterable[Endpoint]) -> None:
        """Open the link and forward to these endpoints, and to those with a backlog."""
        self._tasks = tasks
        self._link = [
            tasks.create_task(self.proxy.run(), name="link to edgeHub"),
            tasks.create_task(self.twin.run(), name="module twin"),
        ]
        self.serve(endpoints)

    def serve(self, endpoints: Iterable[Endpoint]) -> None:
        """Forward to these too from now on. A backlog is sent even if no route names its endpoint any more."""
        if self._tasks is None:
            return
        for endpoint in {*endpoints, *self._store.endpoints()} - set(self._forwarders):
            forwarder = Forwarder[Entry](
                endpoint=endpoint,
                backlog=self._store.reader(endpoint),
                proxy=self.proxy,
                emit=self._emit,
                window=self._window,
            )
            task = self._tasks.create_task(forwarder.run(), name=f"forward to {endpoint}")
            self._forwarders[endpoint] = (forwarder, task)

    async def stop(self) -> None:
        """Take nothing more, give what is in flight a moment to be acknowledged, close the link."""
        for forwarder, _ in self._forwarders.values():
            forwarder.stop()
        forwarding = [task for _, task in self._forwarders.values()]
        if forwarding:
            await asyncio.wait(forwarding, timeout=LAST_SENDS_S)
        for task in [*forwarding, *self._link]:
            task.cancel()
        await asyncio.gather(*forwarding, *self._link, return_exceptions=True)
