import math
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity, stage_of
from gateway.app.document import read_settings
from gateway.dispatch import filters as room
from gateway.dispatch.filters import Filter, Filters, Lessened, Passed, differs, remembered
from gateway.dispatch.ingress import Ingress
from gateway.observe.dispatch import HeldBack, MessagesHeldBack
from gateway.observe.tap import Routed, Tap
from gateway.routing.table import Table
from gateway.routing.values import BODY_NAN, MISSING, NO_TEXT, NULL, UNDEFINED, Value
from gateway.store.values import AppendResult, StoreLimits
from support.mqtt_site import Site

JSON = {"contentType": "application/json", "contentEncoding": "utf-8"}
ALL = "FROM /messages/* INTO $upstream"


def message(value: Any, device: str = "d1", **properties: str) -> Message:
    envelope = Envelope(sender=identity(device), properties=properties, system=JSON)
    return Message(envelope, orjson.dumps({"t": value}))


class World:
    """Filters of routes, with a clock."""

    def __init__(self, **sends: dict[str, Any]) -> None:
        self.now = 0.0
        routes = {name: {"route": ALL, "send": send} for name, send in sends.items()}
        reading = read_settings({"routes": routes})
        assert reading.settings is not None, reading.problems
        assert reading.table is not None
        self.table = reading.table
        self.filters = Filters(reading.settings.sending, lambda: self.now, random=Random(1))
        self.filters.use_routes(self.table.routes)
        self.passed: Passed = []

    def goes(self, value: Any, *, at: float | None = None, device: str = "d1") -> bool:
        self.now = self.now if at is None else at
        one = message(value, device)
        return bool(self.filters.deliveries(one, self.table.match(one), self.passed))

    def held(self) -> dict[str, int]:
        return {event.reason.value: event.count for event in self.filters.report()}


CHANGE = {"onChangeOf": "$body.t"}


def test_the_first_goes_and_then_what_changes_for_each_sender() -> None:
    world = World(r=CHANGE)
    assert [world.goes(value) for value in (1, 1, 2, 2, 1)] == [True, False, True, False, True]
    assert world.goes(1, device="d2")
    assert world.held() == {"unchanged": 2}
    assert world.held() == {}


def test_a_slow_drift_goes_once_it_leaves_the_dead_band_around_what_was_sent() -> None:
    world = World(r={**CHANGE, "deadBand": 0.5})
    sent = [value for value in (20, 20.2, 20.4, 20.5, 20.6, 20.8, 21.2) if world.goes(value)]
    assert sent == [20, 20.6, 21.2]


def test_a_dead_band_in_percent_is_of_what_was_sent() -> None:
    world = World(r={**CHANGE, "deadBand": {"percent": 10}})
    assert [value for value in (100, 109, 111, 121, 123, 0, 0.001) if world.goes(value)] == [100, 111, 123, 0, 0.001]


def test_at_most_every_holds_a_change_back_and_the_next_one_is_compared_with_what_was_sent() -> None:
    world = World(r={**CHANGE, "atMostEverySecs": 10})
    sent = [at for at, value in ((0, 1), (5, 2), (9, 1), (10, 1), (12, 2), (13, 3)) if world.goes(value, at=at)]
    assert sent == [0, 12]
    assert world.held() == {"too_soon": 3, "unchanged": 1}


def test_at_least_every_lets_the_next_one_go_though_nothing_changed() -> None:
    world = World(r={**CHANGE, "atLeastEverySecs": 60})
    assert [at for at in (0, 30, 59, 60, 61, 130) if world.goes(1, at=at)] == [0, 60, 130]


def test_at_most_every_alone() -> None:
    world = World(r={"atMostEverySecs": 10})
    assert [at for at in range(0, 35, 3) if world.goes(1, at=at)] == [0, 12, 24]


def test_every_nth_of_each_sender() -> None:
    world = World(r={"sample": {"everyNth": 3}})
    assert [number for number in range(8) if world.goes(number)] == [0, 3, 6]
    assert world.held() == {"not_sampled": 5}


def test_a_share_of_all() -> None:
    world = World(r={"sample": {"share": 0.25}})
    assert 180 < sum(world.goes(number) for number in range(1000)) < 320


def test_a_sample_with_at_least_every() -> None:
    world = World(r={"sample": {"everyNth": 100}, "atLeastEverySecs": 60})
    assert [at for at in range(0, 200, 10) if world.goes(1, at=at)] == [0, 60, 120, 180]


