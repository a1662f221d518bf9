"""The fault disk keeps what was synced, in whatever order the rest goes; else the campaigns would prove nothing."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from crash.mounted import Disk, fault_disk

SEEDS = range(12)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    async with fault_disk(tmp_path) as mounted:
        yield mounted


def write(path: Path, data: bytes, *, sync: bool) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(descriptor, data, 0)
        if sync:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def sync_names(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def over_power_cuts(disk: Disk, work: Callable[[Path], None], look: Callable[[Path], object]) -> list[object]:
    """What is seen after a power cut behind this work, once per seed, each time in a folder of its own."""
    seen = []
    for seed in SEEDS:
        folder = disk.folder / str(seed)
        await asyncio.to_thread(folder.mkdir)
        await asyncio.to_thread(sync_names, disk.folder)
        await asyncio.to_thread(work, folder)
        await disk.cut_now(kill=[])
        await disk.power_on(seed)
        seen.append(await asyncio.to_thread(look, folder))
    return seen


async def test_what_was_synced_is_there_with_its_name(disk: Disk) -> None:
    def work(folder: Path) -> None:
        write(folder / "a", b"safe", sync=True)
        sync_names(folder)

    assert await over_power_cuts(disk, work, lambda folder: (folder / "a").read_bytes()) == [b"safe"] * len(SEEDS)


async def test_a_synced_file_may_lose_its_name_until_the_directory_is_synced(disk: Disk) -> None:
    seen = await over_power_cuts(disk, lambda folder: write(folder / "a", b"x", sync=True), os.listdir)
    assert [] in seen
    assert ["a"] in seen


async def test_unsynced_bytes_are_kept_dropped_or_torn(disk: Disk) -> None:
    old, new = b"o" * 2048, b"n" * 2048

    def work(folder: Path) -> None:
        write(folder / "a", old, sync=True)
        sync_names(folder)
        write(folder / "a", new, sync=False)

    seen = await over_power_cuts(disk, work, lambda folder: (folder / "a").read_bytes())
    assert old in seen
    assert new in seen
    assert set(seen) - {old, new}, "some of its sectors"


async def test_a_failed_sync_keeps_nothing_and_a_later_one_does_not_make_it_good(disk: Disk) -> None:
    path = disk.folder / "a"
    await asyncio.to_thread(write, path, b"old", sync=True)
    await asyncio.to_thread(sync_names, disk.folder)
    await disk.fail({"sync"})
    with pytest.raises(OSError, match="Input/output error"):
        await asyncio.to_thread(write, path, b"new", sync=True)
    await asyncio.to_thread(write, disk.folder / "other", b"", sync=True)
    assert await asyncio.to_thread(path.read_bytes) == b"new"
    await disk.cut_now(kill=[])
    await disk.power_on(seed=1)
    assert await asyncio.to_thread(path.read_bytes) == b"old"


async def test_only_the_nth_of_the_named_operations_fails_and_a_full_disk_says_so(disk: Disk) -> None:
    await disk.fail({"write"}, nth=2, error=errno.ENOSPC)
    await asyncio.to_thread(write, disk.folder / "a", b"1", sync=True)
    with pytest.raises(OSError, match="No space left"):
        await asyncio.to_thread(write, disk.folder / "a", b"2", sync=True)
    await asyncio.to_thread(write, disk.folder / "a", b"3", sync=True)
    await disk.resize(10_000)
    with pytest.raises(OSError, match="No space left"):
        await asyncio.to_thread(write, disk.folder / "b", bytes(20_000), sync=False)


async def test_a_cut_comes_instead_of_the_change_it_was_armed_for_and_kills(disk: Disk) -> None:
    sleeper = await asyncio.create_subprocess_exec("sleep", "60")
    await disk.cut_after(3, kill=[sleeper.pid])  # create, write, sync
    await asyncio.to_thread(write, disk.folder / "a", b"1", sync=True)
    assert (await disk.told())["powered"]
    with pytest.raises(OSError, match="Input/output error"):
        await asyncio.to_thread((disk.folder / "b").mkdir)
    assert await sleeper.wait() == -9
    assert not (await disk.told())["powered"]
