"""The n-th operation of a real file system fails: then nothing acknowledged is lost, and no failed sync is believed."""

import asyncio
import errno
from functools import partial
from pathlib import Path

from crash.campaign import PADDING, Campaign, pressing
from crash.counts import count
from crash.mounted import Disk, fault_disk
from faults.workload import SMALL, Ledger, Workload, everything
from gateway.store.errors import StoreUnusable
from gateway.store.files import DiskFiles
from support.gateway_site import GatewaySite, until
from support.numbered_devices import numbered, progress

KINDS_OF_FAILURE = ((errno.EIO, 1), (errno.ENOSPC, 1), (errno.EIO, 4), (errno.ENOSPC, 4))
STEPS = 60
LAST = 100
"""Nearly all workloads of so many steps make more operations than that."""


class Place:
    """A store on the fault disk. Its methods block, so they run in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger()
        self._workload: Workload | None = None

    def live(self, seed: int) -> None:
        """Work, unless the store cannot be opened for the injected failure."""
        try:
            self._workload = Workload(DiskFiles(self.folder), self.ledger, seed, SMALL)
        except StoreUnusable:
            return
        self._workload.run(STEPS)

    def check(self) -> None:
        """What the store gives is what it said."""
        if self._workload is not None:
            now = everything(self._workload.bench)
            self.ledger.check(now)
            for key, refused in self.ledger.refused.items():
                assert not refused & set(now.get(key, [])), "a refused message is given"

    def leave(self) -> None:
        """Give descriptors back; after a power cut nothing of it reaches the disk."""
        if self._workload is not None:
            self._workload.bench.close()
            self._workload = None

    def check_again(self) -> None:
        """What the next start finds is what was said."""
        workload = Workload(DiskFiles(self.folder), self.ledger, 0, SMALL)
        self.ledger.check(everything(workload.bench))
        workload.bench.close()


async def fail_at(disk: Disk, number: int) -> int:
    """One workload whose operation `number` fails, a look at the store, a power cut, another look."""
    error, times = KINDS_OF_FAILURE[number // 2 % len(KINDS_OF_FAILURE)]
    place = Place(disk.folder / f"store{number}")
    injected = (await disk.told())["injected"]
    await disk.fail(nth=number, times=times, error=error)
    await asyncio.to_thread(place.live, number)
    await disk.heal()
    await asyncio.to_thread(place.check)
    await disk.cut_now(kill=[])
    await disk.power_on(number)
    await asyncio.to_thread(place.leave)
    await asyncio.to_thread(place.check_again)
    return int((await disk.told())["injected"] - injected)


async def test_whichever_operation_fails_what_was_stored_is_there_now_and_after_a_power_cut(tmp_path: Path) -> None:
    async with fault_disk(tmp_path) as disk:
        failed = [await fail_at(disk, number) for number in range(1, LAST, 2)]
    assert failed.count(0) < len(failed) / 10, "nearly all of them met their failure"


async def has_failed(disk: Disk, times: int) -> bool:
    """Whether the disk has failed so often by now."""
    return int((await disk.told())["injected"]) >= times


async def test_the_gateway_lives_through_failing_writes_and_syncs_and_loses_nothing(site: GatewaySite) -> None:
    kinds = ("write", "sync", "create", "sync_names")
    async with fault_disk(site.data) as disk:
        devices = numbered(site, 8, burst_pause_s=0.05, padding=PADDING)
        running = Campaign(site, devices, lambda _: None)
        await running.spawn()
        await running.ready()
        async with pressing(devices):
            await progress(devices, 1)
            site.hub.refuse_connections()
            site.hub.drop_connections()
            for number, kind in enumerate(kinds):
                error = (errno.EIO, errno.ENOSPC, errno.EROFS)[number % 3]
                await disk.fail({kind, "sync"}, nth=number + 1, times=number % 3 + 1, error=error)
                await until(partial(has_failed, disk, number + 1))
                await progress(devices, 20)
                await disk.heal()
            for device in devices:
                device.stop()
            await until(lambda: all(len(device.acknowledged) == device.sent for device in devices))
            told = await disk.told()
            await disk.cut_now(kill=[site.gateway.pid])
            await site.gateway.exit_code()
        assert told["injected"] >= len(kinds)
        await disk.power_on(seed=1)
        site.hub.behave()
        await running.spawn()
        await running.ready()
        count(devices, await running.arrived(), running.starts, PADDING).assert_none()
        await site.gateway.stop()
