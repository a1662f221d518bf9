"""A cable between boards and a gateway: it counts what comes down it, and ends where a test wants it to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

CHUNK: Final = 512


class Cable:
    """One port of the gateway, at another address. Bytes are counted from the gateway to the boards."""

    def __init__(self, gateway: str, port: int) -> None:
        self._gateway = gateway
        self._port = port
        self.bytes = 0
        self.pulled = asyncio.Event()
        """Set when it was cut or has gone dead."""
        self._left: int | None = None
        self._dead = False

    @classmethod
    @asynccontextmanager
    async def laid(cls, gateway: str, port: int, address: str) -> AsyncIterator[Self]:
        """A cable while the block runs; at its end all its connections are over."""
        cable = cls(gateway, port)
        async with asyncio.TaskGroup() as tasks:

            def connected(down: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
                if is_over:  # it was on its way when the block ended, and nobody would end it
                    up.transport.abort()
                else:
                    living.add(tasks.create_task(cable._carry(down, up)))

            living: set[asyncio.Task[None]] = set()
            is_over = False
            async with await asyncio.start_server(connected, address, port):
                yield cable
                is_over = True
                for task in living:
                    task.cancel()

    def cut_after(self, count: int) -> None:
        """The connection that carries the next `count` bytes is cut there; the next one is whole again."""
        self._arm(count, dead=False)

    def die_after(self, count: int) -> None:
        """It carries `count` bytes and then nothing, without an end, until `mend`."""
        self._arm(count, dead=True)

    def mend(self) -> None:
        """Whole again."""
        self._left = None

    def _arm(self, count: int, *, dead: bool) -> None:
        self.pulled.clear()
        self._left, self._dead = count, dead

    async def _carry(self, board: asyncio.StreamReader, to_board: asyncio.StreamWriter) -> None:
        try:
            gateway, to_gateway = await asyncio.open_connection(self._gateway, self._port)
        except OSError:
            to_board.close()
            return
        up = asyncio.ensure_future(_pour(board, to_gateway))
        try:
            await self._down(gateway, to_board)
        except OSError:
            pass  # the board has lost its power
        finally:
            up.cancel()
            to_board.close()
            to_gateway.close()

    async def _down(self, gateway: asyncio.StreamReader, to_board: asyncio.StreamWriter) -> None:
        while data := await gateway.read(CHUNK):
            if self._left is not None and len(data) > self._left:
                self._left = 0 if self._dead else None
                self.pulled.set()
                if self._dead:
                    await asyncio.Event().wait()  # until the test ends, or the board
                return
            if self._left is not None:
                self._left -= len(data)
            self.bytes += len(data)
            to_board.write(data)
            await to_board.drain()


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    except OSError:
        return  # one of both ends is away
    finally:
        target.close()
