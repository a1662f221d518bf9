"""How far each queue is settled: the file `positions`, two slots of fixed size, written in turn.

Fixed size, because settling must go on when the disk is full: that is how it becomes free. A slot is written only over
the older one, so whatever a power cut leaves of it, the other one stands.

A slot: magic, CRC-32 of the rest, version, number of queues, generation, first sequence that must still be there, next
sequence, damaged segment and offset (all ones for none); then per queue number its lowest unsettled sequence.
"""

import zlib
from dataclasses import dataclass, field
from struct import Struct

from gateway.store.files import File, Files
from gateway.store.segment import VERSION
from gateway.store.values import MAX_QUEUES

NAME = "positions"
MAGIC = b"EGPO"
SLOT = Struct("<4sIHHIQQQQQ")  # magic, CRC-32, version, 0, queues, generation, first, next, damage: segment, offset
SLOT_BYTES = 8192
NO_DAMAGE = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """How far the store is. A queue beyond the list has its position from when it was made."""

    first_sequence: int
    next_sequence: int
    lowest_unsettled: tuple[int, ...] = field(default=())
    damaged_segment: int | None = None
    damaged_offset: int = 0
    version: int = VERSION

    def of(self, queue_id: int, since: int) -> int:
        """The lowest unsettled sequence of a queue that is used from `since` on."""
        if queue_id < len(self.lowest_unsettled):
            return max(self.lowest_unsettled[queue_id], since)
        return since


def write_slot(positions: Positions, generation: int) -> bytes:
    """The bytes of a slot, as long as needed."""
    count = len(positions.lowest_unsettled)
    rest = SLOT.pack(
        MAGIC,
        0,
        positions.version,
        0,
        count,
        generation,
        positions.first_sequence,
        positions.next_sequence,
        NO_DAMAGE if positions.damaged_segment is None else positions.damaged_segment,
        positions.damaged_offset,
    )[8:] + Struct(f"<{count}Q").pack(*positions.lowest_unsettled)
    return MAGIC + zlib.crc32(rest).to_bytes(4, "little") + rest


def read_slot(data: bytes) -> tuple[int, Positions] | None:
    """Generation and positions of a slot; None if it is not whole or not ours."""
    if len(data) < SLOT.size:
        return None
    magic, crc, version, _, count, generation, first, next_, segment, offset = SLOT.unpack_from(data)
    end = SLOT.size + 8 * count
    if magic != MAGIC or count > MAX_QUEUES or end > len(data) or zlib.crc32(data[8:end]) != crc:
        return None
    return generation, Positions(
        first_sequence=first,
        next_sequence=next_,
        lowest_unsettled=Struct(f"<{count}Q").unpack_from(data, SLOT.size),
        damaged_segment=None if segment == NO_DAMAGE else segment,
        damaged_offset=offset,
        version=version,
    )


class PositionsFile:
    """The file, open. `write` replaces the older slot; one that failed is written again before the other one."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._generation = 0
        self._slot = 0

    @classmethod
    def opened(cls, file: File) -> "PositionsFile":
        """The file, ready to be written: it knows which slot is the older one."""
        positions = cls(file)
        positions.read()
        return positions

    def read(self) -> Positions | None:
        """The newest positions; None if neither slot is whole."""
        newest: Positions | None = None
        for slot in (0, 1):
            found = read_slot(self._file.read_at(slot * SLOT_BYTES, SLOT_BYTES))
            if found is not None and found[0] > self._generation:
                self._generation, newest = found
                self._slot = 1 - slot
        return newest

    def write(self, positions: Positions) -> None:
        """Return once the positions are on the disk."""
        self._file.write_at(self._slot * SLOT_BYTES, write_slot(positions, self._generation + 1))
        self._file.sync()
        self._generation += 1
        self._slot = 1 - self._slot

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def load_positions(files: Files) -> Positions | None:
    """The newest positions; None if the file is damaged. Raises FileNotFoundError."""
    file = PositionsFile(files.open_to_read(NAME))
    try:
        return file.read()
    finally:
        file.close()


def create_positions(files: Files, positions: Positions) -> None:
    """Make the file, in full size, and return once it is on the disk."""
    file = files.create(NAME + ".new")
    try:
        file.write_at(0, bytes(2 * SLOT_BYTES))
        PositionsFile(file).write(positions)
    finally:
        file.close()
    files.rename(NAME + ".new", NAME)
    files.sync_names()
