import random
from pathlib import Path

import pytest

from edgewire.message import UPSTREAM, Delivery
from faults.inline import Bench, bodies
from faults.model_disk import ModelDisk
from gateway.store.errors import StoreDamaged, StoreLocked, StoreVersion
from gateway.store.queues import Queues, save_queues, write_queues
from gateway.store.recovery import inspect
from gateway.store.repair import Lost, RepairReport, repair
from gateway.store.segment import SEGMENT
from gateway.store.values import StoreLimits
from gateway.store.verify import verify

STORE = Path("data/store")
LIMITS = StoreLimits(max_bytes=1 << 20, segment_bytes=4096)
TO_CLOUD = (Delivery(UPSTREAM, 0),)


def filled(count: int = 20, *, checkpoint: bool = True) -> ModelDisk:
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    for number in range(1, count + 1):
        bench.append(b"%d:" % number + bytes(600), deliveries=TO_CLOUD)
    if checkpoint:
        bench.store.checkpoint()
    return disk.after_kill()


def segments(disk: ModelDisk) -> list[str]:
    return [name for name in disk.names() if name.endswith(".segment")]


def repaired(disk: ModelDisk) -> RepairReport:
    report = repair(STORE, disk)
    assert report is not None
    checked = verify(STORE, disk)
    assert checked is not None
    assert checked.damage == ()
    return report


def numbers(disk: ModelDisk) -> list[int]:
    return [int(body.split(b":")[0]) for body in bodies(Bench(disk, LIMITS).take())]


def test_nothing_is_done_to_a_sound_store() -> None:
    disk = filled()
    before = {name: bytes(inode.seen) for name, inode in disk.names_seen.items()}
    report = repaired(disk)
    assert (report.done, report.lost, report.set_aside) == ([], [], [])
    assert {name: bytes(inode.seen) for name, inode in disk.names_seen.items()} == before
    assert repair(STORE, ModelDisk()) is None


def test_a_bad_batch_costs_that_batch_and_no_other() -> None:
    for place in range(4):
        disk = filled()
        name = segments(disk)[place]
        base = int(name.split(".")[0], 16)
        original = bytearray(disk.names_seen[name].seen)
        disk.names_seen[name].seen[SEGMENT.size + 750] ^= 1  # in the second batch
        damaged = bytes(disk.names_seen[name].seen)
        report = repaired(disk)
        assert report.lost == [Lost(base + 1, base + 2)]
        assert report.lost_records == 1
        assert numbers(disk) == [number for number in range(1, 21) if number != base + 1]
        assert bytes(disk.names_seen[report.set_aside[0]].seen) == damaged != bytes(original)


def test_a_bad_first_batch_leaves_the_rest() -> None:
    disk = filled()
    disk.names_seen[segments(disk)[0]].seen[SEGMENT.size + 5] ^= 1
    assert repaired(disk).lost == [Lost(1, 2)]
    assert numbers(disk) == list(range(2, 21))


def test_a_bad_segment_header_costs_nothing() -> None:
    disk = filled()
    disk.names_seen[segments(disk)[1]].seen[5] ^= 1
    report = repaired(disk)
    assert report.lost == []
    assert len(report.set_aside) == 1
    assert numbers(disk) == list(range(1, 21))


def test_a_missing_segment_is_named_as_lost() -> None:
    disk = filled()
    _, second, third = segments(disk)[:3]
    disk.unlink(second)
    lost = Lost(int(second.split(".")[0], 16), int(third.split(".")[0], 16))
    assert repaired(disk).lost == [lost]
    assert numbers(disk) == [number for number in range(1, 21) if not lost.first <= number < lost.end]


def test_a_missing_end_is_named_as_lost_and_its_sequences_are_not_used_again() -> None:
    disk = filled()
    last = segments(disk)[-1]
    disk.unlink(last)
    base = int(last.split(".")[0], 16)
    assert repaired(disk).lost == [Lost(base, 21)]
    bench = Bench(disk, LIMITS)
    bench.append(b"21:", deliveries=TO_CLOUD)
    assert [entry.sequence for entry in bench.take()] == [*range(1, base), 21]


