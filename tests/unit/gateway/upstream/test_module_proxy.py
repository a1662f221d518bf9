import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from azure.iot.device import Message as SdkMessage
from azure.iot.device.exceptions import ServiceError

from edgewire.message import UPSTREAM, Endpoint, Envelope, Message, Outcome, identity, module_input
from edgewire.transport.backoff import Backoff
from gateway.observe.events import Event
from gateway.observe.upstream import LinkAbandoned, LinkFault, LinkLost, LinkRenewed, LinkTryFailed, LinkUp
from gateway.upstream.module_link import Answer, Done, LinkListener
from gateway.upstream.module_proxy import MAX_METHODS_AT_ONCE, LinkTimes, ModuleProxy
from gateway.upstream.proxy import (
    CloudRefusedError,
    Document,
    LinkState,
    MethodReply,
    NotConnectedError,
    Sent,
)

LIMIT_S = 10.0
"""Of each wait in these tests; nothing here takes a second."""


@dataclass(frozen=True, slots=True)
class Stored:
    entry_id: str
    message: Message
    received_at_ms: int = 0


def stored(number: int = 0, size: int = 1) -> Stored:
    envelope = Envelope(sender=identity("d1"), properties={}, system={})
    return Stored(f"e{number}", Message(envelope, b"x" * size))


class ScriptedLink:
    """A link that does what the test says."""

    def __init__(self, listener: LinkListener, world: "World") -> None:
        self.listener = listener
        self._world = world
        self.sent: list[tuple[SdkMessage, Done]] = []
        self.closed = asyncio.Event()
        world.links.append(self)

    async def open(self) -> None:
        self._world.opened.set()
        if self._world.faults:
            fault = self._world.faults.pop(0)
            if fault is None:
                await asyncio.Event().wait()
            else:
                raise fault

    def send(self, message: SdkMessage, done: Done) -> None:
        self.sent.append((message, done))

    async def twin(self) -> Document:
        return await self._world.on_twin()

    async def report(self, patch: Document) -> None:
        self._world.reported.append(patch)

    async def close(self, deadline_s: float) -> bool:
        self._world.close_deadlines.append(deadline_s)
        self.closed.set()
        return self._world.closes_well

    def acknowledge(self, count: int = 1) -> None:
        for _ in range(count):
            self.sent.pop(0)[1](None)


@dataclass
class Listener:
    connects: int = 0
    patches: list[Document] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def on_connected(self) -> None:
        self.connects += 1

    def on_desired(self, patch: Document) -> None:
        self.patches.append(patch)

    async def on_method(self, name: str, payload: Any) -> MethodReply:
        if name == "wait":
            await self.go.wait()
        if name == "break":
            raise KeyError(name)
        return MethodReply(200, payload)


async def empty_twin() -> Document:
    return {"desired": {}, "reported": {}}


class World:
    """What the tests set and see."""

    def __init__(self) -> None:
        self.links: list[ScriptedLink] = []
        self.faults: list[BaseException | None] = []
        self.events: list[Event] = []
        self.slept: list[float] = []
        self.reported: list[Document] = []
        self.close_deadlines: list[float] = []
        self.closes_well = True
        self.opened = asyncio.Event()
        self.listener = Listener()
        self.on_twin: Callable[[], Awaitable[Document]] = empty_twin
        self.proxy: ModuleProxy

    @property
    def link(self) -> ScriptedLink:
        return self.links[-1]

    def send(self, number: int = 0, endpoint: Endpoint = UPSTREAM) -> asyncio.Future[Sent]:
        return self.proxy.send(stored(number), endpoint)

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        await asyncio.sleep(0)

    def seen(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110 — what is waited for is a fact about the world, not an event
                await asyncio.sleep(0.001)

    async def until_links(self, count: int) -> None:
        await self.until(lambda: len(self.links) == count)


@asynccontextmanager
async def proxying(
    world: World | None = None, times: LinkTimes | None = None, *, connected: bool = True
) -> AsyncIterator[World]:
    world = world or World()
    world.proxy = ModuleProxy(
        emit=world.events.append,
        times=times,
        make_link=lambda listener: ScriptedLink(listener, world),
        backoff=Backoff(1.0, 8.0, draw=lambda: 1.0),
        sleep=world.sleep,
    )
    world.proxy.listen(world.listener)
    running = asyncio.create_task(world.proxy.run())
    try:
        if connected:
            async with asyncio.timeout(LIMIT_S):
                await world.proxy.connected()
        yield world
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=LIMIT_S)
        assert running.cancelled()


