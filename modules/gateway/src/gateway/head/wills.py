"""Wills of devices that went without a goodbye: published at once, or after the delay that MQTT 5 lets them ask for."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

MAX_WAITING: Final = 10_000
"""Wills that wait for their delay; one more is published at once. Each may hold 64 KiB."""

Owner = TypeVar("Owner")
Left = TypeVar("Left")
"""What is published: a message of a device, or whatever the head makes of a will."""


class Wills(Generic[Owner, Left]):
    """Publishes wills by `publish`. A device that comes back before its will's delay is over takes it back.

    Spec: MQTT 3.1.1 §3.1.2.5, MQTT 5 §3.1.3.2.2.
    """

    def __init__(self, publish: Callable[[Left], None]) -> None:
        self._publish = publish
        self._waiting: dict[Owner, tuple[asyncio.TimerHandle, Left]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def leave(self, owner: Owner, will: Left, delay_s: float) -> None:
        """`owner` is gone; its will is due after `delay_s`."""
        if delay_s <= 0 or len(self._waiting) >= MAX_WAITING:
            self._publish(will)
            return
        self.take_back(owner)
        timer = asyncio.get_running_loop().call_later(delay_s, self._due, owner)
        self._waiting[owner] = (timer, will)

    def take_back(self, owner: Owner) -> None:
        """`owner` is here again; a will that still waits is void."""
        waiting = self._waiting.pop(owner, None)
        if waiting is not None:
            waiting[0].cancel()

    def publish_all(self) -> None:
        """The gateway stops: publish what waits, since nobody will remember it."""
        for owner in list(self._waiting):
            self._due(owner)

    def _due(self, owner: Owner) -> None:
        timer, will = self._waiting.pop(owner)
        timer.cancel()
        self._publish(will)
