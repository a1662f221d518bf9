"""What each kind of `send` saves on a stream as sensors make it, and what it costs in CPU: JSON out.

The stream is the same each time: 20 devices, a day, a reading every 10 s of a temperature that follows the day, drifts,
is noisy, steps as a heater does, and is sometimes not there; devices are away for minutes.
"""

import argparse
import asyncio
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from edgewire.iothub.bag import read_bag
from edgewire.iothub.messages import envelope_for
from edgewire.message import UPSTREAM, EndpointKind, Message, identity
from gateway.app.document import GatewaySettings, read_settings
from gateway.app.forwarding import Forwarding
from gateway.app.in_force import InForce
from gateway.app.sending import SendingRoom
from gateway.app.sending_trial import Bill, Trial, metered_bytes
from gateway.dispatch.ingress import Ingress
from gateway.observe.tap import Tap
from gateway.routing.table import Table
from gateway.store.store import Store
from gateway.store.values import StoreLimits

DAY_S: Final = 86_400
DEVICES: Final = 20
EVERY_S: Final = 10
REPEATS: Final = 5
THROUGH: Final = 40_000
"""Messages that go the whole way for its CPU."""
BURST: Final = 50
ROUTE: Final = "FROM /messages/* INTO $upstream"
CHANGE: Final = "$body.temperature"
VALUES: Final = {"temperature": "$body.temperature", "humidity": "$body.humidity"}
SENDS: Final[dict[str, dict[str, Any] | None]] = {
    "nothing": None,
    "on change": {"onChangeOf": CHANGE},
    "on change by 0.5": {"onChangeOf": CHANGE, "deadBand": 0.5},
    "on change by 2 %": {"onChangeOf": CHANGE, "deadBand": {"percent": 2}},
    "on change by 0.5, at least every 600 s": {"onChangeOf": CHANGE, "deadBand": 0.5, "atLeastEverySecs": 600},
    "at most every 60 s": {"atMostEverySecs": 60},
    "every 10th": {"sample": {"everyNth": 10}},
    "batch of 60 s": {"batch": {"maxAgeSecs": 60}},
    "batch of 600 s": {"batch": {"maxAgeSecs": 600}},
    "batch of 600 s, bodies": {"batch": {"maxAgeSecs": 600, "items": "bodies"}},
    "batch of 60 s for all devices, 65,536 bytes": {"batch": {"maxAgeSecs": 60, "per": "route"}},
    "window of 60 s": {"aggregate": {"windowSecs": 60, "values": VALUES}},
    "window of 600 s": {"aggregate": {"windowSecs": 600, "values": VALUES}},
    "change by 0.5, then batch of 600 s": {"onChangeOf": CHANGE, "deadBand": 0.5, "batch": {"maxAgeSecs": 600}},
}


