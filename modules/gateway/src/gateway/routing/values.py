"""The values a condition works with, and how they compare (edgehub.md §2.5, §2.6).

A number is a float, a text is a str whose surrogate pairs are joined, a truth value is a bool. All else is one of the
five singletons below. A value that comes from the envelope and one that comes from the body look the same; only
`NO_TEXT` behaves differently on the two sides, which is why there are two comparisons.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, final


@final
class Undefined:
    """What a missing property, an unreadable body or an impossible operation gives."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "undefined"


@final
class Null:
    """JSON's null, and the literal."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "null"


@final
class Missing:
    """A path that a readable body does not have: null in every comparison, but not for is_null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "null (not in the body)"


@final
class NoText:
    """An application property that came without a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "null (a property without a value)"


@final
class BodyNaN:
    """Not a number, as a body value: defined, below every number and equal to itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NaN"


UNDEFINED: Final = Undefined()
NULL: Final = Null()
MISSING: Final = Missing()
NO_TEXT: Final = NoText()
BODY_NAN: Final = BodyNaN()

Value: TypeAlias = bool | float | str | Undefined | Null | Missing | NoText | BodyNaN
Truth: TypeAlias = bool | Undefined

RANK: Final[Mapping[type, float]] = {
    Undefined: 0,
    bool: 1,
    BodyNaN: 1.5,
    float: 2,
    NoText: 2.5,
    str: 3,
    Null: 4,
    Missing: 4,
}
"""The order of types among body values: bool < number < text < null. NaN and the text without a value stand alone
between them, below their own kind, which is where edgeHub's comparison puts them."""

COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def code_units(text: str) -> str:
    """`text` with one character for each UTF-16 code unit, which is how edgeHub counts, cuts and orders."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    wide = text.encode("utf-16-le", "surrogatepass")
    return "".join(map(chr, memoryview(wide).cast("H")))


def joined(units: str) -> str:
    """The inverse of `code_units`: surrogate pairs become the character they stand for."""
    if units.isascii():
        return units
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _order_inside(left: Value, right: Value) -> int:
    """-1, 0 or 1 for two values of one rank."""
    if isinstance(left, str) and isinstance(right, str):
        first, second = code_units(left), code_units(right)
        return (first > second) - (first < second)
    if isinstance(left, float) and isinstance(right, float):
        return (left > right) - (left < right)
    return 0


def order(left: Value, right: Value) -> int | None:
    """-1, 0 or 1, values of different types by the order of their types; None if either is undefined."""
    first, second = RANK[left.__class__], RANK[right.__class__]
    if not first or not second:
        return None
    if first != second:
        return 1 if first > second else -1
    if first == 1:
        return int(left is True) - int(right is True)
    return _order_inside(left, right)


def compare_body(symbol: str, left: Value, right: Value) -> Truth:
    """The comparison when at least one side is a body value."""
    sign = order(left, right)
    return UNDEFINED if sign is None else COMPARE[symbol](sign, 0)


def compare_plain(symbol: str, left: Value, right: Value) -> Truth:
    """The comparison of two values of one static type: a property without a value compares as undefined."""
    return UNDEFINED if left is NO_TEXT or right is NO_TEXT else compare_body(symbol, left, right)


def both(left: Value, right: Value) -> Truth:
    """AND over truth values."""
    if left is False or right is False:
        return False
    return True if left is True and right is True else UNDEFINED


def either(left: Value, right: Value) -> Truth:
    """OR over truth values."""
    if left is True or right is True:
        return True
    return False if left is False and right is False else UNDEFINED


def both_body(left: Value, right: Value) -> Truth:
    """AND with a body value on the left: undefined unless both sides are truth values."""
    if left.__class__ is bool and right.__class__ is bool:
        return left is True and right is True
    return UNDEFINED


def either_body(left: Value, right: Value) -> Truth:
    """OR with a body value on the left: undefined unless both sides are truth values."""
    if left.__class__ is bool and right.__class__ is bool:
        return left is True or right is True
    return UNDEFINED


def negated(value: Value) -> Truth:
    """NOT: undefined stays so, and so does anything that is no truth value."""
    if value is True:
        return False
    return True if value is False else UNDEFINED


def coalesced(left: Value, right: Value) -> Value:
    """`left ?? right`."""
    return right if left is UNDEFINED else left