async def result(future: asyncio.Future[Sent]) -> Sent:
    async with asyncio.timeout(LIMIT_S):
        return await future


async def test_an_acknowledged_message_is_accepted() -> None:
    async with proxying() as world:
        future = world.send()
        assert not future.done()

        world.link.acknowledge()

        assert (await result(future)).outcome is Outcome.ACCEPTED
        assert world.proxy.status().in_flight == 0


async def test_messages_leave_in_the_order_of_the_calls_by_the_output_of_their_endpoint() -> None:
    async with proxying() as world:
        world.send(1)
        world.send(2, module_input("m", "in"))

        assert [(sdk.message_id, sdk.output_name) for sdk, _ in world.link.sent] == [("e1", "upstream"), ("e2", "m.in")]


async def test_without_a_link_a_message_is_released_at_once() -> None:
    world = World()
    world.faults = [None]
    async with proxying(world, connected=False):
        sent = await result(world.send())

    assert sent.outcome is Outcome.RELEASED


async def test_a_message_that_edgehub_would_lose_is_rejected() -> None:
    async with proxying() as world:
        sent = await result(world.proxy.send(stored(size=300_000), UPSTREAM))

        assert sent.outcome is Outcome.REJECTED
        assert "edgeHub takes at most" in sent.reason
        assert world.link.sent == []


async def test_a_message_that_the_sdk_refuses_is_rejected_and_the_link_stays() -> None:
    async with proxying() as world:
        future = world.send()
        world.link.sent[0][1](ValueError("Payload too large."))

        sent = await result(future)

        assert sent == Sent(Outcome.REJECTED, "the SDK refuses it: Payload too large.")
        assert len(world.links) == 1


async def test_a_dropped_link_releases_all_that_is_in_flight_and_is_built_anew() -> None:
    async with proxying() as world:
        futures = [world.send(number) for number in range(3)]
        first = world.link
        first.acknowledge()
        first.listener.on_lost("cable cut")

        assert [(await result(future)).outcome for future in futures] == [
            Outcome.ACCEPTED,
            Outcome.RELEASED,
            Outcome.RELEASED,
        ]
        await world.until(lambda: len(world.links) == 2 and world.proxy.status().state is LinkState.CONNECTED)
        assert first.closed.is_set()
        assert [(event.fault, event.in_flight) for event in world.seen(LinkLost)] == [(LinkFault.DROPPED, 2)]
        assert world.listener.connects == 2


async def test_a_late_acknowledgement_of_an_old_link_changes_nothing() -> None:
    async with proxying() as world:
        future = world.send()
        done = world.link.sent[0][1]
        world.link.listener.on_lost("cable cut")
        await world.until(lambda: len(world.links) == 2)

        done(None)
        done(RuntimeError("cancelled"))

        assert (await result(future)).outcome is Outcome.RELEASED
        assert len(world.seen(LinkLost)) == 1


async def test_a_failed_send_takes_the_link_down_so_that_order_is_kept() -> None:
    async with proxying() as world:
        futures = [world.send(number) for number in range(2)]
        world.link.sent[0][1](RuntimeError("no connection"))

        assert [(await result(future)).outcome for future in futures] == [Outcome.RELEASED] * 2
        assert [event.fault for event in world.seen(LinkLost)] == [LinkFault.SEND_FAILED]


