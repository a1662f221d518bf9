import pytest

from gateway.routing.values import (
    BODY_NAN,
    MISSING,
    NO_TEXT,
    NULL,
    UNDEFINED,
    Value,
    both,
    both_body,
    coalesced,
    code_units,
    compare_body,
    compare_plain,
    either,
    either_body,
    joined,
    negated,
    order,
)

ASCENDING: list[Value] = [False, True, BODY_NAN, -1.5, 0.0, 2.0, NO_TEXT, "", "a", "b", "\U0001f600", "\ue000", NULL]


def test_body_values_of_all_types_stand_in_one_order() -> None:
    for at, lower in enumerate(ASCENDING):
        assert order(lower, lower) == 0
        for higher in ASCENDING[at + 1 :]:
            assert (order(lower, higher), order(higher, lower)) == (-1, 1)


def test_undefined_has_no_place_in_it() -> None:
    for value in (*ASCENDING, UNDEFINED):
        assert order(UNDEFINED, value) is None
        assert compare_body("!=", value, UNDEFINED) is UNDEFINED


def test_a_missing_path_and_null_are_equal() -> None:
    assert compare_body("=", MISSING, NULL) is True
    assert compare_body(">", MISSING, NULL) is False


def test_a_property_without_a_value_compares_only_with_body_values() -> None:
    assert compare_plain("=", NO_TEXT, "") is UNDEFINED
    assert compare_plain("!=", "a", NO_TEXT) is UNDEFINED
    assert compare_body("!=", NO_TEXT, "") is True


@pytest.mark.parametrize(
    ("symbol", "less", "same", "more"),
    [
        ("=", False, True, False),
        ("!=", True, False, True),
        ("<>", True, False, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        (">", False, False, True),
        (">=", False, True, True),
    ],
)
def test_symbols(symbol: str, less: object, same: object, more: object) -> None:
    assert [compare_plain(symbol, 1.0, right) for right in (2.0, 1.0, 0.0)] == [less, same, more]


def test_three_valued_logic() -> None:
    values: list[Value] = [True, False, UNDEFINED]
    assert [both(a, b) for a in values for b in values] == [
        *(True, False, UNDEFINED),
        *(False, False, False),
        *(UNDEFINED, False, UNDEFINED),
    ]
    assert [either(a, b) for a in values for b in values] == [
        *(True, True, True),
        *(True, False, UNDEFINED),
        *(True, UNDEFINED, UNDEFINED),
    ]
    assert [negated(value) for value in (*values, "x")] == [False, True, UNDEFINED, UNDEFINED]


def test_logic_on_body_values_needs_two_truth_values() -> None:
    assert [both_body(True, True), both_body(True, False), either_body(False, True)] == [True, False, True]
    for other in (UNDEFINED, NULL, MISSING, 1.0, "true"):
        for function in (both_body, either_body):
            assert function(True, other) is UNDEFINED
            assert function(other, False) is UNDEFINED


def test_only_undefined_is_replaced() -> None:
    assert coalesced(UNDEFINED, 1.0) == 1.0
    for kept in (NULL, MISSING, NO_TEXT, False, "", 0.0):
        assert coalesced(kept, 1.0) is kept


def test_code_units_split_pairs_and_joined_joins_them() -> None:
    assert len(code_units("a😀")) == 3
    assert joined(code_units("a😀")) == "a😀"
    assert joined(code_units("a😀")[:2]) == "a\ud83d"
    assert code_units("é") == "é"


def test_values_show_themselves() -> None:
    shown = [repr(value) for value in (UNDEFINED, NULL, MISSING, NO_TEXT, BODY_NAN)]
    assert shown == ["undefined", "null", "null (not in the body)", "null (a property without a value)", "NaN"]