def test_what_one_route_holds_back_another_may_send() -> None:
    reading = read_settings(
        {
            "routes": {
                "change": {"route": ALL, "priority": 1, "send": CHANGE},
                "hot": "FROM /messages/* WHERE $body.t > 30 INTO $upstream",
                "ai": 'FROM /messages/* INTO BrokeredEndpoint("/modules/m/inputs/i")',
            }
        }
    )
    assert reading.settings is not None
    assert reading.table is not None
    filters = Filters(reading.settings.sending, lambda: 0.0)
    filters.use_routes(reading.table.routes)

    def left(value: float) -> list[tuple[str, int]]:
        one = message(value)
        found = filters.deliveries(one, reading.table.match(one), []) if reading.table else ()
        return [(str(each.endpoint), each.priority) for each in found]

    last, ai = 2_000_000_000, "/modules/m/inputs/i"
    assert left(40) == [("$upstream", 1), (ai, last)]
    assert left(40) == [("$upstream", last), (ai, last)]
    assert left(20) == [("$upstream", 1), (ai, last)]
    assert left(20) == [(ai, last)]


def test_decisions_that_no_send_touches_stay_as_they_are_and_those_that_stay_equal_are_one_object() -> None:
    reading = read_settings(
        {"routes": {"a": {"route": ALL, "send": CHANGE}, "b": "FROM /messages/* WHERE x = '1' INTO $upstream"}}
    )
    assert reading.settings is not None
    assert reading.table is not None
    filters = Filters({}, lambda: 0.0)
    filters.use_routes(reading.table.routes)
    one = message(1)
    decision = reading.table.match(one)
    assert filters.deliveries(one, decision, []) is decision.deliveries
    world = World(r={"sample": {"everyNth": 2}})
    found = [world.filters.deliveries(one, world.table.match(one), []) for _ in range(4)]
    assert found[0] is found[2]
    assert found[1] is found[3] == ()


def test_a_stage_takes_the_place_of_the_endpoint_and_has_the_routes_priority() -> None:
    reading = read_settings({"routes": {"r": {"route": ALL, "priority": 4, "send": {"batch": {}}}}})
    assert reading.settings is not None
    assert reading.table is not None
    filters = Filters(reading.settings.sending, lambda: 0.0)
    filters.use_routes(reading.table.routes)
    (stage,) = filters.stages
    one = message(1)
    assert filters.deliveries(one, reading.table.match(one), []) == (Delivery(stage, 4, 7200),)
    assert stage.name == "r"


def test_what_the_store_did_not_keep_is_new_again() -> None:
    world = World(r=CHANGE)
    answers: list[AppendResult] = []
    assert world.goes(1)
    world.filters.answered(world.passed, answers.append)(AppendResult.STORED)
    world.passed = []
    assert world.goes(2)
    world.filters.answered(world.passed, answers.append)(AppendResult.FULL)
    assert world.goes(2), "the device sends it again, and it was never sent"
    assert answers == [AppendResult.STORED, AppendResult.FULL]
    assert world.filters.answered([], answers.append) == answers.append


def test_who_was_silent_longest_is_forgotten_first_and_sent_once_more() -> None:
    world = World(r=CHANGE)
    with patch.object(room, "MAX_REMEMBERED", 2):
        assert [world.goes(1, device=device) for device in ("a", "b", "a", "c")] == [True, True, False, True]
        assert [world.goes(1, device=device) for device in ("a", "c", "b")] == [False, False, True]


def test_new_settings_remember_for_routes_that_have_not_changed() -> None:
    old, new = World(same=CHANGE, other=CHANGE), World(same=CHANGE, other={**CHANGE, "deadBand": 1})
    old.goes(1)
    new.filters.adopt(old.filters)
    new.goes(1)
    assert new.held() == {"unchanged": 1}


@pytest.mark.parametrize("kept", [room.MAX_KNOWN_PLANS, 1])
def test_what_is_known_of_outcomes_is_bounded(kept: int) -> None:
    with patch.object(room, "MAX_KNOWN_PLANS", kept):
        world = World(a=CHANGE, b={"sample": {"everyNth": 2}})
        assert [world.goes(value) for value in (1, 1, 1, 2)] == [True, False, True, True]


SINGLES: list[Value] = [UNDEFINED, NULL, NO_TEXT, BODY_NAN, True, False, 1.0, 0.0, "1", ""]


@pytest.mark.parametrize("last", SINGLES)
@pytest.mark.parametrize("value", SINGLES)
def test_a_change_of_type_is_a_change_and_the_same_value_is_none(last: Value, value: Value) -> None:
    rule = Filter(dead_band=10)
    expected = last is not value and not (isinstance(last, float) and isinstance(value, float))
    assert differs(remembered(last), remembered(value), rule) is expected


