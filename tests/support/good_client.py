"""The device beside the trouble: connected all the time, publishing, timing each answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.process_watch import processor_s
from support.raw_peer import RawPeer

PAUSE_S: Final = 0.005
"""Between an answer and the next message: a device that is busy, not one that floods."""
HELD_UP_S: Final = 3.0
"""An answer for which the gateway worked longer was held up by somebody. A machine that is busy elsewhere, or its disk,
holds up everybody: a wait without work has the patience of a peer alone."""


class GoodClient:
    """Publishes one message after the other while it runs; it ends with an error if it is ever disturbed."""

    def __init__(self, peer: RawPeer, topic: str, pid: int) -> None:
        self._peer = peer
        self._topic = topic
        self._pid = pid
        self.answers_s: list[float] = []
        self.held_up_s = 0.0
        """The most that the gateway has worked between a message and its answer."""

    @classmethod
    @asynccontextmanager
    async def running(cls, site: GatewaySite, device: str) -> "AsyncIterator[GoodClient]":
        """A client of this device, busy until the block ends; then it says whether it was served to the end."""
        peer = await RawPeer.login(site, device)
        client = cls(peer, f"devices/{device}/messages/events/", site.gateway.pid)
        await client._publish()
        task = asyncio.ensure_future(client._publish_on())
        try:
            yield client
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()
        await peer.close()

    @property
    def slowest_s(self) -> float:
        """The slowest answer so far."""
        return max(self.answers_s)

    def slowest_but_s(self, share: float) -> float:
        """The slowest answer but this share of them: 0.01 leaves out the slowest hundredth."""
        ordered = sorted(self.answers_s)
        return ordered[int((len(ordered) - 1) * (1 - share))]

    async def _publish_on(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            await self._publish()

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        packet_id = len(self.answers_s) % 0xFFFF + 1
        began_at, worked_s = loop.time(), processor_s(self._pid)
        self._peer.send(raw_mqtt.publish(self._topic, b"good", packet_id=packet_id))
        answer = await self._peer.expect(raw_mqtt.PUBACK)
        assert int.from_bytes(answer[:2], "big") == packet_id
        self.answers_s.append(loop.time() - began_at)
        self.held_up_s = max(self.held_up_s, min(self.answers_s[-1], processor_s(self._pid) - worked_s))
