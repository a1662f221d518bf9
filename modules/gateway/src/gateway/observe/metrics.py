"""Counters made of events, in Prometheus' form."""

from dataclasses import fields
from enum import Enum

from prometheus_client import CollectorRegistry, Counter, generate_latest

from gateway.observe.events import Event

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts events by the metric and labels their classes name."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}

    def count(self, event: Event) -> None:
        """Add `event` to its counter: its `count`, or one."""
        kind = type(event)
        if not kind.METRIC:
            return
        counter = self._counters.get(kind.METRIC) or self._make(kind)
        amount = getattr(event, "count", 1)
        labels = [_label(getattr(event, name)) for name in kind.LABELS]
        (counter.labels(*labels) if labels else counter).inc(amount)

    def text(self) -> bytes:
        """All counters in the text form that Prometheus reads."""
        return generate_latest(self.registry)

    def totals(self) -> dict[str, int]:
        """Every counter as `name{label="value"}` and its value, for a person or a twin."""
        return {
            _series(sample.name, sample.labels): int(sample.value)
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    def _make(self, kind: type[Event]) -> Counter:
        unknown = set(kind.LABELS) - {field.name for field in fields(kind)}
        if unknown:
            raise AssertionError(f"{kind.__name__} has no field {', '.join(sorted(unknown))} for its labels")
        summary = (kind.__doc__ or kind.__name__).split("\n")[0]
        counter = Counter(kind.METRIC.removesuffix("_total"), summary, kind.LABELS, registry=self.registry)
        self._counters[kind.METRIC] = counter
        return counter


def _label(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)


def _series(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name
