"""The n-th operation fails, for every n: then it is either not acknowledged or kept, and the store goes on."""

import errno
import random
from collections.abc import Callable

import pytest

from faults.inline import Bench
from faults.model_disk import ModelDisk
from faults.workload import SMALL, Ledger, Workload, everything
from gateway.observe.store import StoreFailed, StoreFull, StoreTakesAgain
from gateway.store.errors import StoreUnusable
from gateway.store.values import AppendResult, StoreState


def failing(number: int, code: int, times: int = 1) -> Callable[[str, str], None]:
    count = 0

    def before(what: str, name: str) -> None:
        nonlocal count
        count += 1
        if number <= count < number + times:
            raise OSError(code, "injected")

    return before


def start(disk: ModelDisk, ledger: Ledger, seed: int) -> Workload | None:
    try:
        return Workload(disk, ledger, seed)
    except StoreUnusable:
        return None


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("times", [1, 4])
def test_whatever_operation_fails_what_is_acknowledged_is_kept(code: int, times: int) -> None:
    for number in range(1, 260, 2):
        disk, ledger = ModelDisk(), Ledger()
        disk.before = failing(number, code, times)
        workload = start(disk, ledger, number)
        if workload is None:
            disk.before = lambda what, name: None
            workload = Workload(disk, ledger, number)
        workload.run(70)
        now = everything(workload.bench)
        ledger.check(now)
        for key, refused in ledger.refused.items():
            assert not refused & set(now.get(key, [])), "a refused message is given"
        after = Bench(disk.after_power_cut(random.Random(number)), SMALL)
        ledger.check(everything(after))


def test_a_sync_that_failed_is_not_believed_later() -> None:
    disk = ModelDisk()
    bench = Bench(disk)
    assert bench.append(b"safe") is AppendResult.STORED

    def fail_sync(what: str, name: str) -> None:
        if what == "sync":
            raise OSError(errno.EIO, "injected")

    disk.before = fail_sync
    assert bench.append(b"not safe") is AppendResult.FAILED
    assert bench.store.status().state is StoreState.FAILED
    disk.before = lambda what, name: None
    assert bench.append(b"safe again") is AppendResult.STORED
    assert [type(event) for event in bench.events if isinstance(event, StoreFailed | StoreTakesAgain)] == [
        StoreFailed,
        StoreTakesAgain,
    ]
    for seed in range(20):
        after = Bench(disk.after_power_cut(random.Random(seed)))
        assert [entry.message.body for entry in after.take()] == [b"safe", b"safe again"]


def test_a_full_disk_refuses_drains_and_takes_again() -> None:
    disk = ModelDisk(capacity=60_000)
    bench = Bench(disk, SMALL.__class__(max_bytes=1 << 30, segment_bytes=8192))
    stored = 0
    while bench.append(b"%d:" % stored + bytes(1000)) is AppendResult.STORED:
        stored += 1
    assert bench.said(StoreFull)
    assert bench.append(b"0:") in {AppendResult.FULL, AppendResult.STORED}
    taken = bench.take(stored)
    assert len(taken) >= stored
    bench.settle(taken)
    assert disk.used() < 40_000
    assert bench.append(b"%d:" % stored + bytes(1000)) is AppendResult.STORED
    assert not bench.damage


def test_positions_are_written_on_a_full_disk() -> None:
    disk = ModelDisk(capacity=60_000)
    bench = Bench(disk, SMALL.__class__(max_bytes=1 << 30, segment_bytes=8192))
    while bench.append(bytes(1000)) is AppendResult.STORED:
        pass
    disk.capacity = disk.used()
    entries = bench.take()
    bench.settle(entries[:3])
    bench.store.checkpoint()
    after = Bench(disk.after_power_cut(random.Random(0)), bench.limits)
    assert after.take(1)[0].sequence == entries[3].sequence
