"""Wills of devices that went without a goodbye: published at once, or after the delay that MQTT 5 lets them ask for."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

MAX_WAITING: Final = 10_000
"""Wills that wait for their delay; one more is published at once."""
MAX_WAITING_BYTES: Final = 8_388_608
"""Of these wills, with their topics and properties; the same. One may have nearly 200 KiB."""

Owner = TypeVar("Owner")
Left = TypeVar("Left")
"""What is published: a message of a device, or whatever the head makes of a will."""


class Wills(Generic[Owner, Left]):
    """Publishes wills by `publish`. A device that comes back before its will's delay is over takes it back.

    Spec: MQTT 3.1.1 §3.1.2.5, MQTT 5 §3.1.3.2.2.
    """

    def __init__(self, publish: Callable[[Left], None]) -> None:
        self._publish = publish
        self._waiting: dict[Owner, tuple[asyncio.TimerHandle, Left, int]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def leave(self, owner: Owner, will: Left, delay_s: float, size: int) -> None:
        """`owner` is gone; its will is due after `delay_s`. It holds `size` bytes meanwhile."""
        if delay_s <= 0 or len(self._waiting) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES:
            self._publish(will)
            return
        self.take_back(owner)
        timer = asyncio.get_running_loop().call_later(delay_s, self._due, owner)
        self._waiting[owner] = (timer, will, size)
        self._bytes += size

    def take_back(self, owner: Owner) -> None:
        """`owner` is here again; a will that still waits is void."""
        if owner in self._waiting:
            self._take(owner)

    def publish_all(self) -> None:
        """The gateway stops: publish what waits, since nobody will remember it."""
        for owner in list(self._waiting):
            self._due(owner)

    def _due(self, owner: Owner) -> None:
        self._publish(self._take(owner))

    def _take(self, owner: Owner) -> Left:
        timer, will, size = self._waiting.pop(owner)
        timer.cancel()
        self._bytes -= size
        return will
