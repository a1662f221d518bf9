import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.message import identity
from gateway.topics.mapping import (
    BROKER,
    MAX_KNOWN_TOPIC_CHARS,
    MAX_KNOWN_TOPICS,
    PLAIN,
    TopicMap,
    TopicRule,
    problem_with_id,
)
from gateway.topics.pattern import parse_pattern
from gateway.topics.template import parse_template


def rule(match: str, device: str, *, listener: str | None = None, **properties: str) -> TopicRule:
    return TopicRule(
        place=f"for {match}",
        match=parse_pattern(match),
        device=parse_template(device),
        listener=listener,
        properties={name: parse_template(text) for name, text in properties.items()},
    )


def test_a_rule_gives_device_properties_and_what_the_body_is() -> None:
    mine = TopicRule(
        place="topics[0]",
        match=parse_pattern("site/+room/+kind/+form"),
        device=parse_template("plant-{room}"),
        properties={"kind": parse_template("{kind}"), "where": parse_template("{topic}")},
        content_type=parse_template("application/{form}"),
        content_encoding=parse_template("utf-8"),
    )
    mapped = TopicMap([mine]).map(PLAIN, "site/lab/door/json")
    assert mapped is not None
    assert mapped.identity == identity("plant-lab")
    assert mapped.problem == ""
    assert mapped.properties == {"topic": "site/lab/door/json", "kind": "door", "where": "site/lab/door/json"}
    assert mapped.system == {"contentType": "application/json", "contentEncoding": "utf-8"}
    assert mapped.rule.templates.keys() == {
        "device",
        "properties.kind",
        "properties.where",
        "contentType",
        "contentEncoding",
    }
    assert not mapped.rule.names_device
    assert rule("a", "lab").names_device


def test_the_first_rule_that_matches_decides_whatever_its_first_level_is() -> None:
    topics = TopicMap(
        [rule("a/x", "first"), rule("+/x", "second"), rule("a/+", "third"), rule("/+", "fourth"), rule("#", "last")]
    )

    def device(topic: str) -> str:
        mapped = topics.map(PLAIN, topic)
        assert mapped is not None
        return mapped.device

    assert [device(topic) for topic in ("a/x", "b/x", "a/y", "/y", "q", "a/x/z", "/x")] == [
        *("first", "second", "third", "fourth", "last", "last", "second"),
    ]


def test_a_rule_is_for_its_listener_or_for_all() -> None:
    topics = TopicMap([rule("a", "p", listener=PLAIN), rule("a", "b", listener=BROKER), rule("b", "all")])
    found = {(listener, topic): topics.map(listener, topic) for listener in (PLAIN, BROKER) for topic in ("a", "b")}
    assert {key: mapped and mapped.device for key, mapped in found.items()} == {
        (PLAIN, "a"): "p",
        (PLAIN, "b"): "all",
        (BROKER, "a"): "b",
        (BROKER, "b"): "all",
    }


def test_no_rule_takes_what_no_pattern_matches() -> None:
    assert TopicMap().map(PLAIN, "a") is None
    assert TopicMap([rule("a/+", "x")]).map(PLAIN, "a") is None
    assert TopicMap([rule("#", "x")]).map(PLAIN, "$SYS/broker/uptime") is None


def test_what_a_topic_is_is_remembered_for_a_bounded_number_of_topics() -> None:
    topics = TopicMap([rule("+x", "{x}")])
    assert topics.map(PLAIN, "a") is topics.map(PLAIN, "a")
    long = "l" * (MAX_KNOWN_TOPIC_CHARS + 1)
    assert topics.map(PLAIN, long) is not topics.map(PLAIN, long)
    first = topics.map(PLAIN, "a")
    for number in range(MAX_KNOWN_TOPICS):
        topics.map(PLAIN, f"t{number}")
    assert topics.map(PLAIN, "a") is not first
    assert topics.map(PLAIN, "a") == first


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("lab", ""),
        ("Lab-1.a%_*?!(),:=@$'", ""),
        ("d" * 128, ""),
        ("d" * 129, "129 characters"),
        ("", "empty"),
        ("a/b", "a character"),
        ("a b", "a character"),
        ("a#", "a character"),
        ("a+b", "a character"),
        ("ü", "a character"),
        ("a\n", "a character"),
        ("a\x00", "a character"),
        ("\uff41", "a character"),
        (".", "only dots"),
        ("..", "only dots"),
        ("...", "only dots"),
        ("..a", ""),
        ("$edgeHub", "begins with '$'"),
    ],
)
def test_which_devices_a_topic_may_name(device: str, problem: str) -> None:
    assert problem in problem_with_id(device)
    assert bool(problem) is bool(problem_with_id(device))


def test_a_device_that_cannot_be_is_told_and_not_made() -> None:
    mapped = TopicMap([rule("site/+room/#", "{room}")]).map(PLAIN, "site/../x")
    assert mapped is not None
    assert (mapped.device, mapped.problem) == ("..", "it has only dots")


@given(st.text(min_size=1, max_size=60))
def test_any_topic_is_mapped_or_not_but_never_to_an_id_that_cannot_be(topic: str) -> None:
    mapped = TopicMap([rule("a/+x/#", "a-{x}"), rule("+x/#rest", "{x}", rest="{rest}")]).map(PLAIN, topic)
    if mapped is not None and not mapped.problem:
        assert mapped.identity.device.isascii()
        assert "/" not in mapped.identity.device
        assert mapped.properties["topic"] == topic


@given(st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4))
def test_looking_up_by_the_first_level_finds_what_looking_at_each_rule_finds(levels: list[str]) -> None:
    rules = [rule(text, f"d{place}") for place, text in enumerate(("a/+", "+/b/#", "/a", "b", "+/+/+"))]
    topic = "/".join(levels)
    expected = next((each for each in rules if topic and each.match.match(levels) is not None), None)
    mapped = TopicMap(rules).map(PLAIN, topic) if topic else None
    assert (mapped and mapped.rule) == expected
