import random

import pytest

from edgewire.message import UPSTREAM
from faults.inline import Bench, bodies
from faults.model_disk import ModelDisk
from gateway.observe.store import StoreTailCut
from gateway.store.errors import StoreDamaged
from gateway.store.recovery import inspect, inspect_live, shares
from gateway.store.segment import SEGMENT, Source, freed_name, segment_name
from gateway.store.values import StoreLimits

LIMITS = StoreLimits(max_bytes=1 << 20, segment_bytes=4096)


def filled(segments: int = 4) -> ModelDisk:
    """A store that was killed with some full segments and one being written."""
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    number = 0
    while number < 4 or bench.store.status().segments < segments:
        bench.append(b"%d:" % number + bytes(600))
        number += 1
    return disk.after_kill()


def segments(disk: ModelDisk) -> list[str]:
    return [name for name in disk.names() if name.endswith(".segment")]


def damaged(disk: ModelDisk) -> str:
    before = {name: bytes(inode.seen) for name, inode in disk.names_seen.items()}
    with pytest.raises(StoreDamaged) as raised:
        Bench(disk, LIMITS)
    assert {name: bytes(inode.seen) for name, inode in disk.names_seen.items()} == before, "something was changed"
    return str(raised.value)


def test_an_empty_directory_is_a_fresh_store() -> None:
    assert inspect(ModelDisk()).fresh


def test_a_creation_that_broke_off_is_begun_again() -> None:
    disk = ModelDisk()
    disk.create("positions").write_at(0, bytes(100))
    disk.create("queues.copy.new")
    assert Bench(disk).store.status().messages == 0


def test_a_torn_tail_is_cut_and_reported_at_every_byte() -> None:
    reference = filled(1)
    name = segments(reference)[0]
    content = bytes(reference.names_seen[name].seen)
    source = Source(reference.open(name), len(content))
    ends = [SEGMENT.size]
    while (header := source.header_at(ends[-1])) is not None:
        ends.append(ends[-1] + header.length)
    del ends[0]
    assert len(ends) == 4
    for end in range(SEGMENT.size + 1, ends[-1], 7):
        disk = filled(1)
        inode = disk.names_seen[name]
        inode.seen[end:] = bytes(len(content) - end)
        inode.seen[end - 1] |= 1
        bench = Bench(disk, LIMITS)
        cut = [event for event in bench.events if isinstance(event, StoreTailCut)]
        whole = [batch_end for batch_end in ends if batch_end <= end]
        assert len(bench.take()) == len(whole)
        assert [event.count for event in cut] == ([end - ([SEGMENT.size, *whole][-1])] if end not in ends else [])


def test_a_bad_batch_before_a_good_one_is_damage() -> None:
    disk = filled(1)
    name = segments(disk)[0]
    disk.names_seen[name].seen[SEGMENT.size + 100] ^= 1
    text = damaged(disk)
    assert name in text
    assert f"byte {SEGMENT.size}" in text


def test_a_body_that_looks_like_a_batch_proves_nothing() -> None:
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    bench.append(b"good")
    name = segments(disk)[0]
    start = inspect(disk).segments[0].index.end_offset
    whole = bytes(disk.names_seen[name].seen[SEGMENT.size : start])
    forged = bytearray(whole)
    forged[16:24] = (99).to_bytes(8, "little")
    bench.append(bytes(forged))
    disk.names_seen[name].seen[inspect(disk).segments[0].index.end_offset - 1] ^= 1
    assert bodies(Bench(disk.after_kill(), LIMITS).take()) == [b"good"]


def test_a_missing_segment_is_damage() -> None:
    for place in range(3):
        disk = filled()
        name = segments(disk)[place]
        disk.unlink(name)
        assert "missing" in damaged(disk)


def test_a_missing_last_segment_is_damage_once_a_checkpoint_knew_it() -> None:
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    bench.append(b"x")
    bench.store.checkpoint()
    disk = disk.after_kill()
    disk.unlink(segments(disk)[0])
    assert "were safe once and are missing" in damaged(disk)


