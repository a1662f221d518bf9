"""What one endpoint takes from the store: its queues, most urgent first."""

import asyncio
from collections.abc import Callable, Iterable

from edgewire.message import Endpoint
from gateway.store.cursor import Cursor, Room
from gateway.store.values import Entry


class Reader:
    """One endpoint's messages, most urgent priority first, in the order they came inside a priority."""

    def __init__(self, endpoint: Endpoint, settled: Callable[[], None]) -> None:
        self.endpoint = endpoint
        self._settled = settled
        self._cursors: list[Cursor] = []
        self._by_priority: dict[int, Cursor] = {}
        self._arrival = asyncio.Event()

    @property
    def cursors(self) -> tuple[Cursor, ...]:
        """Its queues, most urgent first."""
        return tuple(self._cursors)

    @property
    def ready(self) -> bool:
        """Whether `take` may give something now."""
        return any(cursor.ready for cursor in self._cursors)

    def add(self, cursor: Cursor) -> None:
        """One more priority."""
        self._cursors.append(cursor)
        self._cursors.sort(key=lambda cursor: cursor.queue.priority)
        self._by_priority[cursor.queue.priority] = cursor

    def take(self, max_messages: int, max_bytes: int) -> list[Entry]:
        """The next entries, none given before; expired ones are passed over and counted.

        At least one is given, whatever its size, if there is one and `max_messages` is not 0. All of one call may have
        several priorities.
        """
        room = Room(max_messages, max_bytes)
        out: list[Entry] = []
        for cursor in self._cursors:
            if room.messages <= 0:
                break
            if cursor.ready:
                out += cursor.take(room)
                if cursor.ready:
                    break  # it has more: what is less urgent does not overtake it
        self._rest_others(out)
        return out

    def settle(self, entries: Iterable[Entry]) -> None:
        """The next one answers for these; the order is free."""
        for entry in entries:
            self._by_priority[entry.priority].settle(entry)
        self._settled()

    def release(self) -> None:
        """Forget what was taken and is not settled: the next `take` starts at the lowest unsettled, in order."""
        for cursor in self._cursors:
            cursor.release()
        self.wake()

    async def wait(self) -> None:
        """Return once `take` may give something."""
        while not self.ready:
            self._arrival.clear()
            await self._arrival.wait()

    def wake(self) -> None:
        """Let `wait` look again."""
        self._arrival.set()

    def _rest_others(self, out: list[Entry]) -> None:
        """Only the queue that gave the last entry keeps its place in memory: it will most likely be next."""
        last = out[-1].priority if out else None
        for cursor in self._cursors:
            if cursor.queue.priority != last or not cursor.unread:
                cursor.rest()
