"""A deadline that moves with nearly every packet, at the cost of one timer handle."""

import asyncio
from collections.abc import Callable


class LazyTimer:
    """Calls `due(now)` once the deadline set last has passed.

    A deadline that moves back leaves the handle alone: it fires early and is armed again then. Only a deadline that
    comes closer replaces the handle.
    """

    __slots__ = ("_deadline", "_due", "_fires_at", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[float], None]) -> None:
        self._loop = loop
        self._due = due
        self._deadline: float | None = None
        self._handle: asyncio.Handle | None = None
        # Kept here: for a time that has come, uvloop gives a handle that does not know its time.
        self._fires_at = 0.0

    def set(self, deadline: float | None) -> None:
        """Fire at `deadline` in the loop's clock, None for never; replaces what was set before."""
        self._deadline = deadline
        if deadline is None or (self._handle is not None and self._fires_at <= deadline):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._fires_at = deadline
        self._handle = self._loop.call_at(deadline, self._fire)

    def stop(self) -> None:
        """Never fire again, and let go of whoever was to be called."""
        self._deadline = None
        self._due = _nobody
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        if self._deadline is None:
            return
        now = self._loop.time()
        if now < self._deadline:
            self.set(self._deadline)
            return
        self._deadline = None
        self._due(now)


def _nobody(_now: float) -> None:
    """Stands where a stopped timer had its owner, which would otherwise wait for the garbage collector."""
