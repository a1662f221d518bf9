import json

import pytest

from edgewire.message import Envelope, Message, identity
from gateway.routing import parts
from gateway.routing.compile import RouteSpec, compile_routes
from gateway.routing.parts import Part, parts_of
from gateway.routing.table import Route

MESSAGE = Message(
    Envelope(
        sender=identity("d"),
        properties={"level": "high"},
        system={"contentType": "application/json", "contentEncoding": "utf-8"},
    ),
    json.dumps({"n": 5, "s": "x"}).encode(),
)


def route(condition: str) -> Route:
    where = f" WHERE {condition}" if condition else ""
    compiled = compile_routes({"r": RouteSpec(text=f"FROM /messages/*{where} INTO $upstream")})
    assert compiled.table is not None, compiled.problems
    return compiled.table.routes[0]


def taken(condition: str) -> Part:
    found = parts_of(route(condition), MESSAGE)
    assert found is not None
    return found


def flat(part: Part) -> list[Part]:
    return [part, *(each for below in part.parts for each in flat(below))]


def test_every_part_has_its_place_in_the_text_and_its_value() -> None:
    text = route("level = 'high' AND (length($body.s) + 1 > 9 OR NOT (missing = 'x'))").text
    found = flat(taken("level = 'high' AND (length($body.s) + 1 > 9 OR NOT (missing = 'x'))"))
    assert all(text[part.start : part.end] == part.text for part in found)
    values = {part.text: part.value for part in found}
    assert values["level = 'high'"] == "true"
    assert values["length($body.s) + 1"] == "2"
    assert values["missing"] == "undefined"
    assert values["'high'"] == "'high'"


@pytest.mark.parametrize(
    ("condition", "decided"),
    [
        ("level = 'high' AND $body.n > 9", "$body.n > 9"),
        ("level = 'low' OR $body.n > 1", "$body.n > 1"),
        ("level = 'high'", "level = 'high'"),
        ("level = 'high' AND $body.n > 1", "level = 'high' AND $body.n > 1"),
        ("NOT (level = 'high')", "level = 'high'"),
    ],
)
def test_one_part_decided(condition: str, decided: str) -> None:
    assert [part.text for part in flat(taken(condition)) if part.decided] == [decided]


def test_a_route_without_a_condition_has_no_parts() -> None:
    assert parts_of(route(""), MESSAGE) is None


def test_a_body_that_cannot_be_read_makes_parts_undefined() -> None:
    found = parts_of(route("$body.n > 1"), Message(MESSAGE.envelope, b"{"))
    assert found is not None
    assert found.value == "undefined"


def test_what_lies_too_deep_is_told_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_PARTS", 3)
    assert len(flat(taken(" AND ".join(f"level = '{number}'" for number in range(20))))) < 30
