import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import Envelope, Identity, Message, identity
from standin.events import (
    MAX_PARTITIONS,
    End,
    Event,
    EventLog,
    EventLogError,
    event_for,
    from_json,
    partition_of,
    proof_text,
)
from standin.journal import Journal
from support.event_log import keep_all
from support.event_log import message as device_message


def message(body: bytes, output: str = "o1") -> Message:
    system = {"connectionDeviceId": "d1", "connectionModuleId": "m1", "outputName": output}
    return Message(Envelope(sender=identity("d1", "m1"), properties={"a": "1", "n": None}, system=system), body)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
async def log(path: Path) -> Iterator[EventLog]:  # type: ignore[misc]  # an async fixture that yields
    log = EventLog(path)
    yield log
    log.close()


async def keep(log: EventLog, path: Path, *bodies: bytes) -> list[Event]:
    journal = Journal(path, ())
    events = []
    for body in bodies:
        sent = message(body)
        first, statements = log.number(1.5, [sent])
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        journal.write(statements, kept.set_result)
        assert await kept
        log.committed(first)
        events.append(event_for(first, 1.5, sent))
    journal.close()
    return events


async def test_events_come_back_as_they_were_kept(log: EventLog, path: Path) -> None:
    events = await keep(log, path, b"one", b"\xff\x00", b"")
    assert log.read() == events
    assert log.read(after=1, limit=1) == events[1:2]
    assert [event.output for event in events] == ["o1"] * 3
    assert log.count() == 3


@pytest.mark.parametrize("count", [0, 1, 3, 4, 31, 37, 300])
async def test_many_events_are_kept_by_few_statements(log: EventLog, path: Path, count: int) -> None:
    messages = [message(str(n).encode(), "o1" if n % 3 else "o2") for n in range(count)]
    first, statements = log.number(1.5, messages)
    assert len(statements) <= count // 32 + 12
    journal = Journal(path, ())
    kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    journal.write(statements, kept.set_result)
    assert await kept
    journal.close()
    assert log.read() == [event_for(number, 1.5, sent) for number, sent in enumerate(messages, first)]


async def test_what_messages_share_is_kept_with_each(log: EventLog, path: Path) -> None:
    events = await keep(log, path)
    assert events == []
    shared = message(b"1")
    messages = [shared, Message(shared.envelope, b"2"), message(b"3", "o2"), Message(shared.envelope, b"4")]
    journal = Journal(path, ())
    first, statements = log.number(1.5, messages)
    kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    journal.write(statements, kept.set_result)
    assert await kept
    journal.close()
    assert [(event.body, event.output) for event in log.read(first - 1)] == [
        (b"1", "o1"),
        (b"2", "o1"),
        (b"3", "o2"),
        (b"4", "o1"),
    ]


async def test_numbers_go_on_after_a_restart(log: EventLog, path: Path) -> None:
    await keep(log, path, b"one", b"two")
    log.close()
    again = EventLog(path)
    assert again.last_sequence == 2
    first, _ = again.number(2.0, [message(b"three")])
    assert first == 3
    again.close()


async def test_waiting_ends_when_enough_have_come(log: EventLog, path: Path) -> None:
    waiting = asyncio.create_task(log.wait(0, 2, timeout_s=30))
    await keep(log, path, b"one", b"two")
    assert [event.body for event in await waiting] == [b"one", b"two"]


async def test_waiting_ends_when_the_time_is_over(log: EventLog, path: Path) -> None:
    await keep(log, path, b"one")
    assert [event.body for event in await log.wait(0, 2, timeout_s=0.01)] == [b"one"]


# Partitions

OLD_SCHEMA = """
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY, enqueued_at REAL NOT NULL, device TEXT NOT NULL, module TEXT,
    properties BLOB NOT NULL, system BLOB NOT NULL, body BLOB NOT NULL
)
"""
"""As the first version of this file had it."""


def numbers(log: EventLog) -> list[list[tuple[int, str]]]:
    """By partition: number and offset of each event."""
    return [
        [(each.number, each.offset) for each in log.read_partition(partition, 0, 1000)]
        for partition in range(log.partitions)
    ]


