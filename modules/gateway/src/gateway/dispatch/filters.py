"""Sending less: which of the messages that a route matched go on, judged for each sender by what went on before.

A filter forgets rather than withholds: who is not remembered (after a start, beyond the bound, after a batch that the
store refused) is sent one message more, and never one less.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Final, TypeAlias

from edgewire.message import Delivery, Endpoint, Identity, Message
from gateway.observe.dispatch import HeldBack, MessagesHeldBack
from gateway.routing.expression import Expression
from gateway.routing.table import Decision, Route, preferred, value_of
from gateway.routing.values import MISSING, NULL, Value
from gateway.store.values import AppendResult

MAX_REMEMBERED: Final = 20_000
"""Routes times senders whose last message is remembered: 5.5 MB. Who was silent longest is forgotten first."""
MAX_REMEMBERED_CHARS: Final = 64
"""A text longer than that is remembered by its digest."""
MAX_KNOWN_PLANS: Final = 4_096
"""Outcomes of routing, and what filters left of them, that are kept as shared objects."""

ROUNDING: Final = 1e-9
"""Of the larger of two numbers: so much beyond a dead band is taken for the rounding of decimal fractions."""

Answer: TypeAlias = Callable[[AppendResult], None]
Remembered: TypeAlias = Value | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which messages of a sender go on; at least one of the fields says something.

    A message goes on in any case when the last one did so `at_least_every_s` ago, or when nothing is remembered of its
    sender. Else it does not go on while the last one did so less than `at_most_every_s` ago, nor if the value of
    `on_change_of` is what it was then: of numbers within the dead band, which is a difference or, with
    `dead_band_percent`, a share of the number that went on. Of what is left `every_nth` goes on, or the share.
    """

    on_change_of: Expression | None = None
    dead_band: float = 0.0
    dead_band_percent: float = 0.0
    at_most_every_s: float | None = None
    at_least_every_s: float | None = None
    every_nth: int | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessened:
    """What becomes of a route's messages: its filter, and the stage where they are made into others."""

    route: Route
    filter: Filter | None = None
    stage: Endpoint | None = None

    @property
    def delivery(self) -> Delivery:
        """Where what passes the filter goes."""
        own = self.route.delivery
        return own if self.stage is None else Delivery(self.stage, own.priority, own.time_to_live_s)


@dataclass(slots=True)
class _Last:
    """What went on last of one sender by one route."""

    at: float
    value: Remembered
    passed_over: int


_Key: TypeAlias = tuple[str, Identity]
Passed: TypeAlias = list[_Key]
"""Who had a message go on, by route."""


