"""Campaigns against a gateway under load: it dies again and again, and in the end nothing may be missing.

How it dies: by SIGKILL at a random instant, its start included; or with the power, at a random write, sync or name
change, on a disk that keeps, drops, tears or garbles what was not synced. Half the time the way upstream is cut, so
that the store holds a backlog.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from crash.counts import Counts, count
from crash.mounted import Disk, fault_disk
from standin.events import Event
from support.gateway_site import MODULE, GatewaySite, until
from support.numbered_devices import NumberedDevice, numbered, progress, sending

DEVICES: Final = 20
BURST_PAUSE_S: Final = 0.2
"""A window of 20 of each device so often: up to 2,000 messages a second while the gateway lives."""
PADDING: Final = 200
MEAN_LIFE_S: Final = 0.5
DIES_STARTING: Final = 0.2
"""How often it dies before it is ready."""
START_S: Final = 0.9
"""About how long a start takes here."""
READY_S: Final = 60.0
"""The longest that a start may take, on a machine that is busy elsewhere."""
MOST_CHANGES: Final = 200
"""Changes on the disk in a life that the power ends."""
DRAIN_S: Final = 120.0
STORE: Final = "/store"
"""The store's place on the fault disk."""

Die = Callable[["Campaign", random.Random], Awaitable[None]]


@dataclass(slots=True)
class Campaign:
    """One site, its devices, and how often they were made to suffer."""

    site: GatewaySite
    devices: list[NumberedDevice]
    show: Callable[[str], None]
    starts: list[float] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    died_starting: int = 0
    taken: int = 0
    """Acknowledged in lives that were to end; `serving_s` is how long those were ready."""
    serving_s: float = 0.0

    async def spawn(self) -> None:
        """Start the gateway, and wait for nothing.

        What its last life has sent is with the hub by now, which dates it: an event counts for the life it came in.
        """
        await until(lambda: MODULE not in self.site.hub.hub.connected())
        self.starts.append(time.time())
        await self.site.gateway.spawn()

    async def ready(self) -> None:
        """Return when it takes devices; its start must not find damage."""
        await self.site.gateway.said("READY ", READY_S)
        self.ready_s.append(time.time() - self.starts[-1])

    async def run(self, cycles: int, seed: int, die: Die) -> None:
        """Live and die so often, and live on."""
        chance = random.Random(seed)
        for cycle in range(1, cycles + 1):
            self._cut_or_mend_upstream(chance)
            acknowledged = self._acknowledged()
            await self.spawn()
            readies = len(self.ready_s)
            await die(self, chance)
            lived_s, taken = time.time() - self.starts[-1], self._acknowledged() - acknowledged
            self.taken += taken
            self.serving_s += lived_s - self.ready_s[-1] if len(self.ready_s) > readies else 0
            self.show(
                f"cycle {cycle:>4} of {cycles}: lived {lived_s:5.2f} s, {taken:>6,} acknowledged, "
                f"{self.site.hub.events.last_sequence:>8,} arrived"
            )
        self.site.hub.behave()
        await self.spawn()
        await self.ready()
        await progress(self.devices, 1)

    async def settle(self) -> Counts:
        """Wait until all that is stored has arrived, and count."""
        return count(self.devices, await self.arrived(), self.starts, PADDING)

    async def arrived(self) -> list[Event]:
        """All events, once the gateway's backlog is empty."""

        async def is_empty() -> bool:
            return not any(queue["messages"] for queue in (await self.site.status())["store"]["queues"])

        await until(is_empty, DRAIN_S)
        return self.site.hub.events.read(0, 100_000_000)

    def summary(self) -> str:
        """How it went, for a person."""
        return (
            f"{len(self.starts)} starts, {self.died_starting} of them ended before they were ready; "
            f"ready after {median(self.ready_s):.2f} s (median), {max(self.ready_s):.2f} s (worst); "
            f"{self.taken / self.serving_s:,.0f} messages a second acknowledged while it served"
        )

    def _acknowledged(self) -> int:
        return sum(len(device.acknowledged) for device in self.devices)

    def _cut_or_mend_upstream(self, chance: random.Random) -> None:
        if chance.random() < 0.5:
            self.site.hub.behave()
        else:
            self.site.hub.refuse_connections()
            self.site.hub.drop_connections()


