"""Arithmetic on measured figures: medians, spreads, ratios inside a round."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one measurement of one target in one round gave."""

    measure: str
    case: str
    target: str
    round: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, and between what they lie."""

    median: float
    least: float
    most: float
    count: int


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of `values`; None if there are none."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values), len(values))


def values_of(rows: Iterable[Row], target: str, name: str) -> dict[int, float]:
    """The figure `name` of a target in each round that has it."""
    return {row.round: row.values[name] for row in rows if row.target == target and name in row.values}


def ratios(rows: Sequence[Row], target: str, anchor: str, name: str) -> list[float]:
    """Target over anchor, in each round that has both."""
    ours, theirs = values_of(rows, target, name), values_of(rows, anchor, name)
    return [ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)]
