import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.expression import Type
from gateway.routing.functions import (
    ARITHMETIC,
    FUNCTIONS,
    body_arithmetic,
    concat,
    divided,
    negative,
    plain_arithmetic,
    remainder,
)
from gateway.routing.values import BODY_NAN, MISSING, NO_TEXT, NULL, UNDEFINED, Value

values = st.one_of(
    st.sampled_from([UNDEFINED, NULL, MISSING, NO_TEXT, BODY_NAN, True, False]),
    st.floats(allow_nan=False),
    st.text(max_size=8),
)


@pytest.mark.parametrize(
    ("left", "right", "quotient", "rest"),
    [
        (1.0, 0.0, math.inf, math.nan),
        (-1.0, 0.0, -math.inf, math.nan),
        (1.0, -0.0, -math.inf, math.nan),
        (0.0, 0.0, math.nan, math.nan),
        (-7.0, 4.0, -1.75, -3.0),
        (7.0, -4.0, -1.75, 3.0),
        (math.inf, 2.0, math.inf, math.nan),
        (5.0, math.inf, 0.0, 5.0),
    ],
)
def test_division_is_ieee(left: float, right: float, quotient: float, rest: float) -> None:
    assert divided(left, right) == quotient or math.isnan(quotient)
    assert math.isnan(divided(left, right)) == math.isnan(quotient)
    assert math.isnan(remainder(left, right)) if math.isnan(rest) else remainder(left, right) == rest


def test_what_is_not_a_number_is_undefined_among_plain_numbers_and_a_value_among_body_values() -> None:
    assert plain_arithmetic("-")(math.inf, math.inf) is UNDEFINED
    assert body_arithmetic("-")(math.inf, math.inf) is BODY_NAN
    assert body_arithmetic("+")(BODY_NAN, 1.0) is BODY_NAN
    assert body_arithmetic("+")("a", 1.0) is UNDEFINED
    assert plain_arithmetic("+")(UNDEFINED, 1.0) is UNDEFINED
    assert negative(UNDEFINED) is UNDEFINED


@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(values, max_size=4))
def test_no_function_raises_whatever_a_device_sends(name: str, arguments: list[Value]) -> None:
    for form in FUNCTIONS[name]:
        if form.variadic or len(arguments) == len(form.parameters):
            result = form.operation(*arguments)
            assert result == result or result is BODY_NAN  # noqa: PLR0124 - never a plain NaN


@given(st.sampled_from(sorted(ARITHMETIC)), values, values)
def test_no_arithmetic_raises(symbol: str, left: Value, right: Value) -> None:
    for result in (plain_arithmetic(symbol)(left, right), body_arithmetic(symbol)(left, right)):
        assert not (isinstance(result, float) and math.isnan(result))


def test_pieces_of_a_surrogate_pair_join_again() -> None:
    assert concat("\ud83d", "\ude00") == "😀"


def test_forms_are_chosen_by_types() -> None:
    first = FUNCTIONS["is_number"][0]
    assert first.fits((Type.NUMBER,))
    assert first.fits((Type.BODY,))
    assert not first.fits((Type.STRING,))
    assert not first.fits(())
    assert FUNCTIONS["is_null"][1].fits((Type.BODY,))
    assert not FUNCTIONS["is_null"][0].fits((Type.BODY,))
    (joining,) = FUNCTIONS["concat"]
    assert joining.fits((Type.STRING, Type.BODY, Type.STRING))
    assert not joining.fits((Type.STRING,))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("power", (2.0, 0.5), math.sqrt(2)),
        ("power", (-2.0, 3.0), -8.0),
        ("power", (-10.0, 309.0), -math.inf),
        ("power", (10.0, 309.0), math.inf),
        ("power", (0.0, -2.0), math.inf),
        ("power", (-0.0, -3.0), -math.inf),
        ("exp", (710.0,), math.inf),
        ("exp", (-math.inf,), 0.0),
        ("ceiling", (-0.5,), -0.0),
        ("floor", (-0.5,), -1.0),
        ("ceiling", (math.inf,), math.inf),
        ("sign", (-math.inf,), -1.0),
        ("square", (1e200,), math.inf),
    ],
)
def test_numbers_at_the_edge(name: str, arguments: tuple[float, ...], expected: float) -> None:
    result = FUNCTIONS[name][0].operation(*arguments)
    assert isinstance(result, float)
    assert (result, math.copysign(1, result)) == (expected, math.copysign(1, expected))
