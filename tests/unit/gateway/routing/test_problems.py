from gateway.routing.problems import Finding, RouteProblem, SyntaxRefused, located, near_match
from gateway.routing.tree import Span


def test_a_problem_shows_the_line_and_marks_the_place() -> None:
    text = "FROM /messages/* WHERE lenght(body) > 10 INTO $upstream"
    finding = Finding(Span(23, 29), "unknown function 'lenght'; did you mean 'length'?", "write length(…)")
    assert located("to-cloud", text, finding).rendered() == (
        "route 'to-cloud', column 24: unknown function 'lenght'; did you mean 'length'?\n"
        "  FROM /messages/* WHERE lenght(body) > 10 INTO $upstream\n"
        "                         ^^^^^^\n"
        "  write length(…)"
    )


def test_in_a_route_of_several_lines_the_line_is_named() -> None:
    problem = located("r", "FROM /*\r\nWHERE\tx ==\nINTO", Finding(Span(17, 19), "'==' does not exist"))
    assert (problem.line, problem.column, problem.length) == (2, 9, 2)
    assert problem.rendered() == "route 'r', line 2, column 9: '==' does not exist\n  WHERE x ==\n          ^^"


def test_a_place_at_the_end_and_one_over_several_lines_mark_at_least_one_character() -> None:
    assert located("r", "FROM", Finding(Span(4, 4), "no path")).rendered().endswith("\n  FROM\n      ^")
    assert located("r", "ab\ncd", Finding(Span(1, 5), "x")).rendered().endswith("\n  ab\n   ^^")


def test_a_problem_without_a_line_is_only_its_sentence() -> None:
    problem = RouteProblem(route="r", line=1, column=1, length=1, message="empty", fix="")
    assert problem.rendered() == "route 'r', column 1: empty"


def test_near_matches() -> None:
    known = ("starts_with", "index_of", "connectionDeviceId")
    assert near_match("startswith", known) == "starts_with"
    assert near_match("STARTS_WITH", known) == "starts_with"
    assert near_match("indexof", known) == "index_of"
    assert near_match("connectiondeviceid", known) == "connectionDeviceId"
    assert near_match("connectionDevicId", known) == "connectionDeviceId"
    assert near_match("quite different", known) is None


def test_a_refusal_carries_its_finding() -> None:
    finding = Finding(Span(0, 1), "no")
    assert SyntaxRefused(finding).finding is finding
