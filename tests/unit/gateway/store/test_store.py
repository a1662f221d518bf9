import asyncio
import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from edgewire.errors import UsageError
from edgewire.message import UPSTREAM, Delivery, module_input
from faults.inline import TO_CLOUD, Bench, InlineRunner, bodies, finish, message
from faults.model_disk import ModelDisk
from gateway.observe.events import Event
from gateway.observe.store import (
    CheckpointFailed,
    MessagesDropped,
    MessagesExpired,
    MessagesRefused,
    RefusalReason,
    StoreFailed,
    StoreFull,
    StoreTakesAgain,
)
from gateway.store.errors import StoreDamaged
from gateway.store.store import Store
from gateway.store.values import MAX_QUEUES, AppendResult, StoreLimits, StoreState, WhenFull

T = TypeVar("T")

MODULE = module_input("m", "i")
SMALL = StoreLimits(max_bytes=20_000, segment_bytes=4096)
DROP = StoreLimits(max_bytes=20_000, segment_bytes=4096, when_full=WhenFull.DROP_OLDEST)


def fill(bench: Bench, size: int = 900) -> int:
    count = 0
    while bench.append(b"%d:" % count + bytes(size)) is AppendResult.STORED:
        count += 1
    return count


def disk_of(bench: Bench) -> ModelDisk:
    assert isinstance(bench.files, ModelDisk)
    return bench.files


def test_an_entry_is_the_message_that_was_appended() -> None:
    bench = Bench(ModelDisk())
    sent = message(b"body", "board")
    bench.store.append([(sent, (Delivery(UPSTREAM, 3, 60),))], lambda result: None)
    (entry,) = bench.take()
    assert entry.message == sent
    assert (entry.endpoint, entry.priority, entry.sequence) == (UPSTREAM, 3, 1)
    assert entry.received_at_ms == int(bench.clock.now * 1000)
    assert entry.expires_at_ms == entry.received_at_ms + 60_000


def test_entry_ids_are_the_same_after_a_restart() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"a", b"b")
    before = [entry.entry_id for entry in bench.take()]
    bench.reopen()
    assert [entry.entry_id for entry in bench.take()] == before
    assert len(set(before)) == 2


def test_what_is_settled_does_not_come_again_after_a_restart() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"a", b"b", b"c")
    bench.settle(bench.take(2))
    bench.reopen()
    assert bodies(bench.take()) == [b"c"]


def test_sequences_never_go_back_even_when_all_is_settled() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"a")
    bench.settle(bench.take())
    for _ in range(2):
        bench.reopen()
    bench.append(b"b")
    assert bench.take()[0].sequence == 2
    assert [name for name in disk_of(bench).names() if name.endswith(".segment")] == ["0000000000000002.segment"]


def test_a_message_that_goes_nowhere_is_not_written() -> None:
    bench = Bench(ModelDisk())
    written = disk_of(bench).written_bytes
    assert bench.append(b"x", deliveries=()) is AppendResult.STORED
    assert disk_of(bench).written_bytes == written


def test_a_message_for_two_endpoints_is_written_once_and_each_has_its_position() -> None:
    bench = Bench(ModelDisk())
    bench.append(bytes(5000), deliveries=(Delivery(UPSTREAM), Delivery(MODULE)))
    assert bench.store.status().bytes < 6000
    assert bench.store.status().messages == 2
    bench.settle(bench.take())
    bench.reopen()
    assert bench.take() == []
    assert len(bench.store.reader(MODULE).take(9, 9)) == 1


def test_endpoints_with_a_backlog_are_there_after_a_restart() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"x", deliveries=(Delivery(MODULE, 4),))
    bench.reopen()
    assert bench.store.endpoints() == (MODULE,)
    assert bench.store.reader(MODULE) is bench.store.reader(MODULE)


def test_a_full_store_refuses_and_takes_again_as_space_comes_back() -> None:
    bench = Bench(ModelDisk(), SMALL)
    stored = fill(bench)
    assert bench.store.status().state is StoreState.FULL
    assert bench.said(StoreFull) == [StoreFull(reason=RefusalReason.BYTE_CAP)]
    assert bench.append(bytes(900)) is AppendResult.FULL
    assert bench.said(MessagesRefused)[-1] == MessagesRefused(reason=RefusalReason.BYTE_CAP, count=1)
    assert len(bench.said(StoreFull)) == 1
    taken = bench.take()
    assert len(taken) == stored
    bench.settle(taken[:6])
    assert bench.append(b"fits") is AppendResult.STORED
    assert bench.said(StoreTakesAgain) == [StoreTakesAgain()]


