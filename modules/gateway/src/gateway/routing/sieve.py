"""One value against all comparisons that ask about it: thresholds are sorted once, a look-up says which ones hold.

Comparisons with constants cannot tell all values apart. Between two neighbouring thresholds they come out the same, so
the values fall into cells: one for each value that is neither number nor text, and for numbers and for texts one for
each threshold and one for each gap beside it. The thresholds are known when a table is compiled, and so is what each
condition comes to in each cell. Cells are numbered in this order: the single values, the numbers, the texts.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.routing.expression import Compare
from gateway.routing.values import (
    BODY_NAN,
    COMPARE,
    MISSING,
    NO_TEXT,
    NULL,
    UNDEFINED,
    Value,
    code_units,
    compare_body,
    compare_plain,
)

Mask: TypeAlias = int
"""A bit for each condition."""

Cells: TypeAlias = int
"""A bit for each cell."""

FLIPPED: Final[Mapping[str, str]] = {
    "=": "=",
    "!=": "!=",
    "<>": "<>",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
"""The symbol that says the same with its sides exchanged."""

_SINGLES: Final[tuple[Value, ...]] = (UNDEFINED, False, True, BODY_NAN, NO_TEXT, NULL, MISSING)


@dataclass(frozen=True, slots=True)
class Truths:
    """In which cells something is true, and in which it is false; it is undefined in the others."""

    true: Cells
    false: Cells


class Scale:
    """The cells that some thresholds divide all values into."""

    def __init__(self, constants: Iterable[Value]) -> None:
        """The infinities are always thresholds: no number lies outside them, and is_number tells them apart."""
        known = tuple(constants)
        self.numbers = sorted({-math.inf, math.inf, *(value for value in known if isinstance(value, float))})
        self.texts = sorted({code_units(value) for value in known if isinstance(value, str)})
        self.first_number = len(_SINGLES)
        self.first_text = self.first_number + 2 * len(self.numbers) + 1
        self.count = self.first_text + 2 * len(self.texts) + 1

    def compared(self, compare: Compare, constant: Value, symbol: str) -> Truths:
        """`value symbol constant` in every cell; `compare` says by which of the two comparisons."""
        function = compare_body if compare.dynamic else compare_plain
        true = false = 0
        for cells, sample in self._samples():
            result = function(symbol, sample, constant)
            true |= cells if result is True else 0
            false |= cells if result is False else 0
        inside, at = self._segment(constant)
        if not inside:
            return Truths(true, false)
        ordered = self._ordered(symbol, inside, at)
        return Truths(true & ~inside | ordered, false & ~inside | inside & ~ordered)

    def tested(self, test: Callable[[Value], Value]) -> Truths:
        """A test of a value's type in every cell; texts are all alike to it, and so are the finite numbers."""
        results = [(cells, test(sample)) for cells, sample in self._samples()]
        for cell, value in ((1, -math.inf), (2 * len(self.numbers) - 1, math.inf)):
            at = 1 << self.first_number + cell
            results = [(cells & ~at, result) for cells, result in results] + [(at, test(value))]
        true = sum(cells for cells, result in results if result is True)
        return Truths(true, sum(cells for cells, result in results if result is False))

    def taken(self) -> Truths:
        """The value itself as a truth value."""
        return Truths(1 << _SINGLES.index(True), 1 << _SINGLES.index(False))

    def _samples(self) -> list[tuple[Cells, Value]]:
        """Every single value with its cell, one number for all numbers, and one text for all texts."""
        numbers = (1 << self.first_text) - (1 << self.first_number)
        texts = (1 << self.count) - (1 << self.first_text)
        singles: list[tuple[Cells, Value]] = [(1 << cell, value) for cell, value in enumerate(_SINGLES)]
        return [*singles, (numbers, 0.0), (texts, "")]

    def _segment(self, constant: Value) -> tuple[Cells, int]:
        """All cells of the constant's own type if its values are ordered, and the number of the constant's cell."""
        if isinstance(constant, float):
            at = self.first_number + 2 * bisect_left(self.numbers, constant) + 1
            return (1 << self.first_text) - (1 << self.first_number), at
        if isinstance(constant, str):
            at = self.first_text + 2 * bisect_left(self.texts, code_units(constant)) + 1
            return (1 << self.count) - (1 << self.first_text), at
        return 0, 0

    def _ordered(self, symbol: str, inside: Cells, at: int) -> Cells:
        """The cells of `inside` that hold the symbol against cell `at`."""
        below, equal = inside & ((1 << at) - 1), 1 << at
        parts = ((-1, below), (0, equal), (1, inside & ~below & ~equal))
        return sum(cells for sign, cells in parts if COMPARE[symbol](sign, 0))


def masks_of(scale: Scale, true_in: Iterable[tuple[Mask, Cells]]) -> list[Mask]:
    """For every cell the conditions that are true there, from the cells of each; equal masks are one object.

    What is noted for each condition is only where its truth changes from one cell to the next.
    """
    changes = [0] * (scale.count + 1)
    for bit, cells in true_in:
        edges = cells ^ cells << 1
        while edges:
            lowest = edges & -edges
            changes[lowest.bit_length() - 1] ^= bit
            edges ^= lowest
    masks: list[Mask] = []
    known: dict[Mask, Mask] = {}
    mask = 0
    for change in changes[:-1]:
        mask ^= change
        masks.append(known.setdefault(mask, mask))
    return masks


@dataclass(frozen=True, slots=True)
class Sieve:
    """The masks of all cells, ready for look-up. With `only_texts` everything but those texts has the mask `rest`."""

    texts: Mapping[Value, Mask]
    rest: Mask
    only_texts: bool
    look_up: Callable[[Value], Mask]


def sieve_of(scale: Scale, masks: Sequence[Mask]) -> Sieve:
    """Arranges the masks of `masks_of` by kind of value."""
    singles = dict(zip(_SINGLES, masks[: scale.first_number], strict=True))
    number_masks = masks[scale.first_number : scale.first_text]
    text_masks = masks[scale.first_text :]
    texts: dict[Value, Mask] = dict(zip(scale.texts, text_masks[1::2], strict=True))
    rest = text_masks[0]
    others = {*singles.values(), *number_masks, *text_masks[::2]}
    only_texts = others == {rest} and all(map(str.isascii, scale.texts))
    return Sieve(texts, rest, only_texts, _look_up(scale, singles, number_masks, text_masks))


def _look_up(
    scale: Scale, singles: Mapping[Value, Mask], number_masks: Sequence[Mask], text_masks: Sequence[Mask]
) -> Callable[[Value], Mask]:
    numbers, texts = scale.numbers, scale.texts
    exact = dict(zip(texts, text_masks[1::2], strict=True))
    gaps = text_masks[::2]
    unordered = gaps[0] if len(set(gaps)) == 1 else None

    def look_up(value: Value) -> Mask:
        if isinstance(value, float):
            at = bisect_left(numbers, value)
            return number_masks[2 * at + (numbers[at] == value)]
        if isinstance(value, str):
            units = value if value.isascii() else code_units(value)
            found = exact.get(units, unordered)
            return gaps[bisect_left(texts, units)] if found is None else found
        return singles[value]

    return look_up
