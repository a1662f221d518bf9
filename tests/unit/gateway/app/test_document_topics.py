from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app.document import Reading, read_settings
from gateway.app.document_topics import _LEAF_NAMES, MAX_RULE_PROPERTIES
from gateway.topics.mapping import MAX_RULES, PLAIN, TopicDevices, TopicMap
from gateway.upstream.module_message import LEAF_NAMES

ALL = {"all": "FROM /messages/* INTO $upstream"}
DESIGNED = {
    "listener": "plain",
    "match": "site/+room/+kind",
    "device": "{room}",
    "properties": {"kind": "{kind}"},
    "contentType": "application/json",
    "contentEncoding": "utf-8",
}


def read(*rules: Any, **more: Any) -> Reading:
    return read_settings({"routes": ALL, "topics": list(rules), **more})


def rule(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in {**DESIGNED, **changed}.items() if value is not ...}


def told(reading: Reading) -> dict[str, str]:
    return {problem.path: f"{problem.message} | {problem.fix}" for problem in reading.problems}


def warned(reading: Reading) -> dict[str, str]:
    assert reading.settings is not None, told(reading)
    return {warning.path: f"{warning.message} | {warning.fix}" for warning in reading.warnings}


def test_the_designs_own_example() -> None:
    reading = read(DESIGNED, topicDevices={"create": True, "atMost": 7})
    assert warned(reading) == {}
    assert reading.settings is not None
    assert reading.settings.topic_devices == TopicDevices(create=True, at_most=7)
    assert reading.settings.topics is not None
    mapped = reading.settings.topics.map(PLAIN, "site/lab/climate")
    assert mapped is not None
    assert (mapped.device, mapped.properties["kind"]) == ("lab", "climate")


def test_without_rules_nothing_is_mapped() -> None:
    for document in ({"routes": ALL}, {"routes": ALL, "topics": []}, {"routes": ALL, "topics": [None]}):
        settings = read_settings(document).settings
        assert settings is not None
        assert settings.topics is None
        assert settings.topic_devices is None


@pytest.mark.parametrize(
    ("changed", "key", "words"),
    [
        ({"listener": "plian"}, "listener", "did you mean 'plain'?"),
        ({"listener": "mqtt"}, "listener", 'write "plain" or "broker", or leave it out'),
        ({"listener": 5}, "listener", "no listener 5"),
        ({"match": ...}, "match", "it is missing"),
        ({"match": ""}, "match", "it is empty"),
        ({"match": 5}, "match", "5 is no text"),
        ({"match": "a/#/b"}, "match", "before the end"),
        ({"device": ...}, "device", "it is missing"),
        ({"device": {}}, "device", "{} is no text"),
        ({"device": "{room"}, "device", "no other"),
        ({"device": "{rom}"}, "device", "'{rom}' is not captured by 'site/+room/+kind' | did you mean '{room}'?"),
        ({"device": "{other}"}, "device", "known here: {kind}, {room}, {topic}; +other captures a level"),
        ({"device": "a/{room}"}, "device", "never becomes the id of a device: it has a character"),
        ({"device": "lab 1"}, "device", "'lab 1' never becomes the id"),
        ({"device": "$edge"}, "device", "begins with '$'"),
        ({"device": "{topic}"}, "device", "the whole topic has '/' in it"),
        ({"device": "x" * 129}, "device", "129 characters"),
        ({"properties": []}, "properties", "must be an object"),
        ({"properties": {"n": 5}}, "properties.n", '5 is no text | write "5"'),
        ({"properties": {"n": []}}, "properties.n", "[] is no text"),
        ({"properties": {"n": "{x}"}}, "properties.n", "'{x}' is not captured"),
        ({"properties": {"topic": "{kind}"}}, "properties.topic", "the gateway gives this property"),
        ({"properties": {"MQTT-Retain": "x"}}, "properties.MQTT-Retain", "the gateway gives this property"),
        ({"properties": {"leafDeviceId": "x"}}, "properties.leafDeviceId", "the gateway gives this property"),
        ({"properties": {"$.ct": "x"}}, "properties.$.ct", 'write "contentType" beside "properties"'),
        ({"properties": {"contentEncoding": "x"}}, "properties.contentEncoding", 'write "contentEncoding" beside'),
        ({"properties": {"$x": "x"}}, "properties.$x", "no name of an application property"),
        ({"properties": {"iothub-x": "x"}}, "properties.iothub-x", "no name of an application property"),
        ({"properties": {"ack": "x"}}, "properties.ack", "no name of an application property"),
        ({"properties": {"": "x"}}, "properties.", "no name of an application property"),
        ({"properties": {"a": "x", "A": "y"}}, "properties.A", "only in case"),
        ({"properties": {str(n): "" for n in range(MAX_RULE_PROPERTIES + 1)}}, "properties", "64 are the most"),
        ({"contentType": 5}, "contentType", "5 is no text"),
        ({"contentEncoding": "{nope}"}, "contentEncoding", "'{nope}' is not captured"),
        ({"topic": "a"}, "topic", "did you mean 'match'?"),
        ({"deviceId": "a"}, "deviceId", "did you mean 'device'?"),
        ({"propertys": {}}, "propertys", "did you mean 'properties'?"),
        ({"$.ct": "x"}, "$.ct", "did you mean 'contentType'?"),
        ({"qos": 1}, "qos", "known here: listener, match"),
    ],
)
def test_each_mistake_is_told_with_its_place_and_its_repair(changed: dict[str, Any], key: str, words: str) -> None:
    reading = read(rule(match="first/+room", device="a-{room}", properties=...), rule(**changed))
    assert reading.settings is None
    found = told(reading)
    assert words in found.get(f"topics[1].{key}", ""), found


