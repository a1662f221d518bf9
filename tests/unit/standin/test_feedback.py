import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standin import feedback
from standin.feedback import BATCH_S, Feedback, FeedbackRecord
from standin.locked import End, LockedStore, Settlement
from support.hub_line import Clock


class Desk:
    """Feedback with a clock the test sets, and how often its reader was told."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock(1_800_000_000.0)
        self._path = path
        self.told = 0
        self.open()

    def open(self, batch_s: float = BATCH_S) -> None:
        self.store = LockedStore(self._path, self.clock)
        self.feedback = Feedback(self.store, batch_s=batch_s)
        self.feedback.watch(self.tell)

    def tell(self) -> None:
        self.told += 1

    def add(self, *names: str) -> None:
        for name in names:
            self.feedback.add(
                FeedbackRecord(message_id=name, ended_at=self.clock.now, end=End.SUCCESS, device="d1", generation="g1")
            )

    def names(self, holder: object = None) -> list[str]:
        batch = self.feedback.lock(holder)
        return [] if batch is None else [record["originalMessageId"] for record in batch.records()]

    def close(self) -> None:
        self.feedback.close()
        self.store.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "state.db")
    yield desk
    desk.close()


async def test_a_record_reads_as_the_service_side_knows_it(desk: Desk) -> None:
    desk.add("m1")
    desk.feedback.flush()
    batch = desk.feedback.lock()
    assert batch is not None
    assert batch.records() == [
        {
            "originalMessageId": "m1",
            "enqueuedTimeUtc": "2027-01-15T08:00:00.000Z",
            "statusCode": "Success",
            "description": "Success",
            "deviceId": "d1",
            "deviceGenerationId": "g1",
        }
    ]
    assert (batch.sequence_number, batch.delivery_count) == (1, 0)


async def test_a_batch_leaves_when_it_is_full(desk: Desk) -> None:
    desk.add(*(f"m{number}" for number in range(63)))
    assert (desk.told, desk.names()) == (0, [])
    desk.add("m63", "m64")
    assert desk.told == 1
    assert len(desk.names()) == 64
    desk.feedback.flush()
    assert desk.names() == ["m64"]


async def test_a_batch_leaves_when_its_first_record_has_waited(desk: Desk) -> None:
    desk.close()
    desk.open(batch_s=0.0)
    came = asyncio.Event()
    desk.feedback.watch(came.set)
    desk.add("m1")
    async with asyncio.timeout(30):
        await came.wait()
    desk.feedback.unwatch(came.set)
    assert desk.names() == ["m1"]


async def test_a_reader_that_leaves_gives_its_batch_back(desk: Desk) -> None:
    desk.add("m1")
    desk.feedback.flush()
    reader = object()
    assert desk.names(reader) == ["m1"]
    desk.feedback.release(reader)
    batch = desk.feedback.lock()
    assert batch is not None
    assert batch.delivery_count == 1
    desk.feedback.put_back(batch.lock_token)
    batch = desk.feedback.lock()
    assert batch is not None
    desk.feedback.settle(batch.lock_token, Settlement.COMPLETED)
    assert desk.feedback.lock() is None


async def test_a_restart_keeps_records_and_batches(desk: Desk) -> None:
    desk.add("m1")
    desk.feedback.flush()
    desk.add("m2")
    desk.close()
    desk.open()
    desk.feedback.flush()
    assert [desk.names(), desk.names()] == [["m1"], ["m2"]]


async def test_the_oldest_batch_goes_when_nobody_reads(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.close()
    monkeypatch.setattr(feedback, "MAX_BATCHES", 2)
    desk.open()
    for name in ("m1", "m2", "m3"):
        desk.add(name)
        desk.feedback.flush()
    assert [desk.names(), desk.names(), desk.names()] == [["m2"], ["m3"], []]


async def test_a_reader_that_leaves_after_the_end_has_nothing_to_lose(desk: Desk) -> None:
    desk.add("m1")
    desk.feedback.flush()
    reader = object()
    assert desk.names(reader) == ["m1"]
    desk.close()
    desk.feedback.release(reader)
    desk.open()
    assert desk.names() == ["m1"]