async def test_a_link_that_acknowledges_nothing_is_torn_down_in_time() -> None:
    async with proxying(times=LinkTimes(stall_s=0.05)) as world:
        sent = await result(world.send())

        assert sent.outcome is Outcome.RELEASED
        assert "acknowledged nothing" in sent.reason
        await world.until(lambda: len(world.links) == 2)
        assert [event.fault for event in world.seen(LinkLost)] == [LinkFault.STALLED]


async def test_an_idle_link_is_left_alone() -> None:
    async with proxying(times=LinkTimes(stall_s=0.02)) as world:
        future = world.send()
        world.link.acknowledge()
        await result(future)
        # Nothing is in flight: the watchdog's timer ends by itself, and twice its limit later the link is the same.
        await asyncio.sleep(0.06)

        assert len(world.links) == 1
        assert world.proxy._watch is None


async def test_a_client_that_hangs_in_its_shutdown_is_left_behind() -> None:
    async with proxying(times=LinkTimes(close_s=0.5)) as world:
        world.closes_well = False
        world.link.listener.on_lost("cable cut")
        await world.until(lambda: len(world.links) == 2)

        assert world.seen(LinkAbandoned) == [LinkAbandoned(0.5)]
        assert world.close_deadlines == [0.5]
        world.closes_well = True


async def test_tries_back_off_and_say_why() -> None:
    world = World()
    world.faults = [ConnectionRefusedError(), ConnectionRefusedError(), ConnectionRefusedError()]
    async with proxying(world):
        assert world.slept == [1.0, 2.0, 4.0]
        tries = world.seen(LinkTryFailed)
        assert [event.failures for event in tries] == [1, 2, 3]
        assert len(world.seen(LinkUp)) == 1
        assert all(link.closed.is_set() for link in world.links[:-1])


async def test_a_try_that_hangs_is_ended() -> None:
    world = World()
    world.faults = [None]
    async with proxying(world, LinkTimes(open_s=0.05)):
        assert world.links[0].closed.is_set()
        assert len(world.links) == 2


async def test_links_that_break_soon_are_built_ever_more_slowly() -> None:
    async with proxying() as world:
        for number in range(3):
            world.link.listener.on_lost("cable cut")
            await world.until_links(number + 2)
            async with asyncio.timeout(LIMIT_S):
                await world.proxy.connected()

        assert world.slept == [1.0, 2.0, 4.0]


async def test_the_loss_of_a_link_that_lasted_is_the_first_failure_again() -> None:
    async with proxying(times=LinkTimes(steady_s=0.0)) as world:
        for number in range(2):
            world.link.listener.on_lost("cable cut")
            await world.until_links(number + 2)
            async with asyncio.timeout(LIMIT_S):
                await world.proxy.connected()

        assert world.slept == [1.0, 1.0]


async def test_renewal_drains_first_and_holds_what_comes_meanwhile() -> None:
    async with proxying(times=LinkTimes(renew_s=0.05)) as world:
        first, before = world.link, world.send(1)
        await world.until(lambda: not world.proxy._up.is_set())
        meanwhile = [world.send(2), world.send(3)]
        assert [sdk.message_id for sdk, _ in first.sent] == ["e1"]

        first.acknowledge()
        assert (await result(before)).outcome is Outcome.ACCEPTED
        await world.until(lambda: len(world.links) == 2 and len(world.link.sent) == 2)

        assert [sdk.message_id for sdk, _ in world.link.sent] == ["e2", "e3"]
        world.link.acknowledge(2)
        assert [(await result(future)).outcome for future in meanwhile] == [Outcome.ACCEPTED] * 2
        assert LinkRenewed(0) in world.events
        assert world.seen(LinkLost) == []
        assert world.slept == []


async def test_a_renewal_that_cannot_drain_releases_and_one_that_cannot_connect_releases_what_it_held() -> None:
    world = World()
    async with proxying(world, LinkTimes(renew_s=0.05, drain_s=0.05)):
        world.faults = [ConnectionRefusedError()]
        before = world.send(1)
        await world.until(lambda: not world.proxy._up.is_set())
        meanwhile = world.send(2)

        assert (await result(before)).outcome is Outcome.RELEASED
        assert (await result(meanwhile)).outcome is Outcome.RELEASED
        assert LinkRenewed(1) in world.events


