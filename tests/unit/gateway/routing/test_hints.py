import pytest

from gateway.routing.compile import RouteSpec, compile_routes
from gateway.routing.hints import signature, unknown_function


def the_fix(condition: str) -> str:
    text = f"FROM /messages/* WHERE {condition} INTO $upstream"
    (problem,) = compile_routes({"r": RouteSpec(text=text)}).problems
    return f"{problem.message} | {problem.fix}"


@pytest.mark.parametrize(
    ("condition", "fix"),
    [
        ("num = 42", "write as_number(num) = 42"),
        ("42 < num", "write as_number(num) < 42"),
        ("$deliveryCount > 2", "write as_number($deliveryCount) > 2"),
        ("length(level) = '5'", "as_number('5')"),
        ("flag = true", "write flag = 'true'"),
        ("level = null", "NOT is_defined(level) for a missing one"),
        ("level = undefined", "write NOT is_defined(level)"),
        ("$body['temp'] = 5", "write a body value as $body.name"),
        ("5. = 5", "write 5.0"),
        ("NOT level = 'high'", "write NOT (level = 'high')"),
        ("NOT level", "NOT is_defined(level)"),
        ("NOT 5", "NOT takes a condition"),
        ("level AND true", "is_defined(level)"),
        ("true AND $body.on", "write AND $body.on = true"),
        ("true OR 5", "compare it with something"),
        ("$body.on AND null", "leave the null out"),
        ("missing ?? 'd' = 'd'", "put parentheses around the value and its default"),
        ("(missing ?? 5) = 5", "a default of the same type"),
        ("1 < 2 < 3", "put parentheses around each comparison"),
        ("true || false", "write OR"),
        ("level || 5 = 'x'", "both sides must be text"),
        ("level + 1 = 2", "as_number(level)"),
        ("true + 1 = 2", "both sides must be numbers"),
        ("$body.n % 2 = 1", "as_number($body.n)"),
        ("- $body.n = 1", "write - as_number($body.n)"),
        ("- level = 1", "write - as_number(level)"),
        ("- true = 1", "it takes a number"),
        ("abs(level) = 1", "abs(as_number(level))"),
        ("concat('a') = 'a'", "it takes concat(string, string, …)"),
        ("is_defined() = true", "it takes is_defined(any value)"),
        ("!is_defined(level)", "write NOT is_defined(…)"),
        ("-abs(1) = 1", "write - abs(…)"),
        ("lenght(level) = 1", "did you mean 'length'?"),
        ("indexof(level, 'x') = 1", "did you mean 'index_of'?"),
        ("array_length($body.a) = 1", "let the device send it"),
        ("round(1.5) = 2", "floor(x + 0.5)"),
        ("quite_unlike_any(1) = 2", "the functions are: abs, as_number"),
        ("$body.a[x] = 1", "an index is a plain number"),
        ("$body.7 = 1", "put its index in brackets"),
        ("$body. = 1", "write $body.name"),
    ],
)
def test_each_mistake_gets_its_repair(condition: str, fix: str) -> None:
    assert fix in the_fix(condition)


def test_signatures_name_every_form_once() -> None:
    assert signature("substring") == "substring(string, number) or substring(string, number, number)"
    assert signature("as_number") == "as_number(string) or as_number(number)"


def test_a_function_from_elsewhere_is_explained() -> None:
    assert "only IoT Hub has it" in unknown_function("TWIN_CHANGE_INCLUDES")[1]
