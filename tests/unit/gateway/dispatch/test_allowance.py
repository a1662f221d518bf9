from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch import allowance as module
from gateway.dispatch.allowance import Account, Allowance, Allowances, Limit, Limits, WhenOver, user_key
from gateway.observe.events import Event
from gateway.observe.limits import DeviceLimited

DAY_S = 86_400
NOON = 20_000 * DAY_S + DAY_S / 2


class Times:
    """A steady clock and the wall's, as the test sets them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = NOON

    def forward(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def told() -> list[Event]:
    return []


def allowances(
    times: Times, told: list[Event], per_device: Allowance, devices: Mapping[str, Allowance] = {}
) -> Allowances:
    made = Allowances(told.append, lambda: times.now, lambda: times.wall)
    made.use(Limits(per_device=per_device, devices=devices))
    return made


def account(times: Times, told: list[Event], allowance: Allowance) -> Account:
    return allowances(times, told, allowance).account("d1")


SLOW = Allowance(messages_per_s=2, burst=4)
REFUSE = Allowance(messages_per_s=2, burst=4, when_over=WhenOver.REFUSE)


def test_a_burst_is_taken_at_once_and_the_rest_at_the_rate(times: Times, told: list[Event]) -> None:
    of = account(times, told, SLOW)
    assert of.take([10] * 9) == 4
    assert of.wait_s() == pytest.approx(0.5)
    times.forward(0.5)
    assert of.take([10] * 5) == 1
    times.forward(60)
    assert of.take([10] * 9) == 4, "a pause saves up no more than a burst"


def test_bytes_may_go_into_debt_and_it_is_waited_for(times: Times, told: list[Event]) -> None:
    of = account(times, told, Allowance(bytes_per_s=100, burst_bytes=200))
    assert of.take([1000, 1]) == 1, "one that is larger than all that may be sent at once is taken all the same"
    assert of.wait_s() == pytest.approx(8.01)
    times.forward(8.02)
    assert of.take([50, 50]) == 1


def test_what_was_read_already_is_charged_below_nothing(times: Times, told: list[Event]) -> None:
    of = account(times, told, SLOW)
    of.charge(10, 0)
    assert of.wait_s() == pytest.approx(3.5)
    assert of.credit(1000) == 0
    times.forward(4.5)
    assert of.credit(1000) == 3


@pytest.mark.parametrize(
    ("allowance", "sizes"),
    [(SLOW, [1] * 4), (Allowance(bytes_per_s=300, burst_bytes=300), [300])],
)
def test_who_has_sent_just_what_it_might_owes_nothing(
    times: Times, told: list[Event], allowance: Allowance, sizes: list[int]
) -> None:
    of = account(times, told, allowance)
    of.take(sizes)
    owed = [of.owes]
    of.charge(1, 1)
    assert [*owed, of.owes] == [False, True]


def test_who_has_used_up_its_day_owes(times: Times, told: list[Event]) -> None:
    of = account(times, told, Allowance(messages_per_day=2))
    owed = []
    for _ in range(2):
        of.take([1])
        owed.append(of.owes)
    assert owed == [False, True]


def test_a_day_ends_at_midnight_utc_and_a_clock_set_back_ends_none(times: Times, told: list[Event]) -> None:
    of = account(times, told, Allowance(messages_per_day=3, when_over=WhenOver.REFUSE))
    assert of.take([1] * 5) == 3
    assert of.wait_s() == pytest.approx(DAY_S / 2)
    times.wall -= 3 * DAY_S
    assert of.take([1]) == 0
    times.wall += 3 * DAY_S
    times.forward(DAY_S / 2)
    assert of.credit(1000) == 3
    assert of.take([1] * 5) == 3


@pytest.mark.parametrize(
    ("allowance", "limit", "allowed"),
    [
        (SLOW, Limit.MESSAGES_PER_SECOND, 2),
        (REFUSE, Limit.MESSAGES_PER_SECOND, 2),
        (Allowance(bytes_per_s=300, burst_bytes=1), Limit.BYTES_PER_SECOND, 300),
        (Allowance(messages_per_day=1), Limit.MESSAGES_PER_DAY, 1),
    ],
)
def test_it_is_told_once_a_minute(
    times: Times, told: list[Event], allowance: Allowance, limit: Limit, allowed: float
) -> None:
    of = account(times, told, allowance)
    for _ in range(3):
        of.take([100] * 9)
    assert told == [DeviceLimited(limit=limit, when_over=allowance.when_over, identity="d1", allowed=allowed)]
    assert limit.value.replace("_", " ") in of.why()
    times.forward(module.TELL_AGAIN_S)
    of.charge(500, 50_000)
    of.take([1])
    assert len(told) == 2


def test_who_is_limited_now_is_known_for_a_moment(times: Times, told: list[Event]) -> None:
    made = allowances(times, told, SLOW)
    assert not made.is_limited("d1")
    made.account("d1").take([1] * 9)
    assert made.is_limited("d1")
    assert made.limited() == ("d1",)
    times.forward(module.SHOWN_S)
    assert made.limited() == ()


@pytest.mark.parametrize(
    ("key", "burst"),
    [
        ("camera-1", 1),
        ("camera-22", 2),
        ("camera-2", 3),
        ("other", 9),
        ("other/module", 9),
        ("a.b", 4),
        ("camera-", 1),
        ("hidden/filter", 5),
        (user_key("camera-1"), 7),
        (user_key("pump station"), 8),
        (user_key("nobody"), 9),
    ],
)
def test_the_most_exact_name_decides_whatever_the_order(key: str, burst: int) -> None:
    def burst_of(value: int) -> Allowance:
        return Allowance(messages_per_s=1, burst=value)

    devices = {"camera-*": 1, "camera-2*": 2, "camera-2": 3, "a*b": 4, "*/filter": 5}
    users = {"camera-*": 7, "pump*": 8}
    for order in (list(devices.items()), list(reversed(devices.items()))):
        limits = Limits(
            per_device=burst_of(9),
            devices={name: burst_of(value) for name, value in order},
            users={name: burst_of(value) for name, value in users.items()},
        )
        assert limits.of(key).burst == burst


def test_new_settings_hold_at_once_and_forgive_no_debt(times: Times, told: list[Event]) -> None:
    made = allowances(times, told, SLOW)
    of = made.account("d1")
    of.charge(10, 0)
    made.use(Limits(per_device=Allowance(messages_per_s=100, burst=500)))
    assert of.wait_s() == pytest.approx(0.07)
    made.use(None)
    assert not made.on
    assert of.wait_s() == 0
    made.use(Limits(per_device=Allowance(bytes_per_s=100, burst_bytes=50)))
    assert of.take([60, 60]) == 1


def test_all_connections_of_a_device_share_one_account(times: Times, told: list[Event]) -> None:
    made = allowances(times, told, SLOW)
    made.account("d1").take([1] * 4)
    assert made.account("d1").take([1]) == 0
    assert made.account("d2").take([1]) == 1


def test_the_oldest_account_gives_way(times: Times, told: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ACCOUNTS", 2)
    made = allowances(times, told, SLOW)
    for name in ("d1", "d2", "d1", "d3"):
        made.account(name).charge(10, 0)
    assert made.account("d2").wait_s() == 0
    assert made.account("d3").wait_s() > 0


def test_what_was_sent_today_is_given_and_taken_back(times: Times, told: list[Event]) -> None:
    limit = Allowance(messages_per_day=5, when_over=WhenOver.REFUSE)
    made = allowances(times, told, limit)
    made.account("d1").take([1] * 2)
    made.account("quiet")
    assert made.changed
    assert made.used() == (20_000, {"d1": 2})
    again = allowances(times, told, limit)
    again.restore(*made.used())
    assert again.used() == (20_000, {"d1": 2})
    assert again.account("d1").take([1] * 9) == 3
    times.forward(DAY_S)
    assert again.used() == (20_001, {})
    later = allowances(times, told, limit)
    later.restore(20_000, {"d1": 5})
    assert later.account("d1").take([1] * 9) == 5


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 20)), max_size=60))
def test_never_more_than_a_burst_and_the_rate(steps: list[tuple[float, int]]) -> None:
    times = Times()
    of = account(times, [], SLOW)
    passed_s, taken = 0.0, 0
    for pause_s, count in steps:
        times.forward(pause_s)
        passed_s += pause_s
        taken += of.take([1] * count)
        assert taken <= 4 + 2 * passed_s + 1e-6
