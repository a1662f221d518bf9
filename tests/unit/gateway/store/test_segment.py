import pytest

from faults.model_disk import ModelDisk
from gateway.store.files import File
from gateway.store.record import Row, write_batch
from gateway.store.segment import (
    SEGMENT,
    WINDOW_BYTES,
    Index,
    IndexRow,
    Source,
    freed_name,
    last_used,
    later_batches,
    parse_freed_name,
    parse_segment_name,
    read_index,
    read_segment_header,
    scan,
    segment_name,
    write_index,
    write_segment_header,
)

STORE_ID = bytes(range(16))
GOLDEN_HEADER = bytes.fromhex("45475347 054bf50f 0100 0000 00000000") + STORE_ID + bytes.fromhex("0500000000000000")
GOLDEN_INDEX = bytes.fromhex(
    "0200 0000 03000000 1e00000000000000 6400000000000000 c800000000000000"  # queue 2: 3 records, 30 bytes
    "0800000000000000 7d00000000000000 01000000 491558d7 45474958"  # to sequence 8, offset 125; 1 row; EGIX
)


def batch(first: int, body: bytes = b"x", records: int = 1) -> bytes:
    rows = (Row(queue=0, records=records, bytes=len(body), expires_at_ms=9),)
    return write_batch(first_sequence=first, received_at_ms=1, records=records, rows=rows, parts=[body])


def segment(*batches: bytes, pad: int = 0) -> File:
    file = ModelDisk().create("s")
    file.write_at(0, write_segment_header(STORE_ID, 5) + b"".join(batches) + bytes(pad))
    return file


def source(file: File) -> Source:
    return Source(file, file.size())


def test_names_go_both_ways_and_sort_as_numbers() -> None:
    assert segment_name(255) == "00000000000000ff.segment"
    assert parse_segment_name("00000000000000ff.segment") == 255
    assert parse_freed_name(freed_name(1, 17)) == (1, 17)
    assert segment_name(9) < segment_name(16) < segment_name(1 << 60)


@pytest.mark.parametrize("name", ["lock", "ff.segment", "00000000000000FF.segment", "00000000000000ff.segment.damaged"])
def test_other_names_are_no_segments(name: str) -> None:
    assert parse_segment_name(name) is None
    assert parse_freed_name(name) is None


def test_header_bytes_are_version_1() -> None:
    assert write_segment_header(STORE_ID, 5) == GOLDEN_HEADER
    header = read_segment_header(GOLDEN_HEADER + b"more")
    assert header is not None
    assert (header.version, header.store_id, header.base) == (1, STORE_ID, 5)


def test_a_header_cut_or_changed_is_not_taken() -> None:
    for at in range(SEGMENT.size):
        assert read_segment_header(GOLDEN_HEADER[:at]) is None
        mangled = bytearray(GOLDEN_HEADER)
        mangled[at] ^= 1
        assert read_segment_header(bytes(mangled)) is None


def test_index_bytes_are_version_1() -> None:
    index = Index(8, 125)
    index.rows[2] = IndexRow(3, 30, 100, 200)
    assert write_index(index) == GOLDEN_INDEX
    file = ModelDisk().create("s")
    file.write_at(125, GOLDEN_INDEX)
    found = read_index(file, file.size())
    assert found is not None
    assert (found.end_sequence, found.end_offset, found.rows) == (8, 125, index.rows)


def test_an_index_cut_or_changed_is_not_taken() -> None:
    for at in range(len(GOLDEN_INDEX)):
        file = ModelDisk().create("s")
        mangled = bytearray(GOLDEN_INDEX)
        mangled[at] ^= 1
        file.write_at(125, bytes(mangled))
        assert read_index(file, file.size()) is None
        assert read_index(file, 125 + at) is None


def test_a_scan_reads_to_the_zeros() -> None:
    batches = [batch(5), batch(6, b"yy", records=2)]
    result = scan(source(segment(*batches, pad=1000)), 5, None)
    assert result.problem is None
    assert result.index.end_sequence == 8
    assert result.index.end_offset == SEGMENT.size + sum(map(len, batches))
    assert (result.index.rows[0].records, result.index.rows[0].bytes) == (3, 3)


def test_a_scan_cut_at_every_byte_keeps_whole_batches_only() -> None:
    first, second = batch(5), batch(6)
    file = segment(first, second)
    for end in range(SEGMENT.size, file.size()):
        result = scan(Source(file, end), 5, None)
        whole = end - SEGMENT.size >= len(first)
        assert result.index.end_sequence == (6 if whole else 5)


@pytest.mark.parametrize(
    ("batches", "problem"),
    [
        ((batch(5), b"junk"), "no batch starts here"),
        ((batch(5), batch(6)[:-1] + b"?"), "CRC-32"),
        ((batch(5), batch(9)), "sequence 9 where 6 follows"),
    ],
)
def test_a_scan_says_what_is_wrong(batches: tuple[bytes, ...], problem: str) -> None:
    result = scan(source(segment(*batches)), 5, None)
    assert result.index.end_sequence == 6
    assert problem in (result.problem or "")


def test_a_scan_stops_where_the_next_segment_starts() -> None:
    file = segment(batch(5), batch(6), batch(7))
    assert scan(source(file), 5, 6).index.end_sequence == 6
    assert "beyond" in (scan(source(segment(batch(5, records=3))), 5, 6).problem or "")


def test_later_batches_are_found_behind_junk() -> None:
    behind = batch(8)
    file = segment(batch(5), b"EGBT junk", bytes(300), behind, b"tail")
    found = list(later_batches(source(file), SEGMENT.size + 1, 6))
    assert [header.first_sequence for _, header in found] == [8]
    assert list(later_batches(source(file), SEGMENT.size + 1, 9)) == []


def test_a_batch_at_the_edge_of_the_window_is_found() -> None:
    for shift in range(8):
        junk = b"j" * (WINDOW_BYTES - SEGMENT.size - shift)
        found = list(later_batches(source(segment(junk, batch(9))), 0, 0))
        assert [header.first_sequence for _, header in found] == [9]


def test_a_batch_larger_than_the_window_is_read() -> None:
    large = batch(5, b"L" * (2 * WINDOW_BYTES))
    reading = source(segment(large, batch(6)))
    header = reading.header_at(SEGMENT.size)
    assert header is not None
    assert reading.batch_at(SEGMENT.size, header.length) == large
    assert scan(reading, 5, None).index.end_sequence == 7
    reading.close()


def test_used_space_ends_with_the_last_byte_that_is_not_zero() -> None:
    assert last_used(source(segment(pad=WINDOW_BYTES * 2)), SEGMENT.size) == SEGMENT.size
    file = segment(bytes(WINDOW_BYTES), b"x", bytes(50))
    assert last_used(source(file), SEGMENT.size) == SEGMENT.size + WINDOW_BYTES + 1
