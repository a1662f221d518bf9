"""Numbers of tumbling windows, for each sender. No clock and no I/O: whoever owns it says what time it is.

A window is aligned to the clock (UTC) and takes what the gateway received in it, by the time in the store. It closes
when a later message was read, for the store gives them in order; or by the clock, once nothing of it can wait to be
read. A clock that was set back closes windows that lie ahead of it: they would stay open until it comes there again.

Entries are counted in order, each once: `through` is the last one, and what is read again after a crash is passed over.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

from edgewire.message import Identity, Message, identity
from gateway.routing.compile import compile_expression
from gateway.routing.expression import Expression
from gateway.routing.problems import RouteProblem
from gateway.routing.table import values_of
from gateway.sending.how import Aggregate, Measure
from gateway.sending.made import COUNT, JSON, KIND, ROUTE, dumped, made_id, made_message, shown_time
from gateway.store.values import Entry

MAX_TALLIES: Final = 10_000
"""Senders times windows that are open at a stage; at the bound the oldest goes early, marked as partial."""
CLOSE_AFTER_MS: Final = 2_000
"""From a window's end until it closes by the clock: what was received at its end is on the disk by then."""
FORMAT: Final = 1


@dataclass(slots=True)
class Numbers:
    """What is known of one value's numbers."""

    count: int = 0
    least: float = math.inf
    most: float = -math.inf
    total: float = 0.0
    last: float = 0.0

    def add(self, number: float) -> None:
        """One number more."""
        self.count += 1
        self.least = min(self.least, number)
        self.most = max(self.most, number)
        self.total += number
        self.last = number

    def told(self, measures: tuple[Measure, ...]) -> dict[str, Any]:
        """The measures of them; all but the count are null where there was no number."""
        of = {
            Measure.COUNT: float(self.count),
            Measure.MIN: self.least,
            Measure.MAX: self.most,
            Measure.MEAN: self.total / max(self.count, 1),
            Measure.SUM: self.total,
            Measure.LAST: self.last,
        }
        return {
            measure.value: None if not self.count and measure is not Measure.COUNT else _shown(of[measure])
            for measure in measures
        }


@dataclass(slots=True)
class Tally:
    """One sender's window."""

    sender: Identity
    start_ms: int
    first: str
    """The id of the first entry in it."""
    messages: int = 0
    numbers: list[Numbers] = field(default_factory=list)
    partial: bool = False


