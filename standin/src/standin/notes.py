"""What the stand-in has told of itself lately: lines for a person, each with a number."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from standin.documents import JsonObject

MAX_NOTES: Final = 500
NOTE_CHARS: Final = 2_000
"""Of a line; a message stands in one with its body."""


class Notes:
    """The last lines. Called on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._notes: deque[JsonObject] = deque(maxlen=MAX_NOTES)
        self._number = 0
        self._more = asyncio.Event()

    def add(self, text: str) -> None:
        """Keep a line; the oldest one goes."""
        self._number += 1
        self._notes.append({"number": self._number, "at": self._clock(), "text": text[:NOTE_CHARS]})
        self._more.set()
        self._more = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the last line, 0 before the first: they begin anew with the program."""
        return self._number

    def after(self, number: int) -> list[JsonObject]:
        """The lines after that one, oldest first."""
        return [note for note in self._notes if note["number"] > number]

    async def wait(self, number: int, timeout_s: float) -> None:
        """Until there is a line after that one, or the time is over."""
        if self._number != number:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._more.wait()
