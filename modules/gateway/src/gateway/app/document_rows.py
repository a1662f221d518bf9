"""What a member of the settings document may be, as rows: `document_table` has the whole.

A reader knows its members by its rows alone, so that the JSON Schema and the docs, which are made of them, cannot say
less or more. What a schema cannot say (a route that compiles, two members that contradict each other) is the reader's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text. `pattern` is a regular expression for the whole of it, of those that ECMA-262 and Python share."""

    pattern: str | None = None
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number in a range, both ends included."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number in a range, both ends included; without its lower end where it is `above` it."""

    least: float
    most: float
    above: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these words."""

    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Section:
    """An object with these members and no other."""

    rows: "Sequence[Row]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """An object of entries under names of the operator's choice; `names` is a pattern for the whole of a name."""

    shape: "Shape"
    names: str | None = None
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list."""

    shape: "Shape"
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Either:
    """One of several shapes."""

    shapes: "Sequence[Shape]"


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The shape that stands under `name` in `module`, which most sites never load."""

    module: str
    name: str = "SHAPE"


Shape = Text | Whole | Number | Switch | Choice | Section | Entries | Items | Either | Anything | Elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A member of a section. `default` is what holds without it, where that is a value; `unit` is of a number."""

    name: str
    shape: Shape
    help: str
    unit: str = ""
    default: Any = None
    required: bool = False


def names(rows: Sequence[Row]) -> tuple[str, ...]:
    """The names of the members, in their order."""
    return tuple(row.name for row in rows)


def words(kinds: Iterable[Enum]) -> Choice:
    """A choice of the values of an enumeration's members."""
    return Choice(tuple(str(kind.value) for kind in kinds))
