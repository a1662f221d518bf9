"""What one connection may send of what its device is allowed: made only where the settings limit devices."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from gateway.dispatch.allowance import Account

LOOK_AGAIN_S: Final = 1.0
"""A connection that is held is looked at this often: settings may have changed, and its silence must be excused."""


class Toll:
    """Charges a connection for what it sends, and holds it while its device has sent too much.

    `hold` stops reading, `release` goes on, `excuse` hears that a silence of the device is ours. `release` may find
    other reasons to go on holding: it asks `holds` too.
    """

    __slots__ = ("_account", "_excuse", "_hold", "_release", "_timer", "holds")

    def __init__(
        self,
        account: Account,
        *,
        hold: Callable[[], None],
        release: Callable[[], None],
        excuse: Callable[[float], None],
    ) -> None:
        self._account = account
        self._hold = hold
        self._release = release
        self._excuse = excuse
        self._timer: asyncio.TimerHandle | None = None
        self.holds = False
        """Whether nothing should be read."""

    @property
    def why(self) -> str:
        """What a device is told that is refused."""
        return self._account.why()

    def take(self, sizes: Sequence[int]) -> int:
        """Charge messages that came together. Returns how many may be taken; the rest is to be refused."""
        taken = self._account.take(sizes)
        if taken == len(sizes):
            self.look()
        return taken

    def look(self) -> None:
        """Hold the connection, if its device has sent too much and is to be slowed."""
        if self.holds or self._account.refuses:
            return
        wait_s = self._account.wait_s()
        if wait_s:
            self.holds = True
            self._hold()
            self._look_again(wait_s)

    def close(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(min(wait_s, LOOK_AGAIN_S), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._excuse(asyncio.get_running_loop().time())
        wait_s = 0.0 if self._account.refuses else self._account.wait_s()
        if wait_s:
            self._look_again(wait_s)
            return
        self.holds = False
        self._release()
