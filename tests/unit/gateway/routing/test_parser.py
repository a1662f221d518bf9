import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.parser import parse_route
from gateway.routing.problems import SyntaxRefused
from gateway.routing.tree import Chain, DollarName, Literal, Name, Node, Prefix


def shape(node: Node) -> object:
    match node:
        case Chain():
            return [shape(node.operands[0]), *zip(node.operators, map(shape, node.operands[1:]), strict=True)]
        case Prefix():
            return (node.operator, shape(node.operand))
        case Name():
            return node.name
        case Literal():
            return node.text
        case DollarName():
            return f"{{{node.name}}}" if node.braced else node.name
        case _:
            return (node.name, *map(shape, node.arguments))


def condition(text: str) -> object:
    parsed = parse_route(f"FROM /* WHERE {text} INTO $upstream").condition
    assert parsed is not None
    return shape(parsed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a OR b AND c", ["a", ("OR", ["b", ("AND", "c")])]),
        ("a AND b AND c", ["a", ("AND", "b"), ("AND", "c")]),
        ("NOT a = b", [("NOT", "a"), ("=", "b")]),
        ("a + b * c - d", ["a", ("+", ["b", ("*", "c")]), ("-", "d")]),
        ("a ?? b = c", ["a", ("??", ["b", ("=", "c")])]),
        ("a < b = c", [["a", ("<", "b")], ("=", "c")]),
        ("- a * b", [("-", "a"), ("*", "b")]),
        ("(a OR b) AND c", [["a", ("OR", "b")], ("AND", "c")]),
        ("f(a, g()) || x", [("f", "a", ("g",)), ("||", "x")]),
        ("{$a} <> $b", ["{$a}", ("<>", "$b")]),
    ],
)
def test_precedence(text: str, expected: object) -> None:
    assert condition(text) == expected


def test_every_node_knows_its_place() -> None:
    text = "FROM /messages/* WHERE level = 'high' AND is_defined(x) INTO $upstream and more"
    route = parse_route(text)
    assert isinstance(route.condition, Chain)
    first, second = route.condition.operands
    assert text[first.span.start : first.span.end] == "level = 'high'"
    assert text[second.span.start : second.span.end] == "is_defined(x)"
    assert text[route.source_span.start : route.source_span.end] == "/messages/*"
    assert text[route.sink_span.start : route.sink_span.end] == "$upstream"
    assert route.rest is not None
    assert text[route.rest.start : route.rest.end] == "and more"


@pytest.mark.parametrize(
    ("text", "marked", "message", "fix"),
    [
        ("FROM /messages/* WHERE a == 'b' INTO $upstream", "==", "'==' does not exist", "write ="),
        ("FROM /messages/* WHERE a = 'b' && c = 'd' INTO $upstream", "&&", "is no operator", "write AND"),
        ("FROM /messages/* WHERE a LIKE 'b%' INTO $upstream", "LIKE", "is no operator", "starts_with"),
        ("FROM /messages/* WHERE a IN ('b') INTO $upstream", "IN", "is no operator", "x = 'a' OR x = 'b'"),
        ("FROM /messages/* WHERE a = 'b' ADN c = 'd' INTO $upstream", "ADN", "did you mean 'AND'?", "write AND"),
        ("FROM /messages/* WERE a = 'b' INTO $upstream", "WERE", "did you mean 'WHERE'?", "write WHERE"),
        ("FROM /messages/* WHERE a = 'b' -- why INTO $upstream", "--", "no line comments", "take it out"),
        ("FROM /messages/* WHERE ! a INTO $upstream", "!", "'!' is no operator", "write NOT"),
        ("FROM /messages/* WHERE a = 'b INTO $upstream", "'", "no closing '", "close it"),
        ("FROM /messages/* WHERE (a = 'b' INTO $upstream", "(", "missing closing ')'", "close it"),
        ("FROM /messages/* WHERE a = 'b') INTO $upstream", ")", "unmatched closing ')'", "remove it"),
        ("FROM /messages/* WHERE f(a INTO $upstream", "(", "missing closing ')'", "close it"),
        ("FROM /messages/* WHERE f(a b) INTO $upstream", "b", "operator or INTO is expected", "blanks around"),
        ("FROM /messages/* WHERE a:b = 'c' INTO $upstream", ":", "invalid symbol ':'", "cannot be tested"),
        ("FROM /messages/* WHERE = 'c' INTO $upstream", "=", "a value is expected", "add the value"),
        ("FROM /messages/* WHERE a[0] = 'c' INTO $upstream", "a[0]", "brackets belong to body paths", "$body."),
        ("FROM /messages/* WHERE 3 +4 = 7 INTO $upstream", "+4", "is one word", "+ 4"),
        ("FROM /messages/* WHERE from = 'c' INTO $upstream", "from", "is a keyword", "another name"),
        ("FROM /messages/* WHERE {level} = 'c' INTO $upstream", "level", "braces take only", "leave the braces"),
        ("FROM /messages/* WHERE {$a = 'c' INTO $upstream", "{", "missing closing '}'", "{$a}"),
        ("FROM messages INTO $upstream", "messages", "begins with '/'", "write /messages/*"),
        ("FROM /messages/ INTO $upstream", "/", "ends with '/'", "leave the last"),
        ("FROM /messages/modules/12 INTO $upstream", "12", "cannot stand in the path", "$connectionModuleId"),
        ("FROM /messages/* INTO BrokerEndpoint('/modules/m/inputs/i')", "BrokerEndpoint", "mean 'Broke", "write Br"),
        ("FROM /messages/* INTO BrokeredEndpoint('x')", "'x'", "not the address", "<module>"),
        ("FROM /messages/* INTO $upsteam", "$upsteam", "is not supported", "$upstream"),
        ("FROM /messages/* INTO upstream", "upstream", "no place to send to", "$upstream"),
        ("FORM /messages/* INTO $upstream", "FORM", "begins with FROM", "FROM"),
    ],
)
def test_what_people_write_by_mistake(text: str, marked: str, message: str, fix: str) -> None:
    with pytest.raises(SyntaxRefused) as caught:
        parse_route(text)
    finding = caught.value.finding
    assert text[finding.span.start : finding.span.end] == marked
    assert message in finding.message
    assert fix in finding.fix


def refusal_of(text: str) -> SyntaxRefused | None:
    try:
        parse_route(text)
    except SyntaxRefused as refusal:
        return refusal
    return None


@given(st.text(alphabet="FROMWHEREINTO /*'\"\\$body.[]0xe5+-!=<>()\n{}?:,andortu", max_size=80))
def test_any_text_is_a_route_or_refused_with_a_place(text: str) -> None:
    for whole in (text, f"FROM /* WHERE {text} INTO $upstream"):
        refusal = refusal_of(whole)
        if refusal is not None:
            assert 0 <= refusal.finding.span.start <= len(whole)
            assert refusal.finding.message


def test_deep_nesting_is_refused_before_it_can_exhaust_the_stack() -> None:
    for deep in ("(" * 5000, "NOT " * 5000 + "a", "f(" * 5000, "a = " * 5000 + "a", "{" * 5000):
        with pytest.raises(SyntaxRefused):
            parse_route(f"FROM /* WHERE {deep} INTO $upstream")
