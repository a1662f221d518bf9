"""azure-iot-device in tests: blocking calls in threads, each with a deadline, and a client that always shuts down."""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

PATIENCE_S = 45.0


async def blocking(call: Callable[..., Any], *arguments: Any) -> Any:
    """Run a blocking call of the SDK in a thread; TimeoutError after the deadline."""
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.to_thread(call, *arguments)


@asynccontextmanager
async def connected(client: Any) -> AsyncIterator[Any]:
    """The client, connected; shut down at the end, which ends its threads."""
    try:
        await blocking(client.connect)
        yield client
    finally:
        await blocking(client.shutdown)


async def listen(client: Any, handler_name: str, handler: Callable[[Any], None]) -> None:
    """Set a handler of the SDK. It subscribes when that happens, and waits for the answer, so not on the loop."""
    await blocking(setattr, client, handler_name, handler)


class Inbox:
    """What an SDK's handler got, across its threads."""

    def __init__(self) -> None:
        self._items: queue.Queue[Any] = queue.Queue()

    def __call__(self, item: Any) -> None:
        """The handler to give to the SDK."""
        self._items.put(item)

    async def next(self) -> Any:
        """The next thing; TimeoutError after the deadline."""
        return await blocking(self._items.get, True, PATIENCE_S)
