"""The functions of the route language (edgehub.md §2.9) and its arithmetic.

All take and give values. Where edgeHub's number would be "not a number", a plain number becomes undefined, but
arithmetic between body values keeps it as the body's own NaN.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.routing.expression import Type
from gateway.routing.text import lower, number_in, upper
from gateway.routing.values import (
    BODY_NAN,
    MISSING,
    NO_TEXT,
    UNDEFINED,
    BodyNaN,
    NoText,
    Undefined,
    Value,
    code_units,
    joined,
)


@dataclass(frozen=True, slots=True)
class Overload:
    """One form of a function: its parameter types, whether body values fit them, what it gives, how.

    With `any_arguments` the parameter types do not matter, only how many there are.
    """

    parameters: tuple[Type, ...]
    takes_body: bool
    result: Type
    operation: Callable[..., Value]
    any_arguments: bool = False
    variadic: bool = False

    def fits(self, types: tuple[Type, ...]) -> bool:
        """True if arguments of these types can be given to this form."""
        if self.variadic:
            enough = len(types) >= len(self.parameters)
            return enough and all(self._fits_one(self.parameters[-1], given) for given in types)
        if len(types) != len(self.parameters):
            return False
        return self.any_arguments or all(map(self._fits_one, self.parameters, types))

    def _fits_one(self, wanted: Type, given: Type) -> bool:
        return wanted is given or (self.takes_body and given is Type.BODY)


def plain_number(value: float) -> float | Undefined:
    """A result that is not a number is undefined."""
    return UNDEFINED if math.isnan(value) else value


def body_number(value: float) -> float | BodyNaN:
    """A result among body values that is not a number stays one of theirs."""
    return BODY_NAN if math.isnan(value) else value


def divided(left: float, right: float) -> float:
    """IEEE division, which Python refuses for a zero."""
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def remainder(left: float, right: float) -> float:
    """IEEE remainder with the sign of the left side, as C's fmod."""
    if right == 0 or math.isinf(left):
        return math.nan
    return math.fmod(left, right)


def _added(left: float, right: float) -> float:
    return left + right


def _subtracted(left: float, right: float) -> float:
    return left - right


def _multiplied(left: float, right: float) -> float:
    return left * right


ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": _added,
    "-": _subtracted,
    "*": _multiplied,
    "/": divided,
    "%": remainder,
}


def plain_arithmetic(symbol: str) -> Callable[[Value, Value], Value]:
    """The operation on two numbers."""
    operation = ARITHMETIC[symbol]

    def apply(left: Value, right: Value) -> Value:
        if isinstance(left, float) and isinstance(right, float):
            return plain_number(operation(left, right))
        return UNDEFINED

    return apply


def body_arithmetic(symbol: str) -> Callable[[Value, Value], Value]:
    """The operation with a body value on at least one side."""
    operation = ARITHMETIC[symbol]

    def apply(left: Value, right: Value) -> Value:
        first = math.nan if left is BODY_NAN else left
        second = math.nan if right is BODY_NAN else right
        if isinstance(first, float) and isinstance(second, float):
            return body_number(operation(first, second))
        return UNDEFINED

    return apply


def negative(value: Value) -> Value:
    """Unary minus."""
    return -value if isinstance(value, float) else UNDEFINED


def _number_function(compute: Callable[[float], float]) -> Callable[[Value], Value]:
    def apply(value: Value) -> Value:
        return plain_number(compute(value)) if isinstance(value, float) else UNDEFINED

    return apply


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _sqrt(value: float) -> float:
    return math.sqrt(value) if value >= 0 else math.nan


def _sign(value: float) -> float:
    return float((value > 0) - (value < 0))


def _whole(rounding: Callable[[float], int], value: float) -> float:
    return float(rounding(value)) if value and math.isfinite(value) else value


def _ceiling(value: float) -> float:
    return math.copysign(math.ceil(value), value) if -1 < value < 0 else _whole(math.ceil, value)


def _floor(value: float) -> float:
    return _whole(math.floor, value)


def _square(value: float) -> float:
    return value * value


def _pow(base: float, exponent: float) -> float:
    """IEEE pow, which Python refuses where the result is infinite or not a number."""
    odd = exponent % 2 == 1
    if base == 0 and exponent < 0:
        return math.copysign(math.inf, base) if odd else math.inf
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        return math.nan


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(base, float) and isinstance(exponent, float):
        return plain_number(_pow(base, exponent))
    return UNDEFINED


def _is_defined(value: Value) -> Value:
    return value is not UNDEFINED


def _text_is_null(value: Value) -> Value:
    return value is NO_TEXT


def _body_is_null(value: Value) -> Value:
    """True for every defined value but the missing path: edgeHub tests for the wrong side of an inequality."""
    return UNDEFINED if value is UNDEFINED else value is not MISSING


