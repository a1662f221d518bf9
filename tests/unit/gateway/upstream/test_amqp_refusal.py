import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import Error
from gateway.upstream.amqp_refusal import Reach, is_taken, is_throttle, reach_of, reach_of_status, words_of


@pytest.mark.parametrize(
    ("condition", "reach"),
    [
        ("amqp:not-allowed", Reach.DEVICE),
        ("amqp:unauthorized-access", Reach.DEVICE),
        ("amqp:not-found", Reach.DEVICE),
        ("com.microsoft:iot-hub-not-found-error", Reach.DEVICE),
        ("amqp:link:message-size-exceeded", Reach.MESSAGE),
        ("com.microsoft:argument-error", Reach.MESSAGE),
        ("com.microsoft:device-container-throttled", Reach.NOW),
        ("amqp:resource-limit-exceeded", Reach.NOW),
        ("amqp:internal-error", Reach.NOW),
        ("amqp:link:detach-forced", Reach.NOW),
        ("whatever:else", Reach.NOW),
    ],
)
def test_conditions_reach_as_far_as_edgehub_means_them(condition: str, reach: Reach) -> None:
    assert reach_of(Error(condition=condition)) is reach


def test_an_end_without_a_reason_may_pass() -> None:
    assert reach_of(None) is Reach.NOW
    assert words_of(None) == "no reason given"


@pytest.mark.parametrize(
    ("condition", "throttle"),
    [
        ("amqp:resource-limit-exceeded", True),
        ("com.microsoft:device-container-throttled", True),
        ("com.microsoft:server-busy", True),
        ("amqp:internal-error", False),
        ("com.microsoft:argument-error", False),
    ],
)
def test_throttles_are_about_how_much_is_sent(condition: str, *, throttle: bool) -> None:
    assert is_throttle(Error(condition=condition)) is throttle
    assert not is_throttle(None)


def test_the_words_of_a_peer_are_short_and_on_one_line() -> None:
    assert words_of(Error(condition=conditions.NOT_FOUND, description="gone")) == "amqp:not-found gone"
    assert "\n" not in words_of(Error(condition=conditions.NOT_FOUND, description="a\nb"))
    assert len(words_of(Error(condition=conditions.NOT_FOUND, description="x" * 5_000))) <= 200


@pytest.mark.parametrize(
    ("status", "taken", "reach"),
    [(200, True, Reach.NOW), (202, True, Reach.NOW), (401, False, Reach.DEVICE), (500, False, Reach.NOW)],
)
def test_the_status_of_a_put_token_says_the_same(status: int, *, taken: bool, reach: Reach) -> None:
    assert is_taken(status) is taken
    assert reach_of_status(status) is reach
