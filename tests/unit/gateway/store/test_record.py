import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.line.records import DELIVERY, NO_LIMIT, RECORD
from gateway.store.record import (
    NEVER,
    BatchHeader,
    Row,
    count_pending,
    expiry,
    intact,
    read_header,
    write_batch,
)

ROWS = (Row(queue=3, records=1, bytes=29, expires_at_ms=NEVER),)
PARTS = [RECORD.pack(2, 1000, 1, 3), DELIVERY.pack(3, NO_LIMIT), b"env", b"hi"]
GOLDEN = (
    bytes.fromhex(
        "45474254"  # EGBT
        "42d467b9"  # CRC-32 of what follows
        "55000000 01000000"  # length 85, one record
        "0700000000000000 e803000000000000"  # first sequence 7, received at 1000
        "0100 0000"  # one queue
        "0300 0000 01000000 1d000000 ffffffffffffffff"  # queue 3: one record of 29 bytes, never expires
        "02000000 e803000000000000 0100 03000000"  # body 2, received at 1000, one delivery, envelope 3
        "0300 ffffffff"  # to queue 3, no limit
    )
    + b"envhi"
)


def batch(parts: list[bytes] = PARTS, rows: tuple[Row, ...] = ROWS, records: int = 1) -> bytes:
    return write_batch(first_sequence=7, received_at_ms=1000, records=records, rows=rows, parts=parts)


def test_batch_bytes_are_version_1() -> None:
    assert batch() == GOLDEN


def test_a_batch_is_read_whole_and_with_bytes_left_over() -> None:
    for data, at in ((GOLDEN, 0), (b"xx" + GOLDEN + b"yy", 2)):
        header = read_header(data, at)
        assert header == BatchHeader(length=85, records=1, first_sequence=7, received_at_ms=1000, rows=ROWS)
        assert intact(data, at, header.length)
        assert header.end_sequence == 8
        assert header.records_at == 56
        assert header.concerns(3)
        assert not header.concerns(2)


def test_a_batch_cut_at_any_byte_is_not_taken() -> None:
    for end in range(len(GOLDEN)):
        header = read_header(GOLDEN[:end], 0)
        assert header is None or not intact(GOLDEN[:end], 0, header.length)


def test_a_batch_with_any_byte_changed_is_not_taken() -> None:
    for at in range(len(GOLDEN)):
        mangled = bytearray(GOLDEN)
        mangled[at] ^= 0x10
        header = read_header(bytes(mangled), 0)
        assert header is None or not intact(bytes(mangled), 0, header.length), at


@given(st.binary(max_size=120))
def test_other_bytes_are_no_batch(data: bytes) -> None:
    header = read_header(data, 0)
    assert header is None or not intact(data, 0, header.length)


@pytest.mark.parametrize(("time_to_live_s", "at"), [(0, 5), (2, 2005), (NO_LIMIT, NEVER)])
def test_a_time_to_live_counts_from_receipt(time_to_live_s: int, at: int) -> None:
    assert expiry(5, time_to_live_s) == at


def test_records_are_counted_from_a_sequence_on() -> None:
    other = [RECORD.pack(1, 1000, 2, 0), DELIVERY.pack(1, 9), DELIVERY.pack(3, 9), b"b"]
    data = batch([*PARTS, *other, *PARTS], records=3)
    header = read_header(data, 0)
    assert header is not None
    assert count_pending(data, header, 7, 3) == (3, 29 + 31 + 29)
    assert count_pending(data, header, 8, 3) == (2, 31 + 29)
    assert count_pending(data, header, 8, 1) == (1, 31)
    assert count_pending(data, header, 10, 3) == (0, 0)
