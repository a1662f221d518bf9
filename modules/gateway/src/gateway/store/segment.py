"""One segment file: its header, its batches front to back, and the index a full one ends with."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from gateway.store.files import File
from gateway.store.record import BATCH, BATCH_MAGIC, ROW, BatchHeader, intact, read_header
from gateway.store.values import MAX_QUEUES

VERSION = 1

SEGMENT_MAGIC = b"EGSG"
SEGMENT = Struct("<4sIHHI16sQ")  # magic, CRC-32, version, 0, 0, store id, first sequence
INDEX_MAGIC = b"EGIX"
INDEX_ROW = Struct("<HHIQQQ")  # queue, 0, records, bytes, first received, latest expiry
INDEX_END = Struct("<QQII4s")  # end sequence, end of the batches, rows, CRC-32, magic

SUFFIX = ".segment"
FREED = ".freed"
ASIDE = ".damaged"

WINDOW_BYTES = 256 << 10
LARGEST_HEADER = BATCH.size + ROW.size * MAX_QUEUES


def segment_name(base: int) -> str:
    """The file name of the segment whose first record is `base`; names sort as sequences do."""
    return f"{base:016x}{SUFFIX}"


def freed_name(base: int, end: int) -> str:
    """The empty file that says: the records from `base` to before `end` were all settled and given back."""
    return f"{base:016x}-{end:016x}{FREED}"


def parse_segment_name(name: str) -> int | None:
    """The first sequence of a segment's name; None for other names."""
    stem = name.removesuffix(SUFFIX)
    return int(stem, 16) if stem != name and _is_sequence(stem) else None


def parse_freed_name(name: str) -> tuple[int, int] | None:
    """The range of a freed name; None for other names."""
    base, dash, end = name.removesuffix(FREED).partition("-")
    if not name.endswith(FREED) or not dash or not _is_sequence(base) or not _is_sequence(end):
        return None
    return int(base, 16), int(end, 16)