def test_a_bad_end_that_was_safe_is_set_aside_not_cut() -> None:
    disk = filled()
    last = segments(disk)[-1]
    content = disk.names_seen[last].seen
    content[content.rindex(b"EGBT") + 60] ^= 1
    with pytest.raises(StoreDamaged):
        Bench(disk, LIMITS)
    report = repaired(disk)
    assert report.lost == [Lost(20, 21)]
    assert report.set_aside == [last + ".damaged"]
    assert numbers(disk) == list(range(1, 20))


def test_a_torn_end_is_left_for_the_next_start() -> None:
    disk = filled(checkpoint=False)
    last = segments(disk)[-1]
    content = disk.names_seen[last].seen
    content[content.rindex(b"EGBT") + 60] ^= 1
    assert repaired(disk).done == []
    assert numbers(disk) == list(range(1, 20))


def test_what_was_settled_anyway_is_not_called_lost() -> None:
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    for number in range(4):
        bench.append(b"%d" % number + bytes(600), deliveries=TO_CLOUD)
    bench.settle(bench.take(2))
    bench.store.checkpoint()
    disk = disk.after_kill()
    disk.names_seen[segments(disk)[0]].seen[SEGMENT.size + 5] ^= 1
    assert repaired(disk).lost == []
    assert len(Bench(disk, LIMITS).take()) == 2


def test_bad_positions_send_everything_again() -> None:
    disk = filled()
    disk.names_seen["positions"].seen[:] = bytes(100)
    report = repaired(disk)
    assert report.set_aside == ["positions.damaged"]
    assert "sent again" in report.done[0] or "sent before" in report.done[0]
    assert numbers(disk) == list(range(1, 21))


def test_the_table_of_queues_comes_from_its_copy() -> None:
    disk = filled()
    disk.names_seen["queues"].seen[9] ^= 1
    assert "queues.copy" in repaired(disk).done[0]
    assert numbers(disk) == list(range(1, 21))


def test_without_any_table_everything_is_kept_aside() -> None:
    disk = filled()
    count = len(segments(disk))
    for name in ("queues", "queues.copy"):
        disk.names_seen[name].seen.clear()
    report = repair(STORE, disk)
    assert report is not None
    assert len(report.set_aside) == count + 3
    assert Bench(disk, LIMITS).store.status().messages == 0


def test_damage_that_was_found_while_running_is_forgotten_once_repaired() -> None:
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    bench.append(b"1:", deliveries=TO_CLOUD)
    end = bench.store.status().bytes
    bench.append(b"2:", deliveries=TO_CLOUD)
    disk.names_seen[segments(disk)[0]].seen[end + 70] ^= 1
    bench.take()
    bench.close()
    with pytest.raises(StoreDamaged):
        Bench(disk, LIMITS)
    assert repaired(disk).lost == [Lost(2, 3)]
    assert numbers(disk) == [1]


def test_a_segment_of_another_store_is_set_aside() -> None:
    disk, other = filled(), filled()
    name = segments(disk)[1]
    disk.names_seen[name] = other.names_seen[name]
    assert repaired(disk).set_aside == [name + ".damaged"]


def test_what_was_set_aside_before_is_kept() -> None:
    disk = filled()
    name = segments(disk)[0]
    disk.create(name + ".damaged").write_at(0, b"from last time")
    disk.names_seen[name].seen[SEGMENT.size + 5] ^= 1
    assert repaired(disk).set_aside == [name + ".damaged-2"]
    assert bytes(disk.names_seen[name + ".damaged"].seen) == b"from last time"


def test_a_store_in_use_or_of_another_version_is_left_alone() -> None:
    disk = ModelDisk()
    bench = Bench(disk)
    with pytest.raises(StoreLocked):
        repair(STORE, disk)
    bench.close()
    save_queues(disk, write_queues(Queues(version=3, store_id=bytes(16), queues=())))
    with pytest.raises(StoreVersion):
        repair(STORE, disk)
    assert not disk.locked


def test_any_damage_at_all_can_be_repaired_and_costs_only_what_it_hit() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        disk = filled()
        names = [name for name in disk.names() if not name.startswith("queues")]
        hit = chance.choice(names)
        content = disk.names_seen[hit].seen
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        report = repaired(disk)
        left = numbers(disk)
        gone = {number for lost in report.lost for number in range(lost.first, lost.end)}
        assert left == [number for number in range(1, 21) if number not in gone]
        assert len(gone) <= 4
        assert not inspect(disk).damage
