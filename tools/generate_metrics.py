"""What docs/metrics.md and docs/grafana/gateway.json say: made of the metrics that the gateway has."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from gateway.app.gauges import Gauges, Sources
from gateway.app.operating import Operating
from gateway.app.settings import read_environment
from gateway.observe.edgehub import COMMON
from gateway.observe.metrics import Labels, Metrics, MetricType
from gateway.observe.observer import Observer

Family = tuple[MetricType, Labels, str]

PAGE_HEAD: Final = """# Metrics

`http://127.0.0.1:9600/metrics` (`GATEWAY_METRICS_ADDRESS`, `GATEWAY_METRICS_PORT`) gives Prometheus' text form: the
counters of events, which [events.md](events.md) lists with what they mean, and the families below. No login is asked
for. A counter appears with the first thing it counts. Reading costs the gateway a few milliseconds, and nothing in
between: gauges are asked when somebody looks. The first who looks makes the gateway load its page's server, 11 MB.

Labels come from closed sets and from what the operator has named (routes, endpoints, listeners), never from what a
device sent. The one exception is the label `id` of `edgehub_messages_received_total`, and it is off:
`GATEWAY_METRICS_PER_DEVICE` counts the first 1,000 devices one by one and all others as `other`, as each is a series of
its own in Prometheus for as long as it keeps them. Whoever reaches the port can then read the ids.

Files to begin with: [prometheus/prometheus.yml](prometheus/prometheus.yml) scrapes a gateway,
[prometheus/alerts.yml](prometheus/alerts.yml) says when to call somebody, and
[grafana/gateway.json](grafana/gateway.json) is a dashboard: *Dashboards → New → Import*, and choose the data source.
Whether the gateway lives and is ready, for probes and health checks: [health.md](health.md).

## edgeHub's names

Dashboards made for edgeHub go on working where its metric means the same here. Names, labels and meanings are those of
edgeHub's page of built-in metrics (the file BuiltInMetrics.md in Azure/iotedge, commit 075af825) and of the classes
`Metrics` in its sources. `iothub`, `edge_device` and `instance_number` stand on each of them, as edgeHub has it; the
last is another after each start. What differs:

- edgeHub has a series for each device (`id`, `from`); here they are counted together (see above), and the labels
  `from`, `from_route_output`, `route_output` and `priority` of counters are not there.
- `edgehub_operation_retry_total` counts pauses of forwarding (`operation="Send"`), not tries of each message.
- `edgehub_messages_unack_total` counts what the disk refused. What is refused because `maxBytes` is reached is our own
  `gateway_store_refused_messages_total`.
- `edgehub_message_size_bytes`, `edgehub_message_process_duration_seconds` and the durations of twins and methods are
  not there: they would cost something for each message. `edgehub_message_send_duration_seconds` is a summary of all
  messages there; ours is `gateway_round_trip_seconds`, a histogram of a sample of them.

| name | type | labels beside the common ones | what it is |
|---|---|---|---|
"""
OURS_HEAD: Final = """
## Ours