def _is_sequence(text: str) -> bool:
    return len(text) == 16 and all(digit in "0123456789abcdef" for digit in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """How a segment file starts."""

    version: int
    store_id: bytes
    base: int


def write_segment_header(store_id: bytes, base: int) -> bytes:
    """The header's bytes."""
    rest = SEGMENT.pack(SEGMENT_MAGIC, 0, VERSION, 0, 0, store_id, base)[8:]
    return SEGMENT_MAGIC + zlib.crc32(rest).to_bytes(4, "little") + rest


def read_segment_header(data: bytes) -> SegmentHeader | None:
    """The header at the start of `data`; None if it is not whole or not ours."""
    if len(data) < SEGMENT.size:
        return None
    magic, crc, version, _, _, store_id, base = SEGMENT.unpack_from(data)
    if magic != SEGMENT_MAGIC or zlib.crc32(data[8 : SEGMENT.size]) != crc:
        return None
    return SegmentHeader(version=version, store_id=store_id, base=base)


@dataclass(slots=True)
class IndexRow:
    """What a segment holds for one queue."""

    records: int
    bytes: int
    received_at_ms: int
    """When the first of the batches that hold some was received."""
    expires_at_ms: int


class Index:
    """What a segment holds, by queue; grows with its batches and ends the file once it is full."""

    __slots__ = ("end_offset", "end_sequence", "rows")

    def __init__(self, end_sequence: int, end_offset: int) -> None:
        self.end_sequence = end_sequence
        self.end_offset = end_offset
        self.rows: dict[int, IndexRow] = {}

    def add(self, header: BatchHeader) -> None:
        """Count one more batch."""
        for row in header.rows:
            known = self.rows.get(row.queue)
            if known is None:
                self.rows[row.queue] = IndexRow(row.records, row.bytes, header.received_at_ms, row.expires_at_ms)
            else:
                known.records += row.records
                known.bytes += row.bytes
                known.expires_at_ms = max(known.expires_at_ms, row.expires_at_ms)
        self.end_sequence = header.end_sequence
        self.end_offset += header.length


def write_index(index: Index) -> bytes:
    """The bytes a full segment ends with."""
    rows = b"".join(
        INDEX_ROW.pack(queue, 0, row.records, row.bytes, row.received_at_ms, row.expires_at_ms)
        for queue, row in sorted(index.rows.items())
    )
    end = INDEX_END.pack(index.end_sequence, index.end_offset, len(index.rows), 0, INDEX_MAGIC)
    crc = zlib.crc32(end[:20], zlib.crc32(rows))
    return rows + end[:20] + crc.to_bytes(4, "little") + INDEX_MAGIC


def read_index(file: File, size: int) -> Index | None:
    """The index at the end of a file of `size` bytes; None if it does not end with one."""
    end = file.read_at(max(size - INDEX_END.size, 0), INDEX_END.size)
    if len(end) < INDEX_END.size:
        return None
    end_sequence, end_offset, count, crc, magic = INDEX_END.unpack(end)
    rows_size = count * INDEX_ROW.size
    if magic != INDEX_MAGIC or end_offset + rows_size + INDEX_END.size != size:
        return None
    rows = file.read_at(end_offset, rows_size)
    if zlib.crc32(end[:20], zlib.crc32(rows)) != crc:
        return None
    index = Index(end_sequence, end_offset)
    for queue, _, records, size_, received_at_ms, expires_at_ms in INDEX_ROW.iter_unpack(rows):
        index.rows[queue] = IndexRow(records, size_, received_at_ms, expires_at_ms)
    return index


class Source:
    """Batches of one segment read through a window of bounded size; nothing at or after `end` is read."""

    __slots__ = ("_file", "_start", "_window", "end")

    def __init__(self, file: File, end: int) -> None:
        self._file = file
        self._window = b""
        self._start = 0
        self.end = end

    def header_at(self, at: int) -> BatchHeader | None:
        """The header of the batch that starts at `at`; None if none does."""
        if not self._covers(at, min(LARGEST_HEADER, self.end - at)):
            self._load(at, WINDOW_BYTES)
        return read_header(self._window, at - self._start)

    def batch_at(self, at: int, length: int) -> bytes | None:
        """The bytes of a batch; None if they are not all there or not what was written."""
        if not self._covers(at, length):
            self._load(at, max(length, WINDOW_BYTES))
        start = at - self._start
        if not intact(self._window, start, length):
            return None
        return self._window[start : start + length]

    def bytes_at(self, at: int, length: int) -> bytes:
        """Plain bytes, past the window."""
        return self._file.read_at(at, min(length, self.end - at))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _covers(self, at: int, length: int) -> bool:
        return self._start <= at and at + length <= self._start + len(self._window)

    def _load(self, at: int, length: int) -> None:
        self._window = self._file.read_at(at, max(min(length, self.end - at), 0))
        self._start = at


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What reading a segment's batches one after the other came to."""

    index: Index
    problem: str | None
    """Why it stopped before the end of the file; None where the rest is empty."""


def scan(source: Source, base: int, stop_sequence: int | None) -> Scan:
    """Read and check batches from the first on, up to `stop_sequence`, the end, or the first that is not right."""
    index = Index(base, SEGMENT.size)
    while index.end_offset < source.end and index.end_sequence != stop_sequence:
        header = source.header_at(index.end_offset)
        problem = _wrong(source, header, index)
        if problem is not None or header is None:
            empty = _only_zeros(source, index.end_offset)
            return Scan(index=index, problem=None if empty else problem)
        if stop_sequence is not None and header.end_sequence > stop_sequence:
            return Scan(index=index, problem=f"a batch reaches beyond sequence {stop_sequence}")
        index.add(header)
    return Scan(index=index, problem=None)


def _wrong(source: Source, header: BatchHeader | None, index: Index) -> str | None:
    if header is None:
        return "no batch starts here"
    if source.batch_at(index.end_offset, header.length) is None:
        return "the batch's CRC-32 does not match its bytes"
    if header.first_sequence != index.end_sequence:
        return f"sequence {header.first_sequence} where {index.end_sequence} follows"
    return None


def _only_zeros(source: Source, at: int) -> bool:
    return last_used(source, at) == at


def last_used(source: Source, at: int) -> int:
    """Where the zeros that fill a segment up start; `at` if there is nothing else from there on."""
    used = at
    while at < source.end:
        data = source.bytes_at(at, WINDOW_BYTES)
        if not data:
            break
        rest = data.rstrip(b"\0")
        if rest:
            used = at + len(rest)
        at += len(data)
    return used


def later_batches(source: Source, at: int, from_sequence: int) -> Iterable[tuple[int, BatchHeader]]:
    """Whole, intact batches anywhere after `at` whose records come after `from_sequence`, by offset."""
    while (found := _find_magic(source, at)) is not None:
        header = source.header_at(found)
        at = found + 1
        if (
            header is not None
            and header.first_sequence >= from_sequence
            and source.batch_at(found, header.length) is not None
        ):
            yield found, header
            at = found + header.length
            from_sequence = header.end_sequence


def _find_magic(source: Source, at: int) -> int | None:
    while at < source.end:
        data = source.bytes_at(at, WINDOW_BYTES)
        found = data.find(BATCH_MAGIC)
        if found >= 0:
            return at + found
        if len(data) < len(BATCH_MAGIC):
            return None
        at += len(data) - len(BATCH_MAGIC) + 1
    return None
