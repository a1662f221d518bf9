import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.expression import Compare, Constant, Type
from gateway.routing.sieve import FLIPPED, Scale, Sieve, masks_of, sieve_of
from gateway.routing.tree import Span
from gateway.routing.values import (
    BODY_NAN,
    COMPARE,
    MISSING,
    NO_TEXT,
    NULL,
    UNDEFINED,
    Value,
    compare_body,
    compare_plain,
)

HERE = Span(0, 1)
SINGLES: tuple[Value, ...] = (UNDEFINED, False, True, BODY_NAN, NO_TEXT, NULL, MISSING)
TEXTS = ("", "a", "ab", "b", "B", "\ue000", "a\U0001f600", "\uffff", "\U0001f600")
NUMBERS = (-math.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 1e308, math.inf)
VALUES = (*SINGLES, *TEXTS, *NUMBERS)

symbols = st.sampled_from(sorted(COMPARE))
constants = st.sampled_from((UNDEFINED, False, True, NULL, *TEXTS, *NUMBERS)) | st.floats(allow_nan=False) | st.text()


def comparison(*, dynamic: bool, symbol: str = "=") -> Compare:
    leaf = Constant(HERE, Type.NULL, NULL)
    return Compare(span=HERE, type=Type.BOOL, symbol=symbol, dynamic=dynamic, left=leaf, right=leaf)


def sieve(tests: list[tuple[str, Value]], *, dynamic: bool) -> Sieve:
    scale = Scale(constant for _, constant in tests)
    compare = comparison(dynamic=dynamic)
    truths = [scale.compared(compare, constant, symbol) for symbol, constant in tests]
    return sieve_of(scale, masks_of(scale, ((1 << bit, found.true) for bit, found in enumerate(truths))))


@given(tests=st.lists(st.tuples(symbols, constants), max_size=8), drawn=constants, dynamic=st.booleans())
def test_a_look_up_gives_what_the_comparisons_give_one_by_one(
    tests: list[tuple[str, Value]], drawn: Value, *, dynamic: bool
) -> None:
    found = sieve(tests, dynamic=dynamic)
    compare = compare_body if dynamic else compare_plain
    for value in (*VALUES, drawn, *(constant for _, constant in tests)):
        expected = sum(1 << bit for bit, (symbol, other) in enumerate(tests) if compare(symbol, value, other) is True)
        assert found.look_up(value) == expected
        if found.only_texts:
            assert found.texts.get(value, found.rest) == expected


@given(symbol=symbols, left=constants, right=constants, dynamic=st.booleans())
def test_a_symbol_flipped_says_the_same_with_exchanged_sides(
    symbol: str, left: Value, right: Value, *, dynamic: bool
) -> None:
    compare = compare_body if dynamic else compare_plain
    assert compare(symbol, left, right) is compare(FLIPPED[symbol], right, left)


def test_what_is_neither_true_nor_false_is_undefined() -> None:
    scale = Scale([5.0])
    found = scale.compared(comparison(dynamic=True), 5.0, "<")
    assert found.true & found.false == 0
    assert (1 << scale.count) - 1 & ~(found.true | found.false) == 1  # the first cell holds undefined


def test_a_test_of_the_type_tells_the_infinities_from_other_numbers() -> None:
    scale = Scale([5.0])
    found = scale.tested(lambda value: isinstance(value, float) and math.isfinite(value))
    look_up = sieve_of(scale, masks_of(scale, [(1, found.true)])).look_up
    assert [look_up(value) for value in NUMBERS] == [0, 1, 1, 1, 1, 1, 1, 0]
    assert not any(look_up(value) for value in (*SINGLES, *TEXTS))


def test_a_value_taken_as_it_is_counts_only_if_it_is_a_truth_value() -> None:
    scale = Scale([])
    found = scale.taken()
    look_up = sieve_of(scale, masks_of(scale, [(1, found.true), (2, found.false)])).look_up
    assert [look_up(value) for value in SINGLES] == [0, 2, 1, 0, 0, 0, 0]


def test_equal_masks_are_one_object() -> None:
    scale = Scale(["a", "b", "c"])
    wide = 1 << 1000
    true = scale.compared(comparison(dynamic=True), "b", "=").true
    masks = masks_of(scale, [(wide, ((1 << scale.count) - 1) & ~true)])
    assert {id(mask) for mask in masks if mask} == {id(masks[0])}
