"""Counters made of events, numbers that are asked for when somebody looks, and how long things took.

In Prometheus' form (exposition formats 0.0.4, the text one), written out here: Prometheus' own client for Python brings
an HTTP server and 2 MB along, and this needs none of it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from dataclasses import field as attribute
from enum import Enum
from typing import Final

from gateway.observe.events import Event

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of how long something took: from a fast disk's sync to a link that is about to be given up."""

_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_VALUE_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

Labels = tuple[str, ...]
Ask = Callable[[], Iterable[tuple[Labels, float]]]
"""Gives the values of a family now, each with the values of its labels."""


class MetricType(Enum):
    """What a family is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(slots=True)
class _Counter:
    """One counter: a value for each combination of labels that there was."""

    summary: str
    labels: Labels
    values: dict[Labels, int] = attribute(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A family whose values are asked for."""

    summary: str
    labels: Labels
    ask: Ask
    kind: MetricType


class Histogram:
    """How long something took, how often. One thread writes, another may read."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """It took so long."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds


@dataclass(slots=True)
class Histograms:
    """A family of histograms, one for each combination of labels."""

    summary: str
    labels: Labels
    values: dict[Labels, Histogram] = attribute(default_factory=dict)

    def of(self, *labels: str) -> Histogram:
        """The one with these values of its labels."""
        histogram = self.values.get(labels)
        if histogram is None:
            histogram = self.values[labels] = Histogram()
        return histogram


class Metrics:
    """Counts events by the metric and labels their classes name, and asks others when it is read.

    `ask` and `histograms` are said once per name, on the event loop, where `text` is read too.
    """

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._asked: dict[str, _Asked] = {}
        self._histograms: dict[str, Histograms] = {}

    def count(self, event: Event) -> None:
        """Add `event` to its counter: its `count`, or one."""
        kind = type(event)
        if not kind.METRIC:
            return
        counter = self._counters.get(kind.METRIC) or self._make(kind)
        labels = tuple([_label(getattr(event, name)) for name in kind.LABELS])
        counter.values[labels] = counter.values.get(labels, 0) + getattr(event, "count", 1)

    def ask(
        self, name: str, summary: str, labels: Sequence[str], ask: Ask, *, kind: MetricType = MetricType.GAUGE
    ) -> None:
        """From now on `ask` is called for the values of `name` whenever somebody looks. Labels are closed sets."""
        self._asked[name] = _Asked(summary=summary, labels=tuple(labels), ask=ask, kind=kind)

    def histograms(self, name: str, summary: str, labels: Sequence[str] = ()) -> Histograms:
        """The family of this name, which is shown from now on."""
        family = self._histograms[name] = Histograms(summary, tuple(labels))
        return family

    def text(self) -> bytes:
        """All of it in the text form that Prometheus reads."""
        lines: list[str] = []
        for name, counter in self._counters.items():
            lines += _head(name, counter.summary, MetricType.COUNTER)
            lines += (f"{_series(name, counter.labels, labels)} {value}" for labels, value in counter.values.items())
        for name, asked in self._asked.items():
            values = list(asked.ask())
            if values:
                lines += _head(name, asked.summary, asked.kind)
                lines += (f"{_asked_series(name, asked, labels)} {_number(value)}" for labels, value in values)
        for name, family in self._histograms.items():
            if family.values:
                lines += _head(name, family.summary, MetricType.HISTOGRAM)
                for labels, histogram in list(family.values.items()):
                    lines += _histogram_lines(name, family.labels, labels, histogram)
        return "".join(f"{line}\n" for line in lines).encode()

    def totals(self) -> dict[str, int]:
        """Every counter of events as `name{label="value"}` and its value, for a person or a twin."""
        return {
            _series(name, counter.labels, labels): value
            for name, counter in self._counters.items()
            for labels, value in counter.values.items()
        }

    def families(self) -> Mapping[str, tuple[MetricType, Labels, str]]:
        """What is asked for and what is measured, by name: its type, labels and help, for the docs."""
        asked = {name: (each.kind, each.labels, each.summary) for name, each in self._asked.items()}
        measured = {name: (MetricType.HISTOGRAM, each.labels, each.summary) for name, each in self._histograms.items()}
        return asked | measured

    def _make(self, kind: type[Event]) -> _Counter:
        unknown = set(kind.LABELS) - {field.name for field in fields(kind)}
        if unknown:
            raise AssertionError(f"{kind.__name__} has no field {', '.join(sorted(unknown))} for its labels")
        summary = (kind.__doc__ or kind.__name__).split("\n")[0]
        counter = self._counters[kind.METRIC] = _Counter(summary, kind.LABELS)
        return counter


def _label(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)


def _head(name: str, summary: str, kind: MetricType) -> tuple[str, str]:
    return f"# HELP {name} {summary.translate(_HELP_ESCAPES)}", f"# TYPE {name} {kind.value}"


def _series(name: str, labels: Sequence[str], values: Sequence[str]) -> str:
    """The name of one value: the family's, with its labels if it has any."""
    pairs = zip(labels, values, strict=True)
    inside = ",".join(f'{label}="{value.translate(_VALUE_ESCAPES)}"' for label, value in pairs)
    return f"{name}{{{inside}}}" if inside else name


def _asked_series(name: str, asked: _Asked, values: Labels) -> str:
    """A summary's values are its sum and its count, which stand first among their labels' values."""
    if asked.kind is MetricType.SUMMARY:
        return _series(f"{name}_{values[0]}", asked.labels, values[1:])
    return _series(name, asked.labels, values)


def _histogram_lines(name: str, labels: Labels, values: Labels, histogram: Histogram) -> Iterable[str]:
    """Buckets count what is in those below them too."""
    counts, total = list(histogram.counts), 0
    for bound, count in zip((*map(_number, SECONDS), "+Inf"), counts, strict=True):
        total += count
        yield f"{_series(f'{name}_bucket', (*labels, 'le'), (*values, bound))} {total}"
    yield f"{_series(f'{name}_sum', labels, values)} {histogram.sum:.6f}"
    yield f"{_series(f'{name}_count', labels, values)} {total}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
