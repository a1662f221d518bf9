"""kill -9 under load, again and again on one store: nothing acknowledged is lost, nothing is out of order."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgewire.message import UPSTREAM
from gateway.observe.events import Event
from gateway.store.files import DiskFiles
from gateway.store.store import Store
from gateway.store.values import StoreLimits
from gateway.store.verify import verify

CYCLES = 10
ACKNOWLEDGEMENTS = 60
"""Read before the kill; what the writer does meanwhile differs from cycle to cycle."""

WRITER = Path(__file__).parent / "kill_writer.py"


def run_and_kill(directory: Path, first: int, lines: int) -> tuple[int, int]:
    """The last acknowledged and the last settled number of a writer that was killed."""
    environment = {**os.environ, "PYTHONPATH": str(WRITER.parent.parent)}
    command = [sys.executable, str(WRITER), str(directory), str(first)]
    acknowledged, settled = first - 1, -1
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            if line.startswith("settled "):
                settled = int(line.removeprefix("settled "))
            elif line.endswith("\n"):
                acknowledged = int(line)
            if count == lines:
                process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return acknowledged, settled


async def stored_numbers(directory: Path) -> list[int]:
    events: list[Event] = []
    store = Store.open(directory, StoreLimits(segment_bytes=1 << 20), events.append)
    entries = store.reader(UPSTREAM).take(1_000_000, 1 << 40)
    await store.close()
    return [int(entry.message.body) for entry in entries]


@pytest.mark.timeout(600)  # hundreds of syncs, which take a second each on a disk where images are built meanwhile
def test_ten_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    first = settled = 0
    for cycle in range(CYCLES):
        acknowledged, last_settled = run_and_kill(directory, first, ACKNOWLEDGEMENTS + 7 * cycle)
        settled = max(settled, last_settled)
        numbers = asyncio.run(stored_numbers(directory))
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[0] <= settled + 1
        assert numbers[-1] >= acknowledged
        checked = verify(directory, DiskFiles(directory))
        assert checked is not None
        assert not checked.damage
        first = numbers[-1] + 1
