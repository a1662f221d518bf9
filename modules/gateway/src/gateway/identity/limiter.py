"""Slows guessing down: how long an answer is held back after too many failures.

It never refuses anybody. A good credential is let in at once, even while somebody else guesses for the same device
from the same address: behind a container's network address translation all devices may have one address.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

PAIR_BURST: Final = 10
"""Failures of one identity from one address that are answered at once."""
PAIR_RECOVERY_S: Final = 6.0
"""After so long one failure is forgiven: a device that tries again every ten seconds is never held."""
ADDRESS_BURST: Final = 200
"""Failures from one address, whatever the identity: a site of many devices with an old token comes at once."""
ADDRESS_RECOVERY_S: Final = 0.3
MAX_HOLD_S: Final = 5.0
MAX_ENTRIES: Final = 8192
"""Of each kind; beyond, the one that failed longest ago is forgotten."""


@dataclass(slots=True)
class _Level:
    """A leaky bucket: failures in it, and when that was counted."""

    failures: float
    at: float


class FailureLimiter:
    """Counts failures by address and by address with identity, and says how long to hold the next answer."""

    __slots__ = ("_addresses", "_pairs")

    def __init__(self) -> None:
        self._pairs: OrderedDict[Hashable, _Level] = OrderedDict()
        self._addresses: OrderedDict[Hashable, _Level] = OrderedDict()

    def failed(self, address: str, identity: Hashable, now: float) -> float:
        """Count one failure. Returns how many seconds its answer is to be held: 0 for the first ones."""
        of_pair = _fill(self._pairs, (address, identity), now, PAIR_BURST, PAIR_RECOVERY_S)
        of_address = _fill(self._addresses, address, now, ADDRESS_BURST, ADDRESS_RECOVERY_S)
        return max(of_pair, of_address)

    def succeeded(self, address: str, identity: Hashable) -> None:
        """Forget the failures of this identity from this address."""
        self._pairs.pop((address, identity), None)


def _fill(levels: OrderedDict[Hashable, _Level], key: Hashable, now: float, burst: int, recovery_s: float) -> float:
    """Put one failure into a bucket. Returns the hold, which grows with what is above the burst."""
    level = levels.setdefault(key, _Level(0.0, now))
    # A clock that was set back forgives nothing, and punishes nothing either.
    level.failures = max(0.0, level.failures - max(0.0, now - level.at) / recovery_s)
    level.failures = min(level.failures + 1, burst + MAX_HOLD_S)
    level.at = now
    levels.move_to_end(key)
    if len(levels) > MAX_ENTRIES:
        levels.popitem(last=False)
    return max(0.0, level.failures - burst)
