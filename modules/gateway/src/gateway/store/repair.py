"""Makes a damaged store whole again: keeps every batch that can be read, moves damaged files aside, says what is lost.

A damaged segment is copied to `<name>.damaged`; its readable batches become segments again, byte for byte; what lies
between them becomes a `.freed` range, so that sequences leave no gap. If it is broken off it can be run again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.store.checkpoint import NAME as POSITIONS_NAME
from gateway.store.checkpoint import Positions, PositionsFile, create_positions, load_positions
from gateway.store.errors import StoreLocked, StoreUnusable, StoreVersion
from gateway.store.files import File, Files
from gateway.store.queues import COPY_NAME, NEW_SUFFIX, Queues, load_queues, save_queues, write_queues
from gateway.store.queues import NAME as QUEUES_NAME
from gateway.store.record import BatchHeader
from gateway.store.segment import (
    ASIDE,
    SEGMENT,
    VERSION,
    Index,
    Source,
    freed_name,
    later_batches,
    parse_freed_name,
    parse_segment_name,
    read_index,
    read_segment_header,
    segment_name,
    write_index,
    write_segment_header,
)

COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Lost:
    """Records that cannot be read any more: sequences from `first` to before `end`."""

    first: int
    end: int

    @property
    def records(self) -> int:
        """How many."""
        return self.end - self.first


@dataclass(slots=True)
class RepairReport:
    """What was done and what is lost."""

    done: list[str] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)

    @property
    def lost_records(self) -> int:
        """Records that somebody may still have waited for."""
        return sum(lost.records for lost in self.lost)


@dataclass(frozen=True, slots=True)
class _Batch:
    offset: int
    header: BatchHeader


def repair(directory: Path, files: Files) -> RepairReport | None:
    """Repair the store; None if there is none. Raises StoreLocked, StoreVersion, StoreUnusable."""
    try:
        files.lock()
    except BlockingIOError as error:
        raise StoreLocked(directory) from error
    except OSError as error:
        raise StoreUnusable(directory, error) from error
    try:
        return _Repair(directory, files).run()
    except OSError as error:
        raise StoreUnusable(directory, error) from error
    finally:
        files.unlock()


class _Repair:
    def __init__(self, directory: Path, files: Files) -> None:
        self._directory = directory
        self._files = files
        self._report = RepairReport()
        self._store_id = b""
        self._needed_from = 0

    def run(self) -> RepairReport | None:
        names = self._files.names()
        bases = sorted(base for name in names if (base := parse_segment_name(name)) is not None)
        freed = sorted(pair for name in names if (pair := parse_freed_name(name)) is not None)
        if not bases and not freed and QUEUES_NAME not in names:
            return None
        for name in names:
            if name.endswith(NEW_SUFFIX):
                self._files.unlink(name)
        queues = self._repair_queues(names)
        if queues is None:
            self._give_up(names)
            return self._report
        self._store_id = queues.store_id
        positions = self._positions(names)
        first = positions.first_sequence if positions is not None else min([*bases, *(b for b, _ in freed)], default=1)
        if positions is not None:
            self._needed_from = min(
                (positions.of(queue.queue_id, queue.since) for queue in queues.queues),
                default=positions.next_sequence,
            )
        end = self._repair_chain(bases, freed, first, positions)
        self._write_positions(positions, first, end)
        return self._report

    def _repair_queues(self, names: Sequence[str]) -> Queues | None:
        table = self._load_table(names, QUEUES_NAME)
        if table is not None:
            return table
        table = self._load_table(names, COPY_NAME)
        if table is not None:
            if QUEUES_NAME in names:
                self._set_aside(QUEUES_NAME)
            save_queues(self._files, write_queues(table))
            self._report.done.append(f"{QUEUES_NAME} was damaged or missing: made again from {COPY_NAME}")
        return table

    def _load_table(self, names: Sequence[str], name: str) -> Queues | None:
        table = load_queues(self._files, name) if name in names else None
        if table is not None and table.version != VERSION:
            raise StoreVersion(self._directory, table.version, VERSION)
        return table

    def _positions(self, names: Sequence[str]) -> Positions | None:
        positions = load_positions(self._files) if POSITIONS_NAME in names else None
        if positions is not None and positions.version != VERSION:
            raise StoreVersion(self._directory, positions.version, VERSION)
        return positions

    def _give_up(self, names: Sequence[str]) -> None:
        """Without the table nobody can say where a record goes: everything is kept aside, and the store is new."""
        for name in names:
            if name in {QUEUES_NAME, COPY_NAME, POSITIONS_NAME} or parse_segment_name(name) or parse_freed_name(name):
                self._set_aside(name)
        self._files.sync_names()
        self._report.done.append(
            f"{QUEUES_NAME} and {COPY_NAME} are both damaged, so no record can be given to its endpoint: "
            "all files were set aside, and the next start begins an empty store"
        )

    # Segments

    def _repair_chain(
        self, bases: Sequence[int], freed: Sequence[tuple[int, int]], first: int, positions: Positions | None
    ) -> int:
        links = sorted([*((base, None) for base in bases), *freed], key=lambda link: (link[0], link[1] is not None))
        end = first
        safe_end = 0 if positions is None else positions.next_sequence
        for place, (base, freed_end) in enumerate(links):
            next_base = links[place + 1][0] if place + 1 < len(links) else None
            stop = freed_end if freed_end is not None else next_base
            if stop is not None and stop <= first:
                continue  # settled; the next start removes it
            self._lose(end, base)
            end = max(end, base)
            end = freed_end if freed_end is not None else self._repair_segment(base, next_base, end, safe_end)
        self._lose(end, safe_end)
        self._files.sync_names()
        return max(end, safe_end)

    def _repair_segment(self, base: int, next_base: int | None, end: int, safe_end: int) -> int:
        """Where the segment's records end now; at least to `safe_end` they were safe once."""
        name = segment_name(base)
        file = self._files.open_to_read(name)
        source = Source(file, file.size())
        try:
            limit = next_base if next_base is not None else _indexed_end(file)
            runs = [] if self._foreign(file) else _runs(_readable(source, base, limit))
            wanted_end = limit if limit is not None else max(safe_end, base)
            if self._header_fits(file, base) and _unbroken(runs, base, wanted_end):
                return runs[-1][-1].header.end_sequence if runs else base
            self._rewrite(name, source, runs)
        finally:
            source.close()
        for run in runs:
            self._lose(end, run[0].header.first_sequence)
            end = max(end, run[-1].header.end_sequence)
        self._lose(end, wanted_end)
        return max(end, wanted_end)

    def _foreign(self, file: File) -> bool:
        header = read_segment_header(file.read_at(0, SEGMENT.size))
        return header is not None and header.store_id != self._store_id

    def _header_fits(self, file: File, base: int) -> bool:
        header = read_segment_header(file.read_at(0, SEGMENT.size))
        return header is not None and header.base == base and header.store_id == self._store_id

    def _rewrite(self, name: str, source: Source, runs: Sequence[Sequence[_Batch]]) -> None:
        aside = self._free_aside_name(name)
        self._copy(source, aside)
        pieces = [self._write_run(source, run) for run in runs]
        self._files.sync_names()
        for piece in pieces:
            self._files.rename(piece + NEW_SUFFIX, piece)
        if name not in pieces:
            self._files.unlink(name)
        self._files.sync_names()
        self._report.set_aside.append(aside)
        kept = sum(batch.header.records for run in runs for batch in run)
        self._report.done.append(f"{name} was damaged: {kept} records kept, the damaged file is now {aside}")

    def _write_run(self, source: Source, run: Sequence[_Batch]) -> str:
        base = run[0].header.first_sequence
        name = segment_name(base)
        file = self._files.create(name + NEW_SUFFIX)
        try:
            file.write_at(0, write_segment_header(self._store_id, base))
            index = Index(base, SEGMENT.size)
            for batch in run:
                file.write_at(index.end_offset, source.bytes_at(batch.offset, batch.header.length))
                index.add(batch.header)
            file.write_at(index.end_offset, write_index(index))
            file.sync()
        finally:
            file.close()
        return name

    def _copy(self, source: Source, aside: str) -> None:
        copy = self._files.create(aside)
        try:
            for at in range(0, source.end, COPY_BYTES):
                copy.write_at(at, source.bytes_at(at, COPY_BYTES))
            copy.sync()
        finally:
            copy.close()

    def _lose(self, first: int, end: int) -> None:
        """Records `first` to before `end` are not there: mark the range, so that it is no gap."""
        if end <= first:
            return
        self._files.create(freed_name(first, end)).close()
        if end > self._needed_from:
            self._report.lost.append(Lost(max(first, self._needed_from), end))

    def _set_aside(self, name: str) -> None:
        aside = self._free_aside_name(name)
        self._files.rename(name, aside)
        self._report.set_aside.append(aside)

    def _free_aside_name(self, name: str) -> str:
        taken = set(self._files.names())
        aside, number = name + ASIDE, 1
        while aside in taken:
            number += 1
            aside = f"{name}{ASIDE}-{number}"
        return aside

    # Positions

    def _write_positions(self, positions: Positions | None, first: int, end: int) -> None:
        if positions is None:
            if POSITIONS_NAME in self._files.names():
                self._set_aside(POSITIONS_NAME)
            create_positions(self._files, Positions(first_sequence=first, next_sequence=end))
            self._report.done.append(
                f"{POSITIONS_NAME} was damaged or missing: made anew. All that is stored will be sent, also what was "
                "sent before"
            )
            return
        if positions.damaged_segment is None:
            return
        file = PositionsFile.opened(self._files.open(POSITIONS_NAME))
        try:
            file.write(
                Positions(
                    first_sequence=positions.first_sequence,
                    next_sequence=positions.next_sequence,
                    lowest_unsettled=positions.lowest_unsettled,
                )
            )
        finally:
            file.close()