async def test_a_link_lost_while_it_is_renewed_is_lost() -> None:
    async with proxying(times=LinkTimes(renew_s=0.05)) as world:
        before = world.send(1)
        await world.until(lambda: not world.proxy._up.is_set())
        meanwhile = world.send(2)
        world.link.listener.on_lost("cable cut")

        assert (await result(before)).outcome is Outcome.RELEASED
        assert (await result(meanwhile)).outcome is Outcome.RELEASED
        assert world.seen(LinkRenewed) == []


async def test_the_end_closes_the_link_and_releases_what_is_in_flight() -> None:
    async with proxying() as world:
        future = world.send()

    assert (await result(future)).outcome is Outcome.RELEASED
    assert world.link.closed.is_set()
    assert world.proxy.status().state is LinkState.CLOSED


async def test_the_status_says_since_when_and_why() -> None:
    world = World()
    async with proxying(world):
        up = world.proxy.status()
        assert up.state is LinkState.CONNECTED
        assert up.sentence(up.since_at + 5) == "connected for 5 s; last sign of life 5 s ago; 0 in flight"

        world.faults = [None]
        world.link.listener.on_lost("cable cut")
        down = world.proxy.status()
        assert down.state is LinkState.CONNECTING
        assert "cable cut" in down.sentence(down.since_at)


async def test_the_twin_is_read_and_patched() -> None:
    async with proxying() as world:
        assert await world.proxy.twin() == {"desired": {}, "reported": {}}
        await world.proxy.report({"a": 1})

        assert world.reported == [{"a": 1}]


async def refuse() -> Document:
    raise ServiceError("twin operation returned status 413")


async def hang() -> Document:
    await asyncio.Event().wait()
    return {}


@pytest.mark.parametrize(("twin", "error"), [(refuse, CloudRefusedError), (hang, NotConnectedError)])
async def test_twin_operations_end_in_time_and_say_who_refused(
    twin: Callable[[], Awaitable[Document]], error: type[Exception]
) -> None:
    async with proxying(times=LinkTimes(request_s=0.05)) as world:
        world.on_twin = twin
        with pytest.raises(error):
            await world.proxy.twin()


async def test_without_a_link_there_is_no_twin() -> None:
    world = World()
    world.faults = [None]
    async with proxying(world, connected=False):
        with pytest.raises(NotConnectedError):
            await world.proxy.twin()


async def test_desired_patches_reach_the_listener() -> None:
    async with proxying() as world:
        world.link.listener.on_desired({"x": 1, "$version": 4})

        assert world.listener.patches == [{"x": 1, "$version": 4}]


async def test_methods_are_answered_by_the_listener() -> None:
    async with proxying(times=LinkTimes(method_s=0.05)) as world:
        replies: dict[str, MethodReply] = {}

        def answer_of(name: str) -> Answer:
            return lambda reply: replies.__setitem__(name, reply)

        for name in ("echo", "break", "wait"):
            world.link.listener.on_method(name, {"a": 1}, answer_of(name))
        await world.until(lambda: len(replies) == 3)

        assert replies["echo"] == MethodReply(200, {"a": 1})
        assert replies["break"].status == 500
        assert replies["wait"].status == 504


async def test_only_so_many_methods_run_at_once() -> None:
    async with proxying() as world:
        replies: list[MethodReply] = []
        for _ in range(MAX_METHODS_AT_ONCE + 1):
            world.link.listener.on_method("wait", None, replies.append)
        assert [reply.status for reply in replies] == [429]

        world.listener.go.set()
        await world.until(lambda: len(replies) == MAX_METHODS_AT_ONCE + 1)


async def test_a_method_that_comes_while_the_gateway_ends_is_answered() -> None:
    async with proxying() as world:
        pass
    replies: list[MethodReply] = []

    world.proxy.on_method("ping", None, replies.append)

    assert [reply.status for reply in replies] == [503]
