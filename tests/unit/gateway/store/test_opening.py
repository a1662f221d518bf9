import errno
import random
from pathlib import Path

import pytest

from edgewire.message import UPSTREAM, Delivery
from faults.inline import Bench
from faults.model_disk import ModelDisk
from gateway.observe.store import StoreOpened
from gateway.store.errors import StoreLocked, StoreUnusable, StoreVersion
from gateway.store.files import DiskFiles
from gateway.store.opening import open_directory
from gateway.store.queues import Queues, load_queues, save_queues, write_queues
from gateway.store.values import StoreLimits

STORE = Path("data/store")


def test_a_store_in_use_is_refused() -> None:
    disk = ModelDisk()
    Bench(disk)
    with pytest.raises(StoreLocked, match="another gateway"):
        open_directory(STORE, disk, StoreLimits(), lambda event: None)


def test_a_store_of_another_version_is_refused_and_left_alone() -> None:
    disk = ModelDisk()
    Bench(disk).close()
    save_queues(disk, write_queues(Queues(version=2, store_id=bytes(16), queues=())))
    with pytest.raises(StoreVersion, match="format 2"):
        open_directory(STORE, disk, StoreLimits(), lambda event: None)
    assert not disk.locked


def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, not a directory", encoding="utf-8")
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        open_directory(tmp_path / "store", DiskFiles(tmp_path / "store"), StoreLimits(), lambda event: None)


def test_a_disk_that_fails_at_the_start_gives_the_lock_back() -> None:
    disk = ModelDisk()

    def fail(what: str, name: str) -> None:
        raise OSError(errno.EIO, "injected")

    disk.before = fail
    with pytest.raises(StoreUnusable, match="injected"):
        open_directory(STORE, disk, StoreLimits(), lambda event: None)
    assert not disk.locked


def test_a_start_says_what_waits() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"a", b"b")
    bench.reopen()
    assert [event.messages for event in bench.said(StoreOpened) if isinstance(event, StoreOpened)] == [0, 2]


def test_a_queue_with_nothing_left_gives_its_number_back_and_old_records_stay_settled() -> None:
    disk = ModelDisk()
    bench = Bench(disk)
    bench.append(b"old", deliveries=(Delivery(UPSTREAM, 0),))
    bench.append(b"kept", deliveries=(Delivery(UPSTREAM, 5),))
    bench.settle([entry for entry in bench.take() if entry.priority == 0])
    for _ in range(2):  # the second time nothing but the checkpoint tells
        bench.reopen()
        assert [(queue.priority, queue.messages) for queue in bench.store.status().queues] == [(5, 1)]
    bench.append(b"new", deliveries=(Delivery(UPSTREAM, 9),))
    table = load_queues(disk)
    assert table is not None
    assert {(queue.queue_id, queue.priority) for queue in table.queues} == {(0, 9), (1, 5)}
    bench.reopen()
    assert [entry.message.body for entry in bench.take()] == [b"kept", b"new"]


def test_a_range_whose_emptying_broke_off_is_emptied() -> None:
    disk = ModelDisk()
    bench = Bench(disk, StoreLimits(max_bytes=1 << 20, segment_bytes=4096))
    for number in range(20):
        bench.append(bytes(600), deliveries=(Delivery(UPSTREAM, 0 if number else 9),))

    def fail(what: str, name: str) -> None:
        if what == "truncate" and name.endswith(".freed"):
            raise OSError(errno.EIO, "injected")

    disk.before = fail
    bench.settle([entry for entry in bench.take() if entry.priority == 0])
    freed = [name for name in disk.names() if name.endswith(".freed")]
    assert freed
    disk = disk.after_kill()
    Bench(disk, bench.limits)
    assert all(not disk.names_seen[name].seen for name in freed)


def test_positions_whose_sync_failed_are_on_the_disk_before_anything_is_removed_because_of_them() -> None:
    def fail_positions(what: str, name: str) -> None:
        if (what, name) == ("sync", "positions"):
            raise OSError(errno.EIO, "injected")

    disk, small = ModelDisk(), StoreLimits(max_bytes=1 << 20, segment_bytes=4096)
    bench = Bench(disk, small)
    for _ in range(4):
        bench.append(bytes(3_000))
    disk.before = fail_positions
    bench.settle(bench.take(2))
    Bench(disk.after_kill(), small)
    for seed in range(20):
        assert Bench(disk.after_power_cut(random.Random(seed)), small).take()
