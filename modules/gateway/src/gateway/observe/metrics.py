"""Counters made of events, in Prometheus' form (exposition formats 0.0.4, the text one).

Written out here: Prometheus' own client for Python brings an HTTP server and 2 MB along, and counters need none of it.
"""

from dataclasses import dataclass, fields
from dataclasses import field as attribute
from enum import Enum
from typing import Final

from gateway.observe.events import Event

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_VALUE_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(slots=True)
class _Counter:
    """One counter: a value for each combination of labels that there was."""

    summary: str
    labels: tuple[str, ...]
    values: dict[tuple[str, ...], int] = attribute(default_factory=dict)


class Metrics:
    """Counts events by the metric and labels their classes name."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}

    def count(self, event: Event) -> None:
        """Add `event` to its counter: its `count`, or one."""
        kind = type(event)
        if not kind.METRIC:
            return
        counter = self._counters.get(kind.METRIC) or self._make(kind)
        labels = tuple([_label(getattr(event, name)) for name in kind.LABELS])
        counter.values[labels] = counter.values.get(labels, 0) + getattr(event, "count", 1)

    def text(self) -> bytes:
        """All counters in the text form that Prometheus reads."""
        lines: list[str] = []
        for name, counter in self._counters.items():
            lines.append(f"# HELP {name} {counter.summary.translate(_HELP_ESCAPES)}")
            lines.append(f"# TYPE {name} counter")
            lines += (f"{_series(name, counter, labels)} {value}" for labels, value in counter.values.items())
        return "".join(f"{line}\n" for line in lines).encode()

    def totals(self) -> dict[str, int]:
        """Every counter as `name{label="value"}` and its value, for a person or a twin."""
        return {
            _series(name, counter, labels): value
            for name, counter in self._counters.items()
            for labels, value in counter.values.items()
        }

    def _make(self, kind: type[Event]) -> _Counter:
        unknown = set(kind.LABELS) - {field.name for field in fields(kind)}
        if unknown:
            raise AssertionError(f"{kind.__name__} has no field {', '.join(sorted(unknown))} for its labels")
        summary = (kind.__doc__ or kind.__name__).split("\n")[0]
        counter = self._counters[kind.METRIC] = _Counter(summary, kind.LABELS)
        return counter


def _label(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)


def _series(name: str, counter: _Counter, values: tuple[str, ...]) -> str:
    """The name of one value: the counter's, with its labels if it has any."""
    pairs = zip(counter.labels, values, strict=True)
    inside = ",".join(f'{label}="{value.translate(_VALUE_ESCAPES)}"' for label, value in pairs)
    return f"{name}{{{inside}}}" if inside else name
