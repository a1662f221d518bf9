import json
from typing import Any

import pytest

from edgewire.message import DEFAULT_PRIORITY, Envelope, Message, identity
from gateway.app import page_trial
from gateway.app.document import GatewaySettings, read_settings
from gateway.app.page_trial import Tried, read_message, read_routes, replayed, sample_of, try_message
from gateway.app.sample import read_sample
from gateway.dashboard.answers import NotAnsweredError
from gateway.observe.seen import Seen
from gateway.observe.tap import Routed

HOT = "FROM /messages/* WHERE kind = 'climate' AND $body.temperature > 30 INTO $upstream"
ALL = "FROM /messages/* INTO $upstream"
BAD = "FROM /messages/* WHERE lenght(kind) > 1 INTO $upstream"
SAMPLE = {"device": "d1", "properties": {"kind": "climate"}, "body": {"temperature": 31}}


def tried(edited: object, document: dict[str, Any] | None = None) -> Tried:
    return read_routes(edited, document or {"routes": {}}, GatewaySettings())


def seen(number: int, temperature: int) -> Seen:
    message = read_sample({**SAMPLE, "body": {"temperature": temperature}})
    return Seen(number, 0.0, Routed(message, (), ()))


def test_the_part_that_decided_is_marked_in_the_routes_text() -> None:
    told = try_message(tried({"hot": HOT.replace("30", "40"), "all": ALL}), read_sample(SAMPLE))
    hot, everything = told["routes"]
    assert (hot["name"], hot["source"], hot["matches"], hot["value"]) == ("hot", True, False, "false")
    (decided,) = hot["deciding"]
    assert hot["route"][decided["from"] : decided["to"]] == decided["text"] == "$body.temperature > 40"
    assert decided["says"] == "is false: $body.temperature is 31"
    tree = hot["expression"]
    assert (tree["text"], tree["value"], tree["decided"]) == (
        "kind = 'climate' AND $body.temperature > 40",
        "false",
        False,
    )
    assert [(part["text"], part["value"], part["decided"]) for part in tree["parts"]] == [
        ("kind = 'climate'", "true", False),
        ("$body.temperature > 40", "false", True),
    ]
    assert (everything["matches"], everything["deciding"], everything["expression"]) == (True, [], None)
    assert told["endpoints"] == ["$upstream"]


def test_a_route_with_an_error_does_not_hide_the_others() -> None:
    told = try_message(tried({"bad": BAD, "hot": HOT, "none": 5}), read_sample(SAMPLE))
    bad, hot, none = told["routes"]
    assert (bad["matches"], bad["expression"]) == (False, None)
    assert bad["problem"] == {
        "message": "unknown function 'lenght'; did you mean 'length'?; write length(…)",
        "line": 1,
        "column": 24,
        "length": 6,
    }
    assert hot["matches"]
    assert none["problem"]["message"]
    assert none["problem"]["column"] is None


def test_routes_are_tried_beside_what_the_document_has() -> None:
    document = {
        "routes": {"all": ALL},
        "tests": [{"name": "of another route", "message": {"body": 1}, "expect": ["all"]}],
        "endpoints": {"lake": {"type": "eventhub"}},
    }
    found = tried({"lake": 'FROM /messages/* INTO Endpoint("lake")'}, document)
    assert not found.problems
    # A document that is wrapped, as in a manifest: of it only the endpoints' names matter.
    settings = read_settings({**document, "tests": []}).settings
    assert settings is not None
    wrapped = read_routes({"lake": 'FROM /messages/* INTO Endpoint("lake")'}, {"properties": {}}, settings)
    assert not wrapped.problems
    unknown = tried({"lake": 'FROM /messages/* INTO Endpoint("sea")'}, document)
    assert "sea" in unknown.problems["lake"].message


@pytest.mark.parametrize("edited", [{}, [], "FROM", 5])
def test_routes_must_be_an_object(edited: object) -> None:
    with pytest.raises(NotAnsweredError, match="must be an object of routes"):
        tried(edited)


def test_too_many_routes_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_trial, "MAX_TRIED_ROUTES", 1)
    with pytest.raises(NotAnsweredError, match="more than can be tried"):
        tried({"a": ALL, "b": ALL})


def test_a_message_is_picked_or_written_down() -> None:
    kept = seen(7, 31)
    picked = read_message({"n": 7}, kept)
    assert picked == kept.routed.message
    assert picked.envelope.notes is not kept.routed.message.envelope.notes
    assert read_message({"message": SAMPLE}, None).body == b'{"temperature": 31}'
    for asked, words in (({"n": 7}, "not kept any more"), ({}, "give the message"), ({"message": {"bdy": 1}}, "bdy")):
        with pytest.raises(NotAnsweredError, match=words):
            read_message(asked, None)


@pytest.mark.parametrize("body", [b'{"t": 1}', b"\xff\x00", b""])
def test_a_sample_is_the_message_again(body: bytes) -> None:
    system = {"connectionDeviceId": "d1", "connectionModuleId": "m", "contentType": "application/json"}
    envelope = Envelope(sender=identity("d1", "m"), properties={"a": "b", "empty": None}, system=system)
    message = Message(envelope, body)
    sample = sample_of(Seen(1, 0.0, Routed(message, (), ())))
    assert read_sample(json.loads(json.dumps(sample))) == message


def test_what_edited_routes_would_have_done_stands_beside_what_is() -> None:
    in_force = tried({"hot": HOT, "all": ALL}).routes
    edited = tried({"hot": HOT.replace("30", "50"), "cold": HOT.replace("> 30", "< 0"), "bad": BAD})
    messages = [seen(number, temperature) for number, temperature in enumerate([31, 60, -5, 10], 1)]
    told = replayed(in_force, edited, messages)
    assert told["tried"] == 4
    assert {row["name"]: (row["now"], row["then"], row["gained"], row["lost"]) for row in told["routes"]} == {
        "hot": (2, 1, [], [1]),
        "all": (4, 0, [], [4, 3, 2, 1]),
        "cold": (0, 1, [3], []),
        "bad": (0, 0, [], []),
    }
    assert [problem["name"] for problem in told["problems"]] == ["bad"]


def test_few_messages_are_named_the_latest_first() -> None:
    in_force = tried({"all": ALL}).routes
    assert in_force[0].priority == DEFAULT_PRIORITY
    told = replayed(in_force, tried({"none": HOT}), [seen(number, 0) for number in range(50)])
    assert told["routes"][0]["lost"] == list(range(49, 49 - page_trial.MAX_NAMED, -1))
