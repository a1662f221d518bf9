import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import Accepted, Error
from edgewire.message import UPSTREAM, Endpoint, Envelope, Message, Outcome, identity
from edgewire.transport.backoff import Backoff
from gateway.observe.events import Event
from gateway.observe.upstream import DeviceRefusedUpstream
from gateway.upstream.amqp_proxy import AmqpProxy, AmqpTimes
from gateway.upstream.proxy import Entry, LinkState, LinkStatus, Sent, Window
from gateway.upstream.split import SplitProxy
from support.amqp_hub import FakeHub
from support.amqp_tokens import HUB, Keys, Stored

LIMIT_S = 10.0
ACCEPTED = Sent(Outcome.ACCEPTED)
GONE = Sent(Outcome.RELEASED, "the module's link is gone")
NO = Error(condition=conditions.NOT_ALLOWED, description="not a child")


class Module:
    """The module's proxy: keeps what it is given until the test says what becomes of it."""

    def __init__(self) -> None:
        self.open: list[tuple[Entry, asyncio.Future[Sent]]] = []
        self.sent: list[str] = []
        self.up = asyncio.Event()
        self.up.set()

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def connected(self) -> None:
        await self.up.wait()

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        assert endpoint == UPSTREAM
        self.sent.append(entry.entry_id)
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self.open.append((entry, future))
        return future

    def finish(self, sent: Sent = ACCEPTED, count: int = 1) -> None:
        for _ in range(count):
            self.open.pop(0)[1].set_result(sent)

    def status(self) -> LinkStatus:
        return LinkStatus(state=LinkState.CONNECTED, reason="", since_at=0, last_success_at=None, in_flight=0)

    def window(self) -> Window:
        return Window(3, 1_000)

    def on_wider(self, call: Callable[[], None]) -> None:
        """It never is."""


class Scene:
    def __init__(self, diverted_s: float, patience_s: float) -> None:
        self.hub = FakeHub()
        self.keys = Keys()
        self.events: list[Event] = []
        self.module = Module()
        self.devices = AmqpProxy(
            hostname=HUB,
            dial=self.hub.dial,
            tokens=self.keys,
            emit=self.events.append,
            times=AmqpTimes(tend_s=0.01),
            backoff=Backoff(0.01, 0.01),
            clock=lambda: self.keys.now,
        )
        self.split = SplitProxy(
            devices=self.devices,
            module=self.module,
            has_token=lambda who: self.keys.find(who) is not None,
            diverted_s=diverted_s,
            patience_s=patience_s,
        )

    def send(self, device: str, *numbers: int) -> list[asyncio.Future[Sent]]:
        envelope = Envelope(sender=identity(device), properties={}, system={})
        return [
            self.split.send(Stored(f"{device}-{number}", Message(envelope, b"%d" % number)), UPSTREAM)
            for number in numbers
        ]

    async def all_of(self, futures: list[asyncio.Future[Sent]]) -> list[Sent]:
        async with asyncio.timeout(LIMIT_S):
            return list(await asyncio.gather(*futures))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110 — what is waited for is a fact about the world, not an event
                await asyncio.sleep(0.001)


@asynccontextmanager
async def scene(diverted_s: float = 60.0, patience_s: float = 60.0) -> AsyncIterator[Scene]:
    made = Scene(diverted_s, patience_s)
    running = asyncio.create_task(made.devices.run())
    try:
        await asyncio.wait_for(made.split.connected(), LIMIT_S)
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_with_a_token_as_the_device_without_as_the_module() -> None:
    async with scene() as here:
        here.keys.without.add("plain")
        futures = here.send("d1", 1, 2) + here.send("plain", 1)
        await here.until(lambda: bool(here.module.open))
        here.module.finish()
        assert await here.all_of(futures) == [ACCEPTED] * 3
        assert here.hub.bodies("d1") == [b"1", b"2"]
        assert here.module.sent == ["plain-1"]
        assert here.split.status().state is LinkState.CONNECTED
        assert here.split.window() == here.devices.window()


async def test_a_refused_device_goes_as_the_module_in_order_and_alone() -> None:
    async with scene() as here:
        here.hub.refused["bad"] = NO
        futures = here.send("bad", 1, 2)
        await here.until(lambda: len(here.module.open) == 2)
        futures += here.send("bad", 3)
        good = here.send("d1", 1)
        here.module.finish(count=3)
        assert await here.all_of(futures + good) == [ACCEPTED] * 4
        assert here.module.sent == ["bad-1", "bad-2", "bad-3"]
        assert len([event for event in here.events if isinstance(event, DeviceRefusedUpstream)]) == 1


