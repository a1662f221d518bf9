"""A broker in a test's hands: takes one client at a time and says what the test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

from edgewire.codec.mqtt import v3, v5
from edgewire.codec.mqtt.frames import FrameReader
from edgewire.codec.mqtt.packets import Connack, Connect, Packet, Publish, Suback, Subscribe
from support.mqtt_reading import everything, write_one

PATIENCE_S: Final = 20.0
TURNS: Final = 5
"""Of the loop, in which asyncio makes a connection of what was dialled: one that is half made cannot be closed."""


class ScriptedBroker:
    """Listens on a free port of loopback."""

    def __init__(self, level: int = 4) -> None:
        self.level = level
        self.port = 0
        self._clients: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._frames: FrameReader
        self._held: list[Packet] = []
        self._ended: list[asyncio.StreamWriter] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, level: int = 4) -> AsyncIterator[Self]:
        """One that listens."""
        broker = cls(level)

        def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            broker._clients.put_nowait((reader, writer))

        server = await asyncio.start_server(come, "127.0.0.1", 0)
        broker.port = server.sockets[0].getsockname()[1]
        try:
            yield broker
        finally:
            broker.drop()
            for _ in range(TURNS):
                await asyncio.sleep(0)
            server.close()
            while not broker._clients.empty():
                broker._end(broker._clients.get_nowait()[1])
            await server.wait_closed()
            for writer in broker._ended:  # else its socket may be left to the collector
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def connect(self) -> Connect:
        """The next client's CONNECT; the one before is let go."""
        self.drop()
        async with asyncio.timeout(PATIENCE_S):
            self._reader, self._writer = await self._clients.get()
        self._frames = FrameReader(everything(self.level))
        self._held = []
        packet = await self.next()
        assert isinstance(packet, Connect)
        return packet

    async def welcome(self, *, session_present: bool = False) -> Connect:
        """Let the next client in."""
        connect = await self.connect()
        self.send(Connack(session_present=session_present, code=0))
        return connect

    async def subscribed(self, *codes: int) -> Subscribe:
        """The client's SUBSCRIBE, answered."""
        packet = await self.next()
        assert isinstance(packet, Subscribe), packet
        granted = codes or tuple(one.qos for one in packet.filters)
        self.send(Suback(packet_id=packet.packet_id, codes=granted))
        return packet

    async def next(self) -> Packet:
        """The client's next packet."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._held:
                data = await self._reader.read(65_536)
                assert data, "the client has closed the connection"
                self._frames.push(data)
                self._held += [
                    v5.read(*frame) if self.level == 5 else v3.read(*frame, level=4) for frame in self._frames.rest()
                ]
        return self._held.pop(0)

    def publish(self, packet_id: int, payload: bytes = b"1", *, topic: str = "a/b", **more: bool) -> None:
        """A message with QoS 1, or 0 with packet id 0."""
        retain, dup = more.get("retain", False), more.get("dup", False)
        self.send(Publish(topic, payload, int(packet_id > 0), retain, dup, packet_id))

    def send(self, packet: Packet) -> None:
        """Any packet."""
        self.send_bytes(write_one(packet, self.level))

    def send_bytes(self, data: bytes) -> None:
        """Any bytes."""
        assert self._writer is not None
        self._writer.write(data)

    def drop(self) -> None:
        """Cut the connection."""
        if self._writer is not None:
            self._end(self._writer)
            self._writer = None

    def _end(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        self._ended.append(writer)
