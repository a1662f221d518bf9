"""The checked condition: what the parser's tree means, with static types. Interpreter and generator both read it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from gateway.routing.bodypath import BodyPath
from gateway.routing.tree import Span
from gateway.routing.values import Value


class Type(Enum):
    """Static types (edgehub.md §2.6); a body value's type is known only when the message is there."""

    STRING = "string"
    NUMBER = "number"
    BOOL = "bool"
    NULL = "null"
    UNDEFINED = "undefined"
    BODY = "body value"


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal's value."""

    span: Span
    type: Type
    value: Value


@dataclass(frozen=True, slots=True)
class AppProperty:
    """An application property; `key` is its folded name."""

    span: Span
    type: Type
    key: str


@dataclass(frozen=True, slots=True)
class SystemProperty:
    """A system property by the name it has in an envelope.

    `shadow` is the folded name of the application property that wins over it, if any can.
    """

    span: Span
    type: Type
    key: str
    shadow: str | None


@dataclass(frozen=True, slots=True)
class BodyValue:
    """A value in the body, or the application property of that very name."""

    span: Span
    type: Type
    path: BodyPath
    shadow: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """A pure operation on values: arithmetic, a function, `??`."""

    span: Span
    type: Type
    operation: "Callable[..., Value]"
    arguments: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """A comparison; `dynamic` if a body value takes part, which then compares across types."""

    span: Span
    type: Type
    symbol: str
    dynamic: bool
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Not:
    """NOT of a truth value or a body value."""

    span: Span
    type: Type
    operand: "Expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logic:
    """AND or OR over truth values; with `dynamic` exactly two operands, the left one a body value."""

    span: Span
    type: Type
    is_and: bool
    dynamic: bool
    operands: "tuple[Expression, ...]"


Expression: TypeAlias = Constant | AppProperty | SystemProperty | BodyValue | Apply | Compare | Not | Logic


def children(expression: Expression) -> tuple[Expression, ...]:
    """The operands of an expression, in the order they are written."""
    match expression:
        case Apply():
            return expression.arguments
        case Compare():
            return (expression.left, expression.right)
        case Not():
            return (expression.operand,)
        case Logic():
            return expression.operands
        case _:
            return ()
