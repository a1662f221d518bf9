from pathlib import Path

import pytest

from edgewire.message import UPSTREAM, Delivery, module_input
from faults.inline import Bench
from faults.model_disk import ModelDisk
from gateway.store.errors import StoreDamaged, StoreVersion
from gateway.store.queues import Queues, save_queues, write_queues
from gateway.store.status import read_status
from gateway.store.values import StoreLimits

STORE = Path("data/store")


def test_no_store_is_no_status() -> None:
    assert read_status(STORE, ModelDisk()) is None


def test_the_files_say_what_the_running_store_says() -> None:
    disk = ModelDisk()
    bench = Bench(disk, StoreLimits(max_bytes=1 << 20, segment_bytes=4096))
    for number in range(40):
        both = (Delivery(UPSTREAM, 0), Delivery(module_input("m", "i"), 5))
        bench.append(bytes(number * 20), b"x", deliveries=both)
    bench.settle(bench.take(33))
    bench.store.checkpoint()
    found = read_status(STORE, disk)
    running = bench.store.status()
    assert found is not None
    for mine, theirs in zip(found.queues, running.queues, strict=True):
        assert (mine.endpoint, mine.priority, mine.messages) == (theirs.endpoint, theirs.priority, theirs.messages)
        assert mine.bytes == theirs.bytes
        assert mine.oldest_at_ms == theirs.oldest_at_ms
    assert found.next_sequence == running.next_sequence
    assert found.segments == running.segments


def test_files_set_aside_are_counted() -> None:
    disk = ModelDisk()
    Bench(disk)
    disk.create("0000000000000001.segment.damaged").write_at(0, b"12345")
    found = read_status(STORE, disk)
    assert found is not None
    assert (found.set_aside_files, found.set_aside_bytes) == (1, 5)


def test_damage_and_other_versions_are_said() -> None:
    disk = ModelDisk()
    Bench(disk)
    disk.names_seen["positions"].seen.clear()
    with pytest.raises(StoreDamaged):
        read_status(STORE, disk)
    save_queues(disk, write_queues(Queues(version=3, store_id=bytes(16), queues=())))
    with pytest.raises(StoreVersion):
        read_status(STORE, disk)
