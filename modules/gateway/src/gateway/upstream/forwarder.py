"""Moves the backlog of one endpoint through a proxy: a window in flight, in order, settled when acknowledged."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from edgewire.message import Endpoint, Outcome
from edgewire.transport.backoff import Backoff
from gateway.observe.events import Event
from gateway.observe.metrics import Histogram
from gateway.observe.upstream import ForwardingPaused, MessageRejected, MessagesForwarded
from gateway.upstream.proxy import Entry, MessageProxy, Sent, Window

__all__ = ["Backlog", "Forwarder", "Window"]

E = TypeVar("E", bound=Entry)


class Backlog(Protocol[E]):
    """What a forwarder needs of the store's reader of one endpoint."""

    def take(self, max_messages: int, max_bytes: int) -> list[E]:
        """The next unsent entries, most urgent first, in order inside a priority."""
        ...

    def settle(self, entries: Sequence[E]) -> None:
        """These are done."""

    def release(self) -> None:
        """Forget what was taken and is not settled: the next take starts at the lowest unsettled."""

    async def wait(self) -> None:
        """Return when `take` may give something."""


class Forwarder(Generic[E]):
    """The forwarder of one endpoint: `run` it in a task of its own, so that no endpoint waits for another.

    `round_trips` hears how long some messages took to be acknowledged.

    The window, the proxy's unless one is given, is small against a backlog, and every free place in it goes to the most
    urgent entry: so an urgent message waits for at most one window of less urgent ones.
    """

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        backlog: Backlog[E],
        proxy: MessageProxy,
        emit: Callable[[Event], None],
        window: Window | None = None,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        round_trips: Histogram | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._backlog = backlog
        self._proxy = proxy
        self._emit = emit
        self._own_window = window
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._round_trips = round_trips or Histogram()
        self._timed: E | None = None
        """The message whose way there and back is measured: one at a time, so that the others cost nothing."""
        self._timed_at = 0.0
        self._in_flight = 0
        self._bytes_in_flight = 0
        self._finished: list[tuple[E, Sent]] = []
        self._stopping = False
        self._wake = asyncio.Event()
        self._hungry = asyncio.Event()
        proxy.on_wider(self._hungry.set)

    @property
    def in_flight(self) -> int:
        """Messages handed to the proxy and not yet finished."""
        return self._in_flight

    def stop(self) -> None:
        """Take nothing more; `run` returns when what is in flight has finished."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Forward until `stop` or cancellation; what is not settled then stays in the store."""
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._notice_backlog(), name=f"backlog of {self._endpoint}")
            try:
                await self._forward()
            finally:
                watch.cancel()
                self._finish()
                self._backlog.release()

    async def _forward(self) -> None:
        self._hungry.set()
        while not self._stopping:
            await self._next_wake()
            released = self._finish()
            if released:
                await self._pause(released)
            else:
                self._fill()
        while self._in_flight:
            await self._next_wake()
            self._finish()

    def _fill(self) -> None:
        """Take and send until the window is full or the backlog is empty."""
        window = self._own_window or self._proxy.window()
        room = window.max_messages - self._in_flight
        room_bytes = window.max_bytes - self._bytes_in_flight
        if self._stopping or room <= 0 or room_bytes <= 0:
            return
        entries = self._backlog.take(room, room_bytes)
        for entry in entries:
            self._send(entry)
        if len(entries) < room and (entries or not self._in_flight):
            # Nothing taken while something is in flight: the next entry may be too large for the room that is left.
            # Asking again at once would spin; the next acknowledgement makes room.
            self._hungry.set()

    def _send(self, entry: E) -> None:
        size = len(entry.message.body)
        self._in_flight += 1
        self._bytes_in_flight += size
        if self._timed is None:
            self._timed, self._timed_at = entry, time.perf_counter()

        def finished(future: asyncio.Future[Sent]) -> None:
            self._in_flight -= 1
            self._bytes_in_flight -= size
            sent = Sent(Outcome.RELEASED, "cancelled") if future.cancelled() else future.result()
            if entry is self._timed:
                self._end_timing(sent.outcome)
            self._finished.append((entry, sent))
            self._wake.set()

        self._proxy.send(entry, self._endpoint).add_done_callback(finished)

    def _end_timing(self, outcome: Outcome) -> None:
        self._timed = None
        if outcome is Outcome.ACCEPTED:
            self._round_trips.observe(time.perf_counter() - self._timed_at)

    async def _next_wake(self) -> None:
        await self._wake.wait()
        self._wake.clear()

    async def _notice_backlog(self) -> None:
        """Wake the loop when there is something to send and a link to send it on, but only when the loop asks."""
        while True:
            await self._hungry.wait()
            self._hungry.clear()
            await self._backlog.wait()
            await self._proxy.connected()
            self._wake.set()

    def _finish(self) -> list[Sent]:
        """Settle what is done, and give what was released."""
        finished, self._finished = self._finished, []
        accepted = [entry for entry, sent in finished if sent.outcome is Outcome.ACCEPTED]
        rejected = [(entry, sent.reason) for entry, sent in finished if sent.outcome is Outcome.REJECTED]
        for entry, reason in rejected:
            self._emit(
                MessageRejected(
                    endpoint_kind=self._endpoint.kind,
                    endpoint=str(self._endpoint),
                    entry_id=entry.entry_id,
                    sender=str(entry.message.envelope.sender),
                    reason=reason,
                )
            )
        if accepted or rejected:
            self._backlog.settle([*accepted, *(entry for entry, _ in rejected)])
        if accepted:
            self._backoff.reset()
            self._emit(MessagesForwarded(self._endpoint.kind, str(self._endpoint), len(accepted)))
        return [sent for _, sent in finished if sent.outcome is Outcome.RELEASED]

    async def _pause(self, released: list[Sent]) -> None:
        """Something was released: let the rest of the window finish, wait, and start again at the lowest unsettled."""
        while self._in_flight:
            await self._next_wake()
            released += self._finish()
        delay_s = self._backoff.next_delay_s()
        self._emit(
            ForwardingPaused(
                endpoint_kind=self._endpoint.kind,
                endpoint=str(self._endpoint),
                reason=released[0].reason,
                released=len(released),
                delay_s=delay_s,
            )
        )
        await self._sleep(delay_s)
        self._backlog.release()
        self._wake.clear()
        self._hungry.set()
