"""Notices that the wall clock was set: what was judged by it before has to be judged again."""

from collections.abc import Callable
from typing import Final

STEP_S: Final = 5.0
"""A clock that is merely adjusted moves by less between two looks; one that is set moves by more."""


class ClockWatch:
    """Compares the wall clock with one that nobody can set. Both in seconds."""

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._wall = wall
        self._steady = steady
        self._offset_s = wall() - steady()

    def jump_s(self) -> float:
        """How far the wall clock was set since the last look, ahead or back; 0.0 if it just went on."""
        offset_s = self._wall() - self._steady()
        moved_s, self._offset_s = offset_s - self._offset_s, offset_s
        return moved_s if abs(moved_s) >= STEP_S else 0.0