async def test_a_device_is_tried_again_by_itself_once_nothing_of_it_is_on_its_way_as_the_module() -> None:
    async with scene(diverted_s=0.05) as here:
        here.hub.refused["bad"] = NO
        futures = here.send("bad", 1)
        await here.until(lambda: bool(here.module.open))
        here.hub.refused.clear()
        await asyncio.sleep(0.06)
        futures += here.send("bad", 2, 3)
        await asyncio.sleep(0.01)
        assert here.hub.arrived == []
        here.module.finish()
        assert await here.all_of(futures) == [ACCEPTED] * 3
        assert here.module.sent == ["bad-1"]
        assert here.hub.bodies("bad") == [b"2", b"3"]
        assert await here.all_of(here.send("bad", 4)) == [ACCEPTED]


async def test_a_newer_token_ends_the_detour() -> None:
    async with scene() as here:
        here.hub.refused["bad"] = NO
        futures = here.send("bad", 1)
        await here.until(lambda: bool(here.module.open))
        here.module.finish()
        await here.all_of(futures)
        here.hub.refused.clear()
        here.split.on_token(identity("bad"))
        assert await here.all_of(here.send("bad", 2)) == [ACCEPTED]
        assert here.hub.bodies("bad") == [b"2"]


async def test_the_modules_window_is_kept() -> None:
    async with scene() as here:
        here.keys.without.add("plain")
        futures = here.send("plain", *range(8))
        assert len(here.module.open) == 3
        for _ in range(8):
            here.module.finish()
            await asyncio.sleep(0)
        assert await here.all_of(futures) == [ACCEPTED] * 8
        assert here.module.sent == [f"plain-{number}" for number in range(8)]


async def test_when_the_modules_link_goes_all_that_waits_is_given_back_and_the_devices_go_on() -> None:
    async with scene(diverted_s=0.02) as here:
        here.keys.without.add("plain")
        here.hub.refused["bad"] = NO
        futures = here.send("plain", *range(5)) + here.send("bad", 1)
        await here.until(lambda: any(isinstance(event, DeviceRefusedUpstream) for event in here.events))
        await asyncio.sleep(0.03)
        futures += here.send("bad", 2)
        here.module.finish(GONE, count=len(here.module.open))
        results = await here.all_of(futures)
        assert {each.outcome for each in results} == {Outcome.RELEASED}
        assert await here.all_of(here.send("d1", 1)) == [ACCEPTED]


async def test_a_cancelled_send_of_the_module_is_given_back() -> None:
    async with scene() as here:
        here.keys.without.add("plain")
        futures = here.send("plain", 1)
        here.module.open.pop()[1].cancel()
        assert (await here.all_of(futures))[0].outcome is Outcome.RELEASED


async def test_a_device_that_loses_its_token_stays_until_its_last_answer() -> None:
    async with scene() as here:
        here.hub.judge = lambda _who, _contents: None
        futures = here.send("d1", 1)
        await here.until(lambda: bool(here.hub.connection.held))
        here.keys.without.add("d1")
        futures += here.send("d1", 2)
        assert here.module.sent == []
        here.hub.judge = lambda _who, _contents: Accepted()
        here.hub.connection.answer(Accepted())
        assert await here.all_of(futures) == [ACCEPTED] * 2
        assert here.hub.bodies("d1") == [b"1", b"2"]
        here.send("d1", 3)
        assert here.module.sent == ["d1-3"]


async def test_the_modules_link_alone_is_enough_after_a_while() -> None:
    made = Scene(60.0, 0.02)
    made.module.up.clear()
    waiting = asyncio.create_task(made.split.connected())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    made.module.up.set()
    await asyncio.wait_for(waiting, LIMIT_S)
    assert (await made.all_of(made.send("d1", 1)))[0].outcome is Outcome.RELEASED


async def test_its_run_is_theirs() -> None:
    made = Scene(60.0, 60.0)
    made.split.on_wider(lambda: None)
    running = asyncio.create_task(made.split.run())
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


async def test_detours_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.split.MAX_DIVERTED", 2)
    async with scene() as here:
        names = [f"bad{number}" for number in range(3)]
        here.hub.refused.update(dict.fromkeys(names, NO))
        for name in names:
            here.send(name, 1)
        await here.until(lambda: len(here.module.sent) == 3)
        here.module.finish(count=3)
        await asyncio.sleep(0.01)
        here.hub.refused.clear()
        here.send("bad0", 2)
        here.send("bad2", 2)
        await here.until(lambda: here.hub.bodies("bad0") == [b"2"])
        assert here.module.sent[-1] == "bad2-2"
