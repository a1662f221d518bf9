"""Values of the query language: what is at a path, what is equal, and the functions and aggregates by name.

A path that leads nowhere is undefined, and so is nearly everything that is made of it. Nothing is converted: a text is
never a number, and only numbers and texts have an order.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from standin.documents import JsonObject

Evaluate = Callable[[JsonObject], Any]


class _Undefined:
    """The value of what is not there."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED: Final = _Undefined()


def follow(twin: JsonObject, names: Sequence[str | int]) -> Any:
    """What is at a path of names and indexes."""
    value: Any = twin
    for name in names:
        inside = name in value if isinstance(value, dict) else isinstance(value, list) and name in range(len(value))
        if not inside:
            return UNDEFINED
        value = value[name]
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "undefined"


def _equal(left: Any, right: Any) -> Any:
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    return _kind(left) == _kind(right) and left == right


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def ordered(left: Any, right: Any) -> Any:
        same = _kind(left) == _kind(right) and _kind(left) in {"number", "string"}
        return compare(left, right) if same else UNDEFINED

    return ordered


def _unequal(left: Any, right: Any) -> Any:
    return negated(_equal(left, right))


def membership(value: Evaluate, items: Sequence[Evaluate]) -> Evaluate:
    """Whether the value equals one of the items."""
    return lambda twin: any_holds(_equal(value(twin), item(twin)) for item in items)


def negated(value: Any) -> Any:
    """NOT: undefined for all but true and false."""
    return (not value) if isinstance(value, bool) else UNDEFINED


def all_hold(values: Iterable[Any]) -> Any:
    """AND: false if one of them is, true if all are, undefined otherwise."""
    found = list(values)
    if any(value is False for value in found):
        return False
    return True if all(value is True for value in found) else UNDEFINED


def any_holds(values: Iterable[Any]) -> Any:
    """OR: true if one of them is, false if all are, undefined otherwise."""
    found = list(values)
    if any(value is True for value in found):
        return True
    return False if all(value is False for value in found) else UNDEFINED


def _on_texts(call: Callable[[str, str], bool]) -> Callable[[Any, Any], Any]:
    return lambda left, right: call(left, right) if isinstance(left, str) and isinstance(right, str) else UNDEFINED


def _on_text(call: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: call(value) if isinstance(value, str) else UNDEFINED


def _is(*kinds: str) -> Callable[[Any], Any]:
    return lambda value: _kind(value) in kinds


def _numbers(values: list[Any]) -> list[float]:
    return [value for value in values if _kind(value) == "number"]


def _over(call: Callable[[list[float]], float]) -> Callable[[list[Any]], Any]:
    return lambda values: call(found) if (found := _numbers(values)) else UNDEFINED


COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": _equal,
    "!=": _unequal,
    "<>": _unequal,
    "<": _ordering(operator.lt),
    "<=": _ordering(operator.le),
    ">": _ordering(operator.gt),
    ">=": _ordering(operator.ge),
}
AGGREGATES: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "COUNT": len,
    "SUM": _over(sum),
    "AVG": _over(lambda values: sum(values) / len(values)),
    "MIN": _over(min),
    "MAX": _over(max),
}
FUNCTIONS: Final[Mapping[str, tuple[int, Callable[..., Any]]]] = {
    "IS_DEFINED": (1, lambda value: value is not UNDEFINED),
    "IS_NULL": (1, _is("null")),
    "IS_BOOL": (1, _is("boolean")),
    "IS_NUMBER": (1, _is("number")),
    "IS_STRING": (1, _is("string")),
    "IS_ARRAY": (1, _is("array")),
    "IS_OBJECT": (1, _is("object")),
    "IS_PRIMITIVE": (1, _is("null", "boolean", "number", "string")),
    "STARTS_WITH": (2, _on_texts(str.startswith)),
    "STARTSWITH": (2, _on_texts(str.startswith)),
    "ENDS_WITH": (2, _on_texts(str.endswith)),
    "ENDSWITH": (2, _on_texts(str.endswith)),
    "CONTAINS": (2, _on_texts(lambda text, part: part in text)),
    "LENGTH": (1, _on_text(len)),
    "LOWER": (1, _on_text(str.lower)),
    "UPPER": (1, _on_text(str.upper)),
}
