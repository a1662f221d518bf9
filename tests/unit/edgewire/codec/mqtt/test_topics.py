import pytest

from edgewire.codec.mqtt.topics import (
    check_subscription,
    check_topic_filter,
    has_wildcard,
    is_shared,
    write_topic_name,
)
from edgewire.errors import ProtocolError, UsageError


@pytest.mark.parametrize("topic", ["", "#", "+", "a/#", "a+"])
def test_we_name_no_such_topic(topic: str) -> None:
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
