"""How often somebody may do something: buckets that fill with each time and empty as time passes."""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(slots=True)
class _Level:
    spent: float
    at: float


class Allowances:
    """For each key `burst` times at once, and one more every `recovery_s`.

    Times are seconds on a clock that only grows. `max_keys` are followed; beyond, the one that was here longest ago is
    forgotten.
    """

    __slots__ = ("_burst", "_levels", "_max_keys", "_recovery_s")

    def __init__(self, burst: int, recovery_s: float, max_keys: int) -> None:
        self._burst = burst
        self._recovery_s = recovery_s
        self._max_keys = max_keys
        self._levels: OrderedDict[Hashable, _Level] = OrderedDict()

    def wait_s(self, key: Hashable, now: float) -> int:
        """Whole seconds until one more is allowed, 0 if it is now; nothing is counted."""
        level = self._levels.get(key)
        if level is None:
            return 0
        spent = level.spent - (now - level.at) / self._recovery_s
        return max(0, math.ceil((spent + 1 - self._burst) * self._recovery_s))

    def spend(self, key: Hashable, now: float) -> None:
        """Count one; never more than are allowed at once, so that who is told to wait is let in after it."""
        level = self._levels.setdefault(key, _Level(0.0, now))
        level.spent = min(max(0.0, level.spent - (now - level.at) / self._recovery_s) + 1, self._burst)
        level.at = now
        self._levels.move_to_end(key)
        if len(self._levels) > self._max_keys:
            self._levels.popitem(last=False)
