"""What the store writes to a card, journal of the file system included: sectors of a loop device with ext4.

    sudo .venv/bin/python bench/tools/card_wear.py --seconds 20

Each case appends messages at a rate, waits until they are on disk, and settles them as the way upstream does. It needs
root for losetup and mount. One JSON line a case: bytes of the body, messages a second, bytes written per message.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from edgewire.iothub.bag import read_bag
from edgewire.iothub.messages import envelope_for
from edgewire.message import UPSTREAM, Delivery, Message, identity
from gateway.store.store import Store
from gateway.store.values import AppendResult, StoreLimits

SIZES: Final = (256, 1024)
RATES: Final = (0.5, 10.0, 100.0, 1000.0)
SENDERS: Final = 20
IMAGE_BYTES: Final = 1 << 30
POSITIONS_S: Final = 1.5
"""Positions are written once a second."""
SECTOR: Final = 512
WRITTEN_SECTORS: Final = 6
"""Of the line in /sys/block/…/stat: sectors written, counted from 0."""


class Case(NamedTuple):
    """A body's size and a rate."""

    body_bytes: int
    per_s: float


@contextmanager
def card(folder: Path) -> Iterator[tuple[Path, str]]:
    """A fresh ext4 on a loop device: where it is mounted, and the device's name."""
    image, mounted = folder / "card.img", folder / "card"
    with image.open("wb") as file:
        os.truncate(file.fileno(), IMAGE_BYTES)
    options = "lazy_itable_init=0,lazy_journal_init=0"  # else the kernel writes for us in the background
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", options, str(image)], check=True)
    found = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True)
    device = found.stdout.strip()
    mounted.mkdir()
    try:
        subprocess.run(["mount", "-o", "noatime", device, str(mounted)], check=True)
        try:
            yield mounted, Path(device).name
        finally:
            subprocess.run(["umount", str(mounted)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def written(device: str) -> int:
    """Bytes that reached the device so far, with all that was waiting."""
    os.sync()
    return int(Path(f"/sys/block/{device}/stat").read_text().split()[WRITTEN_SECTORS]) * SECTOR


class Sending:
    """A store, and what goes through it."""

    def __init__(self, folder: Path, body_bytes: int) -> None:
        bag = read_bag("$.ct=application%2Fjson&$.ce=utf-8")
        self._envelopes = [envelope_for(identity(f"device-{n:05d}"), bag, marks={}) for n in range(SENDERS)]
        self._body = os.urandom(body_bytes)
        self._store = Store.open(folder, StoreLimits(), lambda _: None)
        self._reader = self._store.reader(UPSTREAM)
        self._waiting: set[asyncio.Future[AppendResult]] = set()
        self.count = 0

    def send(self) -> None:
        """One message; it is safe some time later."""
        stored: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()
        self._waiting.add(stored)
        stored.add_done_callback(self._waiting.discard)
        message = Message(self._envelopes[self.count % SENDERS], self._body)
        self._store.append([(message, (Delivery(UPSTREAM),))], stored.set_result)
        self.count += 1

    def settle(self) -> None:
        """All that is safe has arrived upstream."""
        while entries := self._reader.take(64, 1 << 20):
            self._reader.settle(entries)

    async def finish(self) -> None:
        """Wait until all is safe and settled, and the positions are written."""
        await asyncio.gather(*self._waiting)
        self.settle()
        await asyncio.sleep(POSITIONS_S)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


async def sent(sending: Sending, per_s: float, seconds: float) -> None:
    """Send at a rate."""
    began_at, before = time.monotonic(), sending.count
    while (passed := time.monotonic() - began_at) < seconds:
        for _ in range(max(0, int(passed * per_s) + 1 - (sending.count - before))):
            sending.send()
        await asyncio.sleep(min(0.01, 1 / per_s))  # messages of devices do not come in step with the disk
        sending.settle()
    await sending.finish()


async def measure(case: Case, seconds: float) -> dict[str, float]:
    """One case on a card of its own; what a start of the store writes is left out."""
    with tempfile.TemporaryDirectory() as folder, card(Path(folder)) as (mounted, device):
        sending = Sending(mounted / "store", case.body_bytes)
        await sent(sending, 1.0, 1.0)
        before, count = written(device), sending.count
        await sent(sending, case.per_s, seconds)
        total, count = written(device) - before, sending.count - count
        await sending.close()
    return {**case._asdict(), "messages": count, "written": total, "per_message": round(total / count)}


def main() -> None:
    """Read the command line, measure, print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each case")
    given = parser.parse_args()
    for size in SIZES:
        for rate in RATES:
            print(json.dumps(asyncio.run(measure(Case(size, rate), given.seconds))), flush=True)


if __name__ == "__main__":
    main()