def test_a_segment_cut_short_is_damage() -> None:
    disk = filled()
    name = segments(disk)[1]
    del disk.names_seen[name].seen[-900:]
    assert "cannot be read" in damaged(disk)


@pytest.mark.parametrize(
    ("name", "at", "what"),
    [("queues", 30, "queues"), ("positions", 20, "checkpoints"), ("segment", 3, "header"), ("segment", 20, "header")],
)
def test_bad_metadata_is_damage(name: str, at: int, what: str) -> None:
    disk = filled()
    if name == "segment":
        name = segments(disk)[0]
    disk.names_seen[name].seen[at] ^= 1
    if name == "positions":
        disk.names_seen[name].seen[8192 + at] ^= 1
    assert what in damaged(disk)


def test_a_segment_under_another_name_is_damage() -> None:
    disk = filled()
    last = segments(disk)[-1]
    disk.rename(last, segment_name(999))
    assert "999" in damaged(disk) or "missing" in damaged(disk)


def test_a_segment_of_another_store_is_damage() -> None:
    disk, other = filled(), filled()
    name = segments(disk)[0]
    disk.names_seen[name] = other.names_seen[name]
    assert "another store" in damaged(disk)


def test_a_damaged_index_is_made_again_from_the_batches() -> None:
    disk = filled()
    name = segments(disk)[0]
    disk.names_seen[name].seen[-1] ^= 1
    bench = Bench(disk, LIMITS)
    numbers = [int(body.split(b":")[0]) for body in bodies(bench.take())]
    assert numbers == list(range(len(numbers)))


def test_a_segment_made_and_never_used_is_removed() -> None:
    disk = filled(1)
    end = inspect(disk).end_sequence
    file = disk.create(segment_name(end))
    file.allocate(4096)
    file.write_at(0, b"EG")
    assert inspect(disk).leftovers == [segment_name(end)]
    bench = Bench(disk, LIMITS)
    assert segment_name(end) not in disk.names()
    assert not bench.damage


def test_files_below_the_checkpoint_are_left_over() -> None:
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    for number in range(30):
        bench.append(b"%d:" % number + bytes(600))
    keep = {name: inode for name, inode in disk.names_seen.items() if name.endswith(".segment")}
    bench.settle(bench.take(25))
    disk = disk.after_kill()
    gone = [name for name in keep if name not in disk.names()]
    assert gone
    for name in gone:
        disk.names_seen[name] = keep[name]
    assert sorted(inspect(disk).leftovers) == sorted(gone)
    assert len(Bench(disk, LIMITS).take()) >= 5
    assert not set(gone) & set(disk.names())


def test_a_freed_range_is_no_gap() -> None:
    disk = filled()
    name = segments(disk)[1]
    base, end = (int(each.split(".")[0], 16) for each in segments(disk)[1:3])
    disk.rename(name, freed_name(base, end))
    bench = Bench(disk, LIMITS)
    numbers = [entry.sequence for entry in bench.take()]
    assert numbers == [*range(1, base), *range(end, numbers[-1] + 1)]


def test_shares_count_exactly_from_a_position_inside_a_batch() -> None:
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    bench.append(b"a", b"b", b"c")
    bench.append(b"d")
    (segment,) = inspect(disk).segments
    assert shares(disk, segment, {0: 1})[0].unread == 4
    assert shares(disk, segment, {0: 3})[0].unread == 2
    assert shares(disk, segment, {0: 5}) == {}
    assert bench.store.reader(UPSTREAM).take(9, 9)


def test_looking_beside_a_running_gateway_finds_no_damage() -> None:
    disk = ModelDisk()
    bench = Bench(disk, LIMITS)
    chance = random.Random(1)
    for number in range(120):
        bench.append(b"%d" % number + bytes(chance.randint(0, 900)))
        bench.settle(bench.take(chance.randint(0, 3)))
        assert not inspect_live(disk).damage