def test_a_device_has_its_partition_for_ever() -> None:
    found = [partition_of(f"d{number}", 4) for number in range(8)]
    assert found == [0, 2, 0, 2, 1, 3, 1, 3]  # CRC-32 of the id, as gzip has it: run directories are filled by it
    assert {partition_of(f"device-{number}", 32) for number in range(1000)} == set(range(32))


async def test_each_partition_counts_its_own_events(log: EventLog, path: Path) -> None:
    await keep_all(log, path, [device_message(b"x", device) for device in ("d0", "d1", "d0", "d4", "d2")])
    await keep_all(log, path, [device_message(b"x", "d1")])
    assert numbers(log) == [[(0, "1"), (1, "3"), (2, "5")], [(0, "4")], [(0, "2"), (1, "6")], []]
    assert [log.end(partition).number for partition in range(4)] == [2, 0, 1, -1]
    assert log.end(3) == End(number=-1, offset="-1", enqueued_at_ms=-62_135_596_800_000)
    assert log.end(2) == End(number=1, offset="6", enqueued_at_ms=1500)
    assert [log.begin(partition) for partition in range(4)] == [0, 0, 0, 0]


async def test_numbers_and_partitions_go_on_after_a_restart(path: Path) -> None:
    log = EventLog(path, partitions=2)
    await keep_all(log, path, [device_message(b"x", "d0"), device_message(b"x", "d1")])
    created_at = log.created_at
    log.close()
    again = EventLog(path)
    assert (again.partitions, again.created_at) == (2, created_at)
    before = numbers(again)
    await keep_all(again, path, [device_message(b"x", "d0")])
    after = numbers(again)
    partition = again.partition_of("d0")
    assert after[partition] == [*before[partition], (len(before[partition]), "3")]
    again.close()


@pytest.mark.parametrize("partitions", [0, -1, MAX_PARTITIONS + 1])
def test_a_hub_has_a_number_of_partitions_that_can_be(path: Path, partitions: int) -> None:
    with pytest.raises(EventLogError, match="1 to 32 partitions"):
        EventLog(path, partitions=partitions)


def test_a_file_keeps_its_partitions(path: Path) -> None:
    EventLog(path, partitions=2).close()
    with pytest.raises(EventLogError, match="have 2 partitions, not 4"):
        EventLog(path, partitions=4)
    EventLog(path, partitions=2).close()


