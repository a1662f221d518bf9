import asyncio
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from edgewire.message import Outcome
from gateway.observe.sending import MadeOf, MessagesMade, SendingNotKept
from gateway.sending import aggregate as windows
from gateway.sending import stage as room
from gateway.sending.how import Aggregate, Batch, Items
from gateway.sending.stage import AggregateStage, BatchStage, Stage
from gateway.store.values import AppendResult, Entry
from gateway.upstream.proxy import LinkState, Sent
from support.staged import STAGE, UP, World, entries, read

BODIES = Batch(max_messages=3, max_age_s=60, items=Items.BODIES)
MINUTE = Aggregate(window_s=60, values={"t": "$body.t"})


def send(stage: Stage, some: Sequence[Entry]) -> list[asyncio.Future[Sent]]:
    return [stage.send(each, STAGE) for each in some]


def done(futures: Sequence[asyncio.Future[Sent]]) -> list[bool]:
    return [future.done() and future.result().outcome is Outcome.ACCEPTED for future in futures]


def values(world: World) -> list[Any]:
    return [read(message) for message in world.stored]


# --- batches


async def test_entries_go_when_their_batch_is_in_the_store() -> None:
    world = World()
    stage = BatchStage("r", BODIES, UP, world.around())
    futures = send(stage, entries([1, 2, 3, 4]))
    assert done(futures) == [False] * 4
    await stage.turn()
    assert values(world) == [[1, 2, 3]]
    assert world.deliveries == [(UP,)]
    assert done(futures) == [True, True, True, False]
    assert world.events == [MessagesMade(MadeOf.BATCH, 1)]
    assert stage.status().in_flight == 1


async def test_all_that_waits_goes_with_the_first_that_has_waited_long_enough() -> None:
    world = World()
    stage = BatchStage("r", BODIES, UP, world.around())
    futures = send(stage, entries([1]))
    world.pass_s(30)
    futures += send(stage, entries([2], sender="d2", first=2))
    world.pass_s(29)
    await stage.turn()
    assert values(world) == []
    world.pass_s(1)
    await stage.turn()
    assert values(world) == [[1], [2]]
    assert all(done(futures))


async def test_a_busy_sender_does_not_make_a_quiet_one_wait_longer() -> None:
    world = World()
    stage = BatchStage("r", BODIES, UP, world.around())
    (quiet,) = send(stage, entries(["q"], sender="quiet"))
    for number in range(3):
        send(stage, entries([1, 2, 3], first=2 + 3 * number))
        world.pass_s(20)
        await stage.turn()
    assert quiet.done()


async def test_a_store_that_refuses_is_asked_again_and_nothing_goes_before_it_has_it() -> None:
    world = World(results=[AppendResult.FULL, AppendResult.FAILED])
    stage = BatchStage("r", BODIES, UP, world.around())
    futures = send(stage, entries([1, 2, 3]))
    seen: list[list[bool]] = []
    world.on_nap = lambda: seen.append(done(futures))
    await stage.turn()
    assert len(world.naps) == 2
    assert seen == [[False] * 3] * 2
    assert values(world) == [[1, 2, 3]]
    assert all(done(futures))


async def test_what_it_holds_is_bounded_and_goes_when_it_is_full() -> None:
    world = World()
    stage = BatchStage("r", Batch(max_messages=1000, items=Items.BODIES), UP, world.around())
    with patch.object(room, "MAX_HELD_MESSAGES", 4):
        assert stage.window().max_messages == 4
        futures = send(stage, entries([1, 2, 3, 4]))
        await stage.turn()
    assert all(done(futures))
    large = send(stage, entries(["x" * 100_000 for _ in range(20)], first=5))
    await stage.turn()
    assert all(done(large))


async def test_while_the_store_is_nearly_full_nothing_waits_long() -> None:
    world = World(is_pressed=True)
    stage = BatchStage("r", BODIES, UP, world.around())
    futures = send(stage, entries([1]))
    world.pass_s(9)
    await stage.turn()
    assert done(futures) == [False]
    world.pass_s(1)
    await stage.turn()
    assert done(futures) == [True]


async def test_an_orderly_stop_lets_all_go() -> None:
    world = World()
    stage = BatchStage("r", BODIES, UP, world.around())
    futures = send(stage, entries([1]))
    await stage.finish()
    assert all(done(futures))


async def test_a_forwarder_that_has_gone_is_not_told() -> None:
    world = World()
    stage = BatchStage("r", BODIES, UP, world.around())
    futures = send(stage, entries([1, 2, 3]))
    futures[0].cancel()
    await stage.turn()
    assert values(world) == [[1, 2, 3]]


async def test_only_entries_of_the_store_are_taken() -> None:
    class Other:
        entry_id = "1"
        received_at_ms = 0
        message = entries([1])[0].message

    stage = BatchStage("r", BODIES, UP, World().around())
    with pytest.raises(TypeError, match="of the store"):
        stage.send(Other(), STAGE)


