"""Why a route matched a message or did not: the smallest part of its condition that decided."""

from dataclasses import dataclass
from typing import Final

from edgewire.message import Delivery, Message
from gateway.routing.body import Unreadable, read_body, why_no_codec
from gateway.routing.expression import (
    Apply,
    AppProperty,
    BodyValue,
    Compare,
    Constant,
    Expression,
    Logic,
    Not,
    SystemProperty,
    children,
)
from gateway.routing.interpret import Interpreter, truth_of
from gateway.routing.tree import Span
from gateway.routing.values import MISSING, NO_TEXT, UNDEFINED, Value
from gateway.routing.view import view_of

MAX_SHOWN: Final = 80
"""How much of a text value an explanation shows."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A name in the deciding part, and the value it had in the message."""

    text: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """The part of the condition that decided: its place (from 1), its value, what it saw, and a note on a surprise."""

    text: str
    line: int
    column: int
    length: int
    value: str
    operands: tuple[Operand, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteExplanation:
    """What one route makes of one message. `result` is true, false or undefined, also if the source did not match.

    `because` is None for a route without a condition. `delivery` is where the message goes by this route, None if it
    does not match.
    """

    route: str
    source_matched: bool
    result: str
    because: Because | None
    delivery: Delivery | None

    @property
    def matched(self) -> bool:
        """True if the message takes this route."""
        return self.delivery is not None


def explain_route(
    *,
    name: str,
    text: str,
    condition: Expression | None,
    source_matched: bool,
    delivery: Delivery,
    interpreter: Interpreter,
    message: Message,
) -> RouteExplanation:
    """What this route makes of the message that `interpreter` evaluates for."""
    result = interpreter.result(condition)
    return RouteExplanation(
        route=name,
        source_matched=source_matched,
        result=shown(result),
        because=None if condition is None else _because(text, condition, interpreter, message),
        delivery=delivery if source_matched and result is True else None,
    )


def shown(value: Value) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        cut = value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…"
        return f"'{cut}'"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _because(text: str, condition: Expression, interpreter: Interpreter, message: Message) -> Because:
    part = decider(condition, interpreter)
    value = interpreter.value(part)
    names = list({_text(text, name.span): name for name in _names(part)}.values())
    operands = tuple(Operand(_text(text, name.span), shown(interpreter.value(name))) for name in names)
    line_start = text.rfind("\n", 0, part.span.start) + 1
    return Because(
        text=_text(text, part.span),
        line=text.count("\n", 0, part.span.start) + 1,
        column=part.span.start - line_start + 1,
        length=part.span.end - part.span.start,
        value=shown(value),
        operands=operands,
        note=_note(part, value, names, interpreter, message),
    )


def _text(text: str, span: Span) -> str:
    return text[span.start : span.end]


def decider(expression: Expression, interpreter: Interpreter) -> Expression:
    """The smallest part whose value made the value of `expression`."""
    while True:
        if isinstance(expression, Not):
            expression = expression.operand
            continue
        if not isinstance(expression, Logic):
            return expression
        operand = _deciding_operand(expression, interpreter)
        if operand is None:
            return expression
        expression = operand


def _deciding_operand(expression: Logic, interpreter: Interpreter) -> Expression | None:
    """The operand that alone decided; None if it took all of them."""
    result = interpreter.value(expression)
    values = [(operand, interpreter.value(operand)) for operand in expression.operands]
    if result is UNDEFINED:
        return next((operand for operand, value in values if not isinstance(value, bool)), None)
    if result is not expression.is_and:
        return next(operand for operand, value in values if value is result)
    return None


def _names(expression: Expression) -> list[AppProperty | SystemProperty | BodyValue]:
    """The properties and body values in an expression, in order."""
    if isinstance(expression, (AppProperty, SystemProperty, BodyValue)):
        return [expression]
    return [name for child in children(expression) for name in _names(child)]


def _note(
    part: Expression,
    value: Value,
    names: list[AppProperty | SystemProperty | BodyValue],
    interpreter: Interpreter,
    message: Message,
) -> str:
    """What explains a surprising value: an unread body, a path that is not there, a name that is missing."""
    if isinstance(part, Constant):
        return "" if truth_of(part, value) is True else "this is a constant"
    found = [(name, interpreter.value(name)) for name in names]
    for name, seen in found:
        if seen is UNDEFINED and value is UNDEFINED:
            return _why_undefined(name, message)
    for name, seen in found:
        if seen is MISSING and isinstance(part, Compare):
            return _missing_note(value)
        if seen is NO_TEXT:
            return "the property came without a value"
        if isinstance(name, BodyValue) and isinstance(part, Apply) and seen is UNDEFINED:
            return _why_undefined(name, message)
    return ""


def _missing_note(value: Value) -> str:
    note = "the body does not have this path, which counts as null"
    return f"{note}: unequal to every number and text, and above them" if value is True else note


def _why_undefined(name: AppProperty | SystemProperty | BodyValue, message: Message) -> str:
    if isinstance(name, AppProperty):
        return "the message does not have this application property"
    if isinstance(name, SystemProperty):
        return "the message does not have this system property"
    view = view_of(message.envelope)
    if view.codec is None:
        system = message.envelope.system
        return why_no_codec(system.get("contentType"), system.get("contentEncoding"))
    document = read_body(message.body, view.codec)
    if isinstance(document, Unreadable):
        return document.why
    return "an object, an array, a date or several values at once are undefined in a condition"
