import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewire.message import Envelope, Message, identity
from standin.events import Event, EventLog, event_for, from_json
from standin.journal import Journal


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
    waiting = asyncio.create_task(log.wait(0, 2, timeout_s=5))
    await keep(log, path, b"one", b"two")
    assert [event.body for event in await waiting] == [b"one", b"two"]


async def test_waiting_ends_when_the_time_is_over(log: EventLog, path: Path) -> None:
    await keep(log, path, b"one")
    assert [event.body for event in await log.wait(0, 2, timeout_s=0.01)] == [b"one"]


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
