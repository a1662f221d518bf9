from pathlib import Path

import pytest

from faults.inline import Bench
from faults.model_disk import ModelDisk
from gateway.store.errors import StoreVersion
from gateway.store.queues import Queues, save_queues, write_queues
from gateway.store.segment import SEGMENT
from gateway.store.values import StoreLimits
from gateway.store.verify import verify

STORE = Path("data/store")


def filled() -> ModelDisk:
    disk = ModelDisk()
    bench = Bench(disk, StoreLimits(max_bytes=1 << 20, segment_bytes=4096))
    for _ in range(20):
        bench.append(bytes(600))
    return disk


def test_a_sound_store_is_read_whole() -> None:
    result = verify(STORE, filled())
    assert result is not None
    assert (result.records, result.damage, result.cut_bytes) == (20, (), 0)
    assert verify(STORE, ModelDisk()) is None


def test_every_damaged_byte_of_every_segment_is_found() -> None:
    reference = filled()
    names = [name for name in reference.names() if name.endswith(".segment")]
    for name in names[:-1]:
        for at in range(0, len(reference.names_seen[name].seen), 97):
            disk = filled()
            disk.names_seen[name].seen[at] ^= 4
            result = verify(STORE, disk)
            assert result is not None
            index_only = at >= len(disk.names_seen[name].seen) - 60
            assert [each.file for each in result.damage] == ([] if index_only else [name])


def test_a_torn_tail_is_not_damage() -> None:
    disk = filled()
    name = [name for name in disk.names() if name.endswith(".segment")][-1]
    content = disk.names_seen[name].seen
    used = content.rindex(b"EGBT")
    content[used + 70 :] = b"junk"
    result = verify(STORE, disk)
    assert result is not None
    assert result.damage == ()
    assert result.cut_bytes == 74


def test_each_file_is_named_once() -> None:
    disk = filled()
    name = "0000000000000001.segment"
    disk.names_seen[name].seen[SEGMENT.size + 3] ^= 1
    del disk.names_seen[name].seen[-1:]
    result = verify(STORE, disk)
    assert result is not None
    assert [each.file for each in result.damage] == [name]


def test_another_version_is_said() -> None:
    disk = filled()
    save_queues(disk, write_queues(Queues(version=3, store_id=bytes(16), queues=())))
    with pytest.raises(StoreVersion):
        verify(STORE, disk)
