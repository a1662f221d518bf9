from pathlib import Path

import pytest

from edgewire.codec.amqp.kinds import Timestamp
from edgewire.codec.amqp.message import AmqpMessage, read_message, write_message
from standin.namespace_log import NamespaceFile


def event(body: bytes, **annotations: object) -> bytes:
    return write_message(AmqpMessage(message_annotations=annotations or None, body=body))


@pytest.fixture
def file(tmp_path: Path) -> NamespaceFile:
    ticks = iter(range(100, 1000))
    return NamespaceFile(tmp_path / "namespace.db", clock=lambda: float(next(ticks)))


def test_events_have_numbers_in_their_partition_and_an_offset_over_all(file: NamespaceFile) -> None:
    log = file.log("t", 2, 0.0)
    log.append(0, [event(b"a"), event(b"b")])
    log.append(1, [event(b"c")])
    log.append(0, [event(b"d")])
    assert [(each.number, each.offset) for each in log.read_partition(0, 0, 10)] == [(0, "1"), (1, "2"), (2, "4")]
    assert [(each.number, each.offset) for each in log.read_partition(1, 0, 10)] == [(0, "3")]
    assert (log.end(0).number, log.end(0).offset, log.count(), log.begin(0)) == (2, "4", 4, 0)


def test_an_empty_partition_ends_before_its_first(file: NamespaceFile) -> None:
    log = file.log("t", 1, 0.0)
    assert (log.end(0).number, log.end(0).offset) == (-1, "-1")
    assert log.behind_offset(0, 5) == 0


def test_places_are_found_by_offset_and_time(file: NamespaceFile) -> None:
    log = file.log("t", 1, 0.0)
    for body in (b"a", b"b", b"c"):
        log.append(0, [event(body)])  # at 100, 101 and 102 s
    assert (log.behind_offset(0, 2), log.behind_offset(0, 2, inclusive=True)) == (2, 1)
    assert (log.behind_time(0, 101_000), log.behind_time(0, 101_000, inclusive=True)) == (2, 1)


def test_a_reader_gets_the_event_as_it_came_with_what_the_service_notes(file: NamespaceFile) -> None:
    log = file.log("t", 1, 0.0)
    log.append(0, [event(b"a", **{"x-opt-partition-key": "d1"})])
    [kept] = log.read_partition(0, 0, 1)
    message = read_message(kept.write())
    assert message.body == b"a"
    assert message.message_annotations == {
        "x-opt-partition-key": "d1",
        "x-opt-sequence-number": 0,
        "x-opt-offset": "1",
        "x-opt-enqueued-time": Timestamp(100_000),
    }


def test_followers_of_the_partition_are_told(file: NamespaceFile) -> None:
    log = file.log("t", 2, 0.0)
    told: list[int] = []
    grown = lambda: told.append(1)  # noqa: E731 — one object, to be forgotten again
    log.follow(1, grown)
    log.append(0, [event(b"a")])
    assert not told
    log.append(1, [event(b"b")])
    log.unfollow(grown)
    log.append(1, [event(b"c")])
    assert told == [1]


def test_all_of_it_is_there_after_a_restart(file: NamespaceFile, tmp_path: Path) -> None:
    file.log("t", 1, 0.0).append(0, [event(b"a")])
    file.close()
    again = NamespaceFile(tmp_path / "namespace.db").log("t", 1, 0.0)
    assert again.end(0).number == 0
    assert [each.payload for each in again.read_partition(0, 0, 10)] == [event(b"a")]
