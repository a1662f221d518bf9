"""A small board's MQTT over axTLS: packets read field by field, as MicroPython does, and one thing at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

from support import raw_mqtt
from support.axtls_client import SUITES, AxTlsClient, Suite
from support.gateway_site import GatewaySite
from support.raw_mqtt import Hello

PORT: Final = 8884

Packet = tuple[int, bytes]
"""The first byte and what follows the length."""


class SmallBoard:
    """A board that is logged in."""

    def __init__(self, tls: AxTlsClient, device: str) -> None:
        self.tls = tls
        self.device = device

    @classmethod
    @asynccontextmanager
    async def login(
        cls, site: GatewaySite, device: str, *, suites: tuple[Suite, ...] = SUITES, port: int = PORT
    ) -> AsyncIterator[Self]:
        """A board that the gateway has let in."""
        async with AxTlsClient.connect(site.address, port, suites=suites) as tls:
            board = cls(tls, device)
            hello = Hello(client_id=device, username=site.username(device), password=site.token(device))
            await tls.write(hello.wire)
            assert await board.next() == (raw_mqtt.CONNACK, b"\x00\x00")
            yield board

    async def next(self) -> Packet | None:
        """The next packet, None at the end."""
        first = await self.tls.read(1)
        return None if not first else (first[0], await self.rest())

    async def rest(self) -> bytes:
        """What follows the first byte of a packet."""
        size, shift = 0, 0
        while True:
            digit = (await self.tls.read_exactly(1))[0]
            size |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return await self.tls.read_exactly(size)

    async def subscribe(self, *filters: str) -> None:
        """With QoS 1."""
        await self.tls.write(raw_mqtt.subscribe(filters))
        answer = await self.next()
        assert answer is not None
        assert answer[0] == raw_mqtt.SUBACK

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> None:
        """Send a message; with QoS 1 wait until it is acknowledged."""
        await self.tls.write(raw_mqtt.publish(topic, payload, qos=qos))
        if qos:
            assert await self.next() == (raw_mqtt.PUBACK, b"\x00\x01")

    async def message(self) -> tuple[str, bytes]:
        """The next message, acknowledged: its topic and payload."""
        packet = await self.next()
        assert packet is not None
        first, body = packet
        assert first & 0xF0 == raw_mqtt.PUBLISH
        end = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:end].decode()
        if not first & 0x06:
            return topic, body[end:]
        await self.tls.write(raw_mqtt.packet(raw_mqtt.PUBACK, body[end : end + 2]))
        return topic, body[end + 2 :]

    @property
    def devicebound(self) -> str:
        """What it subscribes to hear from the cloud."""
        return f"devices/{self.device}/messages/devicebound/#"