def _yes(_: Value) -> Value:
    return True


def _no(_: Value) -> Value:
    return False


def _is_bool(value: Value) -> Value:
    return UNDEFINED if value is UNDEFINED else isinstance(value, bool)


def _is_number(value: Value) -> Value:
    return isinstance(value, float) and math.isfinite(value)


def _is_string(value: Value) -> Value:
    return isinstance(value, (str, NoText))


def _as_number(value: Value) -> Value:
    if isinstance(value, str):
        number = number_in(value)
        return UNDEFINED if number is None else number
    return value if isinstance(value, float) else UNDEFINED


def _concat(*parts: Value) -> Value:
    texts = ["" if part is NO_TEXT else part for part in parts]
    if all(isinstance(text, str) for text in texts):
        return joined("".join(map(str, texts)))
    return UNDEFINED


def _length(value: Value) -> Value:
    return float(len(code_units(value))) if isinstance(value, str) else UNDEFINED


def _lower(value: Value) -> Value:
    return lower(value) if isinstance(value, str) else UNDEFINED


def _upper(value: Value) -> Value:
    return upper(value) if isinstance(value, str) else UNDEFINED


def _substring_from(value: Value, start: Value) -> Value:
    if not isinstance(value, str) or not isinstance(start, float):
        return UNDEFINED
    units = code_units(value)
    return joined(units[int(start) :]) if 0 <= start <= len(units) else UNDEFINED


def _substring(value: Value, start: Value, length: Value) -> Value:
    if not (isinstance(value, str) and isinstance(start, float) and isinstance(length, float)):
        return UNDEFINED
    units = code_units(value)
    if 0 <= start < len(units) and 0 <= length <= len(units) - start:
        return joined(units[int(start) : int(start) + int(length)])
    return UNDEFINED


def _text_function(compute: Callable[[str, str], Value]) -> Callable[[Value, Value], Value]:
    def apply(value: Value, part: Value) -> Value:
        if isinstance(value, str) and isinstance(part, str):
            return compute(code_units(value), code_units(part))
        return UNDEFINED

    return apply


def _index_of(text: str, part: str) -> Value:
    return float(text.find(part))


def _starts_with(text: str, part: str) -> Value:
    return text.startswith(part)


def _ends_with(text: str, part: str) -> Value:
    return text.endswith(part)


def _contains(text: str, part: str) -> Value:
    return part in text


_S, _N, _B = Type.STRING, Type.NUMBER, Type.BOOL
concat: Final = _concat


def _numeric(compute: Callable[[float], float]) -> tuple[Overload, ...]:
    return (Overload((_N,), True, _N, _number_function(compute)),)


def _test(wanted: Type, operation: Callable[[Value], Value]) -> tuple[Overload, ...]:
    return (
        Overload((wanted,), True, _B, operation),
        Overload((wanted,), False, _B, _no, any_arguments=True),
    )


def _textual(compute: Callable[[str, str], Value], result: Type) -> tuple[Overload, ...]:
    return (Overload((_S, _S), True, result, _text_function(compute)),)


FUNCTIONS: Final[Mapping[str, tuple[Overload, ...]]] = {
    "abs": _numeric(abs),
    "ceiling": _numeric(_ceiling),
    "exp": _numeric(_exp),
    "floor": _numeric(_floor),
    "sign": _numeric(_sign),
    "sqrt": _numeric(_sqrt),
    "square": _numeric(_square),
    "power": (Overload((_N, _N), True, _N, _power),),
    "is_defined": (Overload((_S,), False, _B, _is_defined, any_arguments=True),),
    "is_null": (
        Overload((_S,), False, _B, _text_is_null),
        Overload((Type.BODY,), False, _B, _body_is_null),
        Overload((Type.NULL,), False, _B, _yes),
        Overload((_S,), False, _B, _no, any_arguments=True),
    ),
    "is_bool": _test(_B, _is_bool),
    "is_number": _test(_N, _is_number),
    "is_string": _test(_S, _is_string),
    "as_number": (Overload((_S,), True, _N, _as_number), Overload((_N,), False, _N, _as_number)),
    "concat": (Overload((_S, _S), True, _S, _concat, variadic=True),),
    "length": (Overload((_S,), True, _N, _length),),
    "lower": (Overload((_S,), True, _S, _lower),),
    "upper": (Overload((_S,), True, _S, _upper),),
    "substring": (
        Overload((_S, _N), True, _S, _substring_from),
        Overload((_S, _N, _N), True, _S, _substring),
    ),
    "index_of": _textual(_index_of, _N),
    "starts_with": _textual(_starts_with, _B),
    "ends_with": _textual(_ends_with, _B),
    "contains": _textual(_contains, _B),
}
"""Every function by its lower-case name; of the forms that fit, the first one is meant."""
