"""Direct methods: a call goes to whoever takes calls for a device now, and its answer back. Never stored or repeated.

An answer counts whichever connection of the device it comes by: a device that was cut off may answer after it is back.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from edgewire.message import Identity
from gateway.observe.dispatch import IgnoredAnswer, MethodAnswerIgnored, MethodCalls, MethodOutcome
from gateway.observe.events import Event

MAX_CALLS: Final = 1_000
"""Calls of all devices that wait for their answer; each may hold 128 KiB on its way."""
MAX_CALLS_PER_DEVICE: Final = 20
"""The same for one device or module, those that wait for it to connect included."""
MAX_NAME_CHARS: Final = 100
"""IoT Hub's own limit."""
MAX_PAYLOAD_BYTES: Final = 131_072
"""IoT Hub's own limit, for a call and for its answer."""
MAX_TIMEOUT_S: Final = 300.0
"""The longest that IoT Hub lets a caller wait, for the device to connect and for its answer each."""
MIN_RESPONSE_TIMEOUT_S: Final = 5.0
"""The shortest that IoT Hub lets a caller wait for the answer."""
GIVES_WAY_S: Final = 30.0
"""A call that has waited for so long, IoT Hub's usual wait, gives way where there is no room for a new one. The hub
does not tell when its caller gives up: a device that hung would take no calls for minutes after it is well again."""


@dataclass(frozen=True, slots=True)
class MethodResult:
    """A device's answer; the status is its own, the payload JSON or nothing."""

    status: int
    payload: bytes


class MethodFault(Enum):
    """Why there is no answer of the device."""

    NOT_FOUND = 404
    """It takes no calls now."""
    TIMED_OUT = 504
    BAD_REQUEST = 400
    TOO_LARGE = 413
    """For this device, which has said, or is known to have, less room than the hub allows."""
    BUSY = 429


OUTCOMES: Final = {
    MethodFault.NOT_FOUND: MethodOutcome.NOT_FOUND,
    MethodFault.TIMED_OUT: MethodOutcome.TIMED_OUT,
    MethodFault.BAD_REQUEST: MethodOutcome.BAD_REQUEST,
    MethodFault.TOO_LARGE: MethodOutcome.TOO_LARGE,
    MethodFault.BUSY: MethodOutcome.BUSY,
}


class MethodError(Exception):
    """A call has no answer; `what` is for the caller."""

    def __init__(self, fault: MethodFault, what: str) -> None:
        super().__init__(what)
        self.fault = fault
        self.what = what


class _Call(NamedTuple):
    """A call that was brought to its device."""

    who: Identity
    answer: "asyncio.Future[MethodResult]"
    called_at: float


class Callee(Protocol):
    """A head's side of one that takes calls."""

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        """Bring the call to the device; `rid` is a uuid as text. False if it cannot be brought now.

        Raises MethodError if it can never be brought.
        """
        ...


Watcher = Callable[[Identity, bool], None]
"""Hears who takes calls from now on, and who does not any more."""