class Filters:
    """The filters and stages of the routes in force. `clock` counts seconds and is never set."""

    def __init__(
        self, routes: Mapping[str, Lessened], clock: Callable[[], float], *, random: Random | None = None
    ) -> None:
        self._routes = dict(routes)
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - a sample, not a secret
        self._last: dict[_Key, _Last] = {}
        self._held: dict[HeldBack, int] = {}
        self._plans: dict[tuple[str, ...], tuple[Lessened | None, ...] | None] = {}
        self._left: dict[tuple[str, ...], tuple[Delivery, ...]] = {}
        self._whole: dict[str, Delivery] = {}

    @property
    def stages(self) -> frozenset[Endpoint]:
        """Where messages wait to be made into others."""
        return frozenset(one.stage for one in self._routes.values() if one.stage is not None)

    def adopt(self, former: "Filters") -> None:
        """Remember what `former` does, by the routes that have not changed: settings may change every hour."""
        same = {name for name, one in self._routes.items() if former._routes.get(name) == one}  # noqa: SLF001 - our own kind
        self._last = {key: last for key, last in former._last.items() if key[0] in same}  # noqa: SLF001 - as above

    def use_routes(self, routes: Sequence[Route]) -> None:
        """All routes of the table, those too whose messages go on as they are."""
        self._whole = {
            route.name: (self._routes[route.name].delivery if route.name in self._routes else route.delivery)
            for route in routes
        }

    def deliveries(self, message: Message, decision: Decision, passed: Passed) -> tuple[Delivery, ...]:
        """What is left of a decision; `passed` takes whom to `forget` if the store refuses the message."""
        names = decision.routes
        plan = self._plans[names] if names in self._plans else self._plan(names)
        if plan is None:
            return decision.deliveries
        left = [
            name
            for name, one in zip(names, plan, strict=True)
            if one is None or one.filter is None or self._passes(name, one.filter, message, passed)
        ]
        key = tuple(left)
        found = self._left.get(key)
        return self._merged(key) if found is None else found

    def answered(self, passed: Passed, answer: Answer) -> Answer:
        """`answer`, after what the store did not keep is forgotten: the device sends it again, and it is new again."""
        if not passed:
            return answer

        def told(result: AppendResult) -> None:
            if result is not AppendResult.STORED:
                for key in passed:
                    self._last.pop(key, None)
            answer(result)

        return told

    def report(self) -> list[MessagesHeldBack]:
        """What was held back since the last call."""
        held, self._held = self._held, {}
        return [MessagesHeldBack(reason, count) for reason, count in held.items()]

    def _plan(self, names: tuple[str, ...]) -> tuple[Lessened | None, ...] | None:
        """What becomes of messages that match these routes; None if they go on as they are."""
        plan = tuple(self._routes.get(name) for name in names)
        if len(self._plans) >= MAX_KNOWN_PLANS:
            self._plans.clear()
        found = self._plans[names] = plan if any(plan) else None
        return found

    def _merged(self, names: tuple[str, ...]) -> tuple[Delivery, ...]:
        """One delivery for each endpoint, as the table merges them. The same object each time, by which it is known."""
        best: dict[Endpoint, Delivery] = {}
        for name in names:
            delivery = self._whole[name]
            rival = best.get(delivery.endpoint)
            best[delivery.endpoint] = delivery if rival is None else preferred(rival, delivery)
        if len(self._left) >= MAX_KNOWN_PLANS:
            self._left.clear()
        merged = self._left[names] = tuple(best.values())
        return merged

    def _passes(self, route: str, rule: Filter, message: Message, passed: Passed) -> bool:
        key = (route, message.envelope.sender)
        now = self._clock()
        last = self._last.pop(key, None)
        value = None if rule.on_change_of is None else remembered(value_of(rule.on_change_of, message))
        reason = None if last is None else self._reason_to_hold(rule, last, now, value)
        if reason is None:
            last = _Last(now, NULL if value is None else value, 0)
            passed.append(key)
        else:
            self._held[reason] = self._held.get(reason, 0) + 1
        assert last is not None
        self._last[key] = last
        if len(self._last) > MAX_REMEMBERED:
            del self._last[next(iter(self._last))]
        return reason is None

    def _reason_to_hold(self, rule: Filter, last: _Last, now: float, value: Remembered | None) -> HeldBack | None:
        since = now - last.at
        if rule.at_least_every_s is not None and since >= rule.at_least_every_s:
            return None
        if rule.at_most_every_s is not None and since < rule.at_most_every_s:
            return HeldBack.TOO_SOON
        if value is not None and not differs(last.value, value, rule):
            return HeldBack.UNCHANGED
        if rule.every_nth is not None:
            last.passed_over += 1
            return HeldBack.NOT_SAMPLED if last.passed_over < rule.every_nth else None
        if rule.share is not None:
            return HeldBack.NOT_SAMPLED if self._random.random() >= rule.share else None
        return None


def remembered(value: Value) -> Remembered:
    """What is kept of a value, to tell another one from it: short, whatever a device sends."""
    if isinstance(value, str) and len(value) > MAX_REMEMBERED_CHARS:
        return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return NULL if value is MISSING else value


def differs(last: Remembered, value: Remembered, rule: Filter) -> bool:
    """Whether a value is another one than the last that went on.

    Numbers differ by more than the dead band; all else, and what changes its type, differs if it is not the same. A
    path that a body does not have is null.
    """
    if last.__class__ is not float or value.__class__ is not float:
        return last.__class__ is not value.__class__ or last != value
    assert isinstance(last, float)
    assert isinstance(value, float)
    if last == value:
        return False
    band = rule.dead_band + rule.dead_band_percent / 100 * abs(last)
    if not band or not math.isfinite(last) or not math.isfinite(value):
        return True
    return abs(value - last) - band > ROUNDING * max(abs(value), abs(last))
