import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standin.errors import HubError
from standin.locked import End, LockedQueue, LockedStore, LockLimits, Settlement, Waiting
from support.hub_line import Clock

LIMITS = LockLimits(lock_s=60, max_deliveries=3, max_waiting=3)


class Desk:
    """A queue with a clock the test sets, and what it has told."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock(1_000.0)
        self.left: list[tuple[bytes, End]] = []
        self.gone = asyncio.Event()
        self.came_back = 0
        self._path = path
        self.open()

    def open(self) -> None:
        self.store = LockedStore(self._path, self.clock)
        self.queue = LockedQueue("q", self.store, LIMITS, left=self._on_left, back=self._on_back)

    def close(self) -> None:
        self.queue.close()
        self.store.close()

    def put(self, body: bytes, life_s: float = 1_000) -> Waiting:
        return self.queue.put(b"", body, self.clock.now + life_s)

    def lock(self, holder: object = None) -> tuple[uuid.UUID, bytes]:
        message = self.queue.lock(holder)
        assert message is not None
        assert message.lock_token is not None
        return message.lock_token, message.body

    def _on_left(self, message: Waiting, end: End) -> None:
        self.left.append((message.body, end))
        self.gone.set()

    def _on_back(self) -> None:
        self.came_back += 1


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "state.db")
    yield desk
    desk.close()


async def test_the_oldest_that_nobody_has_is_next(desk: Desk) -> None:
    assert [desk.put(body).sequence for body in (b"a", b"b")] == [1, 2]
    first, body = desk.lock()
    assert (body, desk.lock()[1], desk.queue.lock()) == (b"a", b"b", None)
    desk.queue.settle(first, Settlement.COMPLETED)
    assert (desk.left, len(desk.queue)) == ([(b"a", End.SUCCESS)], 1)


async def test_a_lock_settles_once(desk: Desk) -> None:
    desk.put(b"a")
    token, _ = desk.lock()
    desk.queue.settle(token, Settlement.REJECTED)
    with pytest.raises(HubError) as raised:
        desk.queue.settle(token, Settlement.COMPLETED)
    assert raised.value.code == 412002
    assert desk.left == [(b"a", End.REJECTED)]


async def test_what_is_given_back_is_the_next_again_and_counts(desk: Desk) -> None:
    desk.put(b"a")
    desk.put(b"b")
    token, _ = desk.lock()
    desk.queue.settle(token, Settlement.ABANDONED)
    message = desk.queue.lock()
    assert message is not None
    assert (message.body, message.delivery_count) == (b"a", 1)
    await asyncio.sleep(0)
    assert desk.came_back == 1


async def test_what_could_not_be_sent_counts_for_nothing(desk: Desk) -> None:
    desk.put(b"a")
    token, _ = desk.lock()
    desk.queue.put_back(token)
    message = desk.queue.lock()
    assert message is not None
    assert message.delivery_count == 0


async def test_a_lock_ends_with_its_time(desk: Desk) -> None:
    desk.put(b"a")
    token, _ = desk.lock()
    desk.clock.now += 60
    with pytest.raises(HubError):
        desk.queue.settle(token, Settlement.COMPLETED)
    message = desk.queue.lock()
    assert message is not None
    assert message.delivery_count == 1


async def test_who_leaves_loses_its_locks_and_no_other(desk: Desk) -> None:
    desk.put(b"a")
    desk.put(b"b")
    one, other = object(), object()
    desk.lock(one)
    token, _ = desk.lock(other)
    desk.queue.release(one)
    desk.queue.settle(token, Settlement.COMPLETED)
    assert desk.lock()[1] == b"a"


async def test_the_last_delivery_in_vain_ends_a_message(desk: Desk) -> None:
    desk.put(b"a")
    for _ in range(3):
        token, _ = desk.lock()
        desk.queue.settle(token, Settlement.ABANDONED)
    assert (desk.left, len(desk.queue)) == ([(b"a", End.DELIVERY_COUNT_EXCEEDED)], 0)


async def test_what_is_too_old_leaves_but_not_while_it_is_locked(desk: Desk) -> None:
    desk.put(b"old", life_s=10)
    desk.put(b"held", life_s=10)
    desk.lock()
    desk.clock.now += 10
    assert desk.queue.lock() is None
    assert desk.left == [(b"held", End.EXPIRED)]
    desk.clock.now += 50
    desk.queue.tick()
    assert desk.left == [(b"held", End.EXPIRED), (b"old", End.EXPIRED)]


async def test_a_timer_looks_when_a_life_is_over(desk: Desk) -> None:
    desk.put(b"a", life_s=0.01)
    desk.clock.now += 0.01
    async with asyncio.timeout(30):
        await desk.gone.wait()
    assert desk.left == [(b"a", End.EXPIRED)]


async def test_a_full_queue_takes_no_more(desk: Desk) -> None:
    for body in (b"a", b"b", b"c"):
        desk.put(body)
    with pytest.raises(HubError) as raised:
        desk.put(b"d")
    assert raised.value.code == 403004
    desk.queue.remove_oldest()
    desk.put(b"d")
    assert desk.queue.purge() == 3
    assert desk.left == [
        (b"a", End.EXPIRED),
        (b"b", End.PURGED),
        (b"c", End.PURGED),
        (b"d", End.PURGED),
    ]


async def test_a_restart_keeps_messages_counts_and_numbers_and_no_locks(desk: Desk) -> None:
    desk.put(b"a")
    desk.put(b"b")
    token, _ = desk.lock()
    desk.queue.settle(token, Settlement.ABANDONED)
    desk.lock()
    desk.close()
    desk.open()
    message = desk.queue.lock()
    assert message is not None
    assert (message.sequence, message.body, message.delivery_count) == (1, b"a", 1)
    desk.queue.purge()
    desk.close()
    desk.open()
    assert (len(desk.queue), desk.put(b"c").sequence) == (0, 3)


async def test_a_queue_that_is_dropped_begins_anew(desk: Desk) -> None:
    desk.put(b"a")
    desk.queue.close()
    assert desk.store.names() == ["q"]
    desk.store.drop("q")
    desk.queue = LockedQueue("q", desk.store, LIMITS, left=lambda *_: None, back=lambda: None)
    assert (len(desk.queue), desk.put(b"b").sequence) == (0, 1)
