"""Devices of three kinds with the same readings: at the plain listener, by AMQP, and as a publisher over HTTPS.

Reading n is `{"n": n, "temperature": …}`: a degree more with each even n, and 0.2 degrees more than that with each odd.
"""

import asyncio
import http.client
import json
import ssl
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Final

from edgewire.codec.amqp.message import AmqpMessage, Properties, write_message
from edgewire.codec.amqp.performatives import ACCEPTED
from edgewire.iothub import sas
from support import raw_mqtt
from support.amqp_device import AmqpDevice
from support.gateway_site import GatewaySite, until
from support.raw_peer import RawPeer

PLAIN_PORT: Final = 1883
HTTPS_PORT: Final = 8443
RULE_KEY: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
AGAIN_S: Final = 0.1
_LOST: Final = (OSError, asyncio.IncompleteReadError, ssl.SSLError, http.client.HTTPException, TimeoutError)

Tell = Callable[[bytes], Awaitable[None]]
"""Sends one body and returns when it is acknowledged."""


class Sender(ABC):
    """One device; `run` it in a task. What it is owed where, it notes of each reading as it begins to send it."""

    def __init__(self, site: GatewaySite, device: str, *, pause_s: float = 0.02) -> None:
        self._site = site
        self._pause_s = pause_s
        self._stopping = False
        self._next = 0
        self.device = device
        self.owed: frozenset[str] = frozenset()
        """Where what is acknowledged from now on must arrive."""
        self.acknowledged: dict[int, frozenset[str]] = {}
        self.tries: Counter[int] = Counter()
        """How often each reading was sent."""

    @abstractmethod
    def _link(self) -> AbstractAsyncContextManager[Tell]:
        """A connection that was let in."""

    async def run(self) -> None:
        """Send one after the other until `stop`, each until it is acknowledged."""
        while not self._stopping:
            try:
                async with self._link() as tell:
                    while not self._stopping:
                        await self._send(tell)
                        await asyncio.sleep(self._pause_s)
            except _LOST:
                await asyncio.sleep(AGAIN_S)

    async def _send(self, tell: Tell) -> None:
        number, owed = self._next, self.owed
        self.tries[number] += 1
        await tell(json.dumps({"n": number, "temperature": number // 2 + number % 2 * 0.2}).encode())
        self.acknowledged[number] = owed & self.owed
        self._next += 1

    def stop(self) -> None:
        """Begin no new reading."""
        self._stopping = True

    def owed_at(self, place: str) -> set[int]:
        """Readings that must be there."""
        return {number for number, owed in self.acknowledged.items() if place in owed}


class PlainSender(Sender):
    """At the plain listener, as ann, on a topic of its own."""

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[Tell]:
        peer = await RawPeer.dial(self._site, port=PLAIN_PORT, plain=True)
        peer.send(raw_mqtt.Hello(client_id=self.device, username="ann", password="tiger").wire)
        try:
            if await peer.packet() != (raw_mqtt.CONNACK, b"\0\0"):
                raise ConnectionError("it was not let in")
            yield self._telling(peer)
        finally:
            peer.abort()

    def _telling(self, peer: RawPeer) -> Tell:
        async def tell(body: bytes) -> None:
            peer.send(raw_mqtt.publish(f"site/{self.device.removeprefix('plain-')}/climate", body))
            if await peer.packet() != (raw_mqtt.PUBACK, b"\0\1"):
                raise ConnectionError("it was not acknowledged")

        return tell


class AmqpSender(Sender):
    """By AMQP, with a token."""

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[Tell]:
        async with AmqpDevice.plain(self._site, self.device, self._site.token(self.device)) as device:
            with _told_as_lost(device):
                link = await device.telemetry(await device.begin(), self.device)

            async def tell(body: bytes) -> None:
                said = Properties(content_type="application/json", content_encoding="utf-8")
                with _told_as_lost(device):
                    delivery = device.send(link, write_message(AmqpMessage(properties=said, body=body)))
                    assert await device.outcome(delivery) == ACCEPTED

            yield tell


class HttpSender(Sender):
    """As a publisher of the hub `telemetry`, over HTTPS."""

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[Tell]:
        tls = self._site.client_tls()
        link = http.client.HTTPSConnection(self._site.address, HTTPS_PORT, context=tls, timeout=10)
        resource = f"sb://{self._site.address}/telemetry/publishers/{self.device}"
        token = sas.make(resource, RULE_KEY.encode(), int(time.time()) + 600, "SendRule")

        def post(body: bytes) -> int:
            fields = {"Authorization": token, "Content-Type": "application/json"}
            link.request("POST", f"/telemetry/publishers/{self.device}/messages", body, fields)
            with link.getresponse() as answer:
                answer.read()
                return answer.status

        async def tell(body: bytes) -> None:
            assert await asyncio.to_thread(post, body) == 201

        try:
            yield tell
        finally:
            link.close()


@contextmanager
def _told_as_lost(device: AmqpDevice) -> Iterator[None]:
    """A connection that has ended is no failure of the test here."""
    try:
        yield
    except AssertionError:
        if device.gone:
            raise ConnectionError("the gateway is gone") from None
        raise


@asynccontextmanager
async def all_sending(senders: Sequence[Sender]) -> AsyncIterator[None]:
    """All of them send while the block runs; at its end all that they began is acknowledged."""
    async with asyncio.TaskGroup() as tasks:
        for sender in senders:
            tasks.create_task(sender.run(), name=sender.device)
        yield
        for sender in senders:
            sender.stop()


async def more(senders: Sequence[Sender], count: int) -> None:
    """Return when each has so many further readings acknowledged."""
    wanted = {sender.device: len(sender.acknowledged) + count for sender in senders}
    await until(lambda: all(len(sender.acknowledged) >= wanted[sender.device] for sender in senders), 60)
