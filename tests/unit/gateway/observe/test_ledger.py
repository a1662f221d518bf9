from dataclasses import dataclass
from typing import ClassVar

import pytest

from edgewire.message import EndpointKind, Identity, identity
from gateway.observe import ledger as ledgers
from gateway.observe.events import Event, Level
from gateway.observe.head import DeviceConnected, DeviceDisconnected, Leaving, MessageRefused, RefusedMessage
from gateway.observe.ledger import RATES, Ledger, Rate
from gateway.observe.store import MessagesRefused, RefusalReason
from gateway.observe.upstream import MessagesForwarded

START = 1_800_000_000.0  # a whole minute


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(clock, lambda name: name == "known")


D1, D2 = identity("d1"), identity("d2")


def test_messages_are_counted_by_their_senders(ledger: Ledger, clock: Clock) -> None:
    ledger.heard({D1: 3, D2: 1, identity("d1", "m"): 1})
    counted = {name: record.messages for name, record in ledger.devices.items()}
    assert counted == {"d1": 3, "d2": 1, "d1/m": 1}
    assert ledger.received == 5
    clock.now += 5
    ledger.heard({D2: 1})
    assert next(ledger.latest_first()) == "d2"
    record = ledger.device("d2")
    assert record is not None
    assert (record.messages, record.seen_at) == (2, START + 5)


def test_messages_of_each_second_are_kept_for_a_minute(ledger: Ledger) -> None:
    for second in range(RATES + 2):
        ledger.heard({D1: second})
        ledger.tick()
    assert list(ledger.rates) == list(range(2, RATES + 2))


def test_a_rate_forgets_what_is_older_than_a_minute() -> None:
    rate = Rate()
    rate.add(60, START)
    assert rate.per_minute(START + 30) == 60
    assert rate.per_minute(START + 75) == 45  # a quarter of that minute is over
    assert rate.per_minute(START + 180) == 0
    rate.add(1, START + 180)
    assert rate.per_minute(START + 180) == 1


def test_beyond_the_limit_who_was_silent_longest_is_forgotten(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "MAX_DEVICES", 3)
    devices: list[Identity] = [identity(f"d{number}") for number in range(3)]
    ledger.heard(dict.fromkeys(devices, 1))
    ledger.heard({devices[0]: 1})
    ledger.heard({identity("new"): 1})
    assert list(ledger.devices) == ["d2", "d0", "new"]


def test_routes_have_hits_and_those_of_old_settings_give_way(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MAX_ROUTES", 2)
    ledger.matched({"old": 1, "hot": 3}, 2)
    clock.now += 1
    ledger.matched({"hot": 1, "all": 7}, 0)
    hot = ledger.route("hot")
    assert (hot.hits, hot.hit_at, ledger.per_minute(hot.rate)) == (4, START + 1, 4.0)
    assert ledger.route("old").hits == 0
    assert ledger.route("never").hit_at is None
    assert ledger.unrouted == 2


def test_coming_and_going_are_signs_of_life(ledger: Ledger, clock: Clock) -> None:
    ledger.on_event(DeviceConnected("d1", "192.0.2.1"))
    clock.now += 10
    ledger.on_event(DeviceDisconnected("d1", Leaving.LOST))
    record = ledger.device("d1")
    assert record is not None
    assert (record.connected_at, record.seen_at, record.error) == (START, START + 10, None)


@dataclass(frozen=True, slots=True)
class Trouble(Event):
    """Something about a device, in its own words."""

    LEVEL: ClassVar[Level] = Level.WARNING

    identity: str
    words: str = "it went wrong"

    def sentence(self) -> str:
        return f"'{self.identity}': {self.words}"


def test_what_went_wrong_last_is_kept_of_those_that_may_come_and_of_nobody_else(ledger: Ledger) -> None:
    for name in ("known", "made-up"):
        ledger.on_event(Trouble(name))
    assert list(ledger.devices) == ["known"]
    record = ledger.device("known")
    assert record is not None
    assert record.error is not None
    assert (record.error.at, record.error.sentence) == (START, "'known': it went wrong")


def test_an_error_is_one_short_line_without_a_secret(ledger: Ledger) -> None:
    ledger.on_event(Trouble("known", "sig=abcdef1234567890 and\nmore " + "x" * 10_000))
    record = ledger.device("known")
    assert record is not None
    assert record.error is not None
    assert "abcdef" not in record.error.sentence
    assert "\n" not in record.error.sentence
    assert len(record.error.sentence) <= ledgers.ERROR_CHARS


def test_what_was_refused_and_what_went_out_are_rates(ledger: Ledger) -> None:
    ledger.on_event(MessageRefused("d1", RefusedMessage.TOO_LARGE, "it is"))
    ledger.on_event(MessagesForwarded(EndpointKind.UPSTREAM, "$upstream", 12))
    ledger.on_event(MessagesRefused(reason=RefusalReason.BYTE_CAP, count=40))
    assert (ledger.per_minute(ledger.refused), ledger.per_minute(ledger.forwarded)) == (41.0, 12.0)
