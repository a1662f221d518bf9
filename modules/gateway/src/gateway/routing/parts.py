"""A condition part by part: what each came to in a message, and which one decided."""

from dataclasses import dataclass
from typing import Final

from edgewire.message import Message
from gateway.routing.body import Document, read_body
from gateway.routing.explain import decider, shown
from gateway.routing.expression import Expression, children
from gateway.routing.interpret import Interpreter
from gateway.routing.table import Route
from gateway.routing.view import view_of

MAX_PARTS: Final = 2_000
"""Of one condition; what lies deeper is told as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a route's text, from `start` up to `end`; `decided` if its value made the value of the whole."""

    text: str
    start: int
    end: int
    value: str
    decided: bool
    parts: "tuple[Part, ...]" = ()


def parts_of(route: Route, message: Message) -> Part | None:
    """The condition of `route` as `message` makes it; None for a route without one."""
    if route.condition is None:
        return None
    view = view_of(message.envelope)
    read: list[Document] = []

    def document() -> Document:
        if not read:
            read.append(read_body(message.body, view.codec))
        return read[0]

    interpreter = Interpreter(view, document)
    return _Taker(route.text, interpreter, decider(route.condition, interpreter)).part(route.condition)


class _Taker:
    """Takes one condition apart."""

    def __init__(self, text: str, interpreter: Interpreter, decided: Expression) -> None:
        self._text = text
        self._interpreter = interpreter
        self._decided = decided
        self._left = MAX_PARTS

    def part(self, expression: Expression) -> Part:
        self._left -= 1
        below = children(expression) if self._left > 0 else ()
        span = expression.span
        return Part(
            text=self._text[span.start : span.end],
            start=span.start,
            end=span.end,
            value=shown(self._interpreter.value(expression)),
            decided=expression is self._decided,
            parts=tuple(map(self.part, below)),
        )