| name | type | labels | what it is |
|---|---|---|---|
"""


def families() -> Mapping[str, Family]:
    """All that is asked for and measured, by name."""
    metrics = Metrics()
    Operating(read_environment({}), {}, Observer(), metrics, lambda _: None)
    Gauges(cast("Sources", None)).open(metrics)
    return metrics.families()


def page() -> str:
    """docs/metrics.md."""
    found = sorted(families().items())
    edge_hubs = [(name, family) for name, family in found if name.startswith("edgehub_")]
    ours = [(name, family) for name, family in found if not name.startswith("edgehub_")]
    return PAGE_HEAD + "".join(map(_row, edge_hubs)) + OURS_HEAD + "".join(map(_row, ours))


def _row(named: tuple[str, Family]) -> str:
    name, (kind, labels, summary) = named
    own = ", ".join(f"`{label}`" for label in labels if label not in COMMON)
    return f"| `{name}` | {kind.value} | {own or 'none'} | {summary} |\n"


# --- the dashboard ----------------------------------------------------------------------------------------------------

SOURCE: Final = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
WIDTH: Final = 24
"""Columns of a dashboard."""
HEIGHT: Final = 8


def _rate(name: str, by: str = "") -> str:
    which = 'instance=~"$gateway"'
    rate = f"rate({name}{{{which}}}[$__rate_interval])"
    return f"sum by ({by}) ({rate})" if by else f"sum({rate})"


def _now(name: str, by: str = "", how: str = "max") -> str:
    one = f'{name}{{instance=~"$gateway"}}'
    return f"{how} by ({by}) ({one})" if by else f"{how}({one})"


def _within(name: str, by: str, quantile: float) -> str:
    buckets = f'rate({name}_bucket{{instance=~"$gateway"}}[$__rate_interval])'
    return f"histogram_quantile({quantile}, sum by ({by}) ({buckets}))"


Panel = tuple[str, str, str, Mapping[str, str]]
"""Its title, its unit, its kind, and what it shows: legends and expressions."""

ROWS: Final[Mapping[str, tuple[Panel, ...]]] = {
    "Flow": (
        (
            "Messages",
            "ops",
            "timeseries",
            {
                "received": _rate("gateway_received_messages_total"),
                "sent {{endpoint_kind}}": _rate("gateway_forwarded_messages_total", "endpoint_kind"),
                "no route": _rate("gateway_unrouted_messages_total"),
            },
        ),
        (
            "Refused and lost",
            "ops",
            "timeseries",
            {
                "refused: {{reason}}": _rate("gateway_refused_messages_total", "reason"),
                "expired for {{endpoint}}": _rate("gateway_store_expired_messages_total", "endpoint"),
                "dropped for {{endpoint}}": _rate("gateway_store_dropped_messages_total", "endpoint"),
                "rejected: {{endpoint_kind}}": _rate("gateway_rejected_messages_total", "endpoint_kind"),
            },
        ),
        (
            "Ready",
            "bool_yes_no",
            "stat",
            {"ready": _now("gateway_ready", how="min"), "settings good": _now("gateway_settings_good", how="min")},
        ),
    ),
    "Store": (
        (
            "Bytes on disk",
            "bytes",
            "timeseries",
            {
                "used": _now("gateway_store_bytes"),
                "cap": _now("gateway_store_max_bytes"),
                "free on the disk": _now("gateway_disk_free_bytes", how="min"),
            },
        ),
        (
            "Messages that wait",
            "short",
            "timeseries",
            {"{{endpoint}}, priority {{priority}}": _now("edgehub_queue_length", "endpoint, priority")},
        ),
        (
            "Age of the oldest",
            "s",
            "timeseries",
            {"{{endpoint}}, priority {{priority}}": _now("gateway_queue_oldest_age_seconds", "endpoint, priority")},
        ),
        (
            "Commits",
            "s",
            "timeseries",
            {
                "half within": _within("gateway_store_commit_seconds", "le", 0.5),
                "99 of 100 within": _within("gateway_store_commit_seconds", "le", 0.99),
            },
        ),
    ),
    "Upstream": (
        (
            "Connected",
            "bool_on_off",
            "stat",
            {
                "as {{link}}": _now("gateway_upstream_up", "link", "min"),
                "{{endpoint}}": _now("gateway_endpoint_up", "endpoint", "min"),
            },
        ),
        (
            "Round trip",
            "s",
            "timeseries",
            {"{{endpoint}}: 95 of 100 within": _within("gateway_round_trip_seconds", "endpoint, le", 0.95)},
        ),
        (
            "Lost links and failed tries",
            "ops",
            "timeseries",
            {
                "lost: {{fault}}": _rate("gateway_upstream_drops_total", "fault"),
                "failed: {{fault}}": _rate("gateway_upstream_failed_connects_total", "fault"),
                "pauses: {{endpoint_kind}}": _rate("gateway_forwarding_pauses_total", "endpoint_kind"),
            },
        ),
    ),
    "Devices": (
        (
            "Connected",
            "short",
            "timeseries",
            {
                "devices": _now("edgehub_connected_clients", how="sum"),
                "connections at {{listener}}": _now("gateway_connections", "listener", "sum"),
            },
        ),
        (
            "Refused logins",
            "ops",
            "timeseries",
            {
                "{{reason}}": _rate("gateway_refused_logins_total", "reason"),
                "before login: {{reason}}": _rate("gateway_refused_connections_total", "reason"),
            },
        ),
        (
            "Over their limits",
            "short",
            "timeseries",
            {
                "now": _now("gateway_devices_limited", how="sum"),
                "{{limit}}, {{when_over}}": _rate("gateway_limited_devices_total", "limit, when_over"),
            },
        ),
    ),
    "Certificates": (
        (
            "Days left",
            "d",
            "timeseries",
            {"{{kind}} {{name}}": _now("gateway_certificate_days_left", "kind, name", "min")},
        ),
    ),
    "Process": (
        (
            "Memory",
            "bytes",
            "timeseries",
            {"resident": _now("process_resident_memory_bytes")},
        ),
        (
            "Processor",
            "percentunit",
            "timeseries",
            {"cores": _rate("process_cpu_seconds_total")},
        ),
        (
            "Event loop",
            "s",
            "timeseries",
            {
                "worst of a minute": _now("gateway_event_loop_worst_lag_seconds"),
                "99 of 100 within": _within("gateway_event_loop_lag_seconds", "le", 0.99),
            },
        ),
        (
            "Open files",
            "short",
            "timeseries",
            {"open": _now("process_open_fds"), "limit": _now("process_max_fds")},
        ),
    ),
}


def dashboard() -> str:
    """docs/grafana/gateway.json: Grafana's classic form, with the data source as an input of the import."""
    return (
        json.dumps(
            {
                "__inputs": [
                    {
                        "name": "DS_PROMETHEUS",
                        "label": "Prometheus",
                        "description": "which scrapes the gateways",
                        "type": "datasource",
                        "pluginId": "prometheus",
                        "pluginName": "Prometheus",
                    }
                ],
                "__requires": [
                    {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "9.0.0"},
                    {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
                    {"type": "panel", "id": "timeseries", "name": "Time series", "version": ""},
                    {"type": "panel", "id": "stat", "name": "Stat", "version": ""},
                ],
                "id": None,
                "uid": "edge-gateway",
                "title": "Edge gateway",
                "tags": ["iot-edge", "gateway"],
                "editable": True,
                "graphTooltip": 1,
                "refresh": "30s",
                "schemaVersion": 36,
                "version": 1,
                "time": {"from": "now-6h", "to": "now"},
                "timezone": "browser",
                "templating": {"list": [_variable()]},
                "annotations": {"list": []},
                "links": [],
                "panels": list(_panels()),
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def _variable() -> dict[str, Any]:
    query = "label_values(gateway_build_info, instance)"
    return {
        "name": "gateway",
        "label": "Gateway",
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "gateways"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {},
    }


def _panels() -> Iterable[dict[str, Any]]:
    number, top = 0, 0
    for title, row in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top},
            "panels": [],
        }
        top += 1
        width = WIDTH // len(row)
        for place, panel in enumerate(row):
            number += 1
            yield _panel(number, panel, {"h": HEIGHT, "w": width, "x": place * width, "y": top})
        top += HEIGHT


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    title, unit, kind, shows = panel
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for index, (legend, expression) in enumerate(shows.items())
    ]
    custom = {"custom": {"fillOpacity": 10, "showPoints": "never"}} if kind == "timeseries" else {}
    return {
        "id": number,
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "gridPos": dict(place),
        "fieldConfig": {"defaults": {"unit": unit, "min": None if unit == "d" else 0, **custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if kind == "timeseries" else {},
        "targets": targets,
    }