async def test_it_is_a_way_that_is_always_open() -> None:
    stage = BatchStage("r", BODIES, UP, World().around())
    await stage.connected()
    stage.on_wider(lambda: None)
    assert stage.status().state is LinkState.CONNECTED


@asynccontextmanager
async def running(stage: Stage) -> Any:
    task = asyncio.create_task(stage.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_by_itself_it_turns_when_a_batch_is_full_and_by_the_clock() -> None:
    world = World()
    stage = BatchStage("r", BODIES, UP, world.around())
    with patch.object(room, "TURN_S", 0.01):
        async with running(stage), asyncio.timeout(10):
            await asyncio.gather(*send(stage, entries([1, 2, 3])))
            (waits,) = send(stage, entries([4], first=4))
            world.pass_s(60)
            await waits
    assert values(world) == [[1, 2, 3], [4]]


# --- windows


class Kept:
    """The file of a stage, in memory."""

    def __init__(self) -> None:
        self.states: list[Any] = []
        self.errors: list[Exception] = []

    def __call__(self, state: bytes) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.states.append(orjson.loads(state))


def counting(world: World, kept: Kept, *, caught_up: Callable[[], bool] = lambda: True) -> AggregateStage:
    return AggregateStage("r", MINUTE, UP, world.around(), keep=kept, caught_up=caught_up)


def readings(*numbers: float, first: int = 1) -> list[Entry]:
    return entries([{"t": number} for number in numbers], first=first)


async def test_entries_go_when_their_window_is_in_the_store() -> None:
    world, kept = World(), Kept()
    stage = counting(world, kept)
    futures = send(stage, readings(1, 2))
    await stage.turn()
    assert done(futures) == [False, False]
    assert kept.states == []
    world.pass_s(62)
    await stage.turn()
    assert [found["values"]["t"]["sum"] for found in values(world)] == [3]
    assert all(done(futures))
    assert (kept.states[-1]["through"], kept.states[-1]["tallies"]) == (2, [])
    assert world.events == [MessagesMade(MadeOf.AGGREGATE, 1)]


async def test_what_is_counted_is_written_before_its_entries_go() -> None:
    world, kept = World(), Kept()
    stage = counting(world, kept, caught_up=lambda: False)
    futures = send(stage, readings(1, 2))
    world.pass_s(59)
    await stage.turn()
    assert done(futures) == [False, False]
    world.pass_s(1)
    await stage.turn()
    assert all(done(futures))
    assert kept.states[-1]["through"] == 2
    again = counting(world, kept)
    again.restore(kept.states[-1])
    send(again, readings(1, 2, 4))
    world.pass_s(2)
    await again.turn()
    assert [found["values"]["t"]["sum"] for found in values(world)] == [7]


async def test_a_window_may_be_larger_than_what_is_held() -> None:
    world, kept = World(), Kept()
    stage = counting(world, kept)
    with patch.object(room, "MAX_HELD_MESSAGES", 10):
        for turn in range(10):
            futures = send(stage, readings(*range(10), first=turn * 10 + 1))
            await stage.turn()
            assert all(done(futures))
    world.pass_s(62)
    await stage.turn()
    assert [(found["count"], found["values"]["t"]["sum"]) for found in values(world)] == [(100, 450)]


async def test_what_cannot_be_written_waits_in_the_store_and_is_told_once() -> None:
    world, kept = World(), Kept()
    kept.errors = [OSError("no space"), OSError("no space")]
    stage = counting(world, kept)
    futures = send(stage, readings(1))
    seen: list[list[bool]] = []
    world.on_nap = lambda: seen.append(done(futures))
    await stage.finish()
    assert seen == [[False]] * 2
    assert world.events == [SendingNotKept("r", "no space")]
    assert done(futures) == [True]


async def test_windows_that_were_left_are_sent_though_nothing_comes() -> None:
    world, kept = World(), Kept()
    stage = counting(world, kept)
    send(stage, readings(5))
    await stage.finish()
    again = counting(world, kept)
    again.restore(kept.states[-1])
    with patch.object(room, "TURN_S", 0.01):
        async with running(again), asyncio.timeout(10):
            world.pass_s(62)
            await world.arrival.wait()
    assert values(world)[0]["values"]["t"]["sum"] == 5


async def test_too_many_senders_do_not_wait_for_the_clock() -> None:
    world, kept = World(), Kept()
    stage = counting(world, kept)
    with patch.object(windows, "MAX_TALLIES", 1):
        async with running(stage), asyncio.timeout(10):
            send(stage, readings(1))
            send(stage, entries([{"t": 2}], sender="d2", first=2))
            await world.arrival.wait()
    assert values(world)[0]["partial"] is True
