"""Sections of the settings that do not go together are told, each with what to write instead."""

from typing import Any

import pytest

from gateway.app.document import Reading, read_settings
from gateway.app.document_together import may_meet
from gateway.topics.pattern import parse_pattern

BATCH: dict[str, Any] = {"batch": {}}


def read(into: str, *, rule: str = "", send: dict[str, Any] | None = None, **members: Any) -> Reading:
    route = {"route": f"FROM /messages/* INTO {into}", "send": send}
    topics = [{"match": rule, "device": "d"}] if rule else None
    return read_settings({"routes": {"r": route}, "topics": topics, **members})


@pytest.mark.parametrize(
    ("text", "pattern", "meets"),
    [
        ("means/lab", "means/lab", True),
        ("means/lab", "means/hall", False),
        ("means/{device}", "means/lab", True),
        ("means/{device}", "means/+", True),
        ("means/{device}", "means/+/+", False),
        ("means/{device}", "means/#", True),
        ("means/{device}", "site/#", False),
        ("means", "means/#", True),
        ("m-{device}/x", "m-lab/+", True),
        ("m-{device}/x", "m-/+", False),
        ("m-{device}/x", "n-lab/x", False),
        ("m.{device}/x", "mxlab/x", False),
        ("{device}/x", "#", True),
        ("{device}/x", "$SYS/#", False),
        ("{topic}", "$SYS/#", False),
        ("{topic}", "site/+/climate", True),
        ("out/{topic}", "out/+", True),
        ("out/{topic}", "out/+/+/+", True),
        ("out/{topic}", "site/#", False),
        ("out/{topic}", "out", False),
        ("out/{topic}/end", "out/#", True),
        ("a{{b}}/c", "a{b}/c", True),
    ],
)
def test_a_topic_and_a_pattern_meet_if_some_values_make_them(text: str, pattern: str, *, meets: bool) -> None:
    assert may_meet(text, parse_pattern(pattern)) is meets


def test_a_topic_that_a_rule_takes_is_warned_of_once() -> None:
    [warning] = read('Topic("site/{device}/mean")', rule="site/+/mean").warnings
    assert warning.path == "routes.r"
    assert "topics[0] ('site/+/mean')" in warning.message
    assert "means/{device}" in warning.fix
    assert read('Topic("means/{device}")', rule="site/#").warnings == ()
    assert read("$upstream", rule="#").warnings == ()


def test_what_is_made_has_no_properties_for_a_topic() -> None:
    [problem] = read('Topic("means/{kind}")', send=BATCH).problems
    assert problem.path == "routes.r"
    assert "has no {kind}" in problem.message
    assert "{sendRoute}" in problem.fix
    assert read('Topic("means/{device}/{sendRoute}")', send=BATCH).problems == ()
    assert read('Topic("means/{kind}")', send={"sample": {"everyNth": 2}}).problems == ()


def test_an_endpoint_that_no_route_names_is_warned_of() -> None:
    both = {"archive": {"type": "eventhub"}, "other": {"type": "eventhub"}}
    [warning] = read('Endpoint("archive")', endpoints=both).warnings
    assert warning.path == "endpoints.other"
    assert "no route sends to it" in warning.message
    layer = {"properties.desired.endpoints": {"archive": {"type": "eventhub"}}}
    assert read_settings({"modulesContent": {"gateway": layer}}, module="gateway").warnings == ()
