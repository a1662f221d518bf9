from dataclasses import dataclass
from typing import ClassVar

import pytest

from gateway.observe.dispatch import MessagesReceived
from gateway.observe.events import Event
from gateway.observe.metrics import Metrics
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
    assert b'gateway_store_refused_messages_total{reason="byte_cap"} 2.0' in metrics.text()


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
