"""An HTTP proxy that opens tunnels, for tests of what goes through one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(slots=True)
class Tunnel:
    """What was asked for, and how it answers: with `answer`, and a tunnel behind it if that is a good one."""

    answer: bytes
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody has connected."""
        self.serving.add(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            if b" 200 " not in self.answer:
                writer.write(self.answer)
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            with closing(far_writer):
                writer.write(self.answer)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_carry(reader, far_writer))
                    tasks.create_task(_carry(far_reader, writer))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def tunnel(answer: bytes = ESTABLISHED) -> AsyncIterator[Tunnel]:
    """A proxy while the block runs; what it still carries then is cut."""
    made = Tunnel(answer)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in made.serving:
            task.cancel()
        await asyncio.gather(*made.serving, return_exceptions=True)
