"""Devices that number their messages and remember which were acknowledged: what shows loss, reordering, duplicates.

Each device is a careful MQTT 3.1.1 client: it sends a message again, with DUP, until it is acknowledged, always in the
order of the numbers. paho 1.6 is not careful enough to judge by: while it reconnects, a new message may overtake those
that it sends again.
"""

import asyncio
import random
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from edgewire.codec.mqtt.connect import write_connect
from edgewire.codec.mqtt.frames import FrameReader
from edgewire.codec.mqtt.packets import Connack, Connect, Puback, Publish
from edgewire.codec.mqtt.v3 import read, write
from standin.events import Event
from support.gateway_site import PATIENCE_S, GatewaySite, until
from support.mqtt_reading import everything

WINDOW: Final = 20
"""Messages on their way and not acknowledged, as with paho."""
RECONNECT_S: Final = 0.05
ANSWER_S: Final = 20.0
CONNECT_S: Final = 10.0
"""Who dials a published port while its container is being replaced waits for the address of the old one."""
LEVEL: Final = 4
LOADED: Final = 20
"""Messages that each device has acknowledged since the start, when a gateway is killed under load."""
DUPLICATE_MARK: Final = "mqtt-dup"


class NumberedDevice:
    """One device; `run` it in a task. Message n has the body n, in decimal."""

    def __init__(self, site: GatewaySite, device: str, *, burst_pause_s: float = 0.01, padding: int = 0) -> None:
        self.device = device
        self._site = site
        self._tls = site.client_tls()
        self._pause_s = burst_pause_s
        self._padding = b" " * padding
        self._topic = f"devices/{device}/messages/events/"
        self._next = 0
        self._waiting: dict[int, None] = {}
        self._stopping = False
        self.acknowledged: set[int] = set()
        self.connects = 0

    @property
    def sent(self) -> int:
        """How many messages it has begun to send."""
        return self._next

    def stop(self) -> None:
        """Begin no new message; `run` returns when all are acknowledged."""
        self._stopping = True

    async def run(self) -> None:
        """Send until `stop`, across all that may happen to the connection."""
        while not (self._stopping and not self._waiting):
            try:
                await self._connect_and_send()
            except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
                await asyncio.sleep(RECONNECT_S)

    async def _connect_and_send(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(self._site.address, 8883, ssl=self._tls)
        try:
            async with asyncio.timeout(ANSWER_S):
                frames = await self._log_in(reader, writer)
            self.connects += 1
            self._publish(writer, list(self._waiting), again=True)
            # No TaskGroup: one whose task fails while it ends leaves its own task marked as to be cancelled, and what
            # has a time limit then ends that without a word before Python 3.11.4.
            listening = asyncio.ensure_future(self._listen(reader, frames))
            try:
                await self._send(writer, listening)
            finally:
                listening.cancel()
                await asyncio.wait([listening])
                if not listening.cancelled():
                    listening.result()
        finally:
            writer.transport.abort()

    async def _log_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> FrameReader:
        connect = Connect(
            client_id=self.device,
            level=LEVEL,
            clean_start=False,
            keep_alive_s=60,
            username=self._site.username(self.device),
            password=self._site.token(self.device).encode(),
        )
        writer.write(write_connect(connect))
        frames = FrameReader(everything(LEVEL))
        while (frame := frames.next()) is None:
            frames.push(await _some(reader))
        connack = read(*frame, level=LEVEL)
        assert isinstance(connack, Connack)
        assert connack.code == 0, f"{self.device} was refused with code {connack.code}"
        return frames

    async def _send(self, writer: asyncio.StreamWriter, listening: "asyncio.Task[None]") -> None:
        """New messages in small bursts, as the window allows."""
        while not listening.done() and not (self._stopping and not self._waiting):
            room = 0 if self._stopping else WINDOW - len(self._waiting)
            new = list(range(self._next, self._next + room))
            self._next += room
            self._waiting |= dict.fromkeys(new)
            self._publish(writer, new, again=False)
            await writer.drain()
            await asyncio.sleep(self._pause_s)

    def _publish(self, writer: asyncio.StreamWriter, numbers: Iterable[int], *, again: bool) -> None:
        for number in numbers if not writer.is_closing() else ():
            body = str(number).encode() + self._padding
            writer.write(write(Publish(self._topic, body, 1, False, again, number % 65_535 + 1)))

    async def _listen(self, reader: asyncio.StreamReader, frames: FrameReader) -> None:
        """Take PUBACKs until the connection ends."""
        while True:
            while (frame := frames.next()) is not None:
                puback = read(*frame, level=LEVEL)
                assert isinstance(puback, Puback), puback
                self._on_acknowledged(puback.packet_id)
            frames.push(await _some(reader))

    def _on_acknowledged(self, packet_id: int) -> None:
        number = next((each for each in self._waiting if each % 65_535 + 1 == packet_id), None)
        assert number is not None, f"{self.device}: packet {packet_id} was acknowledged, and nobody had sent it"
        del self._waiting[number]
        self.acknowledged.add(number)


async def _some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65_536)
    if not data:
        raise ConnectionResetError("the gateway has closed the connection")
    return data