def test_a_path_that_is_not_there_is_null() -> None:
    assert not differs(remembered(NULL), remembered(MISSING), Filter())


def test_long_texts_are_compared_by_their_digest() -> None:
    one, other = remembered("x" * 100_000), remembered("x" * 99_999 + "y")
    assert isinstance(one, bytes)
    assert len(one) == 16
    assert differs(one, other, Filter())
    assert not differs(one, remembered("x" * 100_000), Filter())


@pytest.mark.parametrize(
    ("last", "value", "changed"),
    [
        (math.inf, math.inf, False),
        (math.inf, 1.0, True),
        (1.0, -math.inf, True),
        (20.1, 20.6, False),
        (20.3, 20.8, False),
        (20.1, 20.61, True),
    ],
)
def test_a_dead_band_takes_decimal_fractions_as_they_are_written(last: float, value: float, changed: bool) -> None:  # noqa: FBT001 - a row of the table
    assert differs(last, value, Filter(dead_band=0.5)) is changed


@given(
    st.lists(
        st.tuples(
            st.floats(0, 20, allow_subnormal=False),
            st.one_of(st.integers(-3, 3), st.floats(-5, 5), st.none(), st.sampled_from(["a", "b"])),
        ),
        max_size=40,
    ),
    st.floats(0, 3),
    st.one_of(st.none(), st.floats(1, 15)),
    st.one_of(st.none(), st.floats(16, 50)),
)
def test_it_holds_back_what_a_plain_reading_of_the_rules_holds_back(
    stream: list[tuple[float, Any]], band: float, at_most_s: float | None, at_least_s: float | None
) -> None:
    every = {"atMostEverySecs": at_most_s, "atLeastEverySecs": at_least_s}
    world = World(r={**CHANGE, "deadBand": band, **{name: secs for name, secs in every.items() if secs is not None}})
    now = 0.0
    sent: list[tuple[float, Any]] = []
    for pause, value in stream:
        now += pause
        wanted = not sent
        if sent:
            last_at, last = sent[-1]
            numbers = isinstance(last, int | float) and isinstance(value, int | float)
            if numbers and last != value and band:
                changed = abs(value - last) - band > 1e-9 * max(abs(value), abs(last))
            else:
                changed = last != value
            long_ago = at_least_s is not None and now - last_at >= at_least_s
            too_soon = at_most_s is not None and now - last_at < at_most_s
            wanted = long_ago or (changed and not too_soon)
        assert world.goes(value, at=now) is wanted
        if wanted:
            sent.append((now, value))


# --- at the ingress


async def test_what_is_held_back_is_acknowledged_counted_shown_and_not_stored(tmp_path: Path) -> None:
    world = World(r=CHANGE)
    async with Site.open(tmp_path) as site:
        site.ingress.use(world.table, world.filters)
        seen: list[Routed] = []
        site.tap.watch(seen.append)
        answers: list[AppendResult] = []
        site.ingress.accept([message(1), message(1)], answers.append)
        site.ingress.accept([message(1)], answers.append)
        await site.store.flush()
        site.ingress.report()
        assert answers == [AppendResult.STORED] * 2
        assert len(site.stored()) == 1
        assert MessagesHeldBack(HeldBack.UNCHANGED, 2) in site.events
        assert [(each.routes, len(each.deliveries)) for each in seen] == [(("r",), 1), (("r",), 0), (("r",), 0)]


async def test_a_change_that_the_store_refused_goes_when_it_comes_again(tmp_path: Path) -> None:
    world = World(r=CHANGE)
    async with Site.open(tmp_path, limits=StoreLimits(max_bytes=4096)) as site:
        ingress = Ingress(world.table, site.store, Tap(), site.events.append)
        ingress.use(world.table, world.filters)
        answers: list[AppendResult] = []
        ingress.accept([message("x" * 5000)], answers.append)
        await site.store.flush()
        site.store.use(max_bytes=1 << 20, when_full=StoreLimits().when_full)
        ingress.accept([message("x" * 5000)], answers.append)
        await site.store.flush()
        assert answers == [AppendResult.FULL, AppendResult.STORED]
        assert len(site.stored(UPSTREAM)) == 1


def test_a_stage_of_a_route_is_an_endpoint_by_itself() -> None:
    (route,) = World(r=CHANGE).table.routes
    stage = stage_of("r", "how")
    assert Lessened(route=route, stage=stage).delivery == Delivery(stage, route.priority, route.time_to_live_s)
    assert isinstance(World(r=CHANGE).table, Table)
