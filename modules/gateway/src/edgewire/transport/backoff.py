"""How long to wait before the next try: longer each time, never longer than a cap, never two clients in step."""

import random
from collections.abc import Callable
from typing import Final

DEFAULT_FIRST_S: Final = 0.5
DEFAULT_CAP_S: Final = 30.0
"""A peer that comes back after hours is found within this time."""
_GROWTH: Final = 2.0
_MOST_DOUBLINGS: Final = 30
_LEAST_SHARE: Final = 0.5
"""Jitter takes away at most half: gateways that lost one hub together come back spread over that half."""


class Backoff:
    """Delays of tries that fail in a row: doubled from `first_s` up to `cap_s`, each times a random 0.5 to 1."""

    def __init__(
        self,
        first_s: float = DEFAULT_FIRST_S,
        cap_s: float = DEFAULT_CAP_S,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._draw = draw
        self.failures = 0

    def next_delay_s(self) -> float:
        """Count one more failure: how long to wait after it."""
        full_s = min(self._cap_s, self._first_s * _GROWTH ** min(self.failures, _MOST_DOUBLINGS))
        self.failures += 1
        return full_s * (_LEAST_SHARE + (1 - _LEAST_SHARE) * self._draw())

    def reset(self) -> None:
        """A try succeeded: the next failure is the first again."""
        self.failures = 0
