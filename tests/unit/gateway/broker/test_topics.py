import pytest

from gateway.broker import topics

MATCHES = [
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
    ("sport/#", "sport", True),
    ("#", "anything/at/all", True),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("sport/tennis/+", "sport/tennis/player1/ranking", False),
    ("sport/+", "sport", False),
    ("sport/+", "sport/", True),
    ("+/+", "/finance", True),
    ("/+", "/finance", True),
    ("+", "/finance", False),
    ("#", "$SYS/x", False),
    ("+/monitor/Clients", "$SYS/monitor/Clients", False),
    ("$SYS/#", "$SYS/", True),
    ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ("ACCOUNTS", "Accounts", False),
    ("a/+/c/#", "a", False),
]
"""The examples of MQTT 3.1.1 §4.7, and those beside them."""


@pytest.mark.parametrize(("topic_filter", "topic", "wanted"), MATCHES)
def test_a_filter_matches_as_the_specification_says(topic_filter: str, topic: str, wanted: bool) -> None:  # noqa: FBT001 — a row's column
    assert topics.matches(topic_filter, topic) is wanted


@pytest.mark.parametrize(
    ("pattern", "asked", "wanted"),
    [
        ("#", "#", True),
        ("#", "a/+/#", True),
        ("a/#", "a", True),
        ("a/#", "a/#", True),
        ("a/#", "#", False),
        ("a/#", "+/b", False),
        ("a/+", "a/+", True),
        ("a/+", "a/b", True),
        ("a/+", "a/#", False),
        ("a/+", "a/b/c", False),
        ("a/b", "a/+", False),
        ("a/b/#", "a/#", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("a/+/c", "a/b/c", True),
    ],
)
def test_who_may_read_all_that_a_filter_matches_may_subscribe_it(pattern: str, asked: str, wanted: bool) -> None:  # noqa: FBT001 — a row's column
    assert topics.covers(pattern, asked) is wanted


def test_the_servers_own_topics_and_wildcards_are_known() -> None:
    assert topics.is_system("$SYS/x")
    assert not topics.is_system("a/$x")
    assert [topics.has_wildcard(each) for each in ("a/b", "a/+", "a/#", "+/b")] == [False, True, True, True]
