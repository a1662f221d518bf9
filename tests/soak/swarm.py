"""Many devices in one process: a protocol and a timer each, on the gateway's own codec; they number their messages."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final, cast

from edgewire.codec.mqtt.connect import write_connect
from edgewire.codec.mqtt.frames import FrameReader
from edgewire.codec.mqtt.packets import Connack, Connect, Puback, Publish
from edgewire.codec.mqtt.v3 import read, write
from support.gateway_site import GatewaySite, until
from support.mqtt_reading import everything

LEVEL: Final = 4
KEEP_ALIVE_S: Final = 60
PING: Final = b"\xc0\x00"
MOST_WAITING: Final = 20
"""Messages that a device has sent and not heard of; it sends no new one above that."""
RECONNECT_S: Final = 1.0
CONNECT_S: Final = 60.0


class SwarmDevice(asyncio.Protocol):
    """One device. It sends again, in order and with DUP, what was not acknowledged when its connection ended."""

    def __init__(self, site: GatewaySite, device: str, interval_s: float, padding: int) -> None:
        self.device = device
        self.sent = 0
        self.acknowledged: set[int] = set()
        self.refusals = 0
        self.losses = 0
        self.sending = True
        self._site = site
        self._interval_s = interval_s
        self._padding = b" " * padding
        self._topic = f"devices/{device}/messages/events/"
        self._tls = site.client_tls()
        self._waiting: list[int] = []
        self._transport: asyncio.Transport | None = None
        self._ready = False
        self._lost = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the gateway has let it in."""
        return self._ready

    @property
    def acknowledged_count(self) -> int:
        """Messages that the gateway has answered for."""
        return len(self.acknowledged)

    @property
    def waiting(self) -> int:
        """Messages begun and not acknowledged."""
        return len(self._waiting)

    async def run(self) -> None:
        """Connect, and again after each loss, until cancelled."""
        try:
            while True:
                self._lost.clear()
                try:
                    await asyncio.get_running_loop().create_connection(
                        lambda: self, self._site.address, 8883, ssl=self._tls
                    )
                except OSError:
                    self.losses += 1
                else:
                    await self._live()
                await asyncio.sleep(random.uniform(0.5, 1.5) * RECONNECT_S)
        finally:
            if self._transport is not None:
                self._transport.abort()

    async def _live(self) -> None:
        """Publish in its rhythm while the connection lasts; the first time at a random moment of it."""
        pause_s = random.uniform(0, self._interval_s)
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(pause_s):
                    await self._lost.wait()
            except TimeoutError:
                self._beat()
            pause_s = self._interval_s if self.sending else KEEP_ALIVE_S / 2

    def _beat(self) -> None:
        if not self._ready or self._transport is None:
            return
        if not self.sending:
            self._transport.write(PING)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting.append(self.sent)
            self.sent += 1
            self._transport.write(self._publish(self._waiting[-1], again=False))

    def _publish(self, number: int, *, again: bool) -> bytes:
        body = str(number).encode() + self._padding
        return write(Publish(self._topic, body, 1, False, again, number % 65_535 + 1))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by class
        self._frames = FrameReader(everything(LEVEL))
        connect = Connect(
            client_id=self.device,
            level=LEVEL,
            clean_start=True,
            keep_alive_s=KEEP_ALIVE_S,
            username=self._site.username(self.device),
            password=self._site.token(self.device, life_s=86_400).encode(),
        )
        self._transport.write(write_connect(connect))

    def data_received(self, data: bytes) -> None:
        """Take CONNACK and PUBACKs."""
        self._frames.push(data)
        while (frame := self._frames.next()) is not None:
            packet = read(*frame, level=LEVEL)
            if isinstance(packet, Puback):
                self._on_acknowledged(packet.packet_id)
            elif isinstance(packet, Connack):
                self._on_answer(packet.code)

    def connection_lost(self, error: Exception | None) -> None:
        """Let `run` try again."""
        self.losses += 1
        self._ready = False
        self._transport = None
        self._lost.set()

    def _on_answer(self, code: int) -> None:
        assert self._transport is not None
        self._ready = code == 0
        self.refusals += code != 0
        if self._ready and self._waiting:
            self._transport.write(b"".join(self._publish(number, again=True) for number in self._waiting))

    def _on_acknowledged(self, packet_id: int) -> None:
        number = self._waiting.pop(0)
        assert number % 65_535 + 1 == packet_id, f"{self.device}: PUBACKs come in the order of the PUBLISHes"
        self.acknowledged.add(number)


class Swarm:
    """All of them, in tasks."""

    def __init__(self, devices: Sequence[SwarmDevice]) -> None:
        self.devices = list(devices)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, at_once: int = 20) -> None:
        """Connect them, few at a time, as after a power cut in a site."""
        for first in range(0, len(self.devices), at_once):
            group = self.devices[first : first + at_once]
            self._tasks += [asyncio.ensure_future(device.run()) for device in group]
            await until(lambda: all(device.connected for device in group), CONNECT_S)  # noqa: B023 - called here only

    def be_silent(self) -> None:
        """Send no more new messages; stay connected."""
        for device in self.devices:
            device.sending = False

    async def stop(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def total(self, name: str) -> int:
        """The sum of a number over all of them."""
        return sum(int(getattr(device, name)) for device in self.devices)