@asynccontextmanager
async def sending(devices: Sequence[NumberedDevice]) -> AsyncIterator[None]:
    """All of them send while the block runs; at its end everything they began is acknowledged."""
    async with asyncio.TaskGroup() as tasks:
        for device in devices:
            tasks.create_task(device.run(), name=device.device)
        yield
        for device in devices:
            device.stop()


def numbered(site: GatewaySite, count: int, *, burst_pause_s: float = 0.01, padding: int = 0) -> list[NumberedDevice]:
    """So many devices, registered."""
    names = [f"n{number}" for number in range(count)]
    site.register(*names)
    return [NumberedDevice(site, name, burst_pause_s=burst_pause_s, padding=padding) for name in names]


async def progress(devices: Sequence[NumberedDevice], more: int, patience_s: float = PATIENCE_S) -> None:
    """Return when each of them has `more` further messages acknowledged."""
    wanted = {device.device: len(device.acknowledged) + more for device in devices}
    await until(lambda: all(len(device.acknowledged) >= wanted[device.device] for device in devices), patience_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the hub's events say about the devices' messages. All of it empty is what must be."""

    lost: dict[str, list[int]]
    """Acknowledged, and not arrived."""
    reordered: dict[str, list[int]]
    """Arrived for the first time behind one with a higher number."""
    copied: dict[str, list[int]]
    """Stored twice though the device had sent it once: two message ids without a mark of DUP."""
    repeated: int
    """How often a message arrived again with the same id, as it may after a cut: no fault."""

    def assert_none(self) -> None:
        """Nothing was lost, reordered or made twice."""
        found = {name: getattr(self, name) for name in ("lost", "reordered", "copied") if getattr(self, name)}
        assert not found, found


def judge(devices: Sequence[NumberedDevice], events: Sequence[Event]) -> Findings:
    """Compare what was acknowledged with what arrived."""
    arrivals: dict[str, list[tuple[int, Event]]] = defaultdict(list)
    for event in events:
        arrivals[sender_of(event)].append((int(event.body), event))
    firsts = {device.device: list(dict.fromkeys(number for number, _ in arrivals[device.device])) for device in devices}
    lost = {device.device: sorted(device.acknowledged - set(firsts[device.device])) for device in devices}
    behind = {name: [b for a, b in pairwise(order) if b < a] for name, order in firsts.items()}
    copied = {name: _copied(arrivals[name]) for name in firsts}
    ids = {(name, event.system["messageId"]) for name, each in arrivals.items() for _, event in each}
    return Findings(
        lost=_without_empty(lost),
        reordered=_without_empty(behind),
        copied=_without_empty(copied),
        repeated=len(events) - len(ids),
    )


def sender_of(event: Event) -> str:
    """The device that an event is of: named by the gateway's module, or the sender itself."""
    return event.properties.get("leafDeviceId") or event.device


def _copied(arrivals: Sequence[tuple[int, Event]]) -> list[int]:
    ids: dict[int, set[str]] = defaultdict(set)
    for number, event in arrivals:
        if DUPLICATE_MARK not in event.properties:
            ids[number].add(event.system["messageId"])
    return [number for number, each in ids.items() if len(each) > 1]


def _without_empty(found: dict[str, list[int]]) -> dict[str, list[int]]:
    return {name: numbers for name, numbers in found.items() if numbers}


async def all_arrived(site: GatewaySite, devices: Sequence[NumberedDevice]) -> list[Event]:
    """All events, once the gateway's backlog is empty."""
    await site.nothing_waits()
    events = site.hub.events.read(0, 1_000_000)
    assert len(events) >= sum(len(device.acknowledged) for device in devices) or judge(devices, events).lost
    return events


async def kill_cycles(site: GatewaySite, devices: Sequence[NumberedDevice], *, cycles: int, seed: int) -> Findings:
    """Start the gateway and kill it at a random instant under load, `cycles` times; then let all of it through."""
    chance = random.Random(seed)
    async with sending(devices):
        for number in range(cycles):
            await site.gateway.start()
            if number % 2:  # every other time in the midst of what all of them send, however long they take to get in
                await progress(devices, LOADED)
            await asyncio.sleep(chance.expovariate(1 / 0.4))
            await site.gateway.kill()
        await site.gateway.start()
        await progress(devices, 1)
    return judge(devices, await all_arrived(site, devices))
