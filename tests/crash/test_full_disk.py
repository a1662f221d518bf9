"""A disk that is full, one that may not be written, a store of another version: said, survived, and left as it was."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crash.campaign import Campaign
from crash.counts import count
from gateway.store.checkpoint import Positions, create_positions
from gateway.store.files import DiskFiles
from support.gateway_site import GatewaySite, until
from support.numbered_devices import numbered, progress, sending

pytestmark = pytest.mark.timeout(300)  # some wait for a busy machine to do what takes ten seconds of a free one

DISK_BYTES = 40 << 20
"""Two segments of the store, and some."""
BALLAST_BYTES = 20 << 20
"""When it goes there is room for a segment."""
PADDING = 4000
UNUSABLE = 2
PIECE_BYTES = 4096
SOON_S = 30.0


async def as_root(*command: str) -> None:
    """Run a command that needs root; by sudo where we are not."""
    sudo = () if os.geteuid() == 0 else ("sudo", "-n")
    process = await asyncio.create_subprocess_exec(*sudo, *command)
    assert await process.wait() == 0, f"{' '.join(command)} failed: this test needs root, or sudo without a password"


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[None]:
    """A disk of its own for this folder."""
    owner = f"size={DISK_BYTES},mode=700,uid={os.geteuid()},gid={os.getegid()}"
    await as_root("mount", "-t", "tmpfs", "-o", owner, "crash-test", str(folder))
    try:
        yield
    finally:
        await as_root("umount", "--lazy", str(folder))


async def test_a_full_disk_refuses_lives_on_drains_and_takes_again(site: GatewaySite) -> None:
    async with small_disk(site.data):
        devices = numbered(site, 4, burst_pause_s=0.02, padding=PADDING)
        running = Campaign(site, devices, lambda _: None)
        await running.spawn()
        await running.ready()
        async with sending(devices):
            await progress(devices, 1)
            site.hub.refuse_connections()
            site.hub.drop_connections()
            ballast = site.data / "ballast"
            ballast.write_bytes(bytes(BALLAST_BYTES))
            _fill(site.data)
            # What was reserved for the segment is still the store's; behind it there is nothing.
            await until(lambda: has_said(site, "message store: ", "No space left"))
            await site.counted('gateway_store_refused_messages_total{reason="disk_full"}', 20)
            assert (await site.metrics())['gateway_store_full_episodes_total{reason="disk_full"}'] == 1
            ballast.unlink()
            await progress(devices, 25, SOON_S)  # it takes again soon after there is room
            site.hub.behave()
        found = count(devices, await running.arrived(), running.starts, PADDING)
        assert (found.lost, found.out_of_order, found.never_sent) == (0, 0, 0), str(found)
        # The hub was cut off once: what was on its way then may come twice, with the same message id.
        assert found.duplicated == found.repeated, str(found)
        await site.gateway.stop()


async def test_a_folder_that_may_not_be_written_ends_the_start_with_a_sentence(site: GatewaySite) -> None:
    async with small_disk(site.data):
        site.register("d1")
        await as_root("mount", "-o", "remount,ro", str(site.data))
        await site.gateway.spawn()
        assert await site.gateway.exit_code() == UNUSABLE
        assert "Read-only file system" in site.gateway.transcript()


async def test_a_store_of_another_version_is_left_as_it_is(site: GatewaySite) -> None:
    await site.gateway.start()
    await site.gateway.stop()
    store = site.data / "store"
    create_positions(DiskFiles(store), Positions(first_sequence=1, next_sequence=1, version=2))
    before = _digest(store)
    await site.gateway.spawn()
    assert await site.gateway.exit_code() == UNUSABLE
    assert "format 2" in site.gateway.transcript()
    assert _digest(store) == before


def has_said(site: GatewaySite, *parts: str) -> bool:
    """Whether one line holds all of these."""
    return any(all(part in line for part in parts) for line in site.gateway.lines)


def _fill(folder: Path) -> None:
    """Take what is left: the gateway writes meanwhile, so nobody can say how much that is."""
    with contextlib.suppress(OSError), (folder / "rest").open("wb", buffering=0) as rest:
        while rest.write(bytes(PIECE_BYTES)):
            pass


def _digest(folder: Path) -> str:
    whole = b"".join(path.name.encode() + path.read_bytes() for path in sorted(folder.iterdir()))
    return hashlib.sha256(whole).hexdigest()
