"""The latest messages that were sampled, whole, so that routes can be tried on what really comes."""

from collections import deque
from typing import Final

from gateway.observe.seen import Seen

MAX_MESSAGES: Final = 500
"""Kept; beyond, the oldest goes."""
MAX_HISTORY_BYTES: Final = 1_048_576
"""The same in bytes: four of the largest messages."""


class History:
    """A ring of messages."""

    def __init__(self) -> None:
        self._messages: deque[Seen] = deque()
        self._bytes = 0
        self.kept = 0
        """How many were ever kept."""

    def keep(self, seen: Seen) -> None:
        """Take it in; the oldest give way."""
        self._messages.append(seen)
        self._bytes += seen.size
        self.kept += 1
        while len(self._messages) > MAX_MESSAGES or (self._bytes > MAX_HISTORY_BYTES and len(self._messages) > 1):
            self._bytes -= self._messages.popleft().size

    def last(self, count: int = MAX_MESSAGES) -> list[Seen]:
        """The latest, the newest last."""
        return list(self._messages)[-count:] if count > 0 else []

    def find(self, number: int) -> Seen | None:
        """The message of this number, if it is still kept."""
        return next((seen for seen in self._messages if seen.number == number), None)

    @property
    def bytes(self) -> int:
        """What is kept, roughly."""
        return self._bytes