class Methods:
    """Who takes calls, and which calls wait for their answer."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._callees: dict[Identity, Callee] = {}
        self._watchers: list[Watcher] = []
        self._calls: dict[str, _Call] = {}
        """By their `rid`, the earliest first."""
        self._awaited: dict[Identity, set[asyncio.Future[None]]] = {}
        """Calls that wait for the device to take calls."""
        self._open: dict[Identity, int] = {}
        """How many calls there are, by their device; none is not held."""
        self._total = 0
        self._counts: dict[MethodOutcome, int] = {}

    # What the heads call.

    def subscribe(self, who: Identity, callee: Callee) -> None:
        """From now on `callee` takes calls for `who`; one that was there before is not asked any more."""
        is_new = who not in self._callees
        self._callees[who] = callee
        for awaited in self._awaited.pop(who, ()):
            if not awaited.done():
                awaited.set_result(None)
        if is_new:
            self._tell(who, takes=True)

    def unsubscribe(self, who: Identity, callee: Callee) -> None:
        """`callee` takes no more calls; a successor stays. What was called may still be answered."""
        if self._callees.get(who) is callee:
            del self._callees[who]
            self._tell(who, takes=False)

    def answered(self, who: Identity, rid: str, status: int, payload: bytes) -> None:
        """`who` answers the call `rid`. What answers no call of its own is counted and ignored."""
        call = self._calls.get(rid)
        if call is None or call.answer.done():
            self._ignore(who, IgnoredAnswer.UNKNOWN_CALL)
        elif call.who != who:
            self._ignore(who, IgnoredAnswer.FOREIGN_DEVICE)
        elif len(payload) > MAX_PAYLOAD_BYTES:
            self._ignore(who, IgnoredAnswer.TOO_LARGE)
        else:
            call.answer.set_result(MethodResult(status, payload))

    # What callers and the upstream call.

    def listeners(self) -> Collection[Identity]:
        """Who takes calls now."""
        return tuple(self._callees)

    def watch(self, watcher: Watcher) -> None:
        """From now on `watcher` hears who takes calls; `listeners` says who does already."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """`watcher` hears no more."""
        self._watchers.remove(watcher)

    async def invoke(
        self, who: Identity, name: str, payload: bytes, *, connect_timeout_s: float, response_timeout_s: float
    ) -> MethodResult:
        """Call a method of `who`, and wait for the answer. Raises MethodError if there is none.

        connect_timeout_s: for the device to take calls, 0 to 300. response_timeout_s: for its answer, 5 to 300.
        """
        try:
            _check(name, payload, connect_timeout_s, response_timeout_s)
            self._check_room(who)
            self._total += 1
            self._open[who] = self._open.get(who, 0) + 1
            try:
                callee = await self._callee(who, connect_timeout_s)
                result = await self._call(callee, who, name, payload, response_timeout_s)
            finally:
                self._close(who)
        except MethodError as error:
            self._count(OUTCOMES[error.fault])
            raise
        self._count(MethodOutcome.ANSWERED)
        return result

    # What the app calls.

    def report(self) -> None:
        """Emit what was counted since the last call."""
        counts, self._counts = self._counts, {}
        for outcome, count in counts.items():
            self._emit(MethodCalls(outcome, count))

    # Calls.

    def _check_room(self, who: Identity) -> None:
        if self._open.get(who, 0) >= MAX_CALLS_PER_DEVICE and not self._end_earliest(lambda call: call.who == who):
            raise MethodError(
                MethodFault.BUSY, f"{MAX_CALLS_PER_DEVICE} calls of '{who}' wait for their answer already"
            )
        if self._total >= MAX_CALLS and not self._end_earliest(lambda _: True):
            raise MethodError(MethodFault.BUSY, f"{MAX_CALLS} calls wait for their answer already")

    def _end_earliest(self, is_meant: Callable[[_Call], bool]) -> bool:
        """End the earliest call of those meant, if it has waited for so long that hardly anybody waits for it."""
        call = next((each for each in self._calls.values() if is_meant(each) and not each.answer.done()), None)
        if call is None or asyncio.get_running_loop().time() - call.called_at < GIVES_WAY_S:
            return False
        call.answer.cancel()
        return True

    def _close(self, who: Identity) -> None:
        self._total -= 1
        self._open[who] -= 1
        if not self._open[who]:
            del self._open[who]

    async def _callee(self, who: Identity, timeout_s: float) -> Callee:
        """Who takes calls for `who`, now or within the time."""
        clock = asyncio.get_running_loop().time
        until = clock() + timeout_s
        while (callee := self._callees.get(who)) is None:
            left_s = until - clock()
            if left_s <= 0:
                raise MethodError(MethodFault.NOT_FOUND, f"'{who}' is not connected here, or takes no calls")
            await self._await_callee(who, left_s)
        return callee

    async def _await_callee(self, who: Identity, timeout_s: float) -> None:
        awaited = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(who, set()).add(awaited)
        try:
            await asyncio.wait([awaited], timeout=timeout_s)
        finally:
            awaited.cancel()
            others = self._awaited.get(who)
            if others is not None:
                others.discard(awaited)
                if not others:
                    del self._awaited[who]

    async def _call(self, callee: Callee, who: Identity, name: str, payload: bytes, timeout_s: float) -> MethodResult:
        rid = str(uuid.uuid4())
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[MethodResult] = loop.create_future()
        self._calls[rid] = _Call(who, answer, loop.time())
        try:
            if not callee.call(rid, name, payload):
                raise MethodError(MethodFault.NOT_FOUND, f"'{who}' takes no more calls at present")
            await asyncio.wait([answer], timeout=timeout_s)
            if not answer.done():
                raise MethodError(MethodFault.TIMED_OUT, f"'{who}' did not answer within {timeout_s:g} s")
            if answer.cancelled():
                what = f"'{who}' did not answer within {GIVES_WAY_S:g} s, and its place was needed for a newer call"
                raise MethodError(MethodFault.TIMED_OUT, what)
            return answer.result()
        finally:
            del self._calls[rid]
            answer.cancel()

    def _ignore(self, who: Identity, why: IgnoredAnswer) -> None:
        self._emit(MethodAnswerIgnored(str(who), why))

    def _tell(self, who: Identity, *, takes: bool) -> None:
        for watcher in tuple(self._watchers):
            watcher(who, takes)

    def _count(self, outcome: MethodOutcome) -> None:
        self._counts[outcome] = self._counts.get(outcome, 0) + 1


def _check(name: str, payload: bytes, connect_timeout_s: float, response_timeout_s: float) -> None:
    """Raise MethodError for a call that IoT Hub would not take."""
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        what = f"the method's name has {len(name)} characters; it must have 1 to {MAX_NAME_CHARS}"
    elif len(payload) > MAX_PAYLOAD_BYTES:
        what = f"the payload has {len(payload)} bytes; the limit is {MAX_PAYLOAD_BYTES}"
    elif not 0 <= connect_timeout_s <= MAX_TIMEOUT_S:
        what = f"the time to connect is {connect_timeout_s:g} s; it must be 0 to {MAX_TIMEOUT_S:g}"
    elif not MIN_RESPONSE_TIMEOUT_S <= response_timeout_s <= MAX_TIMEOUT_S:
        what = (
            f"the time to answer is {response_timeout_s:g} s; it must be {MIN_RESPONSE_TIMEOUT_S:g} to "
            f"{MAX_TIMEOUT_S:g}"
        )
    else:
        return
    raise MethodError(MethodFault.BAD_REQUEST, what)
