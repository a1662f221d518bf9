import json

import pytest

from edgewire.message import Envelope, Message, identity
from gateway.routing.compile import RouteSpec, compile_routes
from gateway.routing.explain import Because, RouteExplanation, shown
from gateway.routing.values import MISSING, UNDEFINED

SYSTEM = {"contentType": "application/json", "contentEncoding": "utf-8", "messageId": "m"}
BODY = {"n": 5, "s": "x", "on": True, "obj": {}, "when": "2024-05-06T07:08:09Z"}


def explained(condition: str, system: dict[str, str] | None = None, body: bytes | None = None) -> RouteExplanation:
    where = f" WHERE {condition}" if condition else ""
    compiled = compile_routes({"r": RouteSpec(text=f"FROM /messages/*{where} INTO $upstream")})
    assert compiled.table is not None
    envelope = Envelope(
        sender=identity("d"),
        properties={"level": "high", "empty": None},
        system=SYSTEM if system is None else system,
    )
    message = Message(envelope, json.dumps(BODY).encode() if body is None else body)
    (found,) = compiled.table.explain(message)
    return found


def because(condition: str, system: dict[str, str] | None = None, body: bytes | None = None) -> Because:
    found = explained(condition, system, body).because
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("condition", "text", "value"),
    [
        ("level = 'high' AND $body.n > 9", "$body.n > 9", "false"),
        ("level = 'low' OR $body.n > 1", "$body.n > 1", "true"),
        ("level = 'high' AND $body.n > 1", "level = 'high' AND $body.n > 1", "true"),
        ("level = 'low' OR $body.n > 9", "level = 'low' OR $body.n > 9", "false"),
        ("level = 'high' AND (missing = 'x' OR $body.n > 9)", "missing = 'x'", "undefined"),
        ("NOT (level = 'high')", "level = 'high'", "true"),
        ("NOT (level = 'high' AND $body.n > 9)", "$body.n > 9", "false"),
        ("$body.s AND true", "$body.s", "'x'"),
        ("$body.on AND level = 'low'", "level = 'low'", "false"),
        ("false", "false", "false"),
        ("starts_with(level, 'x')", "starts_with(level, 'x')", "false"),
    ],
)
def test_the_smallest_part_that_decided(condition: str, text: str, value: str) -> None:
    found = because(condition)
    assert (found.text, found.value) == (text, value)
    whole = f"FROM /messages/* WHERE {condition} INTO $upstream"
    assert whole[found.column - 1 : found.column - 1 + found.length] == text


def test_operands_are_shown_with_their_values_once_each() -> None:
    found = because("$body.n > 1 AND $body.n < 9 AND level != 'x'")
    assert [(operand.text, operand.value) for operand in found.operands] == [("$body.n", "5"), ("level", "'high'")]


@pytest.mark.parametrize(
    ("condition", "note"),
    [
        ("missing = 'x'", "does not have this application property"),
        ("$to = 'x'", "does not have this system property"),
        ("$body.gone > 5", "above them"),
        ("$body.gone = 5", "counts as null"),
        ("$body.obj = 5", "an object, an array, a date"),
        ("$body.when = 'x'", "an object, an array, a date"),
        ("empty = 'x'", "came without a value"),
        ("is_number($body.obj)", "an object, an array, a date"),
        ("null", "this is a constant"),
        ("level = 'low'", ""),
    ],
)
def test_a_surprise_is_explained(condition: str, note: str) -> None:
    found = because(condition).note
    assert note in found
    assert bool(note) == bool(found)


def test_an_unread_body_says_what_to_put_on_the_topic() -> None:
    assert "$.ct=application%2Fjson&$.ce=utf-8" in because("$body.n > 1", {}).note
    assert "'utf8'" in because("$body.n > 1", {"contentType": "application/json", "contentEncoding": "utf8"}).note
    assert "no readable JSON" in because("$body.n > 1", body=b"{").note


def test_a_route_without_a_condition_needs_no_reason() -> None:
    found = explained("")
    assert (found.matched, found.result, found.because) == (True, "true", None)


def test_in_a_route_of_several_lines_the_line_is_told() -> None:
    found = because("level = 'high'\n  AND $body.n > 9")
    assert (found.line, found.column) == (2, 7)


def test_values_are_shown_as_people_write_them_and_long_ones_are_cut() -> None:
    assert [shown(value) for value in (True, 5.0, 2.5, 1e300, "x", UNDEFINED)] == [
        *("true", "5", "2.5", "1e+300", "'x'", "undefined")
    ]
    assert shown(MISSING) == "null (not in the body)"
    assert shown("x" * 100) == "'" + "x" * 80 + "…'"
