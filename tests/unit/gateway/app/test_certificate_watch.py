from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.app import certificate_watch
from gateway.app.certificate_watch import (
    Candidate,
    CertificateWatch,
    Mark,
    candidate,
    mark_at,
)
from gateway.observe.certificates import CertificateEnded, CertificateEndsSoon, CertificateKind
from gateway.observe.events import Event
from support.certificates import self_signed

START = 1_800_000_000.0
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def thing(
    name: str = "server certificate",
    *,
    days: float = 365,
    kind: CertificateKind = CertificateKind.SERVER,
    serial: int = 1,
) -> Candidate:
    return Candidate(
        kind=kind,
        name=name,
        subject="gateway.local",
        issuer="CA",
        starts_at=START,
        ends_at=START + days * DAY_S,
        identity=bytes([serial]),
        advice="renew it",
    )


def watch_of(things: list[Candidate], clock: Clock) -> tuple[CertificateWatch, list[Event]]:
    events: list[Event] = []
    watch = CertificateWatch(events.append, clock)
    watch.add(lambda: things)
    return watch, events


@pytest.mark.parametrize(
    ("life_days", "left_days", "mark"),
    [
        (365, 30.1, Mark.GOOD),
        (365, 30, Mark.MONTH),
        (365, 7.1, Mark.MONTH),
        (365, 7, Mark.WEEK),
        (365, 1.1, Mark.WEEK),
        (365, 1, Mark.DAY),
        (365, 0.001, Mark.DAY),
        (365, 0, Mark.ENDED),
        (365, -5, Mark.ENDED),
        # As many percent of a life that is shorter than 100 days: IoT Edge renews at a third of it.
        (90, 30, Mark.GOOD),
        (90, 27, Mark.MONTH),
        (30, 10, Mark.GOOD),
        (30, 9, Mark.MONTH),
        (30, 2.1, Mark.WEEK),
        (30, 0.3, Mark.DAY),
        (1, 1, Mark.GOOD),
        (1, 0.31, Mark.GOOD),
        (1, 0.3, Mark.MONTH),
        (1, 0.07, Mark.WEEK),
        (1, 0.01, Mark.DAY),
        (0, 0, Mark.ENDED),
        (-1, 5, Mark.GOOD),  # ends before it begins: no mark is ever reached before the end
    ],
)
def test_marks_are_days_or_percent_whichever_is_less(life_days: float, left_days: float, mark: Mark) -> None:
    ends_at = START + life_days * DAY_S
    assert mark_at(START, ends_at, ends_at - left_days * DAY_S) is mark


def test_each_mark_is_told_once_as_it_is_crossed() -> None:
    clock = Clock()
    watch, events = watch_of([thing()], clock)
    told: list[tuple[float, str, float]] = []
    for day in range(368):
        clock.now = START + day * DAY_S
        for _ in range(3):
            watch.look()
        told += [(day, type(event).__name__, event.days_left) for event in events]  # type: ignore[attr-defined] # both kinds have it
        events.clear()
    assert told == [
        (335, "CertificateEndsSoon", 30.0),
        (358, "CertificateEndsSoon", 7.0),
        (364, "CertificateEndsSoon", 1.0),
        (365, "CertificateEnded", 0.0),
    ]


def test_a_start_tells_once_how_things_are() -> None:
    clock = Clock()
    clock.now = START + 360 * DAY_S
    for _ in range(2):  # two starts
        watch, events = watch_of([thing()], clock)
        for _ in range(5):
            watch.look()
        assert [event.sentence() for event in events] == ["server certificate ends in 5 days: renew it"]


def test_one_that_is_replaced_is_good_and_warns_anew_at_its_own_end() -> None:
    clock, things = Clock(), [thing(days=5)]
    watch, events = watch_of(things, clock)
    clock.now += 4.9 * DAY_S
    watch.look()
    things[:] = [thing(days=365, serial=2)]
    watch.look()
    assert len(events) == 1
    clock.now = START + 366 * DAY_S
    watch.look()
    assert isinstance(events[1], CertificateEnded)
    assert events[1].sentence() == "server certificate ended 24 hours ago: renew it"


def test_a_clock_that_was_set_back_has_a_mark_crossed_again() -> None:
    clock = Clock()
    watch, events = watch_of([thing()], clock)
    for day in (340, 100, 340):
        clock.now = START + day * DAY_S
        watch.look()
    assert [type(event) for event in events] == [CertificateEndsSoon] * 2


def test_the_same_certificate_in_two_places_is_told_once() -> None:
    clock = Clock()
    clock.now += 364.5 * DAY_S
    watch, events = watch_of([thing("issuer"), thing("authority")], clock)
    watch.add(lambda: [thing("third")])
    watch.look()
    assert [each.name for each in watch.certificates()] == ["issuer"]
    assert len(events) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_watch, "MAX_REMEMBERED", 3)
    clock = Clock()
    clock.now += 364.5 * DAY_S
    things = [thing(f"device {serial}", kind=CertificateKind.DEVICE, serial=serial) for serial in range(5)]
    watch, events = watch_of(things, clock)
    watch.look()
    assert len(watch._told) == 3
    assert len(events) == 5


def test_what_others_read_says_the_same() -> None:
    clock = Clock()
    clock.now += 360 * DAY_S
    things = [
        thing(),
        thing("device 1", kind=CertificateKind.DEVICE, days=400, serial=2),
        thing("device 2", kind=CertificateKind.DEVICE, serial=3),
    ]
    watch, _ = watch_of(things, clock)
    server, one, _ = watch.certificates()
    assert (server.state, server.days_left, server.advice) == (Mark.WEEK, 5.0, "renew it")
    assert (one.state, one.not_after) == (Mark.GOOD, START + 400 * DAY_S)
    assert watch.days_left() == {("server",): 5.0, ("device",): 5.0}
    ends = datetime.fromtimestamp(START + 365 * DAY_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert watch.reported()["server certificate"] == {"state": "7 days", "notAfter": ends}
    status: list[dict[str, Any]] = watch.status()
    assert [each["daysLeft"] for each in status] == [5, 40, 5]
    assert [each["advice"] for each in status] == ["renew it", "", "renew it"]


def test_of_two_with_one_name_the_twin_has_the_one_that_ends_first() -> None:
    watch, _ = watch_of([thing(days=900), thing(days=400, serial=2), thing(days=700, serial=3)], Clock())
    assert watch.reported()["server certificate"]["notAfter"] == watch.status()[1]["notAfter"]


def test_listeners_hear_of_a_change_and_of_nothing_else() -> None:
    clock, heard = Clock(), list[int]()
    watch, _ = watch_of([thing()], clock)
    watch.listen(lambda: heard.append(1))
    for day in (0, 0, 300, 340, 341):  # days go by, the first look and one mark are a change
        clock.now = START + day * DAY_S
        watch.look()
    assert len(heard) == 2


def test_a_certificate_is_named_by_its_common_name() -> None:
    made = self_signed("gateway.local")
    found = candidate(CertificateKind.SERVER, "server certificate", made.certificate, "renew it")
    assert (found.subject, found.issuer) == ("gateway.local", "gateway.local")
    assert found.ends_at - found.starts_at == 86_400
    assert found.identity == candidate(CertificateKind.TRUST_BUNDLE, "x", made.certificate, "").identity
