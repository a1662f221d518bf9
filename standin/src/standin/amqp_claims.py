"""What was proven on one AMQP connection, and until when (iothub_wire.md §2.5, §7.1)."""

import asyncio
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

_LONGEST_TIMER_S: Final = 86_400.0
"""Tokens may live for thousands of years; timers need not."""

Claim = TypeVar("Claim", bound=Hashable)


class Claims(Generic[Claim]):
    """Claims by what they are for; `on_expired` is called when the time of one is over, and it is gone by then."""

    def __init__(self, *, clock: Callable[[], float], on_expired: Callable[[Claim], None]) -> None:
        self._clock = clock
        self._on_expired = on_expired
        self._timers: dict[Claim, asyncio.TimerHandle | None] = {}

    def __contains__(self, claim: Claim) -> bool:
        return claim in self._timers

    def __iter__(self) -> Iterator[Claim]:
        return iter(tuple(self._timers))

    def grant(self, claim: Claim, expires_at: float | None) -> None:
        """This was proven, until then in seconds since 1970; the same proven before counts no more."""
        self.withdraw(claim)
        self._watch(claim, expires_at)

    def withdraw(self, claim: Claim) -> None:
        """Forget the claim, if there is one."""
        timer = self._timers.pop(claim, None)
        if timer is not None:
            timer.cancel()

    def clear(self) -> None:
        """Forget all."""
        for claim in tuple(self._timers):
            self.withdraw(claim)

    def _watch(self, claim: Claim, expires_at: float | None) -> None:
        if expires_at is None:
            self._timers[claim] = None
            return
        left_s = expires_at - self._clock()
        if left_s > 0:
            loop = asyncio.get_running_loop()
            self._timers[claim] = loop.call_later(min(left_s, _LONGEST_TIMER_S), self._watch, claim, expires_at)
            return
        self._timers.pop(claim, None)
        self._on_expired(claim)
