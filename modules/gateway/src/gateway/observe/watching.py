"""Watching the live flow without disturbing it: a page, `gateway tap`, and the sampler of the history.

All of them look through one pair of eyes, which look at the flow for a small share of each second and then close until
the next one: from then on nobody watches, and a message costs what it costs without. What was not seen is counted by
the numbers of messages, and each follower is told.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.observe.seen import Seen
from gateway.observe.tap import Routed, Tap

MAX_FOLLOWERS: Final = 16
"""Pages and commands that follow the flow at once."""
LOOK_S: Final = 0.05
"""Of each second, for looking and for writing down what is shown, all followers together; in time of the processor, for
a machine that is busy with something else between two lines here must not make a quiet flow be left out."""
ROWS_PER_SECOND: Final = 50
"""Messages shown to one follower in a second, unless it wants fewer: nobody reads faster."""
MAX_WAITING_ROWS: Final = 200
"""Rows that a follower has not read yet; what comes then is left out."""
MAX_WAITING_BYTES: Final = 262_144
"""The same in bytes."""
SAMPLES_PER_SECOND: Final = 20
"""Messages of each second that the history looks at while nobody follows."""


class TooManyFollowersError(Exception):
    """There is no room for another follower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a follower wants to see of all that it might see."""

    wants: Callable[[Routed], bool] = lambda _: True
    per_second: int = ROWS_PER_SECOND
    each: int = 1
    """Every so many of those that it wants."""


class Follower:
    """One that follows, and what it has not read yet."""

    def __init__(self, wanted: Wanted, received: int) -> None:
        self._wanted = wanted
        self._rows: deque[bytes] = deque()
        self._bytes = 0
        self._in_this_second = 0
        self._matching = 0
        self._joined_at = received
        self._looked_at = 0
        self._left_out = 0
        self._grown = asyncio.Event()

    def look(self, seen: Seen, row: Callable[[], bytes]) -> None:
        """Take it in if it is wanted and there is room."""
        self._looked_at += 1
        if not self._wanted.wants(seen.routed):
            return
        self._matching += 1
        if (self._matching - 1) % self._wanted.each:
            return
        if self._in_this_second >= self._wanted.per_second or len(self._rows) >= MAX_WAITING_ROWS:
            self._left_out += 1
            return
        text = row()
        if self._bytes + len(text) > MAX_WAITING_BYTES:
            self._left_out += 1
            return
        self._in_this_second += 1
        self._rows.append(text)
        self._bytes += len(text)
        self._grown.set()

    def next_second(self, received: int) -> None:
        """A second is over; `received` messages have come since the start."""
        self._in_this_second = 0
        unseen = received - self._joined_at - self._looked_at
        if unseen > 0:
            self._left_out += unseen
            self._looked_at += unseen
        if self._left_out:
            self._grown.set()

    def take(self) -> tuple[list[bytes], int]:
        """The rows that came since the last call, and how many were left out."""
        rows, left_out = list(self._rows), self._left_out
        self._rows.clear()
        self._bytes = self._left_out = 0
        self._grown.clear()
        return rows, left_out

    async def grown(self) -> None:
        """Return when there is something to take."""
        await self._grown.wait()


Sampler = Callable[[Seen], None]


class Watching:
    """The eyes. `received` gives the messages since the start, `clock` seconds since 1970.

    `second` has to be called each second, after what came was counted.
    """

    def __init__(
        self,
        tap: Tap,
        *,
        received: Callable[[], int],
        clock: Callable[[], float],
        sampler: Sampler,
        stopwatch: Callable[[], float] = time.thread_time,
    ) -> None:
        self._tap = tap
        self._received = received
        self._clock = clock
        self._sampler = sampler
        self._stopwatch = stopwatch
        self._followers: tuple[Follower, ...] = ()
        self._number = 0
        self._spent_s = 0.0
        self._sampled = 0
        self._leave: Callable[[], None] | None = None

    def follow(self, wanted: Wanted) -> Follower:
        """Follow the flow from now on, until `unfollow`. Raises TooManyFollowersError."""
        if len(self._followers) >= MAX_FOLLOWERS:
            raise TooManyFollowersError(
                f"{MAX_FOLLOWERS} pages and commands follow the flow already; close one of them, then try again"
            )
        follower = Follower(wanted, self._received())
        self._followers = (*self._followers, follower)
        self._open()
        return follower

    def unfollow(self, follower: Follower) -> None:
        """It has gone."""
        self._followers = tuple(each for each in self._followers if each is not follower)

    def second(self) -> None:
        """Another second: look again."""
        received = self._received()
        for follower in self._followers:
            follower.next_second(received)
        self._spent_s, self._sampled = 0.0, 0
        self._open()

    def _open(self) -> None:
        if self._leave is None and self._spent_s < LOOK_S:
            self._leave = self._tap.watch(self._look)

    def _close(self) -> None:
        if self._leave is not None:
            self._leave()
            self._leave = None

    def _look(self, routed: Routed) -> None:
        began_at = self._stopwatch()
        self._number += 1
        seen = Seen(self._number, self._clock(), routed)
        if self._sampled < (ROWS_PER_SECOND if self._followers else SAMPLES_PER_SECOND):
            self._sampled += 1
            self._sampler(seen)
        if self._followers:
            self._show(seen)
        elif self._sampled >= SAMPLES_PER_SECOND:
            self._close()
        self._spent_s += self._stopwatch() - began_at
        if self._spent_s >= LOOK_S:
            self._close()

    def _show(self, seen: Seen) -> None:
        """To each follower; it is written out once, for the first that wants it."""
        written: list[bytes] = []

        def row() -> bytes:
            if not written:
                written.append(seen.written())
            return written[0]

        for follower in self._followers:
            follower.look(seen, row)
