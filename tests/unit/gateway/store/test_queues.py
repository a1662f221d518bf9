import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.message import UPSTREAM, Endpoint, local_topic, module_input, named_endpoint, stage_of
from faults.model_disk import ModelDisk
from gateway.store.queues import Queue, Queues, load_queues, read_queues, save_queues, write_queues

TABLE = Queues(
    store_id=bytes(16),
    queues=(
        Queue(queue_id=0, endpoint=UPSTREAM, priority=2_000_000_000, since=1),
        Queue(queue_id=4, endpoint=module_input("m", "i"), priority=0, since=9),
    ),
)
GOLDEN = bytes.fromhex(
    "45475155 f9ab811a 0100 0000 00000000 00000000000000000000000000000000 02000000"  # version 1, 2 queues
    "0000 0000 00943577 0100000000000000 00000000 00000000"  # queue 0: $upstream
    "0400 0000 00000000 0900000000000000 02000000 6d 02000000 69"  # queue 4: module m, input i, from 9 on
)


def test_table_bytes_are_version_1() -> None:
    assert write_queues(TABLE) == GOLDEN
    assert read_queues(GOLDEN) == TABLE


@pytest.mark.parametrize(
    ("kind", "endpoint"), [(1, named_endpoint("archive")), (2, local_topic("alerts/{device}")), (3, stage_of("hourly"))]
)
def test_other_kinds_of_endpoints_are_told_apart_by_a_number(kind: int, endpoint: Endpoint) -> None:
    table = Queues(store_id=bytes(16), queues=(Queue(queue_id=7, endpoint=endpoint, priority=3, since=2),))
    data = write_queues(table)
    assert data[36:40] == bytes([7, 0, kind, 0])
    assert read_queues(data) == table
    unknown = data[:38] + bytes([9]) + data[39:]
    assert read_queues(unknown[:4] + zlib.crc32(unknown[8:]).to_bytes(4, "little") + unknown[8:]) is None


def test_a_table_cut_or_changed_is_not_taken() -> None:
    for at in range(len(GOLDEN)):
        assert read_queues(GOLDEN[:at]) is None
        mangled = bytearray(GOLDEN)
        mangled[at] ^= 1
        assert read_queues(bytes(mangled)) is None
    assert read_queues(GOLDEN + b"x") is None


@given(st.binary(max_size=100))
def test_other_bytes_are_no_table(data: bytes) -> None:
    assert read_queues(data) is None


def test_of_another_version_only_that_is_read() -> None:
    table = read_queues(write_queues(Queues(version=9, store_id=bytes(16), queues=TABLE.queues)))
    assert table is not None
    assert (table.version, table.queues) == (9, ())


def test_both_copies_are_written_and_synced() -> None:
    disk = ModelDisk()
    save_queues(disk, GOLDEN)
    assert load_queues(disk) == load_queues(disk, "queues.copy") == TABLE
    assert sorted(disk.names_durable) == ["queues", "queues.copy"]
    with pytest.raises(FileNotFoundError):
        load_queues(disk, "none")
