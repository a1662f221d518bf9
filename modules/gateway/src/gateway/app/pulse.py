"""How well the event loop turns: it is asked for a turn once a second, and how late that came is its lag."""

import asyncio
from collections import deque
from typing import Final

from gateway.observe.metrics import Histogram

BEAT_S: Final = 1.0
KEPT: Final = 60
"""Beats whose lag is remembered: a minute."""


class Pulse:
    """Beats on the loop it was started on. `beats` may be read by any thread: it grows while the loop turns."""

    def __init__(self, lags: Histogram, every_s: float = BEAT_S) -> None:
        self._lags = lags
        self._every_s = every_s
        self._recent: deque[float] = deque([0.0], maxlen=KEPT)
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.beats = 0

    @property
    def worst_s(self) -> float:
        """The longest lag of the last minute."""
        return max(self._recent)

    def start(self) -> None:
        """From now on."""
        self._wait()

    def stop(self) -> None:
        """No more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._every_s
        self._handle = loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        self.beats += 1
        lag_s = max(0.0, asyncio.get_running_loop().time() - self._due)
        self._lags.observe(lag_s)
        self._recent.append(lag_s)
        self._wait()
