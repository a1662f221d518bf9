"""Prints what the straight line does with seeded input, line by line: two builds of it must print the same.

Run as a program, as each build needs a process of its own: `python behaviour.py SEED CASES`.
"""

import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgewire.codec.mqtt.packets import Publish
from edgewire.session.mqtt import server
from support.mqtt_fuzz import Case, Fuzz
from support.mqtt_reading import write_one
from support.mqtt_site import HUB, Device, Site
from support.raw_mqtt import Hello

ROUTES = {
    "alerts": "FROM /messages/* WHERE $body.messageType = 'alert' INTO $upstream",
    "deep": "FROM /messages/* WHERE $body.machine.temperature > 70 OR level = 'high' "
    'INTO BrokeredEndpoint("/modules/m/inputs/i")',
}
PIECES = (1, 2, 3, 7, 64, 100_000)
ANSWER_S = 60.0


def write(line: str) -> None:
    sys.stdout.write(line + "\n")


def hello(level: int, site: Site) -> Hello:
    """A right CONNECT."""
    return Hello(level=level, client_id="d1", username=f"{HUB}/d1/?api-version=2021-04-12", password=site.token("d1"))


def pieces(seed: random.Random, wire: bytes) -> Iterator[bytes]:
    """The bytes as a socket may give them."""
    size = seed.choice(PIECES)
    for at in range(0, len(wire), size):
        yield wire[at : at + size]


async def answered(device: Device) -> None:
    """Return when nothing of the device waits for the disk: what comes next must not overtake an answer."""
    async with asyncio.timeout(ANSWER_S):
        while device.owner._unanswered:  # noqa: ASYNC110 - the head tells nobody when it has answered
            await asyncio.sleep(0)


async def play(site: Site, seed: random.Random, case: Case) -> str:
    """One connection from its login to the end of its input: all that can be seen of it."""
    device = site.login("d1", level=case.level) if case.after_login else site.dial(level=case.level)
    good = Publish("devices/d1/messages/events/level=high", b'{"machine":{"temperature":71}}', 1, False, False, 77)
    wire = (write_one(good, case.level) if case.after_login and case.level < 5 else b"") + case.wire
    for piece in pieces(seed, wire):
        device.pump.receive(piece)
        await answered(device)
    seen = f"{case.kind} {device.wire.written.hex()} {device.wire.closed} {device.wire.paused} {device.wire.crashed!r}"
    device.lose()
    return seen


async def main(seed: int, cases: int) -> None:
    """Play all cases on one site, and print what came of each, then what is stored and what was reported."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with Site.open(Path(folder), routes=ROUTES) as site:
            fuzz = Fuzz(seed, "d1", lambda level: hello(level, site))
            for _ in range(cases):
                write(await play(site, chance, fuzz.case()))
            for endpoint in sorted(site.store.endpoints(), key=str):
                while entries := site.stored(endpoint):
                    for entry in entries:
                        write(f"{endpoint} {entry.message}")
            for event in site.events:
                write(str(event).replace(folder, ""))


if __name__ == "__main__":
    sys.stderr.write(Path(server.__file__).suffix)
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
