"""The way upstream as this module: one link to edgeHub at a time, kept up, watched, renewed before its token ends."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from azure.iot.device.exceptions import ServiceError

from edgewire.message import Endpoint, Identity, Outcome
from edgewire.transport.backoff import Backoff
from gateway.observe.events import Event
from gateway.observe.upstream import (
    LinkAbandoned,
    LinkFault,
    LinkLost,
    LinkRenewed,
    LinkTryFailed,
    LinkUp,
)
from gateway.upstream.failure import LinkFailure, explain
from gateway.upstream.module_link import TOKEN_TTL_S, Answer, Link, LinkListener, ModuleLink
from gateway.upstream.module_message import NotCarriedError, carry
from gateway.upstream.outputs import output_name
from gateway.upstream.proxy import (
    CloudListener,
    CloudRefusedError,
    Document,
    Entry,
    LinkState,
    LinkStatus,
    MethodReply,
    NotConnectedError,
    Sent,
    Window,
)
from gateway.upstream.watchdog import Watchdog

STALL_S: Final = 60.0
"""GATEWAY_UPSTREAM_STALL_S without a setting."""
MAX_METHODS_AT_ONCE: Final = 16
"""Calls of direct methods that run side by side; more are answered 429."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimes:
    """Deadlines of a link, in seconds.

    `stall_s`: without an acknowledgement for so long while something waits, the link is torn down. `renew_s`: age at
    which a link is replaced, before the SDK would do it itself and send again what is in flight. `steady_s`: a link
    that lasted so long was a good one; its loss is the first failure again.
    """

    open_s: float = 30.0
    close_s: float = 5.0
    stall_s: float = STALL_S
    request_s: float = 20.0
    method_s: float = 30.0
    drain_s: float = 10.0
    steady_s: float = 30.0
    renew_s: float = TOKEN_TTL_S - 300.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A send that came while the link was being renewed."""

    entry: Entry
    endpoint: Endpoint
    future: asyncio.Future[Sent]


class ModuleProxy:
    """A `CloudProxy` over azure-iot-device's module client."""

    def __init__(
        self,
        *,
        emit: Callable[[Event], None],
        times: LinkTimes | None = None,
        window: Window | None = None,
        make_link: Callable[[LinkListener], Link] = ModuleLink,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        below: Collection[Identity] = (),
    ) -> None:
        """`below`: the modules of gateways below this one, which name the devices that they send for."""
        self._emit = emit
        self._below = frozenset(below)
        self._times = times or LinkTimes()
        self._window = window or Window()
        self._make_link = make_link
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._listeners: list[CloudListener] = []
        self._outputs: dict[Endpoint, str] = {}
        self._link: Link | None = None
        self._up = asyncio.Event()
        self._in_flight: dict[asyncio.Future[Sent], None] = {}
        self._held: list[_Held] | None = None
        self._ended = asyncio.Event()
        self._all_done = asyncio.Event()
        self._watchdog = Watchdog(self._times.stall_s)
        self._watch: asyncio.TimerHandle | None = None
        self._methods: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._status = (LinkState.CLOSED, "", self._loop.time())
        self._last_success_at: float | None = None

    def listen(self, listener: CloudListener) -> None:
        """Tell `listener` from now on; call it before `run`."""
        self._listeners.append(listener)

    def status(self) -> LinkStatus:
        """How the link is."""
        state, reason, since_at = self._status
        return LinkStatus(
            state=state,
            reason=reason,
            since_at=since_at,
            last_success_at=self._last_success_at,
            in_flight=len(self._in_flight),
        )

    def window(self) -> Window:
        """How much suits it to have in flight."""
        return self._window

    def on_wider(self, call: Callable[[], None]) -> None:
        """The window never changes."""

    async def connected(self) -> None:
        """Return when a link is up."""
        await self._up.wait()

    async def run(self) -> None:
        """Keep a link up until cancelled; then close it within `close_s`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                while True:
                    link = await self._connect()
                    up_at = self._loop.time()
                    await self._stay(link)
                    await self._wait_after_loss(self._loop.time() - up_at)
        finally:
            self._tasks = None
            self._fail_all("the gateway is shutting down")
            self._become(LinkState.CLOSED, "the gateway is shutting down")

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        """Start sending; the future ends with what became of it."""
        future: asyncio.Future[Sent] = self._loop.create_future()
        if self._held is not None:
            self._held.append(_Held(entry, endpoint, future))
        elif self._link is None:
            future.set_result(Sent(Outcome.RELEASED, self._status[1] or "there is no link"))
        else:
            self._send(self._link, entry, endpoint, future)
        return future

    async def twin(self) -> Document:
        """`{"desired": …, "reported": …}` of this module."""
        twin: Document = await self._request(lambda link: link.twin())
        return twin

    async def report(self, patch: Document) -> None:
        """Merge `patch` into the reported properties."""
        await self._request(lambda link: link.report(patch))

    # --- one link, from connect to its end -----------------------------------------------------------------------

    async def _connect(self) -> Link:
        """Try until a link is up."""
        while True:
            started_at = self._loop.time()
            self._become(LinkState.CONNECTING, self._status[1])
            self._ended.clear()
            link = self._make_link(self)
            try:
                async with asyncio.timeout(self._times.open_s):
                    await link.open()
            except asyncio.CancelledError:
                await self._close(link)
                raise
            except Exception as error:  # noqa: BLE001 — whatever it is, the answer is to say so and try again
                await self._close(link)
                await self._wait_after(explain(error))
                continue
            self._on_up(link, self._loop.time() - started_at)
            return link

    async def _wait_after(self, failure: LinkFailure) -> None:
        self._release_held(failure.reason)
        delay_s = self._backoff.next_delay_s()
        self._become(LinkState.WAITING, failure.reason)
        self._emit(LinkTryFailed(failure.fault, failure.reason, self._backoff.failures, delay_s))
        await self._sleep(delay_s)

    async def _wait_after_loss(self, lasted_s: float) -> None:
        """Wait before a lost link is built anew, longer if links keep breaking soon after they were built."""
        if lasted_s >= self._times.steady_s:
            self._backoff.reset()
        if self._ended.is_set():
            await self._sleep(self._backoff.next_delay_s())

    def _on_up(self, link: Link, took_s: float) -> None:
        self._link = link
        self._last_success_at = self._loop.time()
        self._become(LinkState.CONNECTED, "")
        self._emit(LinkUp(took_s))
        held, self._held = self._held, None
        for each in held or ():
            self._send(link, each.entry, each.endpoint, each.future)
        self._up.set()
        for listener in self._listeners:
            listener.on_connected()

    async def _stay(self, link: Link) -> None:
        """Return when the link has ended, one way or the other, and is closed."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._times.renew_s):
                    await self._ended.wait()
            if self._link is link:
                await self._drain()
        finally:
            self._link = None
            self._up.clear()
            await self._close(link)

    async def _drain(self) -> None:
        """The link is old: hold new sends, and let what is in flight finish."""
        self._held = []
        self._up.clear()
        self._all_done.clear()
        if self._in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._times.drain_s):
                    await self._all_done.wait()
        if not self._ended.is_set():
            self._emit(LinkRenewed(len(self._in_flight)))
            self._fail_in_flight("the link is renewed")

    async def _close(self, link: Link) -> None:
        if not await link.close(self._times.close_s):
            self._emit(LinkAbandoned(self._times.close_s))

    def _lose(self, fault: LinkFault, reason: str) -> None:
        """The link is of no use any more: release all that waits on it, and let `_stay` end."""
        if self._link is None:
            return
        self._link = None
        self._up.clear()
        self._emit(LinkLost(fault, reason, len(self._in_flight)))
        self._become(LinkState.CONNECTING, reason)
        self._fail_all(reason)
        self._ended.set()

    def _become(self, state: LinkState, reason: str) -> None:
        self._status = (state, reason, self._loop.time())

    # --- sends ---------------------------------------------------------------------------------------------------

    def _send(self, link: Link, entry: Entry, endpoint: Endpoint, future: asyncio.Future[Sent]) -> None:
        output = self._outputs.get(endpoint) or self._outputs.setdefault(endpoint, output_name(endpoint))
        try:
            message = carry(entry, output, self._below)
        except NotCarriedError as error:
            future.set_result(Sent(Outcome.REJECTED, str(error)))
            return
        self._in_flight[future] = None
        self._watchdog.on_started(self._loop.time())
        if self._watch is None:
            self._arm()
        link.send(message, partial(self._on_sent, future))

    def _on_sent(self, future: asyncio.Future[Sent], error: BaseException | None) -> None:
        if future not in self._in_flight:
            return  # released before: its link had been given up
        del self._in_flight[future]
        now = self._loop.time()
        self._watchdog.on_progress(now)
        sent = self._outcome(error, now)
        if not future.done():
            future.set_result(sent)
        if sent.outcome is Outcome.RELEASED:
            self._lose(LinkFault.SEND_FAILED, sent.reason)
        if not self._in_flight:
            self._all_done.set()

    def _outcome(self, error: BaseException | None, now: float) -> Sent:
        if error is None:
            self._last_success_at = now
            return Sent(Outcome.ACCEPTED)
        if isinstance(error, ValueError | TypeError):
            # The SDK and paho raise these for what is wrong with the message itself.
            return Sent(Outcome.REJECTED, f"the SDK refuses it: {error}")
        return Sent(Outcome.RELEASED, f"the SDK could not send: {type(error).__name__} {error}".strip())

    def _fail_all(self, reason: str) -> None:
        self._fail_in_flight(reason)
        self._release_held(reason)

    def _fail_in_flight(self, reason: str) -> None:
        in_flight, self._in_flight = self._in_flight, {}
        self._watchdog.on_closed()
        self._all_done.set()
        for future in in_flight:
            if not future.done():
                future.set_result(Sent(Outcome.RELEASED, reason))

    def _release_held(self, reason: str) -> None:
        held, self._held = self._held, None
        for each in held or ():
            if not each.future.done():
                each.future.set_result(Sent(Outcome.RELEASED, reason))

    # --- the watchdog: one timer while something is in flight, none while idle ---------------------------------------

    def _arm(self) -> None:
        deadline = self._watchdog.deadline()
        self._watch = None if deadline is None else self._loop.call_at(deadline, self._check)

    def _check(self) -> None:
        deadline = self._watchdog.deadline()
        if deadline is not None and self._loop.time() >= deadline:
            stall_s = self._times.stall_s
            self._lose(LinkFault.STALLED, f"it was connected, but acknowledged nothing for {stall_s:.0f} s")
        self._arm()

    # --- what comes down -----------------------------------------------------------------------------------------

    def on_lost(self, reason: str) -> None:
        """The link is down. Called by the link."""
        self._lose(LinkFault.DROPPED, reason)

    def on_desired(self, patch: Document) -> None:
        """Desired properties changed. Called by the link."""
        for listener in self._listeners:
            listener.on_desired(patch)

    def on_method(self, name: str, payload: Any, answer: Answer) -> None:
        """A direct method. Called by the link."""
        if self._tasks is None or not self._listeners:
            answer(MethodReply(503, {"message": "the gateway is starting or stopping; try again"}))
        elif len(self._methods) >= MAX_METHODS_AT_ONCE:
            answer(MethodReply(429, {"message": f"{MAX_METHODS_AT_ONCE} methods are running; try again later"}))
        else:
            task = self._tasks.create_task(self._run_method(name, payload, answer), name=f"method {name}")
            self._methods.add(task)
            task.add_done_callback(self._methods.discard)

    async def _run_method(self, name: str, payload: Any, answer: Answer) -> None:
        try:
            async with asyncio.timeout(self._times.method_s):
                reply = await self._listeners[0].on_method(name, payload)
        except TimeoutError:
            reply = MethodReply(504, {"message": f"'{name}' did not finish within {self._times.method_s:.0f} s"})
        except Exception as error:  # noqa: BLE001 — a method that fails must not end the link; its caller is told
            reply = MethodReply(500, {"message": f"'{name}' failed: {type(error).__name__} {error}".strip()})
        answer(reply)

    async def _request(self, start: Callable[[Link], Awaitable[Any]]) -> Any:
        if self._link is None:
            raise NotConnectedError(self._status[1] or "there is no link")
        try:
            async with asyncio.timeout(self._times.request_s):
                result = await start(self._link)
        except TimeoutError:
            raise NotConnectedError(f"no answer within {self._times.request_s:.0f} s") from None
        except ServiceError as error:
            raise CloudRefusedError(str(error)) from error
        except NotConnectedError:
            raise
        except Exception as error:
            raise NotConnectedError(f"{type(error).__name__} {error}".strip()) from error
        self._last_success_at = self._loop.time()
        return result
