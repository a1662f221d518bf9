"""Paths into a body: `site.tags[2].k` (edgehub.md §2.5).

The grammar is edgeHub's validator; what a path then finds follows the JSON library behind it, with its three oddities:
`*` names all members, a leading `$` is the root again, and an index that does not fit 32 bits makes the whole query
undefined.
"""

import re
from dataclasses import dataclass
from typing import Final

from gateway.routing.tree import Span

MAX_INDEX: Final = 2**31 - 1

_SEGMENT: Final = re.compile(r"[^.\[\]]+")
_INDEX: Final = re.compile(r"\[([0-9]+)\]")


@dataclass(frozen=True, slots=True)
class BodyPath:
    """A checked path: `steps` are member names, indexes, and None for `*`.

    `impossible` marks an index beyond 32 bits: the query is undefined whatever the body holds.
    """

    text: str
    steps: tuple[str | int | None, ...]
    impossible: bool = False


@dataclass(frozen=True, slots=True)
class BadPath:
    """Why a path is refused; the span counts from the start of the path."""

    span: Span
    message: str
    fix: str


def parse_body_path(text: str) -> BodyPath | BadPath:
    """The path written after `$body.`, or what is wrong with it."""
    steps: list[str | int | None] = []
    impossible = False
    at = 0
    while True:
        name = _SEGMENT.match(text, at)
        if name is None or (name[0].isascii() and name[0].isdigit()):
            return _bad_name(text, at, name[0] if name else "")
        at = name.end()
        index = _INDEX.match(text, at)
        steps.append(name[0])
        if index is not None:
            number = _index(index[1])
            impossible = impossible or number > MAX_INDEX
            steps.append(number)
            at = index.end()
        if at == len(text):
            return BodyPath(text, _as_found(steps), impossible)
        if text[at] != ".":
            return _bad_index(text, at, after_index=index is not None)
        at += 1


def _index(digits: str) -> int:
    """The index, or one beyond the limit for any number above it (it may have thousands of digits)."""
    plain = digits.lstrip("0")
    return int(plain or "0") if len(plain) <= len(str(MAX_INDEX)) else MAX_INDEX + 1


def _as_found(steps: list[str | int | None]) -> tuple[str | int | None, ...]:
    """The steps as the JSON library takes them: `*` for all members, the root for a leading `$`."""
    if steps[0] == "$":
        del steps[0]
    return tuple(None if step == "*" else step for step in steps)


def _bad_name(text: str, at: int, name: str) -> BadPath:
    if name:
        fix = f"to take an element of an array, put its index in brackets after the name: name[{name}]"
        return BadPath(Span(at, at + len(name)), f"a part of a $body path cannot be only digits, as '{name}' is", fix)
    if not text:
        return BadPath(Span(0, 0), "$body. needs the name of a value in the body", "write $body.name")
    span = Span(max(0, at - 1), min(len(text), at + 1))
    return BadPath(
        span, "a $body path has a part without a name here", "write names joined by single dots: $body.a.b[0]"
    )


def _bad_index(text: str, at: int, *, after_index: bool) -> BadPath:
    close = text.find("]", at)
    span = Span(at, close + 1 if close >= 0 else len(text))
    if after_index and text[at] == "[":
        return BadPath(span, "a $body path takes one index for each name", "an array inside an array cannot be reached")
    message = f"'{text[span.start : span.end]}' does not fit into a $body path"
    return BadPath(span, message, "an index is a plain number in brackets after a name: $body.values[0]")