class Aggregator:
    """The open windows of a route."""

    def __init__(self, route: str, aggregate: Aggregate) -> None:
        self._route = route
        self._aggregate = aggregate
        self._window_ms = aggregate.window_s * 1000
        self._expressions = [_compiled(text) for text in aggregate.values.values()]
        self._windows: dict[int, dict[Identity, Tally]] = {}
        self._open = 0
        self._early: list[Tally] = []
        self._received_at_ms = 0
        self._store_id = ""
        self._through = -1

    @property
    def waits(self) -> bool:
        """Whether some window is open."""
        return bool(self._windows or self._early)

    @property
    def overfull(self) -> bool:
        """Whether something has to go early."""
        return bool(self._early)

    def add(self, entry: Entry) -> None:
        """Count a message, unless it was counted before."""
        if entry.store_id != self._store_id:
            self._store_id, self._through = entry.store_id, -1
        if entry.sequence <= self._through:
            return
        self._through = entry.sequence
        self._received_at_ms = entry.received_at_ms
        tally = self._tally(entry)
        tally.messages += 1
        for numbers, value in zip(tally.numbers, values_of(self._expressions, entry.message), strict=True):
            if isinstance(value, float) and math.isfinite(value):
                numbers.add(value)

    def close(self, now_ms: int, *, caught_up: bool) -> list[Tally]:
        """Take out what is over, the oldest first. `caught_up`: nothing waits in the store to be read."""
        closed, self._early = self._early, []
        for start in sorted(self._windows):
            over = self._is_over(start, now_ms, caught_up=caught_up)
            ahead = start > now_ms + CLOSE_AFTER_MS
            if over or ahead:
                tallies = list(self._windows.pop(start).values())
                self._open -= len(tallies)
                for tally in tallies:
                    tally.partial = tally.partial or not over
                closed += tallies
        return closed

    def message(self, tally: Tally) -> Message:
        """What a window comes to."""
        body: dict[str, Any] = {"deviceId": tally.sender.device}
        if tally.sender.module is not None:
            body["moduleId"] = tally.sender.module
        body["windowStart"] = shown_time(tally.start_ms)
        body["windowEnd"] = shown_time(tally.start_ms + self._window_ms)
        body["count"] = tally.messages
        if tally.partial:
            body["partial"] = True
        body["values"] = {
            name: numbers.told(self._aggregate.measures)
            for name, numbers in zip(self._aggregate.values, tally.numbers, strict=True)
        }
        return made_message(
            tally.sender,
            dumped(body),
            message_id=made_id(tally.first, self._route, str(tally.start_ms // 1000)),
            content_type=JSON,
            properties={KIND: "aggregate", ROUTE: self._route, COUNT: str(tally.messages)},
        )

    def state(self) -> dict[str, Any]:
        """What is counted so far, and through which entry: JSON."""
        return {
            "format": FORMAT,
            "storeId": self._store_id,
            "through": self._through,
            "tallies": [_kept(tally) for tally in [*self._early, *self._all()]],
        }

    def restore(self, state: Any) -> None:
        """Go on from a `state`. Raises ValueError, KeyError or TypeError if it is none."""
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']}")
        tallies = [_unkept(found, len(self._expressions)) for found in state["tallies"]]
        self._store_id, self._through = state["storeId"], state["through"]
        self._early = [tally for tally in tallies if tally.partial]
        for tally in tallies:
            if not tally.partial:
                self._windows.setdefault(tally.start_ms, {})[tally.sender] = tally
        self._open = len(self._all())

    def _all(self) -> list[Tally]:
        return [tally for window in self._windows.values() for tally in window.values()]

    def _tally(self, entry: Entry) -> Tally:
        start_ms = entry.received_at_ms // self._window_ms * self._window_ms
        sender = entry.message.envelope.sender
        window = self._windows.setdefault(start_ms, {})
        found = window.get(sender)
        if found is None:
            found = window[sender] = Tally(sender, start_ms, entry.entry_id, 0, [Numbers() for _ in self._expressions])
            self._open += 1
            if self._open > MAX_TALLIES:
                self._send_early()
        return found

    def _send_early(self) -> None:
        start = min(self._windows)
        window = self._windows[start]
        tally = window.pop(next(iter(window)))
        if not window:
            del self._windows[start]
        tally.partial = True
        self._open -= 1
        self._early.append(tally)

    def _is_over(self, start_ms: int, now_ms: int, *, caught_up: bool) -> bool:
        end_ms = start_ms + self._window_ms
        return end_ms <= self._received_at_ms or (caught_up and end_ms + CLOSE_AFTER_MS <= now_ms)


def _compiled(text: str) -> Expression:
    found = compile_expression(text)
    if isinstance(found, RouteProblem):
        raise ValueError(f"'{text}': {found.message}")  # noqa: TRY004 - the text is wrong, not a type
    return found


def _shown(number: float) -> float | int:
    """A whole number without a decimal point, as the device most likely wrote it."""
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 2**53 else number


def _kept(tally: Tally) -> list[Any]:
    numbers = [[each.count, each.least, each.most, each.total, each.last] for each in tally.numbers if each.count]
    places = [place for place, each in enumerate(tally.numbers) if each.count]
    who = tally.sender
    return [tally.start_ms, who.device, who.module, tally.first, tally.messages, tally.partial, places, numbers]


def _unkept(found: list[Any], values: int) -> Tally:
    start_ms, device, module, first, messages, partial, places, numbers = found
    tally = Tally(identity(device, module), start_ms, first, messages, [Numbers() for _ in range(values)], partial)
    for place, (count, least, most, total, last) in zip(places, numbers, strict=True):
        # A sum beyond the largest double is none in JSON.
        tally.numbers[place] = Numbers(count, least, most, math.inf if total is None else total, last)
    return tally
