"""Batches as bytes, around the records of `edgewire.line.records`; layout in the package docstring."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct

from edgewire.line.records import DELIVERY, NO_LIMIT, RECORD, Batch

BATCH_MAGIC = b"EGBT"
BATCH = Struct("<4sIIIQQHH")  # magic, CRC-32, length, records, first sequence, received at, queues, 0
ROW = Struct("<HHIIQ")  # queue, 0, records, bytes, latest expiry

CHECKED_FROM = 8
"""The CRC covers all of the batch after itself."""

NEVER = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one batch holds for one queue."""

    queue: int
    records: int
    bytes: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """All of a batch that can be known without its records."""

    length: int
    records: int
    first_sequence: int
    received_at_ms: int
    rows: tuple[Row, ...]

    @property
    def end_sequence(self) -> int:
        """The sequence after its last record."""
        return self.first_sequence + self.records

    @property
    def records_at(self) -> int:
        """Where in the batch its first record starts."""
        return BATCH.size + ROW.size * len(self.rows)

    def concerns(self, queue: int) -> bool:
        """Whether it holds anything for `queue`."""
        return any(row.queue == queue for row in self.rows)


def write_batch(
    *, first_sequence: int, received_at_ms: int, records: int, rows: Sequence[Row], parts: Iterable[bytes]
) -> bytes:
    """The batch's bytes; `parts` are its records, in pieces."""
    body = b"".join((*(ROW.pack(row.queue, 0, row.records, row.bytes, row.expires_at_ms) for row in rows), *parts))
    length = BATCH.size + len(body)
    head = BATCH.pack(BATCH_MAGIC, 0, length, records, first_sequence, received_at_ms, len(rows), 0)
    crc = zlib.crc32(body, zlib.crc32(head[CHECKED_FROM:]))
    return b"".join((BATCH_MAGIC, crc.to_bytes(4, "little"), head[CHECKED_FROM:], body))


def read_header(data: bytes, at: int) -> BatchHeader | None:
    """The header at `at`; None if no batch starts there or its header is not whole. The CRC is not looked at."""
    if len(data) - at < BATCH.size:
        return None
    magic, _, length, records, first, received_at_ms, queues, zero = BATCH.unpack_from(data, at)
    rows_end = BATCH.size + ROW.size * queues
    if magic != BATCH_MAGIC or zero != 0 or records == 0 or length < rows_end or len(data) - at < rows_end:
        return None
    rows = tuple(
        Row(queue=queue, records=count, bytes=size, expires_at_ms=expires_at_ms)
        for queue, _, count, size, expires_at_ms in ROW.iter_unpack(data[at + BATCH.size : at + rows_end])
    )
    return BatchHeader(length=length, records=records, first_sequence=first, received_at_ms=received_at_ms, rows=rows)


def intact(data: bytes, at: int, length: int) -> bool:
    """Whether the `length` bytes at `at` are a batch as it was written, by its CRC-32."""
    end = at + length
    if end > len(data):
        return False
    written = int.from_bytes(data[at + 4 : at + CHECKED_FROM], "little")
    return zlib.crc32(memoryview(data)[at + CHECKED_FROM : end]) == written


def expiry(received_at_ms: int, time_to_live_s: int) -> int:
    """When a delivery expires, in ms; NEVER without a limit."""
    return NEVER if time_to_live_s == NO_LIMIT else received_at_ms + time_to_live_s * 1000


def rows_of(batch: Batch) -> tuple[Row, ...]:
    """What a batch holds, by queue."""
    rows: dict[int, Row] = {}
    for plan, records, size in batch.tally():
        for queue, time_to_live_s in plan.times_to_live_s.items():
            known = rows.get(queue)
            expires_at_ms = expiry(batch.last_received_at_ms, time_to_live_s)
            rows[queue] = Row(
                queue=queue,
                records=records + (known.records if known else 0),
                bytes=size + (known.bytes if known else 0),
                expires_at_ms=max(expires_at_ms, known.expires_at_ms if known else 0),
            )
    return tuple(rows[queue] for queue in sorted(rows))


def count_pending(data: bytes, header: BatchHeader, from_sequence: int, queue: int) -> tuple[int, int]:
    """Records for `queue` in a whole batch from `from_sequence` on, and their bytes."""
    count = size = 0
    at = header.records_at
    for sequence in range(header.first_sequence, header.end_sequence):
        body_length, _, deliveries, envelope_length = RECORD.unpack_from(data, at)
        start = at + RECORD.size
        at = start + deliveries * DELIVERY.size
        record_size = RECORD.size + deliveries * DELIVERY.size + envelope_length + body_length
        if sequence >= from_sequence and any(found == queue for found, _ in DELIVERY.iter_unpack(data[start:at])):
            count += 1
            size += record_size
        at += envelope_length + body_length
    return count, size
