"""Chooses for each message: as its device where there is a token for it, as the gateway's module where there is none.

A device changes sides only when nothing of it is on its way on the other one, so its order stands.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from edgewire.message import UPSTREAM, Endpoint, Identity, Outcome
from gateway.upstream.amqp_lane import Waiting
from gateway.upstream.amqp_proxy import AmqpProxy
from gateway.upstream.proxy import Entry, LinkStatus, MessageProxy, Sent, Window

DIVERTED_S: Final = 600.0
"""A device that is refused goes as the module for so long before it is tried again by itself."""
PATIENCE_S: Final = 10.0
"""So long the devices' connection may be down before the module's alone is reason enough to send."""
MAX_DIVERTED: Final = 10_000
"""Devices that go as the module after a refusal and are remembered; the one refused longest ago is tried earlier."""


class SplitProxy:
    """A `MessageProxy` for `$upstream` over two. Its `run` is theirs: whoever made them runs them."""

    def __init__(
        self,
        *,
        devices: AmqpProxy,
        module: MessageProxy,
        has_token: Callable[[Identity], bool],
        diverted_s: float = DIVERTED_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._devices = devices
        self._module = module
        self._has_token = has_token
        self._diverted_s = diverted_s
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._diverted: dict[Identity, float] = {}
        """Until when."""
        self._as_module: dict[Identity, int] = {}
        """Messages on their way, or waiting, as the module."""
        self._queue: deque[Waiting] = deque()
        """Those that the module's window has no room for."""
        self._sent = 0
        self._changing: dict[Identity, deque[Waiting]] = {}
        """Those that go as their device once nothing of it is on its way as the module."""
        devices.take_over = self._take_over

    async def run(self) -> None:
        """Nothing to do by itself."""
        await asyncio.Event().wait()

    async def connected(self) -> None:
        """Return when the devices' connection is up; the module's counts if the other one stays away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await self._devices.connected()
                return
        ways = [asyncio.ensure_future(way.connected()) for way in (self._devices, self._module)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        """Start sending; the future ends with what became of it."""
        who = entry.message.envelope.sender
        if not self._diverted and not self._as_module and self._has_token(who):
            return self._devices.send(entry, endpoint)
        waiting = Waiting(entry, self._loop.create_future())
        if self._goes_as_module(who):
            self._send_as_module(waiting)
        elif who in self._as_module:
            self._changing.setdefault(who, deque()).append(waiting)
        else:
            self._devices.hand_over(waiting)
        return waiting.future

    def status(self) -> LinkStatus:
        """How the devices' connection is."""
        return self._devices.status()

    def window(self) -> Window:
        """The devices' window; the module has its own inside of it."""
        return self._devices.window()

    def on_wider(self, call: Callable[[], None]) -> None:
        """Call this whenever the window has become wider."""
        self._devices.on_wider(call)

    # Choosing.

    def _goes_as_module(self, who: Identity) -> bool:
        if who in self._changing:
            return False
        until = self._diverted.get(who)
        if until is not None:
            if self._loop.time() < until:
                return True
            del self._diverted[who]
        return not self._has_token(who) and not self._devices.is_busy(who)

    def on_token(self, who: Identity) -> None:
        """There is a newer token of a device: it may go by itself again."""
        self._diverted.pop(who, None)
        self._devices.on_token(who)

    def _take_over(self, who: Identity, _reason: str, messages: list[Waiting]) -> None:
        """The device is not let in: what waits for it goes as the module, and what comes next."""
        self._diverted.pop(who, None)
        self._diverted[who] = self._loop.time() + self._diverted_s
        if len(self._diverted) > MAX_DIVERTED:
            del self._diverted[next(iter(self._diverted))]
        for one in messages:
            self._send_as_module(one)

    # As the module.

    def _send_as_module(self, one: Waiting) -> None:
        who = one.entry.message.envelope.sender
        self._as_module[who] = self._as_module.get(who, 0) + 1
        self._queue.append(one)
        self._fill_module()

    def _fill_module(self) -> None:
        most = self._module.window().max_messages
        while self._queue and self._sent < most:
            one = self._queue.popleft()
            self._sent += 1
            self._module.send(one.entry, UPSTREAM).add_done_callback(partial(self._on_module_sent, one))

    def _on_module_sent(self, one: Waiting, future: asyncio.Future[Sent]) -> None:
        sent = Sent(Outcome.RELEASED, "cancelled") if future.cancelled() else future.result()
        self._sent -= 1
        if sent.outcome is Outcome.RELEASED:
            self._release(sent)
        self._finish(one, sent)
        self._fill_module()

    def _release(self, sent: Sent) -> None:
        """The module's link is gone: what would go by it is given back, and what waits for a device alone."""
        queue, self._queue = self._queue, deque()
        changing, self._changing = self._changing, {}
        for one in queue:
            self._finish(one, sent)
        for messages in changing.values():
            for one in messages:
                one.finish(sent)
        self._devices.release_waiting(sent.reason)

    def _finish(self, one: Waiting, sent: Sent) -> None:
        who = one.entry.message.envelope.sender
        left = self._as_module[who] - 1
        one.finish(sent)
        if left:
            self._as_module[who] = left
            return
        del self._as_module[who]
        for next_one in self._changing.pop(who, ()):
            self._devices.hand_over(next_one)