def _indexed_end(file: File) -> int | None:
    index = read_index(file, file.size())
    return None if index is None else index.end_sequence


def _unbroken(runs: Sequence[Sequence[_Batch]], base: int, wanted_end: int) -> bool:
    if not runs:
        return wanted_end <= base
    end = runs[-1][-1].header.end_sequence
    return len(runs) == 1 and runs[0][0].header.first_sequence == base and end >= wanted_end


def _readable(source: Source, base: int, stop: int | None) -> Iterable[_Batch]:
    """Every intact batch, in order, up to `stop`."""
    expected, at = base, SEGMENT.size
    while (batch := _next_readable(source, at, expected)) is not None:
        if stop is not None and batch.header.end_sequence > stop:
            return
        yield batch
        at, expected = batch.offset + batch.header.length, batch.header.end_sequence


def _next_readable(source: Source, at: int, expected: int) -> _Batch | None:
    header = source.header_at(at)
    if header is None or header.first_sequence != expected:
        after = at
    elif source.batch_at(at, header.length) is not None:
        return _Batch(at, header)
    else:
        # A body may look like a batch, so the bad one's own length is believed if the right one starts there.
        following = source.header_at(at + header.length)
        right = following is not None and following.first_sequence == header.end_sequence
        after = at + header.length if right else at + 1
    match = next(iter(later_batches(source, after, expected)), None)
    return None if match is None else _Batch(*match)


def _runs(batches: Iterable[_Batch]) -> list[list[_Batch]]:
    """Batches grouped so that inside a group sequences follow each other."""
    runs: list[list[_Batch]] = []
    for batch in batches:
        if runs and runs[-1][-1].header.end_sequence == batch.header.first_sequence:
            runs[-1].append(batch)
        else:
            runs.append([batch])
    return runs