async def by_kill(campaign: Campaign, chance: random.Random) -> None:
    """SIGKILL, at any instant of a start or a life."""
    if chance.random() < DIES_STARTING:
        campaign.died_starting += 1
        await asyncio.sleep(chance.uniform(0, START_S))
    else:
        await campaign.ready()
        await asyncio.sleep(chance.expovariate(1 / MEAN_LIFE_S))
    await campaign.site.gateway.kill()


def by_power_cut(disk: Disk) -> Die:
    """The power goes at any change on the disk, recovery's own included, and comes back."""

    async def die(campaign: Campaign, chance: random.Random) -> None:
        gateway = campaign.site.gateway
        if chance.random() < DIES_STARTING:
            campaign.died_starting += 1
            await disk.cut_after(chance.randrange(60), kill=[gateway.pid])
        else:
            await campaign.ready()
            await disk.cut_after(chance.randrange(MOST_CHANGES), kill=[gateway.pid])
        code = await gateway.exit_code()
        assert code == -9, f"it ended by itself with {code}:\n{gateway.transcript()}"
        await disk.power_on(chance.randrange(1 << 30))

    return die


@asynccontextmanager
async def campaign(site: GatewaySite, show: Callable[[str], None] = lambda _: None) -> AsyncIterator[Campaign]:
    """Devices that send while the block runs; at its end all they have begun is acknowledged."""
    devices = numbered(site, DEVICES, burst_pause_s=BURST_PAUSE_S, padding=PADDING)
    async with sending(devices):
        yield Campaign(site, devices, show)


async def kill_campaign(site: GatewaySite, cycles: int, seed: int, show: Callable[[str], None]) -> Counts:
    """`kill -9`, so often."""
    async with campaign(site, show) as running:
        await running.run(cycles, seed, by_kill)
    counts = await running.settle()
    show(running.summary())
    return counts


async def power_campaign(site: GatewaySite, cycles: int, seed: int, show: Callable[[str], None]) -> Counts:
    """Power cuts, so often, on a fault disk."""
    async with fault_disk(site.data) as disk:
        async with campaign(site, show) as running:
            await running.run(cycles, seed, by_power_cut(disk))
        counts = await running.settle()
        show(running.summary())
        await site.gateway.stop()
    return counts


async def power_cut_without_syncs(site: GatewaySite, seed: int) -> str:
    """The negative control: the store's syncs claim success and do nothing. What a power cut then did, or nothing."""
    async with fault_disk(site.data) as disk:
        devices = numbered(site, DEVICES, burst_pause_s=BURST_PAUSE_S, padding=PADDING)
        running = Campaign(site, devices, lambda _: None)
        await running.spawn()
        await running.ready()
        async with pressing(devices):
            await progress(devices, 5)
            await disk.lie(STORE)
            site.hub.refuse_connections()
            site.hub.drop_connections()
            await progress(devices, 60)
            await disk.cut_now(kill=[site.gateway.pid])
        await site.gateway.exit_code()
        await disk.power_on(seed)
        site.hub.behave()
        await running.spawn()
        try:
            await running.ready()
        except AssertionError:
            code = await site.gateway.exit_code()
            return f"the next start was refused with code {code}: {site.gateway.lines[-1]}"
        counts = await running.settle()
        await site.gateway.stop()
    return "" if counts.is_clean() else f"{counts.lost} of {counts.acknowledged} acknowledged messages were lost"


@asynccontextmanager
async def pressing(devices: Sequence[NumberedDevice]) -> AsyncIterator[None]:
    """All of them send while the block runs, and are gone at its end, whatever they wait for."""
    tasks = [asyncio.ensure_future(device.run()) for device in devices]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