async def test_a_file_of_an_older_version_is_read_on(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old:
        old.execute(OLD_SCHEMA)
        for sequence, device in enumerate(("d0", "d1", "d0", "d5"), 1):
            row = (sequence, 1.5, device, None, b"{}", b'{"connectionDeviceId":"x"}', device.encode())
            old.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        old.commit()
    log = EventLog(path)
    assert [event.body for event in log.read()] == [b"d0", b"d1", b"d0", b"d5"]
    assert numbers(log) == [[(0, "1"), (1, "3")], [], [(0, "2")], [(0, "4")]]
    assert log.read_partition(0, 0, 1)[0].proof is None
    await keep_all(log, path, [device_message(b"new", "d0")])
    assert numbers(log)[0] == [(0, "1"), (1, "3"), (2, "5")]
    log.close()


async def test_how_a_sender_was_known_is_kept_with_its_events(path: Path) -> None:
    asked = []

    def proof(who: Identity) -> str:
        asked.append(str(who))
        return proof_text("sas", f"of {who}")

    log = EventLog(path, proof=proof)
    first = device_message(b"1", "d0")
    await keep_all(log, path, [first, Message(first.envelope, b"2"), device_message(b"3", "d1", "m1")])
    assert asked == ["d0", "d1/m1"]
    proofs = [each.proof for partition in range(4) for each in log.read_partition(partition, 0, 10)]
    assert sorted(map(str, proofs)) == ["sas of d0", "sas of d0", "sas of d1/m1"]
    log.close()


async def test_events_are_found_by_offset_and_by_time(path: Path) -> None:
    log = EventLog(path, partitions=1)
    for second in (10.0, 11.0, 11.0, 12.5):
        await keep_all(log, path, [device_message(b"x")], second)
    assert [log.behind_offset(0, offset) for offset in (-1, 0, 1, 3, 4, 99)] == [0, 0, 1, 3, 4, 4]
    assert [log.behind_offset(0, offset, inclusive=True) for offset in (0, 1, 4, 5)] == [0, 0, 3, 4]
    assert [log.behind_time(0, at_ms) for at_ms in (0, 9_999, 10_000, 11_000, 12_500)] == [0, 0, 1, 3, 4]
    assert [log.behind_time(0, at_ms, inclusive=True) for at_ms in (10_000, 11_000, 12_501)] == [0, 1, 4]
    log.close()


async def test_numbers_of_events_that_could_not_be_kept_are_not_given_again(path: Path) -> None:
    log = EventLog(path, partitions=1)
    await keep_all(log, path, [device_message(b"1")])
    lost, _ = log.number(1.5, [device_message(b"2"), device_message(b"3")])
    log.lost(lost + 1)
    assert log.end(0).number == 0
    await keep_all(log, path, [device_message(b"4")])
    assert numbers(log) == [[(0, "1"), (3, "4")]]
    assert [log.behind_offset(0, offset) for offset in (0, 1, 3, 4)] == [0, 1, 1, 4]
    assert log._tails == {}
    log.close()


async def test_nothing_is_read_before_it_is_told_of(path: Path) -> None:
    log = EventLog(path, partitions=1)
    journal = Journal(path, ())
    first, statements = log.number(1.5, [device_message(b"1")])
    kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    journal.write(statements, kept.set_result)
    assert await kept
    assert log.read_partition(0, 0, 10) == []
    log.committed(first)
    assert [each.number for each in log.read_partition(0, 0, 10)] == [0]
    journal.close()
    log.close()


async def test_who_follows_a_partition_is_called_when_it_grows(log: EventLog, path: Path) -> None:
    calls: list[str] = []

    def here() -> None:
        calls.append("here")

    def there() -> None:
        calls.append("there")

    log.follow(log.partition_of("d0"), here)
    log.follow(log.partition_of("d1"), there)
    await keep_all(log, path, [device_message(b"x", "d0"), device_message(b"x", "d0")])
    assert calls == ["here"]
    await keep_all(log, path, [device_message(b"x", "d0"), device_message(b"x", "d1")])
    assert calls == ["here", "here", "there"]
    for follower in (here, here, there):
        log.unfollow(follower)
    await keep_all(log, path, [device_message(b"x", "d0")])
    assert len(calls) == 3


@pytest.mark.parametrize("body", [b'{"t":1}', "ü".encode(), b"\xff\x00", b""])
def test_the_json_form_says_everything(body: bytes) -> None:
    event = Event(
        sequence=7,
        enqueued_at=1_700_000_000.125,
        device="d1",
        module=None,
        properties={"a": None},
        system={"contentType": "application/json"},
        body=body,
    )
    assert from_json(event.to_json()) == event
    assert event.to_json()["enqueuedTime"] == "2023-11-14T22:13:20.125+00:00"
    assert event.to_json()["systemProperties"] == {"contentType": "application/json"}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"short", {"body": "short", "bytes": 5, "bodyCut": False}),
        ("aaaaaaaé".encode(), {"body": "aaaaaaa", "bytes": 9, "bodyCut": True}),
        (b"\xff" * 9, {"bodyBase64": "//////////8=", "bytes": 9, "bodyCut": True}),
        (b"a\xc3", {"bodyBase64": "YcM=", "bytes": 2, "bodyCut": False}),
    ],
)
def test_a_page_gets_the_beginning_of_a_body(body: bytes, shown: dict[str, Any]) -> None:
    event = Event(sequence=1, enqueued_at=0.0, device="d1", module=None, properties={}, system={}, body=body)
    told = event.shown(8)
    assert {name: told.get(name) for name in shown} == shown
    assert ("body" in told) == ("body" in shown)
