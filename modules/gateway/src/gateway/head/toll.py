"""What one connection may send of what its device is allowed: made only where the settings limit devices."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from gateway.dispatch.allowance import Account

LOOK_AGAIN_S: Final = 1.0
"""A connection that is held is looked at this often: settings may have changed, and its silence must be excused."""
TURN_S: Final = 0.05
"""What may be taken in so long is taken together: a timer for each message would cost more than the message."""

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Payer(Protocol[T_contra]):
    """The connection, as its toll sees it."""

    def take_paid(self, paid: Sequence[T_contra], over: Sequence[T_contra]) -> None:
        """Take the first, refuse the others: they came together, in this order."""
        ...

    def hold(self) -> None:
        """Read no more."""
        ...

    def release(self) -> None:
        """Go on reading, if nothing else is against it: `holds` is False now."""
        ...

    def excuse(self, now: float) -> None:
        """A silence of the device until now was ours."""
        ...


class Toll(Generic[T]):
    """Charges a connection for what it sends. What its device may not send yet waits here, and nothing is read.

    No more waits than came in one read: 16 KiB.
    """

    __slots__ = ("_account", "_payer", "_size_of", "_timer", "_waiting", "holds")

    def __init__(self, account: Account, payer: Payer[T], size_of: Callable[[T], int]) -> None:
        self._account = account
        self._payer = payer
        self._size_of = size_of
        self._waiting: list[T] = []
        self._timer: asyncio.TimerHandle | None = None
        self.holds = False
        """Whether nothing should be read."""

    @property
    def why(self) -> str:
        """What a device is told that is refused."""
        return self._account.why()

    def come(self, items: Sequence[T]) -> None:
        """These have come together."""
        if self._account.refuses and not self._waiting:
            taken = self._account.take(map(self._size_of, items))
            self._payer.take_paid(items[:taken], items[taken:])
            return
        self._waiting += items
        self.look()

    def look(self) -> None:
        """Take what may be taken, and hold the connection if its device has sent all that it may send now."""
        taken = self._account.take(map(self._size_of, self._waiting))
        if taken:
            some, self._waiting = self._waiting[:taken], self._waiting[taken:]
            self._payer.take_paid(some, ())
        if not self._waiting and (self._account.refuses or not self._account.owes):
            self._let_go()
            return
        if self._timer is None:
            wait_s = min(max(self._account.wait_s(), TURN_S), LOOK_AGAIN_S)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_time)
        if not self.holds:
            self.holds = True
            self._payer.hold()

    def close(self) -> None:
        """The connection is gone: what it had sent is taken, and paid by the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rest, self._waiting = self._waiting, []
        if rest:
            self._account.charge(len(rest), sum(map(self._size_of, rest)))
            self._payer.take_paid(rest, ())

    def _let_go(self) -> None:
        if self.holds:
            self.holds = False
            self._payer.release()

    def _on_time(self) -> None:
        self._timer = None
        self._payer.excuse(asyncio.get_running_loop().time())
        self.look()
