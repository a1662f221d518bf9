"""A client without manners: writes any bytes into TLS, reads whole packets, and notices the end."""

import asyncio
import contextlib
import ssl
from typing import Self

from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.raw_mqtt import Hello

PATIENCE_S = 30.0
MQTT_PORT = 8883


class RawPeer:
    """One connection. Every wait has an end: `PATIENCE_S`, or what the caller says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(
        cls,
        site: GatewaySite,
        *,
        source: str | None = None,
        port: int = MQTT_PORT,
        tls: ssl.SSLContext | None = None,
        plain: bool = False,
    ) -> Self:
        """A connection that has said nothing yet; `plain` leaves out TLS."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(
                site.address,
                port,
                ssl=None if plain else tls or site.client_tls(),
                server_hostname=None if plain else site.address,
                local_addr=None if source is None else (source, 0),
            )
        return cls(reader, writer)

    @classmethod
    async def login(cls, site: GatewaySite, device: str, *, level: int = 4, source: str | None = None) -> Self:
        """A device that was let in."""
        peer = await cls.dial(site, source=source)
        peer.send(hello(site, device, level=level).wire)
        assert await peer.connack() == 0
        return peer

    def send(self, data: bytes) -> None:
        """Write; a connection that is gone takes it too, and says so when it is read."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self.writer.write(data)

    @property
    def waiting_bytes(self) -> int:
        """How much of what was written the socket has not taken yet."""
        return self.writer.transport.get_write_buffer_size()

    async def flush(self) -> None:
        """Wait until the socket has taken what was written."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self.writer.drain()

    async def packet(self, patience_s: float = PATIENCE_S) -> tuple[int, bytes] | None:
        """The next packet, first byte and body; None at the end of the connection."""
        async with asyncio.timeout(patience_s):
            try:
                first = (await self.reader.readexactly(1))[0]
                size, shift = 0, 0
                while True:
                    digit = (await self.reader.readexactly(1))[0]
                    size |= (digit & 0x7F) << shift
                    shift += 7
                    if digit < 0x80:
                        break
                return first, await self.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                self.abort()
                return None

    async def expect(self, kind: int, patience_s: float = PATIENCE_S) -> bytes:
        """The body of the next packet, which must be of this kind."""
        found = await self.packet(patience_s)
        assert found is not None, f"the connection ended where 0x{kind:02x} was expected"
        assert found[0] & 0xF0 == kind, f"0x{found[0]:02x} {found[1].hex()} where 0x{kind:02x} was expected"
        return found[1]

    async def connack(self) -> int:
        """The code of CONNACK."""
        return raw_mqtt.connack_code(await self.expect(raw_mqtt.CONNACK))

    async def ping(self, patience_s: float = PATIENCE_S) -> None:
        """PINGREQ, and its answer."""
        self.send(raw_mqtt.PINGREQ)
        await self.expect(raw_mqtt.PINGRESP, patience_s)

    async def ended(self, patience_s: float = PATIENCE_S) -> list[tuple[int, bytes]]:
        """What the gateway still sends until it closes the connection, which it must."""
        found = []
        async with asyncio.timeout(patience_s):
            while (one := await self.packet(patience_s)) is not None:
                found.append(one)
        return found

    def abort(self) -> None:
        """Go without a word."""
        self.writer.transport.abort()

    async def close(self) -> None:
        """Go in good order."""
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self.writer.wait_closed()


def hello(site: GatewaySite, device: str, *, level: int = 4, clean: bool = True, properties: bytes = b"") -> Hello:
    """The CONNECT of a device that is what it says."""
    return Hello(
        client_id=device,
        username=site.username(device),
        password=site.token(device),
        level=level,
        clean=clean,
        properties=properties,
    )
