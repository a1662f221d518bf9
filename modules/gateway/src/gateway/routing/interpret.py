"""Evaluates a condition step by step.

For `explain`, for messages whose properties shadow `$names`, and as the model that generated code is tested against.
"""

from collections.abc import Callable

from gateway.routing.body import Document, value_at
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
    Type,
)
from gateway.routing.values import (
    UNDEFINED,
    Truth,
    Value,
    both,
    both_body,
    compare_body,
    compare_plain,
    either,
    either_body,
    negated,
)
from gateway.routing.view import View


class Interpreter:
    """Evaluates conditions for one message; `document` reads the body when it is first asked for."""

    def __init__(self, view: View, document: Callable[[], Document]) -> None:
        self._view = view
        self._read = document
        self._document: Document | None = None

    def value(self, expression: Expression) -> Value:
        """The value of an expression."""
        match expression:
            case Constant():
                return expression.value
            case AppProperty():
                return self._view.properties.get(expression.key, UNDEFINED)
            case SystemProperty():
                return self._shadowed(expression.shadow, lambda: self._view.system.get(expression.key, UNDEFINED))
            case BodyValue():
                return self._shadowed(expression.shadow, lambda: value_at(self._body(), expression.path))
            case Apply():
                return expression.operation(*map(self.value, expression.arguments))
            case Compare():
                compare = compare_body if expression.dynamic else compare_plain
                return compare(expression.symbol, self.value(expression.left), self.value(expression.right))
            case Not():
                return negated(self.value(expression.operand))
            case Logic():
                return self._logic(expression)

    def result(self, condition: Expression | None) -> Truth:
        """What a whole condition comes to; a route without one is always true."""
        return True if condition is None else truth_of(condition, self.value(condition))

    def _body(self) -> Document:
        if self._document is None:
            self._document = self._read()
        return self._document

    def _shadowed(self, shadow: str | None, otherwise: Callable[[], Value]) -> Value:
        """An application property of that very name, if there is one."""
        if shadow is not None and self._view.shadows and shadow in self._view.properties:
            return self._view.properties[shadow]
        return otherwise()

    def _logic(self, expression: Logic) -> Truth:
        if expression.dynamic:
            left, right = map(self.value, expression.operands)
            return both_body(left, right) if expression.is_and else either_body(left, right)
        join = both if expression.is_and else either
        result: Truth = expression.is_and
        for operand in expression.operands:
            result = join(result, self.value(operand))
        return result


def truth_of(condition: Expression, value: Value) -> Truth:
    """A condition's value as a truth value: null counts as false, numbers and texts as undefined."""
    if condition.type is Type.NULL:
        return False
    return value if isinstance(value, bool) else UNDEFINED
