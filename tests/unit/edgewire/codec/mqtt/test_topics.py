import pytest

from edgewire.codec.mqtt.topics import (
    TopicCache,
    check_subscription,
    check_topic_filter,
    check_topic_name,
    has_wildcard,
    is_shared,
    write_topic_name,
)
from edgewire.errors import ProtocolError, UsageError


@pytest.mark.parametrize("topic", ["a", "/", "//", "a b", "$SYS/x", "devices/d/messages/events/%24.ct=a%2Fb"])
def test_these_are_topic_names(topic: str) -> None:
    assert check_topic_name(topic) == topic


@pytest.mark.parametrize("topic", ["", "#", "+", "a/#", "a+"])
def test_these_are_none(topic: str) -> None:
    with pytest.raises(ProtocolError):
        check_topic_name(topic)
    with pytest.raises(UsageError):
        write_topic_name(topic)


# MQTT 3.1.1 §4.7.1.2 and §4.7.1.3 give these as examples.
@pytest.mark.parametrize(
    "text", ["sport/tennis/player1/#", "#", "sport/tennis/#", "+", "+/tennis/#", "sport/+/player1"]
)
def test_the_specification_calls_these_filters_valid(text: str) -> None:
    assert check_topic_filter(text) == text


@pytest.mark.parametrize("text", ["", "sport/tennis#", "sport/tennis/#/ranking", "sport+", "##", "a/+b/c"])
def test_the_specification_calls_these_filters_invalid(text: str) -> None:
    with pytest.raises(ProtocolError):
        check_topic_filter(text)


@pytest.mark.parametrize("text", ["$share/consumer1/sport/tennis/+", "$share/c/#", "$share/c//x", "$share", "$SYS/#"])
def test_these_can_be_subscribed_to_in_mqtt_5(text: str) -> None:
    assert check_subscription(text) == text


@pytest.mark.parametrize(
    "text", ["$share/", "$share/c", "$share/c/", "$share//t", "$share/a+/t", "$share/#", "$share/c/#/a"]
)
def test_these_cannot(text: str) -> None:
    with pytest.raises(ProtocolError):
        check_subscription(text)


def test_a_shared_subscription_is_known_by_its_prefix() -> None:
    assert is_shared("$share/a/b")
    assert not is_shared("$shared/a/b")
    assert has_wildcard("a/+")
    assert not has_wildcard("a/b")


def test_a_cached_topic_is_the_same_object_each_time() -> None:
    cache = TopicCache()
    assert cache[b"a/b"] is cache[b"a/b"]


def test_the_cache_is_bounded_in_number_and_size() -> None:
    cache = TopicCache()
    for number in range(1_000):
        assert cache[str(number).encode()] == str(number)
    assert len(cache) <= 32
    cache.clear()
    assert cache[b"x" * 1_000] == "x" * 1_000
    assert not cache


def test_what_is_refused_is_not_cached() -> None:
    cache = TopicCache()
    for raw in (b"\xff", b"a/#", b"", b"a\0"):
        with pytest.raises(ProtocolError):
            cache[raw]
    assert not cache