@pytest.mark.parametrize("limits", [SMALL, DROP])
def test_the_disk_never_holds_more_than_the_cap_and_one_segment(limits: StoreLimits) -> None:
    disk = ModelDisk()
    bench = Bench(disk, limits)
    metadata = disk.used()
    most = 0

    def watch(what: str, name: str) -> None:
        nonlocal most
        most = max(most, disk.used())

    disk.before = watch
    for number in range(150):
        bench.append(b"%d:" % number + bytes(700))
        if number % 3 == 0:
            bench.settle(bench.take(2))
    assert most <= limits.max_bytes + limits.effective_segment_bytes() + metadata + 500


def test_drop_oldest_drops_whole_segments_and_counts_what_was_not_settled() -> None:
    bench = Bench(ModelDisk(), DROP)
    for number in range(60):
        assert bench.append(b"%d:" % number + bytes(900)) is AppendResult.STORED
        if number == 3:
            bench.settle(bench.take(1))
            taken = bench.take(1)
    dropped = sum(event.count for event in bench.said(MessagesDropped) if isinstance(event, MessagesDropped))
    left = [int(body.split(b":")[0]) for body in bodies(bench.take())]
    assert left == list(range(left[0], 60))
    assert dropped == left[0] - 1
    bench.settle(taken)
    bench.store.reader(UPSTREAM).release()
    assert len(bench.take()) == len(left)
    bench.reopen()
    assert len(bench.take()) == len(left)


def test_a_message_larger_than_the_cap_is_refused_under_either_policy() -> None:
    for limits in (SMALL, DROP):
        assert Bench(ModelDisk(), limits).append(bytes(30_000)) is AppendResult.FULL


def test_an_endpoint_that_is_away_does_not_hold_the_space_of_others() -> None:
    bench = Bench(ModelDisk(), SMALL)
    bench.append(b"for the module", deliveries=(Delivery(MODULE),))
    for _ in range(200):
        assert bench.append(bytes(900)) is AppendResult.STORED
        bench.settle(bench.take())
    bench.reopen()
    assert bodies(bench.store.reader(MODULE).take(9, 999)) == [b"for the module"]
    bench.store.reader(MODULE).settle(bench.store.reader(MODULE).take(9, 999))


def test_freed_ranges_go_with_what_was_before_them() -> None:
    bench = Bench(ModelDisk(), SMALL)
    bench.append(b"for the module", deliveries=(Delivery(MODULE),))
    for _ in range(40):
        bench.append(bytes(900))
        bench.settle(bench.take())
    assert any(name.endswith(".freed") for name in disk_of(bench).names())
    reader = bench.store.reader(MODULE)
    reader.settle(reader.take(1, 1))
    assert not any(name.endswith(".freed") for name in disk_of(bench).names())


def test_expired_segments_go_without_being_read() -> None:
    bench = Bench(ModelDisk(), SMALL)
    while bench.append(bytes(900), deliveries=(Delivery(MODULE, 0, 60),)) is AppendResult.STORED:
        pass
    full = bench.store.status().bytes
    bench.clock.now += 61
    assert bench.append(bytes(900)) is AppendResult.STORED
    assert bench.store.status().bytes < full / 2
    expired = sum(event.count for event in bench.said(MessagesExpired) if isinstance(event, MessagesExpired))
    assert expired >= 10
    assert bench.store.reader(MODULE).take(9, 9) == []


def test_the_sweep_comes_by_itself_while_something_waits() -> None:
    bench = Bench(ModelDisk(), SMALL)
    bench.append(b"x", deliveries=(Delivery(MODULE, 0, 5),))
    bench.clock.now += 6
    for timer in list(bench.runner.timers):
        timer()
    assert bench.store.status().messages == 0


def test_an_idle_store_has_no_timer() -> None:
    bench = Bench(ModelDisk())
    assert bench.runner.timers == []
    bench.append(b"x")
    bench.settle(bench.take())
    for _ in range(3):
        for timer in list(bench.runner.timers):
            bench.runner.timers.remove(timer)
            timer()
    assert bench.runner.timers == []


