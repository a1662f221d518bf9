"""What the gateway is like now, for Prometheus: asked for when somebody looks, and free in between."""

import asyncio
import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway import __version__
from gateway.app.health import Health, Reason
from gateway.observe.metrics import Ask, Labels, Metrics, MetricType
from gateway.store.values import StoreState, StoreStatus
from gateway.upstream.proxy import LinkState, LinkStatus

if TYPE_CHECKING:
    from gateway.app.certificate_watch import WatchedCertificate
    from gateway.app.configuration import Configuration
    from gateway.app.pulse import Pulse

AS_OF_S: Final = 0.05
"""The store is asked once for all that one look wants of it."""

Values = Iterable[tuple[Labels, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Who knows how things are. All is called on the event loop."""

    started_at: float
    data: Path
    health: Health
    pulse: "Pulse"
    store: Callable[[], StoreStatus]
    clients: Callable[[], int]
    connections: Callable[[], Mapping[str, int]]
    """By listener."""
    configuration: "Configuration"
    routes: Callable[[], int]
    links: Callable[[], Mapping[str, LinkStatus | None]]
    """Ways upstream by name; None for one that is not used."""
    endpoints: Callable[[], Mapping[str, LinkStatus]]
    limited: Callable[[], int] = lambda: 0
    certificates: "Callable[[], Sequence[WatchedCertificate]]" = tuple
    names: tuple[str, str, str] = field(default=("", "", ""))
    """The values of edgeHub's common labels."""


class Gauges:
    """Tells `metrics` what to ask for. `open` them once the sources are there."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._store_then: tuple[float, StoreStatus] | None = None

    def open(self, metrics: Metrics) -> None:
        """From now on the values can be had there."""
        for name, summary, labels, ask in self._rows():
            kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
            metrics.ask(name, summary, labels, ask, kind=kind)

    def _rows(self) -> Iterable[tuple[str, str, Sequence[str], Ask]]:
        yield from self._of_the_gateway()
        yield from self._of_the_store()
        yield from self._of_the_others()
        yield from self._of_the_process()

    def _of_the_gateway(self) -> Iterable[tuple[str, str, Sequence[str], Ask]]:
        sources = self._sources
        yield "gateway_build_info", "1; the version stands in the labels", ("version", "python"), _build
        yield (
            "gateway_uptime_seconds",
            "Since the start",
            (),
            lambda: _one(time.time() - sources.started_at),
        )
        yield "gateway_live", "1 while the gateway lives: see health.md", (), lambda: _one(self._said("live"))
        yield (
            "gateway_ready",
            "1 while it listens and the store takes messages: see health.md",
            (),
            lambda: _one(self._said("ready")),
        )
        yield "gateway_unready_reason", "1 for each reason why it is not ready", ("reason",), self._reasons
        yield "gateway_connections", "Connections, handshakes included", ("listener",), self._connections
        yield "gateway_routes", "Routes in force", (), lambda: _one(sources.routes())
        yield (
            "gateway_settings_good",
            "1 if the last settings that were offered are in force, 0 if they were refused",
            (),
            lambda: _one(sources.configuration.verdict is None or sources.configuration.verdict.good),
        )
        yield (
            "gateway_devices_limited",
            "Devices held back or refused by limits now",
            (),
            lambda: _one(sources.limited()),
        )
        yield (
            "gateway_event_loop_worst_lag_seconds",
            "How late the event loop was at its latest, in the last minute",
            (),
            lambda: _one(sources.pulse.worst_s),
        )
        yield (
            "edgehub_connected_clients",
            "Devices and modules that are connected",
            EDGE_HUB_LABELS,
            lambda: [(sources.names, sources.clients())],
        )

    def _of_the_store(self) -> Iterable[tuple[str, str, Sequence[str], Ask]]:
        queue = ("endpoint", "priority")
        yield "gateway_store_bytes", "What the message store takes on disk", (), lambda: _one(self._store.bytes)
        yield (
            "gateway_store_max_bytes",
            "What it may take: storeAndForward.maxBytes",
            (),
            lambda: _one(self._store.max_bytes or 0),
        )
        yield "gateway_store_segments", "Its files", (), lambda: _one(self._store.segments)
        yield "gateway_store_state", "1 for the state that it is in", ("state",), self._store_states
        yield "gateway_disk_free_bytes", "Free space where the data is", (), self._disk_free
        yield "gateway_queue_bytes", "What waits for an endpoint, in bytes", queue, self._queue_bytes
        yield (
            "gateway_queue_oldest_age_seconds",
            "Age of the oldest message that waits for an endpoint; 0 for none",
            queue,
            self._queue_ages,
        )
        yield (
            "edgehub_queue_length",
            "Messages that wait for an endpoint",
            (*queue, *EDGE_HUB_LABELS),
            self._queue_lengths,
        )

    def _of_the_others(self) -> Iterable[tuple[str, str, Sequence[str], Ask]]:
        yield "gateway_upstream_up", "1 for a way upstream that is connected", ("link",), self._upstream_up
        yield (
            "gateway_upstream_state",
            "1 for the state that a way upstream is in",
            ("link", "state"),
            self._upstream_states,
        )
        yield "gateway_upstream_in_flight", "Messages on their way, not acknowledged yet", ("link",), self._in_flight
        yield (
            "gateway_endpoint_up",
            "1 for an Event Hub or Kafka topic that is connected",
            ("endpoint",),
            self._endpoints_up,
        )
        yield (
            "gateway_certificate_days_left",
            "Days until a certificate ends, below zero once it has",
            ("kind", "name"),
            self._certificates,
        )

    def _of_the_process(self) -> Iterable[tuple[str, str, Sequence[str], Ask]]:
        """As Prometheus' own clients name them."""
        yield (
            "process_start_time_seconds",
            "When it was started, since 1970",
            (),
            lambda: _one(self._sources.started_at),
        )
        yield "process_cpu_seconds_total", "Time on the processor, its own and the system's for it", (), _cpu
        yield "process_resident_memory_bytes", "Memory that it holds", (), _resident
        yield "process_open_fds", "Open files, sockets among them", (), _open_files
        yield "process_max_fds", "Open files that it may have", (), _max_files
        yield "gateway_tasks", "Tasks of the event loop", (), lambda: _one(len(asyncio.all_tasks()))

    @property
    def _store(self) -> StoreStatus:
        now = time.monotonic()
        if self._store_then is None or now - self._store_then[0] > AS_OF_S:
            self._store_then = now, self._sources.store()
        return self._store_then[1]

    def _said(self, name: str) -> bool:
        return bool(self._sources.health.report()[name])

    def _reasons(self) -> Values:
        found = self._sources.health.reasons()
        return [((reason.value,), reason in found) for reason in Reason]

    def _connections(self) -> Values:
        return [((listener,), count) for listener, count in self._sources.connections().items()]

    def _store_states(self) -> Values:
        return [((state.value,), state is self._store.state) for state in StoreState]

    def _disk_free(self) -> Values:
        try:
            disk = os.statvfs(self._sources.data)
        except OSError:
            return []
        return _one(disk.f_bavail * disk.f_frsize)

    def _queue_bytes(self) -> Values:
        return [((str(each.endpoint), str(each.priority)), each.bytes) for each in self._store.queues]

    def _queue_ages(self) -> Values:
        now = time.time()
        for each in self._store.queues:
            age_s = 0.0 if each.oldest_at_ms is None else max(0.0, now - each.oldest_at_ms / 1000)
            yield (str(each.endpoint), str(each.priority)), round(age_s, 3)

    def _queue_lengths(self) -> Values:
        names = self._sources.names
        return [((str(each.endpoint), str(each.priority), *names), each.messages) for each in self._store.queues]

    def _links(self) -> Iterable[tuple[str, LinkStatus]]:
        return ((name, link) for name, link in self._sources.links().items() if link is not None)

    def _upstream_up(self) -> Values:
        return [((name,), link.state is LinkState.CONNECTED) for name, link in self._links()]

    def _upstream_states(self) -> Values:
        return [((name, state.value), link.state is state) for name, link in self._links() for state in LinkState]

    def _in_flight(self) -> Values:
        return [((name,), link.in_flight) for name, link in self._links()]

    def _endpoints_up(self) -> Values:
        """Those that the settings name: what nobody dials any more is not down."""
        links = self._sources.endpoints()
        return [
            ((name,), link.state is LinkState.CONNECTED)
            for name, link in links.items()
            if link.state is not LinkState.CLOSED
        ]

    def _certificates(self) -> Values:
        """The one that ends first, where several have one name; of all devices one: their ids are no labels."""
        soonest: dict[Labels, float] = {}
        for each in self._sources.certificates():
            kind = str(each.kind.value)
            labels = kind, "devices" if kind == "device" else each.name
            soonest[labels] = min(each.days_left, soonest.get(labels, each.days_left))
        return [(labels, round(days, 3)) for labels, days in soonest.items()]


EDGE_HUB_LABELS: Final = ("iothub", "edge_device", "instance_number")
"""As `gateway.observe.edgehub.COMMON`, which brings more with it than a gauge needs."""


def _one(value: float) -> list[tuple[Labels, float]]:
    return [((), value)]


def _build() -> Values:
    return [((__version__, platform.python_version()), 1)]


def _cpu() -> Values:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return _one(round(used.ru_utime + used.ru_stime, 3))


def _resident() -> Values:
    return _one(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))


def _open_files() -> Values:
    return _one(sum(1 for _ in Path("/proc/self/fd").iterdir()))


def _max_files() -> Values:
    return _one(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
