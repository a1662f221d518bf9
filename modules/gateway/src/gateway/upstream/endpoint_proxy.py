"""The way to one configured endpoint: a link kept up and watched, and a lane for each part of it that keeps an order.

What came while a lane waits for an acknowledgement leaves together with the next call, so batches grow with the load
and nothing waits for one to fill.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from edgewire.message import Endpoint, Outcome
from edgewire.transport.backoff import Backoff
from gateway.observe.endpoints import EndpointLinkAbandoned, EndpointLost, EndpointTryFailed, EndpointUp
from gateway.observe.events import Event
from gateway.observe.upstream import LinkFault
from gateway.upstream.endpoint_link import EndpointLink, LinkDownError
from gateway.upstream.proxy import Entry, LinkState, LinkStatus, Sent, Window

ENDPOINT_WINDOW: Final = Window(max_messages=512, max_bytes=4 * 1024 * 1024)
"""Batches are as large as what may be in flight: at 50 ms round trip this is some 10,000 small messages a second."""
MAX_LANE_SEND: Final = 256
"""Messages that one call of a lane is given; what does not fit into one batch is left for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTimes:
    """Deadlines, in seconds.

    `close_s`: the whole shutdown must fit into five. `steady_s`: the loss of a link that lasted so long is the first
    failure again.
    """

    open_s: float = 30.0
    close_s: float = 1.5
    stall_s: float = 60.0
    steady_s: float = 30.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    entry: Entry
    future: asyncio.Future[Sent]


class _Lane:
    """What waits for one lane, and its task's wake-up."""

    __slots__ = ("queue", "untold", "wake")

    def __init__(self) -> None:
        self.queue: deque[_Waiting] = deque()
        self.wake = asyncio.Event()
        self.untold = ""
        """Why something was released of which its sender has not heard: it will in the next turn of the loop."""

    def told(self) -> None:
        """It has heard of it by now: what comes next is not behind what was released."""
        self.untold = ""


