"""Old states that come again with each subscription are no news."""

import tracemalloc

import pytest

from gateway.head import foreign_retained
from gateway.head.foreign_retained import Policy, Retained


def test_the_same_retained_message_is_news_once() -> None:
    retained = Retained(Policy.NEW)
    assert retained.is_news("t", b"on", retain=True)
    assert not retained.is_news("t", b"on", retain=True)
    assert retained.is_news("other", b"on", retain=True)
    assert retained.is_news("t", b"off", retain=True)


def test_what_came_live_is_no_news_when_it_comes_retained() -> None:
    retained = Retained(Policy.NEW)
    assert retained.is_news("t", b"on", retain=False)
    assert not retained.is_news("t", b"on", retain=True)


def test_live_messages_are_always_news() -> None:
    retained = Retained(Policy.NEW)
    assert all(retained.is_news("t", b"on", retain=False) for _ in range(3))


@pytest.mark.parametrize(("policy", "taken"), [(Policy.ALL, True), (Policy.NONE, False)])
def test_the_other_policies_look_at_the_mark_alone(policy: Policy, *, taken: bool) -> None:
    retained = Retained(policy)
    assert [retained.is_news("t", b"on", retain=True) for _ in range(2)] == [taken, taken]
    assert retained.is_news("t", b"on", retain=False)


def test_the_topic_that_was_silent_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_retained, "MAX_TOPICS", 2)
    retained = Retained(Policy.NEW)
    for topic in ("a", "b", "a", "c"):
        retained.is_news(topic, b"1", retain=False)
    assert not retained.is_news("a", b"1", retain=True)
    assert retained.is_news("b", b"1", retain=True)


def test_long_topics_are_not_kept() -> None:
    retained = Retained(Policy.NEW)
    tracemalloc.start()
    try:
        for number in range(200):
            assert retained.is_news(f"{number}" + "x" * 60_000, b"on", retain=True)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 1_000_000
