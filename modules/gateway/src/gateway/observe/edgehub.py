"""edgeHub's own counters, where ours mean the same: dashboards made for it go on working.

Names, labels and meanings: Azure/iotedge, doc/BuiltInMetrics.md, and the classes `Metrics` in its sources. What edgeHub
says by device (its label `id`, or `from`) is said of all devices together here, but for messages received, and that
only where the operator asks for it: a series for each device is what fills a Prometheus.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from edgewire.message import EndpointKind
from gateway.observe.dispatch import MessagesUnrouted, MethodCalls
from gateway.observe.events import Event
from gateway.observe.head import DeviceConnected, DeviceDisconnected
from gateway.observe.identity import LoginRefused
from gateway.observe.ledger import Ledger
from gateway.observe.metrics import Labels, Metrics, MetricType
from gateway.observe.store import MessagesExpired, MessagesRefused, RefusalReason
from gateway.observe.twin import TwinRead, TwinReported
from gateway.observe.upstream import ForwardingPaused, LinkLost, LinkUp, MessagesForwarded

MAX_DEVICE_SERIES: Final = 1_000
"""Devices with a series of their own, where GATEWAY_METRICS_PER_DEVICE is on; all others share one."""
OTHERS: Final = "other"
COMMON: Final = ("iothub", "edge_device", "instance_number")
"""edgeHub has them on every series."""
_STORAGE: Final = (RefusalReason.FAILED, RefusalReason.DISK_FULL)

FAMILIES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "edgehub_messages_sent_total": (("to", "to_route_input"), "Messages that $upstream or a module has acknowledged"),
    "edgehub_messages_dropped_total": (("reason",), "Messages that no route matched, or whose time to live was over"),
    "edgehub_messages_unack_total": (("reason",), "Messages that were not acknowledged because the disk did not work"),
    "edgehub_client_connect_success_total": ((), "Connections of devices and modules that were let in"),
    "edgehub_client_connect_failed_total": (("reason",), "Logins that were refused"),
    "edgehub_client_disconnect_total": ((), "Connections of devices and modules that ended"),
    "edgehub_gettwin_total": (("source",), "Twins that devices read: from upstream, or from the gateway's mirror"),
    "edgehub_reported_properties_total": (("target",), "Reports of devices: upstream, or kept here for later"),
    "edgehub_direct_methods_total": (("to",), "Calls of methods of devices"),
    "edgehub_operation_retry_total": (("operation",), "Times that sending was paused to be tried again"),
    "edgehub_offline_count_total": ((), "Times that a link upstream was lost"),
}
"""Counters made of events: labels of their own, and help."""


class EdgeHubMetrics:
    """Counts events under edgeHub's names. `names`: the values of `COMMON`; `ledger` where devices are told apart."""

    def __init__(self, metrics: Metrics, names: tuple[str, str, str], clock: Callable[[], float]) -> None:
        self._names = names
        self._clock = clock
        self._counts: dict[str, dict[Labels, float]] = {name: {} for name in FAMILIES}
        self._offline_since: dict[object, float] = {}
        self._offline_s = 0.0
        self._offline_times = 0
        self._series: dict[str, None] = {}
        self._ledger: Ledger | None = None
        self._received: Callable[[], int] = lambda: 0
        for name, (labels, summary) in FAMILIES.items():
            metrics.ask(name, summary, (*labels, *COMMON), self._teller(name), kind=MetricType.COUNTER)
        metrics.ask(
            "edgehub_messages_received_total",
            "Messages of devices and modules that were taken in",
            ("id", *COMMON),
            self._tell_received,
            kind=MetricType.COUNTER,
        )
        metrics.ask(
            "edgehub_offline_duration_seconds",
            "How long links upstream were lost",
            COMMON,
            self._tell_offline,
            kind=MetricType.SUMMARY,
        )

    def follow(self, received: Callable[[], int], ledger: Ledger | None) -> None:
        """`received` gives all messages since the start; `ledger` those of each device, None for all in one."""
        self._received, self._ledger = received, ledger

    def on_event(self, event: Event) -> None:
        """A listener of the observer."""
        read = _READERS.get(type(event))
        if read is None:
            return
        found = read(event)
        if found is not None:
            name, labels, count = found
            values = self._counts[name]
            values[labels] = values.get(labels, 0) + count
        if isinstance(event, LinkLost):
            self._offline_since.setdefault(event.kind, self._clock())
        elif isinstance(event, LinkUp) and (since := self._offline_since.pop(event.kind, None)) is not None:
            self._offline_s += self._clock() - since
            self._offline_times += 1

    def _teller(self, name: str) -> Callable[[], Iterable[tuple[Labels, float]]]:
        values = self._counts[name]
        return lambda: [((*labels, *self._names), count) for labels, count in values.items()]

    def _tell_offline(self) -> Iterable[tuple[Labels, float]]:
        yield ("sum", *self._names), self._offline_s
        yield ("count", *self._names), self._offline_times

    def _tell_received(self) -> Iterable[tuple[Labels, float]]:
        if self._ledger is None:
            yield ("", *self._names), self._received()
            return
        total = self._ledger.received  # as of when its devices were counted: what came since would be of others
        for name in self._ledger.devices:
            if len(self._series) >= MAX_DEVICE_SERIES:
                break
            self._series[name] = None
        told = 0
        for name in self._series:
            record = self._ledger.device(name)
            if record is not None:
                told += record.messages
                yield (name, *self._names), record.messages
        yield (OTHERS, *self._names), max(0, total - told)


_Found = tuple[str, Labels, float] | None


def _sent(event: MessagesForwarded) -> _Found:
    match event.endpoint_kind:
        case EndpointKind.UPSTREAM:
            return "edgehub_messages_sent_total", ("upstream", ""), event.count
        case EndpointKind.MODULE:
            module, _, to_input = event.endpoint.strip("/").partition("/inputs/")
            return "edgehub_messages_sent_total", (module.removeprefix("modules/"), to_input), event.count
        case _:
            return None


def _unacknowledged(event: MessagesRefused) -> _Found:
    if event.reason not in _STORAGE:
        return None
    return "edgehub_messages_unack_total", ("storage_failure",), event.count


_READERS: Final[Mapping[type[Event], Callable[[Any], _Found]]] = {
    MessagesForwarded: _sent,
    MessagesRefused: _unacknowledged,
    MessagesUnrouted: lambda event: ("edgehub_messages_dropped_total", ("no_route",), event.count),
    MessagesExpired: lambda event: ("edgehub_messages_dropped_total", ("ttl_expiry",), event.count),
    DeviceConnected: lambda _: ("edgehub_client_connect_success_total", (), 1),
    DeviceDisconnected: lambda _: ("edgehub_client_disconnect_total", (), 1),
    LoginRefused: lambda _: ("edgehub_client_connect_failed_total", ("not_authenticated",), 1),
    TwinRead: lambda event: (
        "edgehub_gettwin_total",
        ("upstream" if event.source.value == "cloud" else "edge_hub",),
        1,
    ),
    TwinReported: lambda event: (
        "edgehub_reported_properties_total",
        ("upstream" if event.target.value == "cloud" else "edge_hub",),
        1,
    ),
    MethodCalls: lambda event: ("edgehub_direct_methods_total", ("device",), event.count),
    ForwardingPaused: lambda _: ("edgehub_operation_retry_total", ("Send",), 1),
    LinkLost: lambda _: ("edgehub_offline_count_total", (), 1),
    LinkUp: lambda _: None,
}
