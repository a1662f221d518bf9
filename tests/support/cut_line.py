"""A line between a client and a server that can be cut so that the last answers are lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self


@dataclass(slots=True)
class CutLine:
    """Carries connections to `port` of `address`. `deaf` ones hear nothing more of the server."""

    address: str
    far_port: int
    port: int = 0
    deaf: bool = False
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def to(cls, address: str, far_port: int) -> AsyncIterator[Self]:
        """A line on another port of the same address, so that a certificate for it still fits."""
        line = cls(address, far_port)
        server = await asyncio.start_server(line._serve, address, 0)
        line.port = server.sockets[0].getsockname()[1]
        try:
            yield line
        finally:
            server.close()
            line.cut()

    def cut(self) -> None:
        """End all connections as a broken cable would, after its time-outs; the next ones hear again."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self.deaf = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self.address, self.far_port)
        self._writers += [writer, far_writer]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carry(reader, far_writer, back=False))
            tasks.create_task(self._carry(far_reader, writer, back=True))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not (back and self.deaf):
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()
