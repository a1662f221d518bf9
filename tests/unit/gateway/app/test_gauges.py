import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgewire.message import UPSTREAM
from gateway import __version__
from gateway.app.certificate_watch import Mark, WatchedCertificate
from gateway.app.configuration import Configuration
from gateway.app.gauges import EDGE_HUB_LABELS, Gauges, Sources
from gateway.app.health import Health
from gateway.app.pulse import Pulse
from gateway.observe.certificates import CertificateKind
from gateway.observe.edgehub import COMMON
from gateway.observe.metrics import Histogram, Metrics
from gateway.store.values import QueueStatus, StoreState, StoreStatus, WhenFull
from gateway.upstream.proxy import LinkState, LinkStatus


def link(state: LinkState) -> LinkStatus:
    return LinkStatus(state=state, reason="", since_at=0, last_success_at=None, in_flight=7)


def certificate(name: str, days_left: float, kind: CertificateKind = CertificateKind.SERVER) -> WatchedCertificate:
    return WatchedCertificate(
        kind=kind,
        name=name,
        subject="s",
        issuer="i",
        not_after=0,
        days_left=days_left,
        state=Mark.GOOD,
        advice="",
    )


@pytest.fixture
def store() -> StoreStatus:
    queue = QueueStatus(
        endpoint=UPSTREAM, priority=3, messages=11, bytes=220, oldest_at_ms=int((time.time() - 60) * 1000)
    )
    return StoreStatus(
        state=StoreState.FULL,
        queues=(queue,),
        segments=2,
        bytes=4096,
        max_bytes=8192,
        when_full=WhenFull.REFUSE,
        next_sequence=1,
    )


@pytest.fixture
def sources(tmp_path: Path, store: StoreStatus) -> Sources:
    return Sources(
        started_at=time.time() - 100,
        data=tmp_path,
        health=Health(),
        pulse=Pulse(Histogram()),
        names=("hub", "edge", "run"),
        store=lambda: store,
        clients=lambda: 5,
        connections=lambda: {"mqtt": 6, "amqp": 0},
        configuration=Configuration(path=tmp_path / "settings.json", apply=lambda *_: None, emit=lambda _: None),
        routes=lambda: 4,
        links=lambda: {"module": link(LinkState.CONNECTED), "devices": None},
        endpoints=lambda: {"archive": link(LinkState.WAITING), "of settings before": link(LinkState.CLOSED)},
        limited=lambda: 3,
        certificates=lambda: [
            *(certificate("server", 9.5), certificate("server", 3.25), certificate("old", -1)),
            *(certificate(f"certificate of device {device}", 2.5, CertificateKind.DEVICE) for device in "ab"),
        ],
    )


async def test_every_gauge_is_what_its_source_says(sources: Sources) -> None:
    metrics = Metrics()
    Gauges(sources).open(metrics)
    found = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }
    common = ("hub", "edge", "run")
    expected = {
        ("gateway_live", ()): 1,
        ("gateway_ready", ()): 0,
        ("gateway_unready_reason", ("starting",)): 1,
        ("gateway_unready_reason", ("store_full",)): 0,
        ("gateway_connections", ("mqtt",)): 6,
        ("gateway_routes", ()): 4,
        ("gateway_settings_good", ()): 1,
        ("gateway_devices_limited", ()): 3,
        ("gateway_event_loop_worst_lag_seconds", ()): 0,
        ("edgehub_connected_clients", common): 5,
        ("gateway_store_bytes", ()): 4096,
        ("gateway_store_max_bytes", ()): 8192,
        ("gateway_store_segments", ()): 2,
        ("gateway_store_state", ("full",)): 1,
        ("gateway_store_state", ("ready",)): 0,
        ("gateway_queue_bytes", ("$upstream", "3")): 220,
        ("edgehub_queue_length", ("$upstream", "3", *common)): 11,
        ("gateway_upstream_up", ("module",)): 1,
        ("gateway_upstream_state", ("module", "connected")): 1,
        ("gateway_upstream_state", ("module", "waiting")): 0,
        ("gateway_upstream_in_flight", ("module",)): 7,
        ("gateway_endpoint_up", ("archive",)): 0,
        ("gateway_certificate_days_left", ("server", "server")): 3.25,
        ("gateway_certificate_days_left", ("server", "old")): -1,
        ("gateway_certificate_days_left", ("device", "devices")): 2.5,
    }
    assert {name: found[name] for name in expected} == expected
    assert not [labels for _, labels in found if "certificate of device a" in labels]
    assert ("gateway_upstream_up", ("devices",)) not in found
    assert ("gateway_endpoint_up", ("of settings before",)) not in found
    assert 60 <= found["gateway_queue_oldest_age_seconds", ("$upstream", "3")] < 90
    assert 100 <= found["gateway_uptime_seconds", ()] < 130
    assert next(labels for name, labels in found if name == "gateway_build_info")[0] == __version__
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total"):
        assert found[name, ()] > 0
    assert found["gateway_tasks", ()] >= 1
    assert found["gateway_disk_free_bytes", ()] > 0


def test_an_empty_queue_has_no_age_and_a_folder_that_is_gone_no_space(sources: Sources) -> None:
    gauges = Gauges(sources)
    sources.data.rmdir()
    assert list(gauges._disk_free()) == []


def test_edge_hubs_labels_are_the_same_in_both_files() -> None:
    assert EDGE_HUB_LABELS == COMMON
