"""The language as a whole, by tables: each row names the sentence of edgehub.md it checks."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import (
    UPSTREAM,
    Delivery,
    Envelope,
    Message,
    MessageSource,
    identity,
    local_topic,
    module_input,
    named_endpoint,
)
from gateway.routing.compile import Compiled, RouteSpec, compile_expression, compile_routes
from gateway.routing.problems import RouteProblem
from gateway.routing.table import value_of

VECTORS = Path(__file__).parents[3] / "vectors"
SYSTEM = {
    "contentType": "application/json",
    "contentEncoding": "utf-8",
    "connectionDeviceId": "dev1",
    "connectionModuleId": "mod1",
    "messageId": "m-1",
    "outputName": "out1",
}
PROPERTIES: dict[str, str | None] = {
    "level": "high",
    "num": "42",
    "blank": "",
    "flagText": "true",
    "a.b": "dotted",
    "a-b": "dashed",
    "quote": "it's",
    "café": "über",
    "word": "Hello",
    "keyonly": None,
    "$messageType": "own",
}
BODY = {
    "temp": 72.5,
    "count": 7,
    "neg": -3,
    "zero": 0,
    "on": True,
    "off": False,
    "name": "pump-7",
    "digits": "50",
    "nul": None,
    "when": "2024-05-06T07:08:09Z",
    "day": "2024-05-06",
    "readings": [10, 20, 30],
    "Temp": 1,
    "site": {"line": {"id": "L1"}, "tags": ["red", "blue"]},
    "x-y": 8,
    "_u": 4,
    "名": "値",
    "acc": "café",
}


def rows(name: str) -> list[Any]:
    loaded: list[Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return loaded


def one(text: str, **fields: int) -> Compiled:
    return compile_routes({"r": RouteSpec(text=text, **fields)})


def where(condition: str) -> Compiled:
    return one(f"FROM /messages/* WHERE {condition} INTO $upstream")


def result(compiled: Compiled, message: Message) -> str:
    """The result by both roads: the generated code must match exactly where the interpreter says true."""
    if compiled.table is None:
        assert compiled.problems
        return "compile_error"
    (explanation,) = compiled.table.explain(message)
    assert (compiled.table.match(message).routes == ("r",)) == (explanation.result == "true")
    assert explanation.matched == (explanation.result == "true")
    return explanation.result


@pytest.mark.parametrize("row", rows("route_conditions.json"), ids=lambda row: row["id"])
def test_edgehubs_own_results(row: dict[str, Any]) -> None:
    sample = row["message"]
    system = sample["systemProperties"]
    sender = identity(system.get("connectionDeviceId", "dev1"), system.get("connectionModuleId"))
    body = base64.b64decode(sample["bodyBase64"]) if "bodyBase64" in sample else sample["body"].encode()
    envelope = Envelope(sender=sender, properties=sample["properties"], system=system)
    assert result(where(row["condition"]), Message(envelope, body)) == row.get("result3", "compile_error")


@pytest.mark.parametrize("row", rows("routes_language.json"), ids=lambda row: f"{row['rule']}: {row['condition']}")
def test_each_sentence_of_the_language(row: dict[str, str]) -> None:
    # With a property that begins with `$` every route is interpreted; without one the generated code decides.
    for properties in (PROPERTIES, {name: value for name, value in PROPERTIES.items() if name[0] != "$"}):
        if "messageType" in row["condition"] and properties is not PROPERTIES:
            continue
        envelope = Envelope(sender=identity("dev1", "mod1"), properties=properties, system=SYSTEM)
        message = Message(envelope, json.dumps(BODY).encode())
        assert result(where(row["condition"]), message) == row["result"]


@pytest.mark.parametrize("row", rows("routes_bodies.json"), ids=lambda row: f"{row['rule']}: {row['body'][:60]}")
def test_each_sentence_on_bodies(row: dict[str, str]) -> None:
    envelope = Envelope(sender=identity("dev1"), properties={}, system=SYSTEM)
    assert result(where(row["condition"]), Message(envelope, row["body"].encode())) == row["result"]


SENDERS = {
    "leaf": Envelope(sender=identity("d"), properties={}, system={}),
    "m1": Envelope(sender=identity("d", "m1"), properties={}, system={}),
    "m1/o1": Envelope(sender=identity("d", "m1"), properties={}, system={"outputName": "o1"}),
    "m2": Envelope(sender=identity("d", "m2"), properties={}, system={}),
    "m1x": Envelope(sender=identity("d", "m1x"), properties={}, system={"outputName": "o1"}),
    "twin": Envelope(sender=identity("d"), properties={}, system={}, source=MessageSource.TWIN_CHANGE),
    "state": Envelope(sender=identity("d"), properties={}, system={}, source=MessageSource.CONNECTION_STATE),
}


@pytest.mark.parametrize("row", rows("routes_sources.json"), ids=lambda row: f"{row['from']}: {row['rule']}")
def test_from_matches_by_prefix(row: dict[str, Any]) -> None:
    path = row["from"].removeprefix("SELECT ")
    select = "SELECT * " if path != row["from"] else ""
    table = one(f"{select}FROM {path} INTO $upstream").table
    assert table is not None
    assert [name for name, sender in SENDERS.items() if table.match(Message(sender, b"")).routes] == row["matches"]


def test_a_bad_route_keeps_the_table_from_being_built_and_all_problems_are_told() -> None:
    compiled = compile_routes(
        {
            "good": RouteSpec(text="FROM /messages/* INTO $upstream"),
            "bad": RouteSpec(text="FROM /messages/*"),
            "worse": RouteSpec(text="FROM /messages/* WHERE lenght(x) = round(1) INTO $upstream"),
        }
    )
    assert compiled.table is None
    assert [problem.route for problem in compiled.problems] == ["bad", "worse", "worse"]


def test_priority_and_time_to_live_come_from_the_route_or_the_default() -> None:
    text = "FROM /messages/* INTO $upstream"
    for spec, expected in (
        (RouteSpec(text=text), Delivery(UPSTREAM, 2_000_000_000, 60)),
        (RouteSpec(text=text, time_to_live_s=0), Delivery(UPSTREAM, 2_000_000_000, 60)),
        (RouteSpec(text=text, priority=0, time_to_live_s=5), Delivery(UPSTREAM, 0, 5)),
    ):
        table = compile_routes({"r": spec}, default_time_to_live_s=60).table
        assert table is not None
        assert table.match(Message(SENDERS["leaf"], b"")).deliveries == (expected,)


@pytest.mark.parametrize(
    ("sink", "endpoint"),
    [
        ("$upstream", UPSTREAM),
        ("$UPSTREAM", UPSTREAM),
        ('BrokeredEndpoint("/modules/m/inputs/i")', module_input("m", "i")),
        ("brokeredendpoint('modules/m/inputs/i/')", module_input("m", "i")),
        ('BrokeredEndpoint(" /modules/m/inputs/i ")', module_input("m", "i")),
        ('BrokeredEndpoint("/a/m/b/i")', module_input("m", "i")),
        ("BrokeredEndpoint ( '/modules/m/inputs/it\\'s' )", module_input("m", "it\\'s")),
        ('Endpoint("archive")', named_endpoint("archive")),
        ("endpoint( ' archive ' )", named_endpoint("archive")),
        ('Topic("alerts/{device}")', local_topic("alerts/{device}")),
        ("$upstream and whatever else", UPSTREAM),
    ],
)
def test_sinks(sink: str, endpoint: object) -> None:
    table = one(f"FROM /messages/* INTO {sink}").table
    assert table is not None
    (delivery,) = table.match(Message(SENDERS["leaf"], b"")).deliveries
    assert delivery.endpoint == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FROM",
        "FROM /messages/*",
        "FROM /messages/* INTO",
        "FROM /messages/ INTO $upstream",
        "FROM messages INTO $upstream",
        "FROM / INTO $upstream",
        "FROM /messages/modules/true INTO $upstream",
        "FROM /messages/modules/123 INTO $upstream",
        "FROM /messages/modules/from INTO $upstream",
        "FROM /messages/modules/$edgeHub INTO $upstream",
        "FROM /messages/* WHERE INTO $upstream",
        "FROM /messages/* WHERE true",
        "FROM /messages/* INTO upstream",
        "FROM /messages/* INTO $downstream",
        "FROM /messages/* INTO $upstream.x",
        "FROM /messages/* INTO OtherEndpoint('/modules/m/inputs/i')",
        "FROM /messages/* INTO Endpoint('')",
        "FROM /messages/* INTO Topic(' ')",
        "FROM /messages/* INTO Topic(site)",
        "FROM /messages/* INTO BrokeredEndpoint('/modules/m/inputs')",
        "FROM /messages/* INTO BrokeredEndpoint('/modules/m/inputs/i/x')",
        "FROM /messages/* INTO BrokeredEndpoint('/modules//inputs/i')",
        "FROM /messages/* INTO BrokeredEndpoint(modules)",
        "FROM /messages/* INTO BrokeredEndpoint('/modules/m/inputs/i'",
        "SELECT FROM /messages/* INTO $upstream",
        "SELECT x FROM /messages/* INTO $upstream",
        "INTO $upstream FROM /messages/*",
        "FROM /messages/* WHERE x = 'a' /* note */ INTO $upstream",
        "FROM /messages/* INTO $upstream /* note */",
        "FROM /* WHERE x = 'a' /* note */ INTO $upstream",
        "FROM /messages /* WHERE x = 'a' */ INTO $upstream",
    ],
)
def test_a_text_that_is_no_route_is_refused_with_a_place_and_a_fix(text: str) -> None:
    compiled = one(text)
    assert compiled.table is None
    (problem,) = compiled.problems
    assert problem.message
    assert problem.fix
    assert 1 <= problem.column <= len(text) + 1


@pytest.mark.parametrize(
    "text",
    [
        "FROM /messages WHERE level = 'high' /* note */ INTO $upstream",
        "FROM /messages /* note */ WHERE level = 'high' INTO $upstream",
        "/* note */ FROM /messages WHERE level = 'high' INTO $upstream",
        "FROM /messages WHERE level /* a */ = /* b\n */ 'high' INTO /* c */ $upstream /* d */",
    ],
)
def test_a_comment_that_swallows_nothing_is_a_comment(text: str) -> None:
    compiled = one(text)
    assert not compiled.warnings
    assert compiled.table is not None
    for level, matched in (("high", ("r",)), ("low", ())):
        envelope = Envelope(sender=identity("d"), properties={"level": level}, system={})
        assert compiled.table.match(Message(envelope, b"")).routes == matched


@pytest.mark.parametrize(
    ("kind", "encoding", "readable"),
    [
        ("application/json", "utf-8", True),
        ("Application/JSON", "UTF-8", True),
        ("application/json; charset=utf-8", "utf-8", False),
        ("text/json", "utf-8", False),
        ("application/json", "utf8", False),
        ("application/json", "", False),
        ("application/json", None, False),
        (None, "utf-8", False),
        (None, None, False),
    ],
)
def test_the_body_is_read_only_if_type_and_encoding_say_so(
    kind: str | None, encoding: str | None, *, readable: bool
) -> None:
    given = {"contentType": kind, "contentEncoding": encoding}
    system = {name: value for name, value in given.items() if value is not None}
    message = Message(Envelope(sender=identity("d"), properties={}, system=system), b'{"a":1}')
    assert result(where("$body.a = 1"), message) == ("true" if readable else "undefined")


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("utf-16", '{"a":1}'.encode("utf-16-le"), "true"),
        ("utf-16", '{"a":1}'.encode("utf-16-be"), "undefined"),
        ("utf-16", '{"a":1}'.encode("utf-16"), "undefined"),  # with a byte order mark
        ("utf-32", '{"a":1}'.encode("utf-32-le"), "true"),
        ("utf-32", '{"a":1}'.encode("utf-32"), "undefined"),
        ("utf-8", b'\xef\xbb\xbf{"a":1}', "undefined"),
        ("utf-8", b'{"a":1,"b":"\xff"}', "true"),
        ("utf-16", b'{\x00"\x00a\x00"\x00:\x001\x00}\x00\x00', "undefined"),
    ],
)
def test_encodings(encoding: str, body: bytes, expected: str) -> None:
    system = {"contentType": "application/json", "contentEncoding": encoding}
    message = Message(Envelope(sender=identity("d"), properties={}, system=system), body)
    assert result(where("$body.a = 1"), message) == expected


def test_invalid_utf_8_becomes_the_replacement_character() -> None:
    message = Message(Envelope(sender=identity("d"), properties={}, system=SYSTEM), b'{"a":"x\xffy"}')
    assert result(where("$body.a = 'x\ufffdy'"), message) == "true"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("$body.temp = 'shadow'", "true"),
        ("$body.temp = 72.5", "false"),
        ("$BODY.TEMP = 'shadow'", "true"),
        ("{$body.temp} = 72.5", "true"),
        ("$messageId = 'own'", "true"),
        ("{$messageId} = 'm-1'", "true"),
        ("$body.readings[0] = 10", "true"),
        ("level = 'high'", "true"),
    ],
)
def test_an_application_property_with_a_dollar_shadows(condition: str, expected: str) -> None:
    properties = {"$body.temp": "shadow", "$MESSAGEID": "own", "level": "high", "$body.readings[0]": "no"}
    envelope = Envelope(sender=identity("d"), properties=properties, system=SYSTEM)
    assert result(where(condition), Message(envelope, json.dumps(BODY).encode())) == expected


def problem_of(text: str) -> str:
    found = compile_expression(text)
    assert isinstance(found, RouteProblem)
    return f"{found.place()}: {found.message}; {found.fix}"


@pytest.mark.parametrize(
    ("text", "value"),
    [("$body.t", 20.5), ("$body.t + 1", 21.5), ("as_number(level)", 7.0), ("level", "7"), ("$body.t > 20", True)],
)
def test_an_expression_alone_has_the_value_that_a_condition_would_see(text: str, value: object) -> None:
    expression = compile_expression(text)
    assert not isinstance(expression, RouteProblem)
    envelope = Envelope(sender=identity("dev1"), properties={"level": "7"}, system=SYSTEM)
    message = Message(envelope, b'{"t": 20.5}')
    assert value_of(expression, message) == value
    compile_routes({"r": RouteSpec(text="FROM /* INTO $upstream")}).table.match(message)  # type: ignore[union-attr] # it is good
    assert value_of(expression, message) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "column 1: the expression is empty; write $body.temperature"),
        ("$body.t INTO $upstream", "column 9: 'INTO' belongs to a route, not to an expression; take it out"),
        ("$body.t WHERE a", "column 9: 'WHERE' belongs to a route, not to an expression; take it out"),
        ("a b", "column 3: an operator or INTO is expected after a, not 'b'; join"),
        ("'a' + 1", "column 5: '+' does not take"),
        ("lenght(a)", "column 1: unknown function 'lenght'"),
    ],
)
def test_an_expression_that_is_wrong_says_where(text: str, sentence: str) -> None:
    assert problem_of(text).startswith(sentence)
