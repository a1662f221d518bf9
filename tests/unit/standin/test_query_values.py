from typing import Any

import pytest

from standin.query_values import AGGREGATES, COMPARISONS, FUNCTIONS, UNDEFINED, all_hold, any_holds, follow, negated

TWIN = {"a": {"b": [1, {"c": None}]}}
U = UNDEFINED


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (["a", "b", 0], 1),
        (["a", "b", 1, "c"], None),
        (["a", "b", 2], U),
        (["a", "b", "0"], U),
        (["a", 0], U),
        (["a", "b", 0, "x"], U),
        ([], TWIN),
    ],
)
def test_a_path_is_followed(path: list[str | int], found: Any) -> None:
    assert follow(TWIN, path) is found or follow(TWIN, path) == found


@pytest.mark.parametrize(
    ("values", "both", "either"),
    [
        ([True, True], True, True),
        ([True, False], False, True),
        ([False, False], False, False),
        ([True, U], U, True),
        ([False, U], False, U),
        ([U, U], U, U),
        (["yes", True], U, True),
    ],
)
def test_three_values_are_combined(values: list[Any], both: Any, either: Any) -> None:
    assert all_hold(values) is both
    assert any_holds(values) is either


def test_only_true_and_false_have_an_opposite() -> None:
    assert (negated(True), negated(False), negated(U), negated(1), negated(None)) == (False, True, U, U, U)


@pytest.mark.parametrize(
    ("sign", "left", "right", "result"),
    [
        ("=", 1, 1.0, True),
        ("=", 1, True, False),
        ("=", "1", 1, False),
        ("=", None, None, True),
        ("=", U, None, U),
        ("=", [1], [1], True),
        ("!=", "1", 1, True),
        ("<>", U, 1, U),
        ("<", 1, 2, True),
        ("<", "a", "b", True),
        ("<", 1, "b", U),
        (">=", True, False, U),
        (">", U, 1, U),
    ],
)
def test_comparisons_convert_nothing(sign: str, left: Any, right: Any, result: Any) -> None:
    assert COMPARISONS[sign](left, right) is result


def test_aggregates_pass_over_what_is_no_number() -> None:
    values = [1, "2", True, 3, U, None]
    assert {name: call(values) for name, call in AGGREGATES.items()} == {
        "COUNT": 6,
        "SUM": 4,
        "AVG": 2.0,
        "MIN": 1,
        "MAX": 3,
    }
    assert AGGREGATES["SUM"](["x"]) is U


@pytest.mark.parametrize("name", ["STARTS_WITH", "ENDS_WITH", "CONTAINS"])
def test_functions_of_texts_are_undefined_for_others(name: str) -> None:
    assert FUNCTIONS[name][1]("abc", "abc") is True
    assert FUNCTIONS[name][1](5, "abc") is U
    assert FUNCTIONS[name][1]("abc", U) is U


def test_what_is_undefined_is_of_no_kind() -> None:
    kinds = [name for name in FUNCTIONS if name.startswith("IS_")]
    assert [FUNCTIONS[name][1](U) for name in kinds] == [False] * len(kinds)
