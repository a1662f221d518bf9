"""A site for minutes: many devices, a way upstream that comes and goes, settings that change; nothing may grow.

Sampled all the time: resident memory, open files, asyncio tasks, bytes on disk. In the end: the four counts of the
crash campaigns, and what an idle gateway with all its devices costs.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from statistics import fmean, linear_regression
from typing import Final

import orjson

from crash.counts import Counts, count
from edgewire.message import identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Registration, Roster, SymmetricKeys
from soak.swarm import Swarm, SwarmDevice
from standin.hub import MethodError
from support.gateway_site import KEY, MODULE, GatewaySite, until
from support.process_watch import open_files

PADDING: Final = 200
MAX_BYTES: Final = 64 << 20
SEGMENT_BYTES: Final = 16 << 20
SAMPLE_S: Final = 1.0
DRAIN_S: Final = 300.0
LOOKS: Final = 60
"""For what is missing, a second apart: with repeated ones among them, as many as were sent are not all of them."""
SETTLE_S: Final = 2.0

MOST_IDLE_SHARE: Final = 0.02
"""Of a core, for a gateway whose devices are connected and silent."""
MOST_GROWTH_KB: Final = 12 * 1024
"""Between the second quarter of the run and its last: what an allocator does, and the caches that fill once."""
MOST_FILES_MORE: Final = 5
MOST_TASKS_MORE: Final = 5

ROUTES: Final = (
    {"all": "FROM /messages/* INTO $upstream", "hot": None},
    {"all": "FROM /messages/* INTO $upstream", "hot": "FROM /messages/* WHERE $body.temperature > 30 INTO $upstream"},
    {"hot": "FROM /messages/* WHERE lenght(body) > 10 INTO $upstream"},
)
"""Patches of the module twin, in turn; the last one is refused whole, and the second one stays in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much, and for how long."""

    devices: int = 1000
    interval_s: float = 2.0
    minutes: float = 10.0
    flap_s: float = 8.0
    """How long each state of the way upstream lasts."""
    idle_s: float = 10.0


@dataclass(slots=True)
class Samples:
    """What was seen of the gateway's process, in the order of time."""

    at_s: list[float] = field(default_factory=list)
    rss_kb: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    disk_bytes: int = 0

    def growth_kb(self) -> float:
        """From the second quarter to the last."""
        quarter = len(self.rss_kb) // 4
        return fmean(self.rss_kb[-quarter:]) - fmean(self.rss_kb[quarter : 2 * quarter])

    def slope_mb_per_h(self) -> float:
        """Of the memory in the second half, by least squares."""
        half = len(self.at_s) // 2
        return linear_regression(self.at_s[half:], self.rss_kb[half:]).slope * 3600 / 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came out."""

    counts: Counts
    samples: Samples
    idle_share: float
    idle_rss_kb: int
    losses: int
    settings_changes: int
    flaps: int

    def problems(self) -> list[str]:
        """What is not as promised."""
        samples = self.samples
        found = {
            f"the four counts are not zero: {self.counts}": (
                self.counts.lost
                or self.counts.out_of_order
                or self.counts.never_sent
                or self.counts.duplicated != self.counts.repeated
            ),
            f"memory grew by {samples.growth_kb():.0f} KB": samples.growth_kb() > MOST_GROWTH_KB,
            f"open files grew: {samples.files}": _grew(samples.files, MOST_FILES_MORE),
            f"tasks grew: {samples.tasks}": _grew(samples.tasks, MOST_TASKS_MORE),
            f"{samples.disk_bytes:,} bytes on disk": samples.disk_bytes > MAX_BYTES + SEGMENT_BYTES,
            f"idle, it takes {self.idle_share:.1%} of a core": self.idle_share > MOST_IDLE_SHARE,
        }
        return [what for what, is_so in found.items() if is_so]

    def table(self) -> str:
        """For a person."""
        samples = self.samples
        rows = {
            "memory": f"{min(samples.rss_kb) // 1024} to {max(samples.rss_kb) // 1024} MB, "
            f"grew {samples.growth_kb() / 1024:+.1f} MB, {samples.slope_mb_per_h():+.1f} MB/h in the second half",
            "open files": f"{min(samples.files)} to {max(samples.files)}",
            "tasks": f"{min(samples.tasks)} to {max(samples.tasks)}",
            "disk": f"{samples.disk_bytes / 1e6:.1f} MB at most",
            "idle": f"{self.idle_share:.2%} of a core, {self.idle_rss_kb // 1024} MB",
            "upstream": f"changed {self.flaps} times, settings {self.settings_changes} times",
            "connections": f"{self.losses} lost by devices",
        }
        return "\n".join([self.counts.table(), *(f"{name:>14} {text}" for name, text in rows.items())])


def register(site: GatewaySite, names: list[str]) -> None:
    """All of them in one change."""
    entries = [Registration(identity(name), SymmetricKeys(KEY, KEY)) for name in names]
    Registry(site.data / FILE_NAME).edit(lambda roster: reduce(Roster.with_registration, entries, roster))


async def soak(site: GatewaySite, load: Load, show: Callable[[str], None]) -> Result:
    """Run it all; the gateway is started and stopped here."""
    names = [f"s{number}" for number in range(load.devices)]
    register(site, names)
    site.hub.set_desired(
        MODULE, {"schemaVersion": "1.0", "storeAndForward": {"maxBytes": MAX_BYTES}, "routes": ROUTES[0]}
    )
    await site.gateway.start(GATEWAY_UPSTREAM_STALL_S="4", GATEWAY_MAX_CONNECTIONS=str(load.devices + 100))
    swarm = Swarm([SwarmDevice(site, name, load.interval_s, PADDING) for name in names])
    began_at = time.monotonic()
    await swarm.start()
    show(f"{load.devices} devices connected in {time.monotonic() - began_at:.1f} s")
    try:
        return await _run(site, load, swarm, show)
    finally:
        await swarm.stop()


async def _run(site: GatewaySite, load: Load, swarm: Swarm, show: Callable[[str], None]) -> Result:
    samples = Samples()
    disturbance = Disturbance(site, load.flap_s)
    watching = [
        asyncio.ensure_future(_sample(site, samples, swarm, show)),
        asyncio.ensure_future(disturbance.run()),
    ]
    await asyncio.wait(watching, timeout=load.minutes * 60, return_when=asyncio.FIRST_COMPLETED)
    for task in watching:
        task.cancel()
    for outcome in await asyncio.gather(*watching, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
    disturbance.end()
    swarm.be_silent()
    counts = await _drained(site, swarm)
    await asyncio.sleep(SETTLE_S)
    idle_share = await _processor_share(site.gateway.pid, load.idle_s)
    result = Result(
        counts=counts,
        samples=samples,
        idle_share=idle_share,
        idle_rss_kb=site.gateway.rss_kb(),
        losses=swarm.total("losses"),
        settings_changes=disturbance.settings_changes,
        flaps=disturbance.flaps,
    )
    await site.gateway.stop()
    return result


class Disturbance:
    """The way upstream: up, cut and refused, up, stalled; and a change of the settings at each turn."""

    def __init__(self, site: GatewaySite, flap_s: float) -> None:
        self._site = site
        self._flap_s = flap_s
        self.flaps = 0
        self.settings_changes = 0

    async def run(self) -> None:
        """Until cancelled."""
        hub = self._site.hub
        while True:
            for disturb in (self._nothing, self._refuse, self._nothing, hub.stall, hub.drop_connections):
                self.end()
                disturb()
                self.flaps += 1
                hub.set_desired(MODULE, {"routes": ROUTES[self.settings_changes % len(ROUTES)]})
                self.settings_changes += 1
                await asyncio.sleep(self._flap_s * random.uniform(0.5, 1.5))

    def end(self) -> None:
        """All is well again; what lost something in a stall connects anew."""
        if self._site.hub.hub.faults.stalled:
            self._site.hub.drop_connections()
        self._site.hub.behave()

    def _nothing(self) -> None:
        return

    def _refuse(self) -> None:
        self._site.hub.refuse_connections()
        self._site.hub.drop_connections()


async def _sample(site: GatewaySite, samples: Samples, swarm: Swarm, show: Callable[[str], None]) -> None:
    """Look at the process once a second; at its tasks when the way upstream, by which one asks, is open."""
    began_at = time.monotonic()
    while True:
        await asyncio.sleep(SAMPLE_S)
        samples.at_s.append(time.monotonic() - began_at)
        samples.rss_kb.append(site.gateway.rss_kb())
        samples.files.append(open_files(site.gateway.pid))
        samples.disk_bytes = max(samples.disk_bytes, _bytes_in(site.data / "store"))
        with suppress(MethodError):
            answer = await site.hub.invoke_method(MODULE, "getStatus", response_timeout_s=2)
            samples.tasks.append(_tasks_in(answer.payload))
        if len(samples.at_s) % 10 == 0:
            show(
                f"{samples.at_s[-1]:5.0f} s: {samples.rss_kb[-1] // 1024} MB, {samples.files[-1]} files, "
                f"{swarm.total('acknowledged_count'):,} acknowledged, {site.hub.events.last_sequence:,} arrived, "
                f"{swarm.total('connected')} connected"
            )


async def _drained(site: GatewaySite, swarm: Swarm) -> Counts:
    """The counts, once all that was begun is acknowledged and has arrived, or it takes too long."""
    with suppress(TimeoutError):
        await until(lambda: not swarm.total("waiting"), DRAIN_S)
        await until(lambda: site.hub.events.last_sequence >= swarm.total("sent"), DRAIN_S)
    for _ in range(LOOKS):
        counts = _count(site, swarm)
        if not counts.lost:
            break
        await asyncio.sleep(1)
    return counts


def _count(site: GatewaySite, swarm: Swarm) -> Counts:
    return count(swarm.devices, site.hub.events.read(0, 100_000_000), [], PADDING)


async def _processor_share(pid: int, over_s: float) -> float:
    """Of a core."""

    def used_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before_s, began_at = used_s(), time.monotonic()
    await asyncio.sleep(over_s)
    return (used_s() - before_s) / (time.monotonic() - began_at)


def _bytes_in(folder: Path) -> int:
    """What the files occupy; they come and go while we look."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total


def _tasks_in(payload: bytes) -> int:
    tasks: int = orjson.loads(payload)["process"]["tasks"]
    return tasks


def _grew(numbers: list[int], most: int) -> bool:
    """Whether the largest of the last quarter is above the largest of the first half."""
    half, quarter = len(numbers) // 2, len(numbers) // 4
    return bool(quarter) and max(numbers[-quarter:]) > max(numbers[:half]) + most
