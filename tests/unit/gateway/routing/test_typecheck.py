import pytest

from gateway.routing.expression import Expression, Logic, Type
from gateway.routing.parser import parse_route
from gateway.routing.typecheck import check_condition, unescaped


def checked(condition: str) -> tuple[Expression | None, list[str]]:
    text = f"FROM /* WHERE {condition} INTO $upstream"
    syntax = parse_route(text)
    assert syntax.condition is not None
    expression, findings = check_condition(text, syntax.condition)
    return expression, [text[finding.span.start : finding.span.end] for finding in findings]


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ("level", Type.STRING),
        ("$messageId", Type.STRING),
        ("{$messageId}", Type.STRING),
        ("$body.a", Type.BODY),
        ("$a[0]", Type.UNDEFINED),
        ("5", Type.NUMBER),
        ("e5", Type.UNDEFINED),
        ("0x10000000000000000", Type.UNDEFINED),
        ("true", Type.BOOL),
        ("null", Type.NULL),
        ("5 + 5", Type.NUMBER),
        ("$body.a + 5", Type.BODY),
        ("level || $body.a", Type.STRING),
        ("level ?? $body.a", Type.BODY),
        ("level ?? 'x'", Type.STRING),
        ("null AND true", Type.NULL),
        ("null OR true", Type.BOOL),
        ("NOT null", Type.BOOL),
        ("$body.a AND true", Type.BOOL),
        ("length(level)", Type.NUMBER),
    ],
)
def test_static_types(condition: str, kind: Type) -> None:
    expression, marked = checked(condition)
    assert marked == []
    assert expression is not None
    assert expression.type is kind


def test_one_error_does_not_cause_another() -> None:
    assert checked("lenght(level) > 5 AND round(1) = 2 OR level = 5") == (None, ["lenght", "round", "="])
    assert checked("NOT (abs(level) + 1 = 2)")[1] == ["abs"]


def test_errors_in_braces_point_into_the_path() -> None:
    assert checked("{ $body.a[x] } = 1")[1] == ["[x]"]


def test_chains_of_plain_conditions_are_flat_and_those_of_body_values_are_not() -> None:
    flat, _ = checked("a = 'x' AND b = 'x' AND c = 'x'")
    assert isinstance(flat, Logic)
    assert len(flat.operands) == 3
    nested, _ = checked("$body.a AND b = 'x' AND c = 'x'")
    assert isinstance(nested, Logic)
    assert len(nested.operands) == 2
    assert not nested.dynamic
    inner = nested.operands[0]
    assert isinstance(inner, Logic)
    assert inner.dynamic


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (r"it\'s \"x\" \\", 'it\'s "x" \\'),
        (r"\u0041", "A"),
        (r"\\u0041", r"\A"),
        (r"\\\\", "\\\\"),
        (r"\u005c\u0027", "'"),
        (r"\ud83d\ude00", "😀"),
        (r"\ud83d", "\ud83d"),
    ],
)
def test_escapes(inside: str, text: str) -> None:
    assert unescaped(inside) == text
