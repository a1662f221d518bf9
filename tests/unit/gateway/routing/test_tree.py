from gateway.routing.parser import parse_route
from gateway.routing.tree import Call, Span


def test_spans_join() -> None:
    assert Span(3, 5).to(Span(8, 9)) == Span(3, 9)


def test_a_route_without_where_has_no_condition_and_no_rest() -> None:
    route = parse_route("FROM /messages/* INTO $upstream")
    assert (route.source, route.condition, route.rest) == ("/messages/*", None, None)


def test_a_call_knows_its_name_apart_from_its_arguments() -> None:
    node = parse_route("FROM /* WHERE f (a) INTO $upstream").condition
    assert isinstance(node, Call)
    assert (node.name_span, node.span, node.height) == (Span(14, 15), Span(14, 19), 1)
