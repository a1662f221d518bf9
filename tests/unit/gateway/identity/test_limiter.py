from edgewire.message import identity
from gateway.identity.limiter import (
    ADDRESS_BURST,
    MAX_ENTRIES,
    MAX_HOLD_S,
    PAIR_BURST,
    PAIR_RECOVERY_S,
    FailureLimiter,
)

LEAF = identity("leaf-01")


def test_the_first_failures_are_answered_at_once_and_then_slower_and_slower() -> None:
    limiter = FailureLimiter()
    holds = [limiter.failed("10.0.0.1", LEAF, 0.0) for _ in range(PAIR_BURST + 8)]
    assert holds == [0.0] * PAIR_BURST + [1, 2, 3, 4] + [MAX_HOLD_S] * 4


def test_a_thousand_guesses_one_after_the_other_take_more_than_an_hour() -> None:
    limiter = FailureLimiter()
    now = 0.0
    for _ in range(1000):
        now += limiter.failed("10.0.0.1", LEAF, now) + 0.01
    assert now > 3600


def test_a_device_that_tries_again_every_ten_seconds_is_never_held() -> None:
    limiter = FailureLimiter()
    assert not any(limiter.failed("10.0.0.1", LEAF, 10.0 * attempt) for attempt in range(100))


def test_others_are_not_held() -> None:
    limiter = FailureLimiter()
    for _ in range(50):
        limiter.failed("10.0.0.1", LEAF, 0.0)
    assert limiter.failed("10.0.0.2", LEAF, 0.0) == 0
    assert limiter.failed("10.0.0.1", identity("leaf-02"), 0.0) == 0


def test_failures_are_forgiven_in_time_or_by_a_success() -> None:
    limiter = FailureLimiter()
    for _ in range(50):
        limiter.failed("10.0.0.1", LEAF, 0.0)
    assert limiter.failed("10.0.0.1", LEAF, MAX_HOLD_S * PAIR_RECOVERY_S + PAIR_RECOVERY_S) == 0
    for _ in range(50):
        limiter.failed("10.0.0.1", LEAF, 40.0)
    limiter.succeeded("10.0.0.1", LEAF)
    assert limiter.failed("10.0.0.1", LEAF, 40.0) == 0


def test_many_identities_from_one_address_are_held_too() -> None:
    limiter = FailureLimiter()
    holds = [limiter.failed("10.0.0.1", identity(f"d{number}"), 0.0) for number in range(ADDRESS_BURST + 2)]
    assert holds[-3:] == [0, 1, 2]


def test_a_clock_set_back_forgives_nothing_and_does_not_fail() -> None:
    limiter = FailureLimiter()
    for _ in range(PAIR_BURST):
        limiter.failed("10.0.0.1", LEAF, 1000.0)
    assert limiter.failed("10.0.0.1", LEAF, 0.0) == 1


def test_memory_is_bounded() -> None:
    limiter = FailureLimiter()
    for number in range(MAX_ENTRIES + 100):
        limiter.failed(f"a{number}", identity(f"d{number}"), 0.0)
    assert len(limiter._pairs) == MAX_ENTRIES
    assert len(limiter._addresses) == MAX_ENTRIES
