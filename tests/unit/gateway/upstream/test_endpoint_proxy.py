import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edgewire.message import Outcome, named_endpoint
from edgewire.transport.backoff import Backoff
from gateway.observe.endpoints import EndpointLinkAbandoned, EndpointLost, EndpointTryFailed, EndpointUp
from gateway.observe.events import Event
from gateway.observe.upstream import LinkFault
from gateway.upstream.endpoint_link import EndpointLink, LinkDownError
from gateway.upstream.endpoint_proxy import ENDPOINT_WINDOW, MAX_LANE_SEND, EndpointProxy, EndpointTimes
from gateway.upstream.proxy import LinkState, Sent
from support.endpoint_links import FakeLink, Stored, stored
from support.gateway_site import until

WHERE = named_endpoint("archive")
PATIENCE_S = 20.0
REFUSED = LinkDownError(LinkFault.CREDENTIALS, "not with this key")


class World:
    """A proxy over the links that a test has prepared, one behind the other; the last serves for ever."""

    def __init__(self, *links: FakeLink, times: EndpointTimes | None = None) -> None:
        self.links = list(links)
        self.events: list[Event] = []
        self.slept: list[float] = []
        self.proxy = EndpointProxy(
            "archive",
            make_link=self._make_link,
            emit=self.events.append,
            times=times,
            backoff=Backoff(first_s=1.0, draw=lambda: 1.0),
            sleep=self._sleep,
        )

    async def _make_link(self) -> EndpointLink:
        return self.links.pop(0) if len(self.links) > 1 else self.links[0]

    async def _sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        await asyncio.sleep(0)

    def send(self, *entries: Stored) -> "list[asyncio.Future[Sent]]":
        return [self.proxy.send(entry, WHERE) for entry in entries]

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if type(event) is kind]


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    task = asyncio.ensure_future(world.proxy.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_without_a_link_everything_is_released() -> None:
    [future] = World(FakeLink()).send(stored(1))
    assert (await future).outcome is Outcome.RELEASED


async def test_what_a_lane_is_given_is_accepted_when_the_link_says_so() -> None:
    link = FakeLink()
    world = World(link)
    async with running(world):
        await world.proxy.connected()
        first, second = world.send(stored(1), stored(2))
        call = await link.calls.get()
        assert [entry.entry_id for entry in call.entries] == ["e1", "e2"]
        assert not first.done()
        assert world.proxy.status().in_flight == 2
        call.accept()
        assert (await first).outcome is (await second).outcome is Outcome.ACCEPTED
        assert world.proxy.status().in_flight == 0
        assert world.proxy.status().state is LinkState.CONNECTED
    assert link.closed.is_set()
    assert world.proxy.status().state is LinkState.CLOSED


async def test_what_comes_meanwhile_leaves_with_the_next_call_in_order() -> None:
    link = FakeLink()
    world = World(link)
    async with running(world):
        await world.proxy.connected()
        world.send(stored(1))
        call = await link.calls.get()
        world.send(*(stored(number) for number in range(2, 5)))
        call.accept()
        call = await link.calls.get()
        assert [entry.entry_id for entry in call.entries] == ["e2", "e3", "e4"]
        call.accept(1)  # two did not fit
        call = await link.calls.get()
        assert [entry.entry_id for entry in call.entries] == ["e3", "e4"]


async def test_one_call_is_bounded() -> None:
    link = FakeLink()
    world = World(link)
    async with running(world):
        await world.proxy.connected()
        world.send(*(stored(number) for number in range(MAX_LANE_SEND + 1)))
        assert len((await link.calls.get()).entries) == MAX_LANE_SEND


async def test_lanes_do_not_wait_for_each_other() -> None:
    link = FakeLink()
    world = World(link)
    async with running(world):
        await world.proxy.connected()
        slow, quick = world.send(stored(1, "d0"), stored(2, "d1"))
        calls = {call.lane: call for call in (await link.calls.get(), await link.calls.get())}
        calls[1].accept()
        assert (await quick).outcome is Outcome.ACCEPTED
        assert not slow.done()


async def test_what_is_behind_a_released_one_in_its_lane_is_released_and_the_link_stays() -> None:
    link = FakeLink()
    world = World(link)
    async with running(world):
        await world.proxy.connected()
        futures = world.send(stored(1), stored(2), stored(3))
        call = await link.calls.get()
        call.answer.set_result([Sent(Outcome.ACCEPTED), Sent(Outcome.RELEASED, "busy")])
        assert [(await each).outcome for each in futures] == [Outcome.ACCEPTED, Outcome.RELEASED, Outcome.RELEASED]
        await asyncio.sleep(0)  # whoever looks at the futures otherwise has heard of it by now, too
        [again] = world.send(stored(2))
        (await link.calls.get()).accept()
        assert (await again).outcome is Outcome.ACCEPTED
    assert not world.of(EndpointLost)


async def test_nothing_overtakes_a_released_one_of_which_its_sender_has_not_heard() -> None:
    link = FakeLink()
    world = World(link)
    heard: list[object] = []
    async with running(world):
        await world.proxy.connected()
        [first] = world.send(stored(1))
        first.add_done_callback(heard.append)
        (await link.calls.get()).answer.set_result([Sent(Outcome.RELEASED, "busy")])
        while not first.done():  # noqa: ASYNC110 - turn by turn: who waits for it hears of it a turn later
            await asyncio.sleep(0)
        assert not heard
        assert (await world.send(stored(2))[0]) == Sent(Outcome.RELEASED, "busy")
        await asyncio.sleep(0)
        assert heard
        world.send(stored(1), stored(2))
        assert [entry.entry_id for entry in (await link.calls.get()).entries] == ["e1", "e2"]


async def test_a_link_that_is_lost_takes_nothing_while_it_ends() -> None:
    link = FakeLink()
    world = World(link, FakeLink(hangs="open"))
    async with running(world):
        await world.proxy.connected()
        futures = world.send(stored(0))
        (await link.calls.get()).answer.set_exception(REFUSED)
        for number in range(1, 12):  # each of another lane, in another turn of the loop
            futures += world.send(stored(number, f"d{number}"))
            await asyncio.sleep(0)
        assert {(await each).outcome for each in futures} == {Outcome.RELEASED}


@pytest.mark.parametrize("turns", range(8))
async def test_whoever_ends_it_while_its_link_is_lost_is_heard(turns: int) -> None:
    link = FakeLink()
    world = World(link)
    task = asyncio.ensure_future(world.proxy.run())
    async with asyncio.timeout(PATIENCE_S):
        await world.proxy.connected()
        [future] = world.send(stored(1))
        (await link.calls.get()).answer.set_exception(REFUSED)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert (await future).outcome is Outcome.RELEASED


async def test_whoever_ends_it_while_its_link_closes_leaves_nothing_without_an_outcome() -> None:
    link = FakeLink(hangs="close")
    world = World(link)
    async with running(world):
        await world.proxy.connected()
        [future] = world.send(stored(1))
        (await link.calls.get()).answer.set_exception(REFUSED)
        await link.closed.wait()
        assert not future.done()
    assert future.done()
    assert future.result().outcome is Outcome.RELEASED


async def test_what_can_never_go_is_rejected_and_the_rest_goes_on() -> None:
    link = FakeLink()
    world = World(link)
    async with running(world):
        await world.proxy.connected()
        wrong, right = world.send(stored(1), stored(2))
        (await link.calls.get()).answer.set_result([Sent(Outcome.REJECTED, "too large")])
        (await link.calls.get()).accept()
        assert ((await wrong).outcome, (await right).outcome) == (Outcome.REJECTED, Outcome.ACCEPTED)


async def test_a_lost_link_releases_all_lanes_and_is_built_anew() -> None:
    first, second = FakeLink(), FakeLink()
    world = World(first, second)
    async with running(world):
        await world.proxy.connected()
        futures = world.send(stored(1, "d0"), stored(2, "d1"))
        call = await first.calls.get()
        call.answer.set_exception(LinkDownError(LinkFault.DROPPED, "cut"))
        assert [(await each).outcome for each in futures] == [Outcome.RELEASED] * 2
        assert first.closed.is_set(), "nothing of the old link is on its way when the new one sends"
        await second.opened.wait()
        await world.proxy.connected()
        [again] = world.send(stored(1))
        (await second.calls.get()).accept()
        assert (await again).outcome is Outcome.ACCEPTED
    assert world.of(EndpointLost) == [EndpointLost(LinkFault.DROPPED, "archive", "cut", 2)]
    assert len(world.of(EndpointUp)) == 2


async def test_a_link_that_acknowledges_nothing_is_torn_down() -> None:
    link = FakeLink()
    world = World(link, FakeLink(), times=EndpointTimes(stall_s=0.05))
    async with running(world):
        await world.proxy.connected()
        [future] = world.send(stored(1))
        assert (await future).outcome is Outcome.RELEASED
    [lost] = world.of(EndpointLost)
    assert isinstance(lost, EndpointLost)
    assert lost.fault is LinkFault.STALLED


async def test_tries_that_fail_come_later_each_time() -> None:
    world = World(
        FakeLink(REFUSED), FakeLink(REFUSED), FakeLink(hangs="open"), FakeLink(), times=EndpointTimes(open_s=0.05)
    )
    async with running(world):
        await world.proxy.connected()
    assert world.slept == [1.0, 2.0, 4.0]
    faults = [event.fault for event in world.events if isinstance(event, EndpointTryFailed)]
    assert faults == [LinkFault.CREDENTIALS, LinkFault.CREDENTIALS, LinkFault.TIMED_OUT]


async def test_while_it_waits_the_status_says_why() -> None:
    world = World(FakeLink(REFUSED))
    async with running(world):
        await until(lambda: len(world.slept) > 1)
        assert world.proxy.status().reason == "not with this key"
        assert world.proxy.window() == ENDPOINT_WINDOW


async def test_a_link_that_does_not_close_is_left_to_itself() -> None:
    world = World(FakeLink(hangs="close"), times=EndpointTimes(close_s=0.05))
    async with running(world):
        await world.proxy.connected()
    assert world.of(EndpointLinkAbandoned) == [EndpointLinkAbandoned("archive", 0.05)]


async def test_the_end_releases_what_is_in_flight() -> None:
    link = FakeLink()
    world = World(link)
    async with running(world):
        await world.proxy.connected()
        [future] = world.send(stored(1))
        await link.calls.get()
    assert (await future).outcome is Outcome.RELEASED
