from dataclasses import dataclass
from typing import ClassVar

import pytest

from gateway.observe.events import Event, Level
from gateway.observe.head import DeviceConnected
from gateway.observe.timeline import EVENT_CHARS, EVENT_PERIOD_S, EVENTS_PER_PERIOD, MAX_EVENTS, Happened, Timeline, iso

START = 1_800_000_000.0


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Loud(Event):
    """Heard by people."""

    LEVEL: ClassVar[Level] = Level.WARNING

    words: str = "it happened"

    def sentence(self) -> str:
        return self.words


class Quiet(Loud):
    """Not told."""

    LEVEL: ClassVar[Level] = Level.DEBUG


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timeline(clock: Clock) -> Timeline:
    return Timeline(clock)


def test_what_people_should_know_is_kept_and_who_came(timeline: Timeline) -> None:
    for event in (Loud(), Quiet(), DeviceConnected("d1", "192.0.2.1")):
        timeline.on_event(event)
    assert [happened.row() for happened in timeline.last(10)] == [
        {"at": "2027-01-15T08:00:00.000Z", "level": "warning", "event": "Loud", "sentence": "it happened"},
        {
            "at": "2027-01-15T08:00:00.000Z",
            "level": "debug",
            "event": "DeviceConnected",
            "sentence": "'d1' connected from 192.0.2.1",
        },
    ]
    assert [happened.event for happened in timeline.last(1)] == ["DeviceConnected"]
    assert timeline.last(0) == []


def test_no_more_than_so_many_are_kept(timeline: Timeline, clock: Clock) -> None:
    for number in range(MAX_EVENTS + 10):
        clock.now += EVENT_PERIOD_S
        timeline.on_event(Loud(str(number)))
    kept = timeline.last(MAX_EVENTS + 10)
    assert (len(kept), kept[0].sentence) == (MAX_EVENTS, "10")


def test_a_storm_of_one_kind_leaves_room_for_others(timeline: Timeline, clock: Clock) -> None:
    for _ in range(1_000):
        timeline.on_event(Loud())
    timeline.on_event(DeviceConnected("d1", "192.0.2.1"))
    assert len(timeline.last(MAX_EVENTS)) == EVENTS_PER_PERIOD + 1
    clock.now += EVENT_PERIOD_S + 100
    assert timeline.last(1)[0].sentence == "980 more of the same kind (Loud) were counted but are not shown"
    assert timeline.last(1)[0].at == START + EVENT_PERIOD_S
    timeline.on_event(Loud("again"))
    told, again = timeline.last(2)
    assert told.sentence == "980 more of the same kind (Loud) were counted but are not shown"
    assert again.sentence == "again"


def test_a_clock_that_is_set_back_silences_nothing(timeline: Timeline, clock: Clock) -> None:
    for _ in range(EVENTS_PER_PERIOD):
        timeline.on_event(Loud())
    clock.now -= 3_600
    timeline.on_event(Loud("back then"))
    assert timeline.last(1)[0].sentence == "back then"


def test_a_sentence_is_one_short_line_without_a_secret(timeline: Timeline) -> None:
    timeline.on_event(Loud("SharedAccessSignature sig=abcdef1234567890&se=1\r\n" + "x" * 70_000))
    (happened,) = timeline.last(1)
    assert "abcdef" not in happened.sentence
    assert happened.sentence.isprintable()
    assert len(happened.sentence) == EVENT_CHARS


def test_who_listens_hears_each_until_leaving(timeline: Timeline) -> None:
    heard: list[Happened] = []
    leave = timeline.hear(heard.append)
    timeline.on_event(Loud("one"))
    leave()
    timeline.on_event(Loud("two"))
    assert [happened.sentence for happened in heard] == ["one"]


def test_times_have_milliseconds_and_no_zone_but_utc() -> None:
    assert iso(START + 0.25) == "2027-01-15T08:00:00.250Z"
