"""The way upstream on behalf of devices: one AMQP connection, kept up and watched, with a lane for each device."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from edgewire.message import Endpoint, Identity, Outcome
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link
from edgewire.transport.backoff import Backoff
from edgewire.transport.dialer import DialError, DialFault
from gateway.identity.neighbours import Neighbours
from gateway.identity.tokens import Token
from gateway.observe.events import Event
from gateway.observe.upstream import (
    DeviceAdmittedUpstream,
    DeviceRefusedUpstream,
    DeviceWaitsUpstream,
    DeviceWay,
    LinkFault,
    LinkKind,
    LinkLost,
    LinkTryFailed,
    LinkUp,
)
from gateway.upstream.amqp_lane import Lane, Waiting
from gateway.upstream.amqp_link import AmqpLink, Dial, LinkFailedError
from gateway.upstream.amqp_seat import Seats
from gateway.upstream.proxy import Entry, LinkState, LinkStatus, Sent, Window
from gateway.upstream.watchdog import Watchdog

MAX_DEVICES: Final = 1_000
"""Links of devices at once on the connection; .NET's client stops at 995. For more, those idle longest make room."""
IDLE_S: Final = 300.0
"""A device's link is given back when it was not used for so long; the next message costs two round trips more."""
TEND_S: Final = 1.0
"""How often the lanes' times are looked at, while there are lanes."""
WINDOW_MESSAGES: Final = 2_000
"""GATEWAY_UPSTREAM_AMQP_WINDOW without a setting: four full batches, or two messages of each of a thousand devices."""
WINDOW_BYTES: Final = 8 * 1024 * 1024
MAX_PARKED_MESSAGES: Final = 4_096
"""Messages of devices that wait alone, beside the window; beyond, everybody waits for them."""
MAX_PARKED_BYTES: Final = 16 * 1024 * 1024
PARKED_S: Final = 600.0
"""So often messages that wait are given back to the store and taken again: there their time to live counts."""
SAID_AFTER: Final = 3
"""A device that is not taken is reported after so many tries in a row: a throttle that passes is no news."""
MAX_TOLD: Final = 10_000
"""Devices that are remembered as reported; beyond, the earliest is reported again."""

FAULTS: Final = MappingProxyType(
    {
        DialFault.UNREACHABLE: LinkFault.UNREACHABLE,
        DialFault.TIMED_OUT: LinkFault.TIMED_OUT,
        DialFault.PROXY: LinkFault.UNREACHABLE,
        DialFault.TLS: LinkFault.OTHER,
        DialFault.CERTIFICATE: LinkFault.CERTIFICATE,
        DialFault.UPGRADE: LinkFault.OTHER,
        DialFault.LOST: LinkFault.UNREACHABLE,
    }
)


class Tokens(Protocol):
    """What the proxy needs of `identity.tokens.DeviceTokens`."""

    def find(self, who: Identity) -> Token | None:
        """A token that is good now."""
        ...

    def refused(self, who: Identity, token: Token) -> None:
        """The other end did not let a device in with this one."""

    def name_of(self, who: Identity) -> str:
        """The audience of a device's tokens."""
        ...


class Beside(Protocol):
    """Who has links on the same connection: what comes down for devices."""

    def on_up(self) -> None:
        """The connection stands."""

    def on_down(self) -> None:
        """It does not any more, and all links are void."""

    def on_token(self, who: Identity) -> None:
        """There is a newer token of a device."""

    def tend(self) -> None:
        """Look at the times. What is said then is flushed."""


