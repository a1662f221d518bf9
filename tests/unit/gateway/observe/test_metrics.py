from dataclasses import dataclass
from typing import ClassVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.observe.dispatch import MessagesReceived
from gateway.observe.events import Event
from gateway.observe.metrics import Metrics, MetricType
from gateway.observe.store import MessagesRefused, RefusalReason


def test_an_event_with_a_count_adds_the_count() -> None:
    metrics = Metrics()
    metrics.count(MessagesReceived(3))
    metrics.count(MessagesReceived(4))
    assert metrics.totals() == {"gateway_received_messages_total": 7}


def test_labels_carry_the_value_of_the_closed_set() -> None:
    metrics = Metrics()
    metrics.count(MessagesRefused(reason=RefusalReason.BYTE_CAP, count=2))
    assert metrics.totals() == {'gateway_store_refused_messages_total{reason="byte_cap"}': 2}
    assert b'gateway_store_refused_messages_total{reason="byte_cap"} 2\n' in metrics.text()


def test_an_event_without_a_metric_is_not_counted() -> None:
    @dataclass(frozen=True, slots=True)
    class Quiet(Event):
        pass

    metrics = Metrics()
    metrics.count(Quiet())
    assert metrics.totals() == {}


def test_a_label_that_is_no_field_is_our_own_mistake() -> None:
    @dataclass(frozen=True, slots=True)
    class Mistaken(Event):
        METRIC: ClassVar[str] = "gateway_mistakes_total"
        LABELS: ClassVar[tuple[str, ...]] = ("nowhere",)

    with pytest.raises((AssertionError, AttributeError), match="nowhere"):
        Metrics().count(Mistaken())


def test_prometheus_reads_what_is_written() -> None:
    metrics = Metrics()
    metrics.count(MessagesReceived(3))
    for reason in RefusalReason:
        metrics.count(MessagesRefused(reason=reason, count=2))
    families = list(text_string_to_metric_families(metrics.text().decode()))
    assert [(family.name, family.type) for family in families] == [
        ("gateway_received_messages", "counter"),
        ("gateway_store_refused_messages", "counter"),
    ]
    assert [sample.value for sample in families[0].samples] == [3]
    assert {sample.labels["reason"] for sample in families[1].samples} == {reason.value for reason in RefusalReason}


def test_whatever_a_text_holds_it_stays_on_its_line() -> None:
    @dataclass(frozen=True, slots=True)
    class Odd(Event):
        r"""A \ in it."""

        METRIC: ClassVar[str] = "gateway_oddities_total"
        LABELS: ClassVar[tuple[str, ...]] = ("what",)
        what: str

    metrics = Metrics()
    metrics.count(Odd('a "quoted"\n\\ text'))
    [family] = text_string_to_metric_families(metrics.text().decode())
    assert family.documentation == r"A \ in it."
    assert family.samples[0].labels == {"what": 'a "quoted"\n\\ text'}
    assert metrics.text().count(b"\n") == 3


def test_what_is_asked_for_is_asked_when_somebody_looks() -> None:
    metrics, asked = Metrics(), []

    def ask() -> list[tuple[tuple[str, ...], float]]:
        asked.append(1)
        return [(("a",), 1), (('b"\n\\',), 2.5)]

    metrics.ask("gateway_things", "How\nmany", ("of",), ask)
    metrics.ask("gateway_nothing", "None of it now", (), list)
    assert asked == []
    (family,) = text_string_to_metric_families(metrics.text().decode())
    assert (family.name, family.type) == ("gateway_things", "gauge")
    assert [(sample.labels["of"], sample.value) for sample in family.samples] == [("a", 1), ('b"\n\\', 2.5)]
    assert metrics.totals() == {}


def test_a_summary_is_its_sum_and_its_count() -> None:
    metrics = Metrics()
    values = [(("sum", "x"), 1.5), (("count", "x"), 2)]
    metrics.ask("gateway_waits_seconds", "Waits", ("of",), lambda: values, kind=MetricType.SUMMARY)
    (family,) = text_string_to_metric_families(metrics.text().decode())
    assert family.type == "summary"
    assert [(sample.name, sample.labels, sample.value) for sample in family.samples] == [
        ("gateway_waits_seconds_sum", {"of": "x"}, 1.5),
        ("gateway_waits_seconds_count", {"of": "x"}, 2),
    ]


def test_a_histogram_counts_what_took_less_too() -> None:
    metrics = Metrics()
    times = metrics.histograms("gateway_took_seconds", "How long", ("of",))
    for took in (0.0001, 0.0005, 0.02, 100.0):
        times.of("x").observe(took)
    (family,) = text_string_to_metric_families(metrics.text().decode())
    buckets = {each.labels["le"]: each.value for each in family.samples if each.name.endswith("_bucket")}
    assert (buckets["0.0005"], buckets["0.01"], buckets["0.025"], buckets["30"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    others = {each.name: each.value for each in family.samples if not each.name.endswith("_bucket")}
    assert others == {"gateway_took_seconds_sum": pytest.approx(100.0206), "gateway_took_seconds_count": 4}
    assert metrics.families()["gateway_took_seconds"] == (MetricType.HISTOGRAM, ("of",), "How long")
