from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.topics.pattern import MAX_PATTERN_CHARS, PatternError, parse_pattern


def taken(pattern: str, topic: str) -> Mapping[str, str] | None:
    return parse_pattern(pattern).match(topic.split("/"))


@pytest.mark.parametrize(
    ("rule", "pattern", "topic", "matches"),
    [
        ("MQTT311-4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player1", True),
        ("MQTT311-4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("MQTT311-4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("MQTT311-4.7.1.2", "sport/#", "sport", True),
        ("MQTT311-4.7.1.2", "#", "sport/tennis", True),
        ("MQTT311-4.7.1.3", "sport/tennis/+", "sport/tennis/player1", True),
        ("MQTT311-4.7.1.3", "sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("MQTT311-4.7.1.3", "sport/+", "sport", False),
        ("MQTT311-4.7.1.3", "sport/+", "sport/", True),
        ("MQTT311-4.7.1.3", "+/+", "/finance", True),
        ("MQTT311-4.7.1.3", "/+", "/finance", True),
        ("MQTT311-4.7.1.3", "+", "/finance", False),
        ("MQTT311-4.7.2-1", "#", "$SYS/monitor", False),
        ("MQTT311-4.7.2-1", "+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("MQTT311-4.7.2", "$SYS/#", "$SYS/monitor/Clients", True),
        ("MQTT311-4.7.2", "$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("MQTT311-4.7.3", "accounts", "Accounts", False),
        ("MQTT311-4.7.3", "site/lab", "site/lab/", False),
    ],
)
def test_the_specifications_examples(rule: str, pattern: str, topic: str, matches: bool) -> None:  # noqa: FBT001 - a row
    assert (taken(pattern, topic) is not None) is matches, rule


@pytest.mark.parametrize(
    ("pattern", "topic", "captured"),
    [
        ("site/+room/+kind", "site/lab/climate", {"room": "lab", "kind": "climate"}),
        ("site/+/+kind", "site/lab/climate", {"kind": "climate"}),
        ("site/+room/#rest", "site/lab/a/b", {"room": "lab", "rest": "a/b"}),
        ("site/+room/#rest", "site/lab", {"room": "lab", "rest": ""}),
        ("site/+room", "site/", {"room": ""}),
        ("#all", "a//b", {"all": "a//b"}),
        ("+a_1/x", "ü/x", {"a_1": "ü"}),
    ],
)
def test_what_a_pattern_captures(pattern: str, topic: str, captured: Mapping[str, str]) -> None:
    assert taken(pattern, topic) == captured
    assert parse_pattern(pattern).names == set(captured)


def test_a_topic_may_be_split_no_deeper_than_one_level_beyond_the_pattern() -> None:
    pattern = parse_pattern("a/+b/#rest")
    assert pattern.match("a/x/y/z".split("/", pattern.depth + 1)) == {"b": "x", "rest": "y/z"}
    assert parse_pattern("a/+b").match(["a", "x", "y/z"]) is None


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("", "empty", "site/+room"),
        ("a/b+", "inside a level", "+room"),
        ("a/b#c", "inside a level", "+room"),
        ("#/a", "before the end", "+ for one level"),
        ("a/#rest/b", "before the end", "+ for one level"),
        ("a/+the room", "'the room' is no name", "write +theroom, or + alone"),
        ("a/+1", "'1' is no name", "write +name, or + alone"),
        ("a/++", "'+' is no name", "write +name"),
        ("a/#{rest}", "'{rest}' is no name", "write #rest"),
        ("+a/+a", "two levels have the name 'a'", "its own"),
        ("+a/#a", "two levels have the name 'a'", "its own"),
        ("+topic", "name of the whole topic", "another name"),
        ("a\0b", "value 0", "remove"),
        ("a" * (MAX_PATTERN_CHARS + 1), "1025 characters", "1024 are the most"),
    ],
)
def test_what_is_no_pattern_is_told_with_what_to_write(text: str, what: str, fix: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_pattern(text)
    assert what in str(caught.value)
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("earlier", "later", "covers"),
    [
        ("#", "a/b", True),
        ("#", "#", True),
        ("#", "$SYS/a", False),
        ("$SYS/#", "$SYS/a/+", True),
        ("a/#", "a", True),
        ("a/#", "a/+/b", True),
        ("a/+/#", "a/#", False),
        ("a/+", "a/b", True),
        ("a/b", "a/+", False),
        ("a/+", "a/+/b", False),
        ("+/b", "a/b", True),
        ("+/#", "#", True),
        ("a/#", "#", False),
        ("a/+", "a/#", False),
        ("/#", "/a", True),
    ],
)
def test_which_pattern_takes_all_topics_of_another(earlier: str, later: str, covers: bool) -> None:  # noqa: FBT001 - a row
    assert parse_pattern(earlier).covers(parse_pattern(later)) is covers


# --- against a matcher that is slow and simple ----------------------------------------------------------------------

LEVELS = st.sampled_from(["", "a", "b", "$a", "A", "ab"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    levels = draw(st.lists(LEVELS | st.just("+"), max_size=4))
    if not levels or draw(st.booleans()):
        levels.append("#")
    named = [
        f"{level}n{place}" if level in ("+", "#") and draw(st.booleans()) else level
        for place, level in enumerate(levels)
    ]
    return "/".join(named) or "#"


def naive(pattern: list[str], topic: list[str]) -> dict[str, str] | None:
    """One level after the other, as a person would."""
    if not pattern:
        return None if topic else {}
    head = pattern[0]
    if head.startswith("#"):
        return {head[1:]: "/".join(topic)} if len(head) > 1 else {}
    if not topic or (not head.startswith("+") and head != topic[0]):
        return None
    rest = naive(pattern[1:], topic[1:])
    if rest is None:
        return None
    return {head[1:]: topic[0], **rest} if head.startswith("+") and len(head) > 1 else rest


def naive_match(pattern: str, topic: str) -> dict[str, str] | None:
    if topic.startswith("$") and pattern[:1] in ("+", "#"):
        return None
    return naive(pattern.split("/"), topic.split("/"))


@given(patterns(), TOPICS)
@example("#n0", "a")
@example("+n0/#", "$a/b")
def test_a_pattern_takes_and_captures_what_a_simple_matcher_does(pattern: str, topic: str) -> None:
    assert taken(pattern, topic) == naive_match(pattern, topic)


@given(patterns(), TOPICS)
def test_a_topic_split_only_as_deep_as_needed_matches_the_same(pattern: str, topic: str) -> None:
    parsed = parse_pattern(pattern)
    assert parsed.match(topic.split("/", parsed.depth + 1)) == naive_match(pattern, topic)


@given(patterns(), patterns(), TOPICS)
def test_a_pattern_that_covers_another_takes_every_topic_of_it(earlier: str, later: str, topic: str) -> None:
    first, second = parse_pattern(earlier), parse_pattern(later)
    if first.covers(second) and taken(later, topic) is not None:
        assert taken(earlier, topic) is not None


def told(text: str) -> str | None:
    """Why it is no pattern and what to write instead; None if it is one."""
    try:
        parse_pattern(text).match(["a", "b"])
    except PatternError as error:
        return f"{error}: {error.fix}"
    return None


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_is_told_why_not(text: str) -> None:
    said = told(text)
    assert said is None or len(said) > 20
