from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgewire.message import EndpointKind, identity, module_input
from gateway.observe import edgehub as module
from gateway.observe.dispatch import MessagesUnrouted, MethodCalls, MethodOutcome
from gateway.observe.edgehub import COMMON, EdgeHubMetrics
from gateway.observe.events import Event
from gateway.observe.head import DeviceConnected, DeviceDisconnected, Leaving
from gateway.observe.identity import LoginRefused
from gateway.observe.identity import RefusalReason as LoginReason
from gateway.observe.ledger import Ledger
from gateway.observe.metrics import Metrics
from gateway.observe.store import MessagesExpired, MessagesRefused, RefusalReason, StoreOpened
from gateway.observe.twin import TwinPlace, TwinRead, TwinReported
from gateway.observe.upstream import ForwardingPaused, LinkFault, LinkLost, LinkUp, MessagesForwarded

NAMES = ("hub", "edge", "run")
UP = EndpointKind.UPSTREAM


class Site:
    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.edgehub = EdgeHubMetrics(self.metrics, NAMES, lambda: self.now)

    def values(self) -> Mapping[str, float]:
        """As Prometheus reads them, but for the common labels, which are on all."""
        found = {}
        for family in text_string_to_metric_families(self.metrics.text().decode()):
            for sample in family.samples:
                assert tuple(sample.labels.pop(name) for name in COMMON) == NAMES
                found[f"{sample.name} {' '.join(sample.labels.values())}".strip()] = sample.value
        return found


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    ("event", "series", "value"),
    [
        (MessagesForwarded(UP, "$upstream", 5), "edgehub_messages_sent_total upstream", 5),
        (
            MessagesForwarded(EndpointKind.MODULE, str(module_input("detector", "raw")), 2),
            "edgehub_messages_sent_total detector raw",
            2,
        ),
        (MessagesUnrouted(3), "edgehub_messages_dropped_total no_route", 3),
        (MessagesExpired(endpoint="$upstream", count=4), "edgehub_messages_dropped_total ttl_expiry", 4),
        (
            MessagesRefused(reason=RefusalReason.DISK_FULL, count=6),
            "edgehub_messages_unack_total storage_failure",
            6,
        ),
        (DeviceConnected("d1", "::1"), "edgehub_client_connect_success_total", 1),
        (DeviceDisconnected("d1", Leaving.LOST), "edgehub_client_disconnect_total", 1),
        (
            LoginRefused("d1", "::1", next(iter(LoginReason))),
            "edgehub_client_connect_failed_total not_authenticated",
            1,
        ),
        (TwinRead("d1", TwinPlace.CLOUD), "edgehub_gettwin_total upstream", 1),
        (TwinRead("d1", TwinPlace.MIRROR), "edgehub_gettwin_total edge_hub", 1),
        (TwinReported("d1", TwinPlace.CLOUD), "edgehub_reported_properties_total upstream", 1),
        (MethodCalls(MethodOutcome.ANSWERED, 7), "edgehub_direct_methods_total device", 7),
        (
            ForwardingPaused(endpoint_kind=UP, endpoint="$upstream", reason="", released=1, delay_s=1),
            "edgehub_operation_retry_total Send",
            1,
        ),
    ],
)
def test_an_event_counts_under_edge_hubs_name(site: Site, event: Event, series: str, value: float) -> None:
    site.edgehub.on_event(event)
    site.edgehub.on_event(event)
    assert site.values()[series] == 2 * value


@pytest.mark.parametrize(
    "event",
    [
        MessagesForwarded(EndpointKind.NAMED, 'Endpoint("archive")', 5),
        MessagesRefused(reason=RefusalReason.BYTE_CAP, count=6),
        StoreOpened(1, 2, 3),
    ],
)
def test_what_edge_hub_does_not_know_counts_nowhere(site: Site, event: Event) -> None:
    before = site.values()
    site.edgehub.on_event(event)
    assert site.values() == before


def test_a_link_that_was_lost_is_counted_with_how_long(site: Site) -> None:
    site.edgehub.on_event(LinkUp(0.1))
    site.edgehub.on_event(LinkLost(next(iter(LinkFault)), "", 0))
    site.now = 30.0
    site.edgehub.on_event(LinkUp(0.1))
    values = site.values()
    assert values["edgehub_offline_count_total"] == 1
    assert (values["edgehub_offline_duration_seconds_sum"], values["edgehub_offline_duration_seconds_count"]) == (30, 1)


def test_messages_of_all_devices_are_one_series(site: Site) -> None:
    site.edgehub.follow(lambda: 12, None)
    assert site.values()["edgehub_messages_received_total"] == 12


def test_devices_have_their_own_up_to_a_number_and_keep_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DEVICE_SERIES", 2)
    ledger = Ledger(lambda: 0.0, lambda _: True)
    site.edgehub.follow(lambda: ledger.received + 100, ledger)  # some of which are not in the book yet
    name = "edgehub_messages_received_total"
    first, second, third = (identity(f"d{number}") for number in (1, 2, 3))
    ledger.heard({first: 2, second: 1})
    assert {series: value for series, value in site.values().items() if name in series} == {
        f"{name} d1": 2,
        f"{name} d2": 1,
        f"{name} other": 0,
    }
    ledger.heard({third: 3, first: 1})
    assert {series: value for series, value in site.values().items() if name in series} == {
        f"{name} d1": 3,
        f"{name} d2": 1,
        f"{name} other": 3,
    }