def test_too_many_queues_are_refused() -> None:
    bench = Bench(ModelDisk())
    for priority in range(MAX_QUEUES):
        assert bench.append(b"", deliveries=(Delivery(MODULE, priority),)) is AppendResult.STORED
    assert bench.append(b"", deliveries=(Delivery(MODULE, MAX_QUEUES),)) is AppendResult.FULL
    assert bench.said(StoreFull) == [StoreFull(reason=RefusalReason.TOO_MANY_QUEUES)]


def test_a_checkpoint_that_fails_is_tried_again_and_frees_then() -> None:
    bench = Bench(ModelDisk(), SMALL)
    fill(bench)
    disk = disk_of(bench)

    def fail(what: str, name: str) -> None:
        if name == "positions":
            raise OSError(errno.EIO, "injected")

    disk.before = fail
    bench.settle(bench.take())
    assert bench.said(CheckpointFailed)
    names = len(disk.names())
    disk.before = lambda what, name: None
    bench.store.checkpoint()
    assert len(disk.names()) < names


def test_a_bug_on_the_thread_is_answered_and_shown_and_the_store_goes_on() -> None:
    bench = Bench(ModelDisk())
    results: list[AppendResult] = []

    def fail(what: str, name: str) -> None:
        if what == "sync":
            raise ValueError("no such thing")

    disk_of(bench).before = fail
    with pytest.raises(ValueError, match="no such thing"):
        bench.store.append([(message(b"a"), TO_CLOUD)], results.append)
    assert results == [AppendResult.FAILED]
    assert bench.said(StoreFailed) == [StoreFailed("ValueError: no such thing")]
    disk_of(bench).before = lambda what, name: None
    assert bench.append(b"b") is AppendResult.STORED
    assert bodies(bench.take()) == [b"b"]


def test_damage_found_in_the_background_stops_this_and_the_next_start() -> None:
    bench = Bench(ModelDisk(), SMALL)
    fill(bench)
    bench.reopen()
    name = "0000000000000001.segment"
    disk_of(bench).names_seen[name].seen[300] ^= 1
    bench.runner.run_background()
    assert name in str(bench.damage[0])
    with pytest.raises(StoreDamaged, match="while the gateway ran"):
        bench.reopen()


def test_status_names_what_waits_for_whom() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"x", deliveries=(Delivery(MODULE, 4), Delivery(UPSTREAM, 0)))
    bench.clock.now += 5
    bench.append(b"y")
    status = bench.store.status()
    waiting = [(str(each.endpoint), each.priority, each.messages) for each in status.queues]
    assert waiting == [("$upstream", 0, 1), ("$upstream", 2_000_000_000, 1), ("/modules/m/inputs/i", 4, 1)]
    assert [each.oldest_at_ms for each in status.queues] == [1_700_000_000_000, 1_700_000_005_000, 1_700_000_000_000]
    assert all(each.bytes > 0 for each in status.queues)


def test_a_closed_store_takes_nothing() -> None:
    bench = Bench(ModelDisk())
    bench.close()
    bench.close()
    with pytest.raises(UsageError):
        bench.append(b"x")