def readings(number: int) -> Iterator[tuple[float, Message]]:
    """A device's day."""
    chance = Random(number)
    envelope = envelope_for(identity(f"sensor-{number:02}"), read_bag("$.ct=application%2Fjson&$.ce=utf-8"), marks={})
    drift, heater, away_until = 0.0, 0.0, -1.0
    for tick in range(DAY_S // EVERY_S):
        at_s = tick * EVERY_S + number / DEVICES * EVERY_S
        drift += chance.gauss(0, 0.01)
        if chance.random() < 1 / 500:
            heater = 4.0 if not heater else 0.0
        if chance.random() < 1 / 2_000:
            away_until = at_s + chance.uniform(300, 1_800)
        if at_s < away_until:
            continue
        warmth = 20 + 3 * math.sin(2 * math.pi * at_s / DAY_S) + drift + heater + chance.gauss(0, 0.08)
        body = {
            "temperature": None if chance.random() < 1 / 300 else round(warmth, 1),
            "humidity": round(50 - warmth / 2 + chance.gauss(0, 0.5)),
            "battery": round(3.3 - at_s / DAY_S / 100, 2),
            "seq": tick,
        }
        yield at_s, Message(envelope, json.dumps(body, separators=(",", ":")).encode())


def stream() -> list[tuple[float, Message]]:
    """All devices' day, in the order of time."""
    return sorted((one for number in range(DEVICES) for one in readings(number)), key=lambda one: one[0])


def settings_of(send: dict[str, Any] | None) -> tuple[GatewaySettings, Table]:
    """One route to the cloud."""
    reading = read_settings({"routes": {"r": {"route": ROUTE, "send": send}}})
    if reading.settings is None or reading.table is None:
        raise SystemExit("\n".join(problem.rendered() for problem in reading.problems))
    return reading.settings, reading.table


def saved(day: Sequence[tuple[float, Message]], send: dict[str, Any] | None) -> dict[str, float]:
    """What leaves in that day."""
    trial = Trial(*settings_of(send))
    for at_s, message in day:
        trial.feed(message, at_s)
    trial.finish()
    bill = Bill()
    for sent in trial.sent:
        bill = bill.plus(metered_bytes(sent.message))
    return {"messages": bill.messages, "bytes": bill.size, "metered": bill.blocks, "metered_free": bill.free_blocks}


def best_us(work: Callable[[], None], count: int) -> float:
    """Microseconds of CPU per message: the best of some repeats, as only disturbances make it longer."""
    best = math.inf
    for _ in range(REPEATS):
        started_at = time.process_time()
        work()
        best = min(best, time.process_time() - started_at)
    return best / count * 1e6


def decided_us(day: Sequence[tuple[float, Message]], send: dict[str, Any] | None) -> float:
    """Routing, filter, and making: all but the store."""
    part = day[:20_000]

    def run() -> None:
        trial = Trial(*settings_of(send))
        for at_s, message in part:
            trial.feed(message, at_s)
        trial.finish()

    return best_us(run, len(part))


async def through_us(day: Sequence[tuple[float, Message]], send: dict[str, Any] | None, folder: Path) -> float:
    """Ingress, store, and with a stage its forwarder and the store again: CPU of all threads, without any upstream."""
    store = Store.open(folder / "store", StoreLimits(), lambda _event: None)
    ingress = Ingress(Table(()), store, Tap(), lambda _event: None)
    forwarding = Forwarding(store, lambda _event: None)
    room = SendingRoom(store, folder, {}, lambda _event: None)
    forwarding.use(EndpointKind.STAGE, room.way)
    in_force = InForce(ingress, store, forwarding.serve)
    in_force.apply(*settings_of(send))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(room.run())
        forwarding.start(tasks, in_force.endpoints)
        started_at = time.process_time()
        messages = [message for _, message in day[:THROUGH]]
        for at in range(0, len(messages), BURST):
            stored: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            ingress.accept(messages[at : at + BURST], stored.set_result)
            await stored
        stage = [reader for reader in map(store.reader, store.endpoints()) if reader.endpoint != UPSTREAM]
        while any(reader.ready for reader in stage):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        await room.finish()
        await store.flush()
        await forwarding.stop()
        spent_s = time.process_time() - started_at
        running.cancel()
    await store.close()
    return spent_s / len(messages) * 1e6


def main() -> None:
    """Read the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SENDS, action="append", help="these kinds only")
    arguments = parser.parse_args()
    day = stream()
    sizes = [len(message.body) for _, message in day]
    print(json.dumps({"messages": len(day), "mean_body_bytes": sum(sizes) / len(sizes)}))
    for name in arguments.only or SENDS:
        with tempfile.TemporaryDirectory() as folder:
            through = asyncio.run(through_us(day, SENDS[name], Path(folder)))
        figures = saved(day, SENDS[name])
        print(json.dumps({"send": name, **figures, "decided_us": decided_us(day, SENDS[name]), "through_us": through}))


if __name__ == "__main__":
    main()