@pytest.mark.parametrize(
    ("topics", "path", "words"),
    [
        ({}, "topics", "first rule that matches decides"),
        ("a", "topics", "must be a list"),
        (["a"], "topics[0]", "a rule is an object | write {"),
        ([DESIGNED] * (MAX_RULES + 1), "topics", "1000 are the most"),
    ],
)
def test_what_is_no_list_of_rules(topics: Any, path: str, words: str) -> None:
    reading = read_settings({"routes": ALL, "topics": topics})
    assert words in told(reading)[path]


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        ([], "topicDevices", "must be an object"),
        ({"create": "yes"}, "topicDevices.create", "neither true nor false"),
        ({"creat": True}, "topicDevices.creat", "did you mean 'create'?"),
        ({"max": 5}, "topicDevices.max", "did you mean 'atMost'?"),
        ({"create": True, "atMost": 0}, "topicDevices.atMost", "from 1 to 10000"),
        ({"create": True, "atMost": True}, "topicDevices.atMost", "True is no whole number"),
        ({"create": True, "atMost": "5"}, "topicDevices.atMost", "left out it is 100"),
        ({"withCredentials": 1}, "topicDevices.withCredentials", "neither true nor false"),
    ],
)
def test_each_mistake_about_devices(given: Any, path: str, words: str) -> None:
    assert words in told(read(DESIGNED, topicDevices=given))[path]


def test_a_rule_that_an_earlier_one_leaves_nothing_is_told() -> None:
    general = rule(match="site/#", device="site", properties=...)
    found = told(read(general, DESIGNED))
    assert "it never matches: topics[0] ('site/#') takes all of its topics" in found["topics[1].match"]
    assert "move it above topics[0]" in found["topics[1].match"]
    assert read(DESIGNED, general).settings is not None
    assert read({**general, "listener": "broker"}, DESIGNED).settings is not None
    for listener, hidden in (("plain", True), ("broker", True), (..., True)):
        everywhere = {name: value for name, value in general.items() if name != "listener"}
        later = rule(listener=listener)
        assert bool(told(read(everywhere, later))) is hidden
    assert read(general, rule(listener=...)).settings is not None, "the other listener's topics are left to it"


@pytest.mark.parametrize(
    ("changed", "key", "words"),
    [
        ({"properties": ...}, "match", "'kind' is captured and never used | use {kind}"),
        ({"match": "site/+room/+kind/#rest"}, "match", "'rest' is captured and never used"),
        (
            {"match": "site/+room/#kind", "device": "{room}-{kind}", "properties": ...},
            "device",
            "only if it is a single level",
        ),
        ({"match": "{site}/+room/+kind"}, "match", "'{site}' stands for just these characters | write +site"),
        ({"match": "*/+room/+kind"}, "match", "write + for any level"),
        ({"contentEncoding": ...}, "contentType", "without contentEncoding routes cannot read the body"),
        ({"contentEncoding": "utf8"}, "contentEncoding", "not as 'utf8'"),
        ({"contentType": "application/json; charset=utf-8"}, "contentType", "without parameters"),
    ],
)
def test_what_may_surprise_is_a_warning(changed: dict[str, Any], key: str, words: str) -> None:
    found = warned(read(rule(**changed)))
    assert words in found.get(f"topics[0].{key}", ""), found


def test_what_has_no_effect_is_a_warning() -> None:
    assert "limits nothing" in warned(read(DESIGNED, topicDevices={"atMost": 5}))["topicDevices.atMost"]
    alone = read_settings({"routes": ALL, "topicDevices": {"create": True}})
    assert "there are no rules" in warned(alone)["topicDevices"]


def test_in_a_deployment_the_place_is_told_whole_and_edge_hub_has_no_topics() -> None:
    ours = {"properties.desired": {"routes": ALL, "topics": [rule(device="a/b")]}}
    hub: dict[str, Any] = {"properties.desired": {"routes": {}, "topics": []}}
    reading = read_settings({"modulesContent": {"gateway": ours, "$edgeHub": hub}})
    paths = [problem.path for problem in reading.problems]
    assert "modulesContent.gateway.properties.desired.topics[0].device" in paths
    assert any(path.startswith("modulesContent.$edgeHub") and path.endswith("topics") for path in paths)


def test_the_names_of_the_sender_upstream_are_those_of_its_room() -> None:
    assert {name.lower() for name in _LEAF_NAMES} == LEAF_NAMES


KEYS = ["listener", "match", "device", "properties", "contentType", "contentEncoding", "create", "atMost", "x"]
TEXTS = st.sampled_from(["plain", "a/+b/#c", "+", "{b}", "{topic}", "{", "utf-8", "application/json", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)


@given(JSON | st.lists(st.dictionaries(st.sampled_from(KEYS[:6]), TEXTS, max_size=6), max_size=3), JSON)
def test_any_json_is_rules_or_has_problems(topics: Any, devices: Any) -> None:
    reading = read_settings({"routes": ALL, "topics": topics, "topicDevices": devices})
    assert (reading.settings is None) is bool(reading.problems)
    assert all(problem.path for problem in reading.problems)
    if reading.settings is not None and reading.settings.topics is not None:
        assert isinstance(reading.settings.topics, TopicMap)
        reading.settings.topics.map(PLAIN, "a/b/c")