class HeldRunner(InlineRunner):
    """Jobs wait until they are let go, as behind a slow disk."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Callable[[], None]] = []

    def submit(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        self.jobs.append(lambda: then(job()))

    def let_go(self, count: int = 1) -> None:
        for _ in range(count):
            self.jobs.pop(0)()


def held(limits: StoreLimits | None = None) -> tuple[Store, HeldRunner, ModelDisk]:
    disk, runner = ModelDisk(), HeldRunner()
    store = Store.open(
        Path("data/store"), limits or StoreLimits(), lambda event: None, lambda: 0.0, files=disk, runner=runner
    )
    return store, runner, disk


def test_what_comes_while_the_disk_is_busy_is_one_commit() -> None:
    store, runner, _ = held()
    told: list[int] = []

    def append(number: int) -> None:
        store.append([(message(b"x"), TO_CLOUD)], lambda _: told.append(number))

    for number in range(10):
        append(number)
    assert (len(runner.jobs), told) == (1, [])
    runner.let_go()
    assert told == [0]
    runner.let_go()
    assert told == list(range(10))


def test_answers_come_in_the_order_of_the_appends_whatever_they_are() -> None:
    store, runner, _ = held(SMALL)
    told: list[tuple[str, AppendResult]] = []

    def append(name: str, size: int, deliveries: tuple[Delivery, ...] = TO_CLOUD) -> None:
        store.append([(message(bytes(size)), deliveries)], lambda result: told.append((name, result)))

    append("a", 10)
    append("nowhere", 10, ())
    append("too large", 50_000)
    append("nowhere either", 10, ())
    runner.let_go()
    stored = AppendResult.STORED
    assert told == [("a", stored), ("nowhere", stored), ("too large", AppendResult.FULL), ("nowhere either", stored)]


def test_what_was_appended_behind_a_refusal_is_refused_until_the_refusal_is_told() -> None:
    store, runner, _ = held(SMALL)
    told: list[tuple[str, AppendResult]] = []

    def append(name: str, size: int) -> None:
        store.append([(message(bytes(size)), TO_CLOUD)], lambda result: told.append((name, result)))

    append("a", 10)
    append("too large", 50_000)
    append("would fit", 10)
    runner.let_go()
    append("b", 10)
    runner.let_go()
    stored, full = AppendResult.STORED, AppendResult.FULL
    assert told == [("a", stored), ("too large", full), ("would fit", full), ("b", stored)]


def test_what_was_appended_behind_a_failure_fails_too() -> None:
    store, runner, disk = held()
    told: list[AppendResult] = []
    for _ in range(3):
        store.append([(message(b"x"), TO_CLOUD)], told.append)

    def fail(what: str, name: str) -> None:
        raise OSError(errno.EIO, "injected")

    disk.before = fail
    runner.let_go()
    assert told == [AppendResult.FAILED] * 3
    assert runner.jobs == []


def test_what_waits_for_the_disk_is_bounded_in_commits_and_in_memory() -> None:
    store, runner, _ = held(StoreLimits(max_batch_bytes=1000, max_uncommitted_bytes=5000))
    told: list[AppendResult] = []
    for _ in range(10):
        store.append([(message(bytes(700)), TO_CLOUD)], told.append)
    while runner.jobs:
        runner.let_go()
    assert told.count(AppendResult.STORED) == 6
    assert told.count(AppendResult.FULL) == 4
    store.append([(message(b""), TO_CLOUD)], told.append)
    runner.let_go()
    assert told[-1] is AppendResult.STORED


def test_a_caller_with_a_bug_keeps_no_other_from_its_answer() -> None:
    store, runner, _ = held()
    told: list[AppendResult] = []

    def broken(result: AppendResult) -> None:
        raise ZeroDivisionError

    store.append([(message(b"x"), TO_CLOUD)], told.append)
    store.append([(message(b"x"), TO_CLOUD)], broken)
    store.append([(message(b"x"), TO_CLOUD)], told.append)
    runner.let_go()
    with pytest.raises(ZeroDivisionError):
        runner.let_go()
    assert told == [AppendResult.STORED] * 2


async def test_on_a_real_disk_the_thread_answers_on_the_loop(tmp_path: Path) -> None:
    events: list[Event] = []
    others = threading.enumerate()
    store = Store.open(tmp_path / "store", StoreLimits(), events.append)
    told = asyncio.get_running_loop().create_future()

    def done(result: AppendResult) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.set_result(result)

    store.append([(message(b"x"), TO_CLOUD)], done)
    assert not told.done()
    assert await asyncio.wait_for(told, 30) is AppendResult.STORED
    reader = store.reader(UPSTREAM)
    reader.settle(reader.take(9, 9))
    await store.flush()
    await store.close()
    assert set(threading.enumerate()) <= set(others)
    again = Store.open(tmp_path / "store", StoreLimits(), events.append)
    assert again.status().messages == 0
    await again.close()


async def test_closing_waits_for_what_was_appended(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", StoreLimits(), lambda event: None)
    told: list[AppendResult] = []
    for _ in range(5):
        store.append([(message(b"x"), TO_CLOUD)], told.append)
    await asyncio.wait_for(store.close(), 30)
    assert told == [AppendResult.STORED] * 5


def test_opening_without_a_loop_locks_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        Store.open(tmp_path / "store", StoreLimits(), lambda event: None)
    assert not (tmp_path / "store").exists()


def test_bytes_on_disk_stay_near_the_payload() -> None:
    disk = ModelDisk()
    bench = Bench(disk)
    before = disk.written_bytes
    payload = 0
    for _ in range(50):
        for body in (b"x" * 256,) * 100:
            payload += len(body) + 60  # the envelope of `message` has more than that
        bench.append(*(b"x" * 256,) * 100)
    assert disk.written_bytes - before <= 1.3 * payload
    finish(bench.store.close())
