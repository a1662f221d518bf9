"""Patterns of topics: levels as in MQTT's filters, where a wildcard may have a name.

`+` is any one level, `+room` the same and captures it; `#` or `#rest`, at the end alone, is whatever is left, none
included. All else is compared as it stands. Spec: MQTT 3.1.1 §4.7 (§4.7.2: no wildcard at the start takes a topic
that begins with `$`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAX_PATTERN_CHARS: Final = 1_024
"""A rule is written by a person; the settings have to fit the twin."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WILD: Final = ("+", "#")


class PatternError(ValueError):
    """The text is no pattern: what is wrong, and what to write instead."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A pattern, taken apart. `depth` counts the levels before `#`; `takes_rest` is whether there is one."""

    text: str
    depth: int
    takes_rest: bool
    literals: tuple[tuple[int, str], ...]
    """The levels that are compared, and where they stand."""
    captures: tuple[tuple[int, str], ...]
    """Where the captured levels stand, and their names; the rest stands at `depth`."""

    @property
    def names(self) -> frozenset[str]:
        """What it captures."""
        return frozenset(name for _, name in self.captures)

    @property
    def rest_names(self) -> frozenset[str]:
        """The name of what `#` takes, if it has one."""
        return frozenset(name for place, name in self.captures if place == self.depth)

    @property
    def first(self) -> str | None:
        """The first level, None if it is a wildcard."""
        return self.literals[0][1] if self.literals and self.literals[0][0] == 0 else None

    def match(self, levels: Sequence[str]) -> Mapping[str, str] | None:
        """What it captures of a topic's levels, None if it does not match.

        The levels may be the topic split no further than one level deeper than `depth`.
        """
        count = len(levels)
        if count != self.depth and (count < self.depth or not self.takes_rest):
            return None
        for place, literal in self.literals:
            if levels[place] != literal:
                return None
        if levels[0][:1] == "$" and self.first is None:
            return None
        depth = self.depth
        return {name: levels[place] if place < depth else "/".join(levels[place:]) for place, name in self.captures}

    def covers(self, other: "Pattern") -> bool:
        """Whether it takes every topic that `other` takes."""
        if self.first is None and other.first is not None and other.first.startswith("$"):
            return False
        if not self.takes_rest and (other.takes_rest or other.depth != self.depth):
            return False
        # A topic has one level at least, so what takes any rest takes one level.
        if other.depth < self.depth and not (other.depth == 0 and self.depth == 1):
            return False
        theirs = dict(other.literals)
        return all(theirs.get(place) == literal for place, literal in self.literals)


def parse_pattern(text: str) -> Pattern:
    """The pattern that a person wrote. Raises PatternError."""
    if not text:
        raise PatternError("the pattern is empty", "write the topic, as in site/+room/temperature")
    if len(text) > MAX_PATTERN_CHARS:
        raise PatternError(
            f"the pattern has {len(text)} characters", f"{MAX_PATTERN_CHARS} are the most; end it with # for the rest"
        )
    levels = text.split("/")
    wild = [(place, level) for place, level in enumerate(levels) if level[:1] in _WILD and level]
    for place, level in enumerate(levels):
        _check(level, is_last=place == len(levels) - 1)
    _check_names([level[1:] for _, level in wild if len(level) > 1])
    takes_rest = levels[-1][:1] == "#"
    return Pattern(
        text=text,
        depth=len(levels) - takes_rest,
        takes_rest=takes_rest,
        literals=tuple((place, level) for place, level in enumerate(levels) if level[:1] not in _WILD or not level),
        captures=tuple((place, level[1:]) for place, level in wild if len(level) > 1),
    )


def _check(level: str, *, is_last: bool) -> None:
    sign, name = level[:1], level[1:]
    if sign not in _WILD or not level:
        if "+" in level or "#" in level:
            raise PatternError(
                f"'{level}' has a wildcard inside a level: + and # stand at its start",
                "capture the whole level, as in +room",
            )
        if "\0" in level:
            raise PatternError("no topic has a character of value 0", "remove it")
        return
    if sign == "#" and not is_last:
        raise PatternError(f"'{level}' stands before the end: # takes all that is left", "write + for one level")
    if name and _NAME.fullmatch(name) is None:
        bare = re.sub(r"[^A-Za-z0-9_]", "", name)
        good = bare if _NAME.fullmatch(bare) else "name"
        raise PatternError(
            f"'{name}' is no name: letters, digits and _, no digit first", f"write {sign}{good}, or {sign} alone"
        )


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise PatternError(f"two levels have the name '{name}'", "give each its own, or leave one without")
        if name == "topic":
            raise PatternError("'topic' is the name of the whole topic in templates", "choose another name")
