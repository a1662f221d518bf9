"""A device, the gateway and the cloud through link drops, lost answers and restarts: at the end all three agree.

The device's view is what the cloud desires, and the cloud holds every report that was acknowledged, in order.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgewire.iothub.twins import Document, merged
from edgewire.message import identity
from gateway.dispatch.twin_desk import TwinReply
from gateway.dispatch.twins import Twins
from gateway.twin.opening import open_store
from gateway.twin.store import TwinStore
from support.twin_cloud import FakeTwinCloud

WHO = identity("d1")
LEAVES: st.SearchStrategy[Any] = st.sampled_from([1, 2, True, "x", [1], {}, None])
NAMES = st.sampled_from(["a", "b"])
PATCHES = st.dictionaries(NAMES, LEAVES | st.dictionaries(NAMES, LEAVES, max_size=2), max_size=2)


class Device:
    """A client that subscribes, then reads, then follows, as the official ones are told to (iothub_wire.md §1.6)."""

    def __init__(self) -> None:
        self.view: Document = {}
        self.version = 0
        self.acknowledged: Document = {}

    def desired(self, patch: bytes, version: int) -> None:
        change = orjson.loads(patch)
        del change["$version"]
        if version > self.version:
            self.view, self.version = merged(self.view, change), version

    def read(self, reply: TwinReply) -> None:
        if reply.status == 200:
            self.view = orjson.loads(reply.document)["desired"]
            self.version = self.view.pop("$version")


class World:
    """All three, and what happens to them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "twins.db"
        self.device = Device()
        self.twins = Twins(lambda _: None)
        self.cloud = FakeTwinCloud(self.twins)
        self.store: TwinStore
        self._running: asyncio.Task[None]

    async def start(self) -> None:
        self.store = await open_store(self._path, None, lambda _: None)
        self.twins.use(self.cloud)
        self.twins.keep_in(self.store)
        self._running = asyncio.create_task(self.twins.run())
        await self.connect()

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.store.close()

    async def restart(self) -> None:
        await self.stop()
        self.twins = Twins(lambda _: None)
        cloud = FakeTwinCloud(self.twins)
        cloud.twins, cloud.up = self.cloud.twins, self.cloud.up
        self.cloud = cloud
        await self.start()

    async def connect(self) -> None:
        self.twins.subscribe(WHO, self.device)
        self.device.read(await self._ask(lambda answer: self.twins.get(WHO, answer)))

    async def disconnect(self) -> None:
        self.twins.unsubscribe(WHO, self.device)

    async def report(self, patch: Document) -> None:
        reply = await self._ask(lambda answer: self.twins.report(WHO, orjson.dumps(patch), answer))
        if reply.status == 204:
            self.device.acknowledged = merged(self.device.acknowledged, patch)

    async def desire(self, patch: Document) -> None:
        self.cloud.desire(WHO, patch)

    async def desire_untold(self, patch: Document) -> None:
        self.cloud.desire(WHO, patch, told=False)

    async def go_away(self) -> None:
        self.cloud.go_away()

    async def come_back(self) -> None:
        self.cloud.come_back()

    async def come_back_quietly(self) -> None:
        """The link is there, and nobody has said so yet."""
        self.cloud.up = True

    async def break_soon(self) -> None:
        self.cloud.breaks_after = 0

    async def break_later(self) -> None:
        self.cloud.breaks_after = 1

    async def settle(self) -> None:
        """Reading waits for all that was begun before it, and for what is written after it."""
        for _ in range(3):
            await self._ask(lambda answer: self.twins.get(WHO, answer))

    async def _ask(self, ask: Callable[[Callable[[TwinReply], None]], None]) -> TwinReply:
        answered: asyncio.Future[TwinReply] = asyncio.get_running_loop().create_future()
        ask(answered.set_result)
        async with asyncio.timeout(45):
            return await answered


Action = Callable[[World], Awaitable[None]]
PLAIN = [
    World.go_away,
    World.come_back,
    World.come_back_quietly,
    World.break_soon,
    World.break_later,
    World.restart,
    World.connect,
    World.disconnect,
    World.settle,
]
WITH_PATCH: Any = [World.report, World.report, World.desire, World.desire_untold]
ACTIONS = st.lists(
    st.tuples(st.sampled_from(PLAIN), st.none()) | st.tuples(st.sampled_from(WITH_PATCH), PATCHES), max_size=14
)


async def play(actions: list[tuple[Any, Document | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        await world.start()
        try:
            for act, patch in actions:
                await (act(world) if patch is None else act(world, patch))
            await world.connect()
            world.cloud.come_back()
            await world.settle()
            check(world)
        finally:
            await world.stop()


def check(world: World) -> None:
    twin = world.cloud.twin(WHO)
    assert (world.device.view, world.device.version) == (twin.desired, twin.desired_version)
    assert twin.reported == world.device.acknowledged
    assert not world.store.waiting()


@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS)
@example(actions=[(World.go_away, None), (World.report, {"a": None}), (World.report, {"a": {"b": 1}})])
@example(
    actions=[
        (World.report, {"a": {"b": 1}}),
        (World.go_away, None),
        (World.report, {"a": None}),
        (World.report, {"a": {"a": 2}}),
        (World.restart, None),
        (World.break_soon, None),
        (World.come_back, None),
    ]
)
def test_after_all_has_settled_all_three_agree(actions: list[tuple[Any, Document | None]]) -> None:
    asyncio.run(play(actions))


@pytest.mark.parametrize("first", PLAIN, ids=lambda act: act.__name__)
@pytest.mark.parametrize("second", PLAIN, ids=lambda act: act.__name__)
def test_any_two_events_around_changes_and_reports(first: Any, second: Any) -> None:
    actions: list[tuple[Any, Document | None]] = [
        (World.report, {"a": {"b": 1}}),
        (World.desire, {"a": 1}),
        (first, None),
        (World.report, {"a": None}),
        (World.desire, {"b": {"a": 2}}),
        (second, None),
        (World.report, {"a": {"a": 3}}),
        (World.desire, {"a": None, "b": {"a": None}}),
    ]
    asyncio.run(play(actions))