class EndpointProxy:
    """A `MessageProxy` over the links that `make_link` gives, one at a time; it may raise LinkDownError."""

    def __init__(
        self,
        name: str,
        *,
        make_link: Callable[[], Awaitable[EndpointLink]],
        emit: Callable[[Event], None],
        times: EndpointTimes | None = None,
        window: Window = ENDPOINT_WINDOW,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._make_link = make_link
        self._emit = emit
        self._times = times or EndpointTimes()
        self._window = window
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._link: EndpointLink | None = None
        self._lanes: dict[int, _Lane] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._up = asyncio.Event()
        self._in_flight = 0
        self._status = (LinkState.CLOSED, "", self._loop.time())
        self._last_success_at: float | None = None

    def status(self) -> LinkStatus:
        """How the link is."""
        state, reason, since_at = self._status
        return LinkStatus(
            state=state,
            reason=reason,
            since_at=since_at,
            last_success_at=self._last_success_at,
            in_flight=self._in_flight,
        )

    def window(self) -> Window:
        """How much suits it to have in flight."""
        return self._window

    def on_wider(self, call: Callable[[], None]) -> None:
        """The window never changes."""

    async def connected(self) -> None:
        """Return when a link is up."""
        await self._up.wait()

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:  # noqa: ARG002 — one proxy, one endpoint
        """Start sending; the future ends with what became of it."""
        future: asyncio.Future[Sent] = self._loop.create_future()
        if self._link is None or self._tasks is None:
            future.set_result(Sent(Outcome.RELEASED, self._status[1] or "there is no link"))
            return future
        number = self._link.lane_of(entry.message.envelope.sender.device)
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = _Lane()
            self._tasks.create_task(self._serve(self._link, number, lane), name=f"{self._name}: lane {number}")
        if lane.untold:
            future.set_result(Sent(Outcome.RELEASED, lane.untold))
            return future
        self._in_flight += 1
        lane.queue.append(_Waiting(entry, future))
        lane.wake.set()
        return future

    async def run(self) -> None:
        """Keep a link up until cancelled; then close it within `close_s`."""
        try:
            while True:
                link = await self._connect()
                up_at = self._loop.time()
                failure = await self._stay(link)
                if self._loop.time() - up_at >= self._times.steady_s:
                    self._backoff.reset()
                delay_s = self._backoff.next_delay_s()
                self._become(LinkState.WAITING, failure.reason)
                await self._sleep(delay_s)
        finally:
            self._become(LinkState.CLOSED, "the gateway is shutting down")

    # --- one link, from connect to its end

    async def _connect(self) -> EndpointLink:
        """Try until a link is up."""
        while True:
            started_at = self._loop.time()
            self._become(LinkState.CONNECTING, self._status[1])
            try:
                link = await self._make_link()
                await self._open(link)
            except LinkDownError as error:
                await self._wait_after(error)
                continue
            self._last_success_at = self._loop.time()
            self._become(LinkState.CONNECTED, "")
            self._emit(EndpointUp(self._name, self._last_success_at - started_at))
            return link

    async def _open(self, link: EndpointLink) -> None:
        opened = False
        try:
            async with asyncio.timeout(self._times.open_s):
                await link.open()
            opened = True
        except TimeoutError:
            what = f"no answer within {self._times.open_s:.0f} s"
            raise LinkDownError(LinkFault.TIMED_OUT, what) from None
        finally:
            if not opened:
                await self._close(link)

    async def _wait_after(self, error: LinkDownError) -> None:
        delay_s = self._backoff.next_delay_s()
        self._become(LinkState.WAITING, error.reason)
        self._emit(EndpointTryFailed(error.fault, self._name, error.reason, self._backoff.failures, delay_s))
        await self._sleep(delay_s)

    async def _stay(self, link: EndpointLink) -> LinkDownError:
        """Send over the link until it is lost. Returns why it was."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._link, self._tasks = link, tasks
                self._up.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    self._take_no_more()
        except* LinkDownError as group:
            failure = _first(group)
            self._become(LinkState.CONNECTING, failure.reason)
            self._emit(EndpointLost(failure.fault, self._name, failure.reason, self._in_flight))
        finally:
            # No lane's task runs any more: what a new link sends is behind all that this one has sent.
            try:
                await self._close(link)
            finally:
                self._release_all(self._status[1] or "the gateway is shutting down")
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # a group that ends by an error keeps it to itself before Python 3.13
        return failure

    def _take_no_more(self) -> None:
        """The link has ended, or is to: a group of tasks that is shutting down takes no lane."""
        self._link, self._tasks = None, None
        self._up.clear()

    async def _close(self, link: EndpointLink) -> None:
        # Not asyncio.timeout: in a task that is being cancelled it says nothing of its end before Python 3.11.4.
        closing = asyncio.ensure_future(link.close())
        done, _ = await asyncio.wait([closing], timeout=self._times.close_s)
        if done:
            closing.result()
        else:
            closing.cancel()
            self._emit(EndpointLinkAbandoned(self._name, self._times.close_s))

    def _become(self, state: LinkState, reason: str) -> None:
        self._status = (state, reason, self._loop.time())

    # --- lanes

    async def _serve(self, link: EndpointLink, number: int, lane: _Lane) -> None:
        """Send what waits for a lane, in order, for as long as the link is up."""
        try:
            while True:
                await lane.wake.wait()
                lane.wake.clear()
                while lane.queue:
                    await self._send_some(link, number, lane)
        finally:
            self._take_no_more()

    async def _send_some(self, link: EndpointLink, number: int, lane: _Lane) -> None:
        waiting = [lane.queue[at] for at in range(min(len(lane.queue), MAX_LANE_SEND))]
        try:
            async with asyncio.timeout(self._times.stall_s):
                results = await link.send(number, [each.entry for each in waiting])
        except TimeoutError:
            what = f"it was connected, but acknowledged nothing for {self._times.stall_s:.0f} s"
            raise LinkDownError(LinkFault.STALLED, what) from None
        for sent in results:
            self._finish(lane.queue.popleft(), sent)
        if any(sent.outcome is Outcome.RELEASED for sent in results):
            self._release(lane, results[-1].reason)
        else:
            self._last_success_at = self._loop.time()

    def _finish(self, waiting: _Waiting, sent: Sent) -> None:
        self._in_flight -= 1
        if not waiting.future.done():
            waiting.future.set_result(sent)

    def _release(self, lane: _Lane, reason: str) -> None:
        lane.untold = reason
        self._loop.call_soon(lane.told)
        while lane.queue:
            self._finish(lane.queue.popleft(), Sent(Outcome.RELEASED, reason))

    def _release_all(self, reason: str) -> None:
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            self._release(lane, reason)


def _first(group: BaseExceptionGroup[LinkDownError]) -> LinkDownError:
    """One of what ended the lanes; they end together, and the others say the same."""
    first = group.exceptions[0]
    return first if isinstance(first, LinkDownError) else _first(first)