TakeOver = Callable[[Identity, str, list[Waiting]], None]
"""Who takes the messages of a device that is not let in, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmqpTimes:
    """Deadlines, in seconds; those of the same names mean what `LinkTimes` says."""

    open_s: float = 30.0
    close_s: float = 5.0
    stall_s: float = 60.0
    steady_s: float = 30.0
    idle_s: float = IDLE_S
    parked_s: float = PARKED_S
    tend_s: float = TEND_S


class AmqpProxy:
    """A `MessageProxy` that sends each message as its device."""

    def __init__(
        self,
        *,
        hostname: str,
        dial: Dial,
        tokens: Tokens,
        emit: Callable[[Event], None],
        times: AmqpTimes | None = None,
        window: Window | None = None,
        limits: AmqpLimits | None = None,
        max_devices: int = MAX_DEVICES,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._neighbours = neighbours or Neighbours()
        self._hostname = hostname
        self._dial = dial
        self._tokens = tokens
        self._emit = emit
        self._times = times or AmqpTimes()
        self._window = window or Window(WINDOW_MESSAGES, WINDOW_BYTES)
        self._limits = limits or AmqpLimits()
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._link: AmqpLink | None = None
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self._lanes: dict[Identity, Lane] = {}
        self.seats = Seats(self, max_devices)
        self._parked: dict[Lane, float] = {}
        """Lanes with a fault, and since when."""
        self._roomless: dict[Lane, None] = {}
        """Lanes that wait for a connection that is paused."""
        self._ready: dict[Lane, None] = {}
        """Lanes to look at in this turn of the loop."""
        self._told: dict[Identity, None] = {}
        """Devices whose fault was reported."""
        self._in_flight = 0
        self._releasing = False
        self._untold = ""
        """Why something was released of which its sender has not heard: it will in the next turn of the loop."""
        self._flushing = False
        self._beside: list[Beside] = []
        self._wider: list[Callable[[], None]] = []
        self._watchdog = Watchdog(self._times.stall_s)
        self._tending: asyncio.TimerHandle | None = None
        self._status = (LinkState.CLOSED, "", self._loop.time())
        self._last_success_at: float | None = None
        self.stall_s = self._times.stall_s
        self.take_over: TakeOver | None = None
        """Set by who can send the messages of a refused device another way; else they wait."""

    # What the forwarder calls.

    async def run(self) -> None:
        """Keep the connection up until cancelled; then close it within `close_s`."""
        try:
            while True:
                link = await self._connect()
                up_at = self._loop.time()
                try:
                    await self._ended.wait()
                finally:
                    self._lose_link()
                    await link.close(self._times.close_s)
                await self._wait_after_loss(self._loop.time() - up_at)
        finally:
            self._release_all("the gateway is shutting down")
            self._become(LinkState.CLOSED, "the gateway is shutting down")

    async def connected(self) -> None:
        """Return when the connection is up."""
        await self._up.wait()

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        """Start sending; the future ends with what became of it."""
        del endpoint
        future: asyncio.Future[Sent] = self._loop.create_future()
        self.hand_over(Waiting(entry, future))
        return future

    def hand_over(self, one: Waiting) -> None:
        """Start sending what somebody waits for already."""
        if self._link is None or self._untold:
            one.finish(Sent(Outcome.RELEASED, self._untold or self._status[1] or "there is no link"))
            return
        self._releasing = False
        who = one.entry.message.envelope.sender
        lane = self._lanes.get(who)
        if lane is None:
            lane = self._lanes[who] = Lane(who, self)
            self._tend_later()
        lane.put(one)
        self._in_flight += 1
        if not lane.batch:
            self._look_at(lane)
        if lane.fault:
            self._park(lane)

    def status(self) -> LinkStatus:
        """How the connection is."""
        state, reason, since_at = self._status
        return LinkStatus(
            state=state,
            reason=reason,
            since_at=since_at,
            last_success_at=self._last_success_at,
            in_flight=self._in_flight,
        )

    def window(self) -> Window:
        """The window, and room beside it for what waits for its device alone."""
        if not self._parked:
            return self._window
        waiting = sum(lane.waiting for lane in self._parked)
        size = sum(lane.bytes for lane in self._parked)
        return Window(
            self._window.max_messages + min(waiting, MAX_PARKED_MESSAGES),
            self._window.max_bytes + min(size, MAX_PARKED_BYTES),
        )

    def on_wider(self, call: Callable[[], None]) -> None:
        """Call this whenever the window has become wider."""
        self._wider.append(call)

    # What others in the house call.

    @property
    def devices(self) -> int:
        """Devices with a place on the connection."""
        return len(self.seats)

    def is_busy(self, who: Identity) -> bool:
        """Whether messages of a device are on their way here."""
        lane = self._lanes.get(who)
        return lane is not None and lane.waiting > 0

    def on_token(self, who: Identity) -> None:
        """There is a newer token of a device."""
        token = self._tokens.find(who)
        if token is None or self._link is None:
            return
        self.seats.renew(who, token)
        lane = self._lanes.get(who)
        if lane is not None:
            lane.try_now()
        for user in self._beside:
            user.on_token(who)
        self._link.flush()

    def release_waiting(self, reason: str) -> None:
        """Something was released elsewhere: give back what waits for its device alone, or will."""
        self._releasing = True
        self._untold = reason
        for lane in list(self._parked):
            self._give_back(lane, reason)
        self._loop.call_soon(self._told_of_release)

    def _told_of_release(self) -> None:
        """Whose messages were given back has heard of it by now: what comes next is not behind them."""
        self._untold = ""

    def share(self, user: "Beside") -> None:
        """Tell this one of the connection, too: it has links on it, in the same seats."""
        self._beside.append(user)

    def flush_soon(self) -> None:
        """Something was said outside of the connection's calls: it leaves at the end of this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    # What lanes and seats call.

    def now(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    def wall_now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    def link(self) -> AmqpLink | None:
        """The connection, if it stands."""
        return self._link

    def token_for(self, who: Identity) -> Token | None:
        """A token that is good now."""
        return self._tokens.find(who)

    def token_name(self, who: Identity) -> str:
        """The audience of a device's token."""
        return self._tokens.name_of(who)

    def token_refused(self, who: Identity, token: Token) -> None:
        """The other end did not let a device in with this one."""
        self._tokens.refused(who, token)

    def take_seat(self, lane: Lane) -> bool:
        """Ask for the device's token and session; False if there is no place."""
        return self.seats.take(lane)

    def leave_seat(self, lane: Lane, *links: Link) -> None:
        """These links are not wanted any more, and neither is the seat."""
        self.seats.leave(lane, *links)

    def refuse_seat(self, lane: Lane, reason: str) -> None:
        """The other end does not let the device in."""
        self.seats.refuse(lane, reason)

    def wants_room(self, lane: Lane) -> None:
        """The connection is paused: call the lane when it is not any more."""
        self._roomless[lane] = None

    def on_sent(self) -> None:
        """A batch has left."""
        self._watchdog.on_started(self._loop.time())

    def on_answered(self) -> None:
        """The other end has answered a batch."""
        now = self._loop.time()
        self._last_success_at = now
        self._watchdog.on_progress(now)

    def on_finished(self, count: int) -> None:
        """So many messages have an outcome."""
        self._in_flight -= count

    def on_idle(self, lane: Lane) -> None:
        """Nothing is on its way on this lane; somebody may want its place."""
        if lane.gives_way and self.seats.is_wanted(lane):
            self.retire(lane)

    def on_place(self, lane: Lane) -> None:
        """There is a place again."""
        self._look_at(lane)

    def on_refused(self, lane: Lane) -> None:
        """The other end does not let this device in, or there is no token for it."""
        way = DeviceWay.WAITING if self.take_over is None else DeviceWay.AS_MODULE
        if self._is_news(lane):
            self._emit(DeviceRefusedUpstream(str(lane.who), lane.fault, way))
        if self.take_over is None:
            self._park(lane)
        elif lane.waiting:
            self.take_over(lane.who, lane.fault, lane.take_all())

    def on_waits(self, lane: Lane) -> None:
        """The other end does not take this device's messages now."""
        if lane.failures >= SAID_AFTER and self._is_news(lane):
            self._emit(DeviceWaitsUpstream(str(lane.who), lane.fault))
        self._park(lane)

    def on_recovered(self, lane: Lane) -> None:
        """A device's messages are taken for the first time, or again after a fault."""
        self._parked.pop(lane, None)
        if self._told and lane.who in self._told:
            del self._told[lane.who]
            self._emit(DeviceAdmittedUpstream(str(lane.who)))

    # What the link tells.

    def on_lost(self, fault: LinkFault, reason: str) -> None:
        """The connection stood, and does not any more."""
        self._lose(fault, reason)

    def on_room(self) -> None:
        """The connection takes more again: those that have waited longest come first."""
        roomless, self._roomless = self._roomless, {}
        for lane in roomless:
            self._look_at(lane)

    # One connection, from the first try to its end.

    async def _connect(self) -> AmqpLink:
        """Try until a connection is up."""
        while True:
            started_at = self._loop.time()
            self._become(LinkState.CONNECTING, self._status[1])
            self._ended.clear()
            link = AmqpLink(self, self._dial, hostname=self._hostname, limits=self._limits, neighbours=self._neighbours)
            try:
                async with asyncio.timeout(self._times.open_s):
                    await link.open()
            except (DialError, LinkFailedError, TimeoutError) as error:
                link.abort()
                await self._wait_after(error)
            except BaseException:
                link.abort()
                raise
            else:
                self._on_up(link, self._loop.time() - started_at)
                return link

    async def _wait_after(self, error: Exception) -> None:
        fault, reason = _explain(error, self._hostname, self._times.open_s)
        delay_s = self._backoff.next_delay_s()
        self._become(LinkState.WAITING, reason)
        self._emit(LinkTryFailed(fault, reason, self._backoff.failures, delay_s, LinkKind.DEVICES))
        await self._sleep(delay_s)

    async def _wait_after_loss(self, lasted_s: float) -> None:
        """Wait before a lost connection is built anew, longer if they keep breaking soon after they were built."""
        if lasted_s >= self._times.steady_s:
            self._backoff.reset()
        await self._sleep(self._backoff.next_delay_s())

    def _on_up(self, link: AmqpLink, took_s: float) -> None:
        self._link = link
        self._last_success_at = self._loop.time()
        self._become(LinkState.CONNECTED, "")
        self._emit(LinkUp(took_s, LinkKind.DEVICES))
        self._up.set()
        for user in self._beside:
            user.on_up()
        self._tend_later()

    def _lose(self, fault: LinkFault, reason: str) -> None:
        """The connection is of no use any more: release all that waits on it."""
        if self._link is None:
            return
        self._emit(LinkLost(fault, reason, self._in_flight, LinkKind.DEVICES))
        self._lose_link()
        self._become(LinkState.CONNECTING, reason)
        self._release_all(reason)
        self._ended.set()

    def _lose_link(self) -> None:
        self._link = None
        self._up.clear()

    def _release_all(self, reason: str) -> None:
        self._link = None
        self._watchdog.on_closed()
        self.seats.void()
        for user in self._beside:
            user.on_down()
        sent = Sent(Outcome.RELEASED, reason)
        lanes, self._lanes = self._lanes, {}
        for table in (self._parked, self._roomless, self._ready):
            table.clear()
        for lane in lanes.values():
            lane.release(sent)
        if self._tending is not None:
            self._tending.cancel()
            self._tending = None

    def _become(self, state: LinkState, reason: str) -> None:
        self._status = (state, reason, self._loop.time())

    # Lanes.

    def _is_news(self, lane: Lane) -> bool:
        """Whether a person has not been told of this device's fault; it counts as told from now on."""
        if lane.who in self._told:
            return False
        self._told[lane.who] = None
        if len(self._told) > MAX_TOLD:
            del self._told[next(iter(self._told))]
        return True

    def _look_at(self, lane: Lane) -> None:
        """Let a lane do what it can at the end of this turn of the loop: until then its batch grows."""
        if not self._ready:
            self._loop.call_soon(self._advance)
        self._ready[lane] = None

    def _flush(self) -> None:
        self._flushing = False
        if self._link is not None:
            self._link.flush()

    def _advance(self) -> None:
        ready, self._ready = self._ready, {}
        for lane in ready:
            if self._link is not None and self._lanes.get(lane.who) is lane:
                lane.advance()
        if self._link is not None:
            self._link.flush()

    def _park(self, lane: Lane) -> None:
        """A lane has a fault: what waits on it does not count, unless all is being given back."""
        if self._lanes.get(lane.who) is not lane:
            return
        if self._releasing:
            self._give_back(lane, lane.fault)
            return
        self._parked.setdefault(lane, self._loop.time())
        for call in self._wider:
            call()

    def _give_back(self, lane: Lane, reason: str) -> None:
        sent = Sent(Outcome.RELEASED, reason)
        for one in lane.abandon():
            one.finish(sent)

    def retire(self, lane: Lane) -> None:
        """Close a lane that has nothing to do; a fault is remembered with it."""
        lane.close()
        if not lane.fault:
            self._lanes.pop(lane.who, None)

    # The times: one timer while there are lanes, none without.

    def _tend_later(self) -> None:
        if self._tending is None:
            self._tending = self._loop.call_later(self._times.tend_s, self._tend)

    def _tend(self) -> None:
        self._tending = None
        now = self._loop.time()
        deadline = self._watchdog.deadline()
        if deadline is not None and now >= deadline:
            stall_s = self._times.stall_s
            self._lose(LinkFault.STALLED, f"it was connected, but acknowledged nothing for {stall_s:.0f} s")
            return
        self.seats.tend()
        for lane in list(self._lanes.values()):
            self._tend_lane(lane, now)
        for user in self._beside:
            user.tend()
        if any(now - since_at >= self._times.parked_s for since_at in self._parked.values()):
            self._parked = dict.fromkeys(self._parked, now)
            self.release_waiting("it has waited for its device for long: the store looks at its time to live")
        if self._link is not None:
            self._link.flush()
        if self._lanes or self.seats or (self._beside and self._link is not None):
            self._tend_later()

    def _tend_lane(self, lane: Lane, now: float) -> None:
        lane.tend()
        if not lane.waiting and now - lane.used_at >= self._times.idle_s:
            lane.close()
            self._parked.pop(lane, None)
            self._lanes.pop(lane.who, None)


def _explain(error: Exception, hostname: str, open_s: float) -> tuple[LinkFault, str]:
    """The kind of a failure to connect, and the sentence for a person."""
    match error:
        case DialError(fault=fault):
            return FAULTS[fault], str(error)
        case LinkFailedError(fault=fault):
            return fault, str(error)
        case _:
            return LinkFault.TIMED_OUT, f"{hostname} did not answer in {open_s:.0f} s"
