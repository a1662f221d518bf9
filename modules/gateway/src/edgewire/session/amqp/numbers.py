"""Channel numbers and handles: the lowest free one is taken, and comes back when its session or link is over."""

from heapq import heappop, heappush


class Numbers:
    """Numbers from 0 to `highest`."""

    __slots__ = ("_free", "_next", "highest")

    def __init__(self, highest: int) -> None:
        self.highest = highest
        self._next = 0
        self._free: list[int] = []

    @property
    def left(self) -> int:
        """How many are free."""
        return max(0, self.highest + 1 - self._next) + sum(number <= self.highest for number in self._free)

    def take(self) -> int | None:
        """The lowest number that is free, from now on in use; None if all are."""
        if self._free and self._free[0] <= self.highest:
            return heappop(self._free)
        if self._next > self.highest:
            return None
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        """A number is free again."""
        heappush(self._free, number)
