"""The store's thread: batches onto the disk, segments, checkpoints. Every call here may block on the disk.

One thread at a time calls it. What a call changes on disk stays true if it fails: a segment whose write or sync failed
is cut at its last good batch and never written again, because a later sync that succeeds proves nothing about it.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.observe.metrics import Histogram
from gateway.store.checkpoint import Positions, PositionsFile
from gateway.store.errors import Damage
from gateway.store.files import File, Files, disk_full
from gateway.store.queues import save_queues
from gateway.store.record import BatchHeader, Row, write_batch
from gateway.store.segment import (
    SEGMENT,
    Index,
    Source,
    freed_name,
    segment_name,
    write_index,
    write_segment_header,
)
from gateway.store.values import AppendResult

VERIFY_SLICE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One batch to be written, and the table of queues if it names new ones."""

    parts: Sequence[bytes]
    records: int
    rows: tuple[Row, ...]
    received_at_ms: int
    queues: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A batch that is on the disk."""

    base: int
    """The first sequence of the segment it is in."""
    offset: int
    header: BatchHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A batch of which nothing was kept."""

    result: AppendResult
    error: str
    bug: Exception | None = field(default=None, compare=False)
    """What was raised if it is no error of the disk, but one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A segment in the middle whose records are all settled."""

    base: int
    end: int


class Log:
    """Where batches are appended. Needs the directory locked and its files judged (`recovery.inspect`)."""

    def __init__(
        self, files: Files, positions: PositionsFile, *, store_id: bytes, next_sequence: int, segment_bytes: int
    ) -> None:
        self._files = files
        self._positions = positions
        self._store_id = store_id
        self._next = next_sequence
        self.segment_bytes = segment_bytes
        """Of the next segment; may be set while a batch is written."""
        self._file: File | None = None
        self._base = next_sequence
        self._index = Index(next_sequence, SEGMENT.size)
        self._capacity = 0
        self.commit_times = Histogram()
        """How long commits took, those that failed too."""

    def commit(self, commit: Commit) -> Committed | Refused:
        """Write one batch and sync it: all of it is safe afterwards, or nothing of it is kept."""
        began = time.perf_counter()
        try:
            return self._commit(commit)
        except Exception as bug:  # noqa: BLE001 - whoever waits for this batch must hear of it, and the next may go well
            self._give_up()
            return Refused(result=AppendResult.FAILED, error=f"{type(bug).__name__}: {bug}", bug=bug)
        finally:
            self.commit_times.observe(time.perf_counter() - began)

    def _commit(self, commit: Commit) -> Committed | Refused:
        data = write_batch(
            first_sequence=self._next,
            received_at_ms=commit.received_at_ms,
            records=commit.records,
            rows=commit.rows,
            parts=commit.parts,
        )
        try:
            if commit.queues is not None:
                save_queues(self._files, commit.queues)
            file = self._segment_for(len(data))
        except OSError as error:
            return _refused(error)
        try:
            file.write_at(self._index.end_offset, data)
            file.sync()
        except OSError as error:
            self._abandon(file)
            return _refused(error)
        return self._written(len(data), commit)

    def keep(self, positions: Positions) -> Exception | None:
        """Write a checkpoint; the error if it could not be written."""
        try:
            self._positions.write(positions)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller tries again later
            return error
        return None

    def free(self, positions: Positions, front: Sequence[str], middle: Sequence[Retired]) -> Exception | None:
        """Give segments back, after a checkpoint that no longer needs them; the error if that failed."""
        try:
            self._positions.write(positions)
            there = set(self._files.names())  # less than asked for where an earlier try broke off
            for name in there.intersection(front):
                self._files.unlink(name)
            for retired in middle:
                if segment_name(retired.base) in there:
                    self._files.rename(segment_name(retired.base), freed_name(retired.base, retired.end))
            if middle:
                # Only a name that is on the disk makes it safe that the contents go.
                self._files.sync_names()
            for retired in middle:
                empty(self._files, freed_name(retired.base, retired.end))
        except Exception as error:  # noqa: BLE001 - as in keep
            return error
        return None

    def close(self, positions: Positions) -> Exception | None:
        """Seal the last segment, write the last checkpoint, close the files."""
        if self._file is not None:
            self._seal(self._file)
            self._file = None
        error = self.keep(positions)
        self._positions.close()
        return error

    def _segment_for(self, length: int) -> File:
        if self._file is not None and self._index.end_offset + length <= self._capacity:
            return self._file
        if self._file is not None:
            file, self._file = self._file, None
            self._seal(file)
        self._file = self._create(max(self.segment_bytes, SEGMENT.size + length))
        return self._file

    def _create(self, capacity: int) -> File:
        name = segment_name(self._next)
        file = self._files.create(name)
        try:
            file.allocate(capacity)
            file.write_at(0, write_segment_header(self._store_id, self._next))
            file.sync()
            self._files.sync_names()
        except Exception:
            file.close()
            self._discard(name)
            raise
        self._base = self._next
        self._index = Index(self._next, SEGMENT.size)
        self._capacity = capacity
        return file

    def _discard(self, name: str) -> None:
        try:
            self._files.unlink(name)
        except OSError:
            # It stays behind without a batch; the next segment of this name replaces it, or the next start does.
            return

    def _written(self, length: int, commit: Commit) -> Committed:
        offset = self._index.end_offset
        header = BatchHeader(
            length=length,
            records=commit.records,
            first_sequence=self._next,
            received_at_ms=commit.received_at_ms,
            rows=commit.rows,
        )
        self._index.add(header)
        self._next = header.end_sequence
        return Committed(base=self._base, offset=offset, header=header)

    def _seal(self, file: File) -> None:
        seal(file, self._index)
        file.close()

    def _abandon(self, file: File) -> None:
        self._file = None
        self._seal(file)

    def _give_up(self) -> None:
        """Leave the segment after a bug of ours: whatever it did to the file, a new one is begun."""
        if self._file is not None:
            with suppress(Exception):
                self._abandon(self._file)


