"""Who has proven itself on one AMQP connection, and until when (iothub_wire.md §2.5, §7.1)."""

import asyncio
from collections.abc import Callable
from typing import Final

from edgewire.message import Identity
from standin.admission import Admitted

_LONGEST_TIMER_S: Final = 86_400.0
"""Tokens may live for thousands of years; timers need not."""


class Claims:
    """One claim for each identity; `on_expired` is called when the time of one is over, and it is gone by then."""

    def __init__(self, *, clock: Callable[[], float], on_expired: Callable[[Identity], None]) -> None:
        self._clock = clock
        self._on_expired = on_expired
        self._timers: dict[Identity, asyncio.TimerHandle | None] = {}

    def __contains__(self, who: Identity) -> bool:
        return who in self._timers

    def grant(self, admitted: Admitted) -> None:
        """This identity has proven itself; its older claim counts no more."""
        self.withdraw(admitted.identity)
        self._watch(admitted)

    def withdraw(self, who: Identity) -> None:
        """Forget the claim, if there is one."""
        timer = self._timers.pop(who, None)
        if timer is not None:
            timer.cancel()

    def clear(self) -> None:
        """Forget all."""
        for who in tuple(self._timers):
            self.withdraw(who)

    def _watch(self, admitted: Admitted) -> None:
        who, expires_at = admitted.identity, admitted.expires_at
        if expires_at is None:
            self._timers[who] = None
            return
        left_s = expires_at - self._clock()
        if left_s > 0:
            loop = asyncio.get_running_loop()
            self._timers[who] = loop.call_later(min(left_s, _LONGEST_TIMER_S), self._watch, admitted)
            return
        self._timers.pop(who, None)
        self._on_expired(who)
