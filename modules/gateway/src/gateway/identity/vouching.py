"""Devices that are not registered here: the hub is asked about their tokens, and what it said is remembered.

Nobody can use this to hammer the hub: questions at once are bounded, in all and from one address, and so are those that
end with a refusal. Beyond, and while the hub is away, the answer is "not now", so that a good device tries again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from edgewire.message import Identity
from gateway.identity.tokens import PresentedTokens, Token

MAX_ASKED: Final = 64
"""Questions at once: a site that starts together is through in seconds."""
MAX_ASKED_PER_ADDRESS: Final = 32
"""Of them from one address; devices behind a router may share one."""
MAX_WAITING_PER_QUESTION: Final = 16
"""Logins that wait for one and the same answer: a device that dials again while it waits."""
ADDRESS_REFUSALS: Final = 20
"""Refusals by the hub, from one address, after which it is not asked for that address until some are forgiven."""
ADDRESS_RECOVERY_S: Final = 10.0
TOTAL_REFUSALS: Final = 200
"""The same for all addresses together."""
TOTAL_RECOVERY_S: Final = 1.0
MAX_ADDRESSES: Final = 4_096
"""Addresses whose refusals are counted; beyond, the one that was refused longest ago is forgotten."""


class Vouching(Enum):
    """What the hub says of a token."""

    GOOD = "good"
    REFUSED = "refused"
    AWAY = "away"
    """Nobody could be asked."""


class Voucher(Protocol):
    """Who asks the hub."""

    def ask(self, who: Identity, token: Token, answer: Callable[[Vouching], None]) -> None:
        """Ask whether the hub lets `who` in with this token; `answer` is called once, on the loop, in bounded time."""


class _Bucket:
    """Refusals, forgiven one by one as time passes."""

    __slots__ = ("_at", "_most", "_recovery_s", "_refusals")

    def __init__(self, most: int, recovery_s: float) -> None:
        self._most = most
        self._recovery_s = recovery_s
        self._refusals = 0.0
        self._at = 0.0

    def is_full(self, now: float) -> bool:
        self._refusals = max(0.0, self._refusals - (now - self._at) / self._recovery_s)
        self._at = now
        return self._refusals > self._most - 1

    def add(self, now: float) -> None:
        self.is_full(now)
        self._refusals += 1


class Vouchers:
    """Asks the voucher, within bounds, and remembers: good tokens until they end, refused ones for a short time."""

    def __init__(self, presented: PresentedTokens, voucher: Voucher) -> None:
        self._presented = presented
        self._voucher = voucher
        self._loop = asyncio.get_running_loop()
        self._open: dict[tuple[Identity, str], list[Callable[[], None]]] = {}
        self._by_address: dict[str, int] = {}
        self._all = _Bucket(TOTAL_REFUSALS, TOTAL_RECOVERY_S)
        self._addresses: OrderedDict[str, _Bucket] = OrderedDict()

    def known(self, who: Identity, text: str) -> Vouching | None:
        """What the hub has said of this token, None if it must be asked."""
        if self._presented.is_vouched(who, text):
            return Vouching.GOOD
        return Vouching.REFUSED if self._presented.is_refused(text) else None

    def ask(self, who: Identity, token: Token, address: str, then: Callable[[], None]) -> None:
        """Ask the hub; `then` is called later, when it has answered, or nobody can be asked now."""
        question = (who, token.text)
        waiting = self._open.get(question)
        if waiting is not None and len(waiting) < MAX_WAITING_PER_QUESTION:
            waiting.append(then)
        elif waiting is not None or not self._may_ask(address):
            self._loop.call_soon(then)
        else:
            self._open[question] = [then]
            self._by_address[address] = self._by_address.get(address, 0) + 1
            self._voucher.ask(who, token, lambda vouching: self._answer(who, token, address, vouching))

    def _may_ask(self, address: str) -> bool:
        now = self._loop.time()
        bucket = self._addresses.get(address)
        return (
            len(self._open) < MAX_ASKED
            and self._by_address.get(address, 0) < MAX_ASKED_PER_ADDRESS
            and not self._all.is_full(now)
            and (bucket is None or not bucket.is_full(now))
        )

    def _answer(self, who: Identity, token: Token, address: str, vouching: Vouching) -> None:
        waiting = self._open.pop((who, token.text))
        left = self._by_address[address] - 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]
        if vouching is Vouching.GOOD:
            self._presented.vouch(who, token)
        elif vouching is Vouching.REFUSED:
            self._presented.refuse(who, token.text)
            self._count(address)
        for then in waiting:
            self._loop.call_soon(then)

    def _count(self, address: str) -> None:
        now = self._loop.time()
        self._all.add(now)
        bucket = self._addresses.setdefault(address, _Bucket(ADDRESS_REFUSALS, ADDRESS_RECOVERY_S))
        bucket.add(now)
        self._addresses.move_to_end(address)
        if len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