def empty(files: Files, name: str) -> None:
    """Give back the space of a file whose contents nobody needs."""
    file = files.open(name)
    try:
        if file.size():
            file.truncate(0)
    finally:
        file.close()


def seal(file: File, index: Index) -> OSError | None:
    """Cut a segment at its last good batch and end it with its index.

    An error changes nothing that matters: without an index a segment is read batch by batch at the next start, and
    ends there where the next segment begins.
    """
    try:
        file.truncate(index.end_offset)
        file.write_at(index.end_offset, write_index(index))
        file.sync()
    except OSError as error:
        return error
    return None


class Verifier:
    """Reads full segments in slices, to find damage before it is in somebody's way."""

    def __init__(self, files: Files, segments: Sequence[tuple[str, int, int]]) -> None:
        """`segments`: name, first sequence and end of the batches, oldest first."""
        self._files = files
        self._todo = list(reversed(segments))
        self._source: Source | None = None
        self._name = ""
        self._at = 0
        self._sequence = 0

    @property
    def done(self) -> bool:
        """Whether all was read."""
        return not self._todo and self._source is None

    def step(self) -> Damage | None:
        """Read the next slice; the damage, if there is some in it."""
        try:
            if self._source is None:
                self._name, self._sequence, end = self._todo.pop()
                self._source = Source(self._files.open_to_read(self._name), end)
                self._at = SEGMENT.size
            return self._read(self._source)
        except FileNotFoundError:
            return None  # settled and given back meanwhile
        except OSError as error:
            self.close()
            return Damage(self._name, self._at, f"it cannot be read: {error}")

    def close(self) -> None:
        """Close the file that is being read."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _read(self, source: Source) -> Damage | None:
        stop = self._at + VERIFY_SLICE_BYTES
        while self._at < min(source.end, stop):
            header = source.header_at(self._at)
            if (
                header is None
                or header.first_sequence != self._sequence
                or source.batch_at(self._at, header.length) is None
            ):
                return self._damage()
            self._at += header.length
            self._sequence = header.end_sequence
        if self._at >= source.end:
            self.close()
        return None

    def _damage(self) -> Damage:
        self.close()
        # Raises FileNotFoundError if the segment was given back, and emptied, while it was read.
        self._files.open_to_read(self._name).close()
        return Damage(self._name, self._at, "the batch here is not what was written")


def _refused(error: OSError) -> Refused:
    return Refused(result=AppendResult.FULL if disk_full(error) else AppendResult.FAILED, error=str(error))
