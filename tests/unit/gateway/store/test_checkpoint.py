import errno
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.model_disk import ModelDisk
from gateway.store.checkpoint import (
    NAME,
    SLOT_BYTES,
    Positions,
    PositionsFile,
    create_positions,
    load_positions,
    read_slot,
    write_slot,
)
from gateway.store.values import MAX_QUEUES

POSITIONS = Positions(first_sequence=3, next_sequence=9, lowest_unsettled=(3, 8))
GOLDEN = bytes.fromhex(
    "4547504f 06853714 0100 0000 02000000 0700000000000000"  # version 1, 2 queues, generation 7
    "0300000000000000 0900000000000000 ffffffffffffffff 0000000000000000"  # first 3, next 9, no damage
    "0300000000000000 0800000000000000"
)


def test_slot_bytes_are_version_1() -> None:
    assert write_slot(POSITIONS, 7) == GOLDEN
    assert read_slot(GOLDEN + bytes(10)) == (7, POSITIONS)


def test_a_slot_cut_or_changed_is_not_taken() -> None:
    for at in range(len(GOLDEN)):
        assert read_slot(GOLDEN[:at]) is None
        mangled = bytearray(GOLDEN)
        mangled[at] ^= 1
        assert read_slot(bytes(mangled)) is None


@given(st.binary(max_size=100))
def test_other_bytes_are_no_slot(data: bytes) -> None:
    assert read_slot(data) is None


def test_every_queue_there_can_be_has_room() -> None:
    full = Positions(first_sequence=1, next_sequence=1, lowest_unsettled=tuple(range(MAX_QUEUES)))
    assert len(write_slot(full, 1)) <= SLOT_BYTES


def test_a_queue_starts_where_it_was_made() -> None:
    assert POSITIONS.of(1, since=2) == 8
    assert POSITIONS.of(1, since=20) == 20
    assert POSITIONS.of(5, since=4) == 4


def test_the_newest_of_two_slots_counts() -> None:
    disk = ModelDisk()
    create_positions(disk, POSITIONS)
    for number in range(10, 15):
        file = PositionsFile.opened(disk.open(NAME))
        file.write(Positions(first_sequence=number, next_sequence=number))
        file.close()
        found = load_positions(disk)
        assert found is not None
        assert found.first_sequence == number


def test_a_torn_slot_leaves_the_one_before() -> None:
    for seed in range(40):
        disk = ModelDisk()
        create_positions(disk, POSITIONS)
        disk.open(NAME).write_at(SLOT_BYTES, write_slot(Positions(first_sequence=8, next_sequence=9), 2))
        found = load_positions(disk.after_power_cut(random.Random(seed)))
        assert found is not None
        assert found.first_sequence in {3, 8}


def test_a_slot_that_failed_is_written_again_before_the_good_one() -> None:
    disk = ModelDisk()
    create_positions(disk, POSITIONS)
    file = PositionsFile.opened(disk.open(NAME))

    def fail(what: str, name: str) -> None:
        if what == "sync":
            raise OSError(errno.EIO, "injected")

    disk.before = fail
    for number in range(3):
        with pytest.raises(OSError, match="injected"):
            file.write(Positions(first_sequence=50 + number, next_sequence=90))
    good = read_slot(disk.open_to_read(NAME).read_at(0, SLOT_BYTES))
    assert good == (1, POSITIONS)


def test_neither_slot_whole_is_no_checkpoint() -> None:
    disk = ModelDisk()
    disk.create(NAME).write_at(0, bytes(2 * SLOT_BYTES))
    assert load_positions(disk) is None


def test_damage_is_kept() -> None:
    positions = Positions(first_sequence=1, next_sequence=2, damaged_segment=1, damaged_offset=77)
    assert read_slot(write_slot(positions, 1)) == (1, positions)
