"""What a process holds: memory, open files, processor time; and that an attack has left nothing behind."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from support.gateway_site import GatewaySite

GROWTH_KB: Final = 50 * 1024
"""The most that an attack may leave in memory, or need while it lasts."""
FILES_MORE: Final = 20
SETTLE_S: Final = 30.0


def open_files(pid: int) -> int:
    """File descriptors of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def peak_kb(pid: int) -> int:
    """The most memory that a process had resident since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("the kernel does not say VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak begin at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def processor_s(pid: int) -> float:
    """Processor time that a process has used, all its threads together."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Watch:
    """What one attack cost; known when the block has ended."""

    growth_kb = 0
    peak_kb = 0
    files_more = 0


@asynccontextmanager
async def watched(site: GatewaySite, growth_kb: int = GROWTH_KB) -> AsyncIterator[Watch]:
    """Watch the gateway during an attack.

    Afterwards: memory was bounded, files are closed again, no connection crashed, nothing unforeseen in the log.
    """
    pid = site.gateway.pid
    before_kb, files = site.gateway.rss_kb(), open_files(pid)
    forget_peak(pid)
    watch = Watch()
    yield watch
    async with asyncio.timeout(SETTLE_S):
        while open_files(pid) > files + FILES_MORE:  # noqa: ASYNC110 — the kernel tells nobody
            await asyncio.sleep(0.05)
    watch.growth_kb = site.gateway.rss_kb() - before_kb
    watch.peak_kb = peak_kb(pid) - before_kb
    watch.files_more = open_files(pid) - files
    assert watch.peak_kb < growth_kb, f"it needed {watch.peak_kb} KB more, from {before_kb} KB"
    assert (await site.metrics()).get("gateway_crashed_connections_total", 0) == 0, site.gateway.transcript()
    site.gateway.assert_no_fault()
