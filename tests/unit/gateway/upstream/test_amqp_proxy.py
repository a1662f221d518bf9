import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import Accepted, DeliveryState, Error, Released
from edgewire.iothub.amqp.messages import Content
from edgewire.message import UPSTREAM, Envelope, Identity, Message, Outcome, identity
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.transport.backoff import Backoff
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
from gateway.upstream.amqp_lane import Waiting
from gateway.upstream.amqp_proxy import MAX_PARKED_MESSAGES, AmqpProxy, AmqpTimes
from gateway.upstream.proxy import LinkState, Sent, Window
from support.amqp_hub import FakeHub, rejected, unreachable
from support.amqp_tokens import HUB, Keys, Stored

LIMIT_S = 45.0
"""Of each wait in these tests; nothing here takes a second, but the machine may."""
ACCEPTED = Sent(Outcome.ACCEPTED)


def stored(device: str, number: int, size: int = 1) -> Stored:
    envelope = Envelope(sender=identity(device), properties={}, system={})
    return Stored(f"{device}-{number}", Message(envelope, b"%d" % number + b"." * (size - 1)))


class Hours:
    """A proxy's loop with a clock in the test's hands: how long the machine takes means nothing by it."""

    def __init__(self, proxy: AmqpProxy) -> None:
        self._loop = proxy._loop
        self.now = self._loop.time()
        proxy._loop = self  # type: ignore[assignment] # it gives all that a loop has, see below

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class World:
    """What the tests set and see."""

    def __init__(self, **how: Any) -> None:
        self.hub = FakeHub()
        self.keys = Keys()
        self.events: list[Event] = []
        self.slept: list[float] = []
        self.go = asyncio.Event()
        self.go.set()
        self.wider = 0
        self.proxy = AmqpProxy(
            hostname=HUB,
            dial=self.hub.dial,
            tokens=self.keys,
            emit=self.events.append,
            times=how.pop("times", AmqpTimes(tend_s=0.01)),
            window=Window(10, 1_000),
            backoff=Backoff(1.0, 4.0, draw=lambda: 1.0),
            sleep=self.sleep,
            clock=lambda: self.keys.now,
            **how,
        )
        self.proxy.on_wider(self.on_wider)

    def on_wider(self) -> None:
        self.wider += 1

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        await asyncio.sleep(0)
        await self.go.wait()

    def send(self, device: str, *numbers: int) -> list[asyncio.Future[Sent]]:
        return [self.proxy.send(stored(device, number), UPSTREAM) for number in numbers]

    def seen(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110 — what is waited for is a fact about the world, not an event
                await asyncio.sleep(0.001)

    async def all_of(self, futures: Sequence[asyncio.Future[Sent]]) -> list[Sent]:
        async with asyncio.timeout(LIMIT_S):
            return list(await asyncio.gather(*futures))

    async def up(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.proxy.connected()


@asynccontextmanager
async def world(**how: Any) -> AsyncIterator[World]:
    made = World(**how)
    running = asyncio.create_task(made.proxy.run())
    try:
        await made.up()
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled() and running.exception() is not None:
            raise running.exception()  # type: ignore[misc] # looked at in the line above
        assert [one.wire.errors + one.wire.other.errors for one in made.hub.connections if one.failed is None] == [
            [] for one in made.hub.connections if one.failed is None
        ]


def hold(_who: Identity, _contents: Sequence[Content]) -> DeliveryState | None:
    """Answers nothing until the test does."""
    return None


# Messages.


async def test_what_is_sent_in_one_turn_leaves_as_one_batch_of_each_device() -> None:
    async with world() as here:
        futures = here.send("d1", 1, 2, 3) + here.send("d2", 1) + here.send("d1", 4)
        assert await here.all_of(futures) == [ACCEPTED] * 5
        assert sorted(here.hub.transfers, key=str) == [(identity("d1"), 4), (identity("d2"), 1)]
        assert here.hub.bodies("d1") == [b"1", b"2", b"3", b"4"]
        assert [one.message_id for one in here.hub.arrived if one.who.device == "d2"] == ["d2-1"]
        assert here.proxy.status().state is LinkState.CONNECTED
        assert here.proxy.status().in_flight == 0
        assert here.seen(LinkUp)[0].kind is LinkKind.DEVICES


async def test_one_batch_is_on_its_way_and_the_next_one_grows() -> None:
    async with world() as here:
        here.hub.judge = hold
        futures = here.send("d1", 1)
        await here.until(lambda: bool(here.hub.transfers))
        futures += here.send("d1", 2)
        await asyncio.sleep(0.01)
        futures += here.send("d1", 3)
        await asyncio.sleep(0.01)
        assert here.hub.transfers == [(identity("d1"), 1)]
        here.hub.judge = lambda _who, _contents: Accepted()
        here.hub.connection.answer(Accepted())
        assert await here.all_of(futures) == [ACCEPTED] * 3
        assert here.hub.transfers == [(identity("d1"), 1), (identity("d1"), 2)]


async def test_a_batch_holds_no_more_than_the_hub_takes() -> None:
    async with world() as here:
        futures = [here.proxy.send(stored("d1", number, 100_000), UPSTREAM) for number in range(5)]
        futures += here.send("d1", *range(5, 1_005))
        assert await here.all_of(futures) == [ACCEPTED] * 1_005
        assert [many for _, many in here.hub.transfers] == [2, 2, 500, 500, 1]
        assert [int(body.rstrip(b".")) for body in here.hub.bodies("d1")] == list(range(1_005))


async def test_a_message_larger_than_the_link_is_refused_and_the_next_goes() -> None:
    async with world() as here:
        here.hub.max_message_size = 10_000
        large = here.proxy.send(stored("d1", 1, 10_000), UPSTREAM)
        [small] = here.send("d1", 2)
        [refused, accepted] = await here.all_of([large, small])
        assert refused.outcome is Outcome.REJECTED
        assert "the other end takes 10000" in refused.reason
        assert accepted == ACCEPTED


async def test_of_a_batch_that_is_refused_only_the_bad_message_is_lost_and_the_order_stands() -> None:
    async with world() as here:

        def judge(_who: Identity, contents: Sequence[Content]) -> DeliveryState:
            return rejected() if any(content.body == b"2" for content in contents) else Accepted()

        here.hub.judge = judge
        futures = here.send("d1", 1, 2, 3)
        await here.until(lambda: bool(here.hub.transfers))
        futures += here.send("d1", 4, 5)
        results = await here.all_of(futures)
        assert [each.outcome for each in results] == [
            Outcome.ACCEPTED,
            Outcome.REJECTED,
            Outcome.ACCEPTED,
            Outcome.ACCEPTED,
            Outcome.ACCEPTED,
        ]
        assert results[1].reason == f"{conditions.ARGUMENT_ERROR} no"
        assert here.hub.bodies("d1") == [b"1", b"3", b"4", b"5"]
        assert [many for _, many in here.hub.transfers] == [3, 1, 1, 1, 2]


@pytest.mark.parametrize(
    "state", [Released(), rejected(conditions.RESOURCE_LIMIT_EXCEEDED), rejected(conditions.INTERNAL_ERROR)]
)
async def test_what_is_given_back_is_sent_again_in_order(state: DeliveryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_lane.RETRY_FIRST_S", 0.01)
    async with world() as here:
        here.hub.judge = hold
        futures = here.send("d1", 1)
        await here.until(lambda: bool(here.hub.transfers))
        futures += here.send("d1", 2)
        here.hub.judge = lambda _who, _contents: Accepted()
        here.hub.connection.answer(state)
        others = here.send("d2", 1)
        assert await here.all_of(others + futures) == [ACCEPTED] * 3
        assert here.hub.bodies("d1") == [b"1", b"2"]
        assert here.hub.attached.count(identity("d1")) == 1


async def test_a_throttled_batch_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_lane.RETRY_FIRST_S", 0.01)
    async with world() as here:
        here.hub.judge = hold
        futures = here.send("d1", 1, 2, 3)
        await here.until(lambda: bool(here.hub.transfers))
        here.hub.judge = lambda _who, _contents: Accepted()
        here.hub.connection.answer(rejected(conditions.DEVICE_CONTAINER_THROTTLED))
        assert await here.all_of(futures) == [ACCEPTED] * 3
        assert [many for _, many in here.hub.transfers] == [3, 3]


# The connection.


async def test_a_lost_connection_releases_all_and_is_built_anew() -> None:
    async with world() as here:
        here.hub.judge = hold
        futures = here.send("d1", 1, 2) + here.send("d2", 1)
        await here.until(lambda: len(here.hub.transfers) == 2)
        futures += here.send("d1", 3)
        here.hub.drop()
        results = await here.all_of(futures)
        assert {each.outcome for each in results} == {Outcome.RELEASED}
        [lost] = here.seen(LinkLost)
        assert (lost.in_flight, lost.kind) == (4, LinkKind.DEVICES)
        here.hub.judge = lambda _who, _contents: Accepted()
        await here.until(lambda: len(here.hub.connections) == 2)
        await here.up()
        assert await here.all_of(here.send("d1", 1, 2, 3)) == [ACCEPTED] * 3
        assert here.hub.bodies("d1") == [b"1", b"2", b"3"]


async def test_without_a_connection_a_message_is_released_at_once() -> None:
    async with world() as here:
        here.go.clear()
        here.hub.drop()
        await here.until(lambda: bool(here.slept))
        [sent] = await here.all_of(here.send("d1", 1))
        assert sent.outcome is Outcome.RELEASED
        assert "is gone" in sent.reason


async def test_tries_that_fail_are_told_and_wait_longer_each_time() -> None:
    async with world() as here:
        here.hub.faults = [unreachable(), unreachable()]
        here.hub.drop()
        await here.until(lambda: len(here.hub.connections) == 2)
        await here.up()
        assert [(each.fault, each.kind) for each in here.seen(LinkTryFailed)] == [
            (LinkFault.UNREACHABLE, LinkKind.DEVICES)
        ] * 2
        assert here.slept == [1.0, 2.0, 4.0]


async def test_a_hub_that_says_nothing_is_given_up() -> None:
    async with world() as here:
        silent = asyncio.Event()
        dial, times = here.proxy._dial, here.proxy._times

        async def hang(_accept: object) -> None:
            here.proxy._dial, here.proxy._times = dial, times
            await silent.wait()

        here.proxy._dial, here.proxy._times = hang, AmqpTimes(open_s=0.05)
        here.hub.drop()
        await here.until(lambda: len(here.hub.connections) == 2)
        [failed] = here.seen(LinkTryFailed)
        assert failed.fault is LinkFault.TIMED_OUT


async def test_a_connection_that_acknowledges_nothing_is_torn_down() -> None:
    async with world(times=AmqpTimes(stall_s=0.05, tend_s=0.01)) as here:
        here.hub.judge = hold
        [sent] = await here.all_of(here.send("d1", 1))
        assert sent.outcome is Outcome.RELEASED
        assert here.seen(LinkLost)[0].fault is LinkFault.STALLED


async def test_the_end_says_goodbye_and_releases_what_waits() -> None:
    async with world() as here:
        here.hub.judge = hold
        futures = here.send("d1", 1)
        await here.until(lambda: bool(here.hub.transfers))
    assert (await here.all_of(futures))[0].outcome is Outcome.RELEASED
    await asyncio.wait_for(here.hub.connection.closed.wait(), LIMIT_S)
    assert here.proxy.status().state is LinkState.CLOSED


# Devices that fail alone.


@pytest.mark.parametrize("how", ["link", "token", "no token", "detach", "message"])
async def test_a_device_that_is_refused_waits_alone_and_goes_on_once_let_in(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_lane.RETRY_FIRST_S", 0.05)
    no = Error(condition=conditions.UNAUTHORIZED_ACCESS, description="no")
    async with world() as here:
        if how == "link":
            here.hub.refused["bad"] = no
        elif how == "token":
            here.hub.token_status["bad"] = 401
        elif how == "no token":
            here.keys.without.add("bad")
        else:
            here.hub.judge = lambda who, _contents: hold(who, ()) if who.device == "bad" else Accepted()
        futures = here.send("bad", 1, 2)
        if how in ("detach", "message"):
            await here.until(lambda: bool(here.hub.connection.held))
            here.hub.refused["bad"] = no
            if how == "detach":
                here.hub.connection.detach(identity("bad"), no.condition)
            else:
                here.hub.connection.answer(rejected(no.condition))
        await here.until(lambda: bool(here.seen(DeviceRefusedUpstream)))
        futures += here.send("bad", 3)
        assert await here.all_of(here.send("good", 1, 2)) == [ACCEPTED] * 2
        assert here.proxy.window().max_messages == 13
        assert here.wider > 0
        [told] = here.seen(DeviceRefusedUpstream)
        assert (told.device, told.way) == ("bad", DeviceWay.WAITING)
        here.hub.refused.clear()
        here.hub.token_status.clear()
        here.keys.without.clear()
        here.hub.judge = lambda _who, _contents: Accepted()
        assert await here.all_of(futures) == [ACCEPTED] * 3
        assert here.hub.bodies("bad") == [b"1", b"2", b"3"]
        assert [event.device for event in here.seen(DeviceAdmittedUpstream)] == ["bad"]
        assert here.proxy.window().max_messages == 10
        assert set(here.keys.refusals) == (set() if how == "no token" else {identity("bad")})  # once each try


async def test_a_device_with_a_newer_token_is_tried_at_once() -> None:
    async with world() as here:
        here.hub.refused["bad"] = Error(condition=conditions.NOT_FOUND)
        futures = here.send("bad", 1)
        await here.until(lambda: bool(here.seen(DeviceRefusedUpstream)))
        here.hub.refused.clear()
        here.proxy.on_token(identity("bad"))
        assert await here.all_of(futures) == [ACCEPTED]


async def test_who_takes_over_gets_the_messages_in_their_order() -> None:
    async with world() as here:
        taken: list[tuple[Identity, str, list[Waiting]]] = []
        here.proxy.take_over = lambda *what: taken.append(what)
        here.hub.refused["bad"] = Error(condition=conditions.NOT_ALLOWED, description="not a child")
        futures = here.send("bad", 1, 2, 3)
        await here.until(lambda: bool(taken))
        [(who, reason, messages)] = taken
        assert (who, reason) == (identity("bad"), f"{conditions.NOT_ALLOWED} not a child")
        assert [one.entry.entry_id for one in messages] == ["bad-1", "bad-2", "bad-3"]
        assert [one.future for one in messages] == futures
        assert here.proxy.status().in_flight == 0
        assert here.seen(DeviceRefusedUpstream)[0].way is DeviceWay.AS_MODULE


async def test_a_fault_that_passes_is_told_only_if_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_lane.RETRY_FIRST_S", 0.005)
    monkeypatch.setattr("gateway.upstream.amqp_lane.RETRY_CAP_S", 0.005)
    async with world() as here:
        here.hub.refused["slow"] = Error(condition=conditions.RESOURCE_LIMIT_EXCEEDED, description="later")
        futures = here.send("slow", 1)
        await here.until(lambda: bool(here.seen(DeviceWaitsUpstream)))
        here.hub.refused.clear()
        assert await here.all_of(futures) == [ACCEPTED]
        assert len(here.seen(DeviceWaitsUpstream)) == len(here.seen(DeviceAdmittedUpstream)) == 1
        assert here.keys.refusals == []


async def test_a_link_that_gives_no_credit_or_answer_stalls_its_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_lane.RETRY_FIRST_S", 0.01)
    async with world(times=AmqpTimes(stall_s=60.0, tend_s=0.01)) as here:
        hours = Hours(here.proxy)
        here.hub.judge = lambda who, _contents: None if who.device == "slow" else Accepted()
        futures = here.send("slow", 1)
        await here.until(lambda: bool(here.hub.transfers))
        async with asyncio.timeout(LIMIT_S):
            for number in count(1):
                assert await here.all_of(here.send("good", number)) == [ACCEPTED]
                await asyncio.sleep(0.01)
                hours.now += 5.0
                if len(here.hub.attached) >= 3:
                    here.hub.judge = lambda _who, _contents: Accepted()
                if futures[0].done():
                    break
        assert futures[0].result() == ACCEPTED
        assert here.seen(LinkLost) == []


async def test_a_token_that_is_not_answered_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_seat.OPEN_S", 0.02)
    monkeypatch.setattr("gateway.upstream.amqp_lane.RETRY_FIRST_S", 0.01)
    async with world() as here:
        here.hub.silent_tokens = True
        futures = here.send("d1", 1)
        await here.until(lambda: len(here.hub.tokens) >= 2)
        here.hub.silent_tokens = False
        assert await here.all_of(futures) == [ACCEPTED]


async def test_what_waits_long_is_given_back_to_the_store() -> None:
    async with world(times=AmqpTimes(parked_s=0.03, tend_s=0.01)) as here:
        here.keys.without.add("bad")
        [sent] = await here.all_of(here.send("bad", 1))
        assert sent.outcome is Outcome.RELEASED
        assert here.seen(LinkLost) == []


async def test_what_waits_is_given_back_with_what_is_released_elsewhere() -> None:
    async with world() as here:
        here.keys.without.add("bad")
        futures = here.send("bad", 1)
        await here.until(lambda: bool(here.seen(DeviceRefusedUpstream)))
        here.proxy.release_waiting("the other link is gone")
        assert (await here.all_of(futures))[0] == Sent(Outcome.RELEASED, "the other link is gone")
        here.keys.without.clear()
        here.proxy.on_token(identity("bad"))
        assert await here.all_of(here.send("bad", 1)) == [ACCEPTED]


async def test_nothing_overtakes_what_was_given_back_before_its_sender_has_heard_of_it() -> None:
    heard: list[object] = []
    async with world() as here:
        here.keys.without.add("bad")
        futures = here.send("bad", 1)
        futures[0].add_done_callback(heard.append)
        await here.until(lambda: bool(here.seen(DeviceRefusedUpstream)))
        here.proxy.release_waiting("the other link is gone")
        assert not heard
        assert (await here.all_of(here.send("bad", 2)))[0] == Sent(Outcome.RELEASED, "the other link is gone")
        await here.until(lambda: bool(heard))
        here.keys.without.clear()
        here.proxy.on_token(identity("bad"))
        assert await here.all_of(here.send("bad", 1, 2)) == [ACCEPTED, ACCEPTED]


async def test_the_room_for_what_waits_is_bounded() -> None:
    async with world() as here:
        here.keys.without.add("bad")
        futures = here.send("bad", *range(MAX_PARKED_MESSAGES + 50))
        await here.until(lambda: bool(here.seen(DeviceRefusedUpstream)))
        assert here.proxy.window().max_messages == 10 + MAX_PARKED_MESSAGES
    assert {each.outcome for each in await here.all_of(futures)} == {Outcome.RELEASED}


# Links and tokens.


async def test_a_thousand_identities_share_one_connection() -> None:
    async with world() as here:
        futures = [each for number in range(1_000) for each in here.send(f"d{number}", 1, 2)]
        assert await here.all_of(futures) == [ACCEPTED] * 2_000
        assert len(here.hub.connections) == 1
        assert here.proxy.devices == 1_000
        assert len(here.hub.tokens) == 1_000
        assert all(here.hub.bodies(f"d{number}") == [b"1", b"2"] for number in (0, 500, 999))


async def test_more_devices_than_links_take_turns() -> None:
    async with world(max_devices=2) as here:
        here.hub.judge = hold
        futures = [each for number in range(4) for each in here.send(f"d{number}", 1)]
        await here.until(lambda: len(here.hub.transfers) == 2)
        here.hub.judge = lambda _who, _contents: Accepted()
        here.hub.connection.answer(Accepted(), 2)
        assert await here.all_of(futures) == [ACCEPTED] * 4
        assert here.proxy.devices <= 2


async def test_a_peer_with_few_channels_is_obeyed() -> None:
    made = World()
    made.hub.limits = AmqpLimits(channel_max=2)
    running = asyncio.create_task(made.proxy.run())
    await made.up()
    futures = [each for number in range(5) for each in made.send(f"d{number}", 1)]
    assert await made.all_of(futures) == [ACCEPTED] * 5
    assert len(made.hub.connections) == 1
    running.cancel()
    await asyncio.wait([running])


async def test_an_idle_link_is_given_back_and_opened_when_needed() -> None:
    async with world(times=AmqpTimes(idle_s=0.02, tend_s=0.01)) as here:
        assert await here.all_of(here.send("d1", 1)) == [ACCEPTED]
        await here.until(lambda: here.proxy.devices == 0)
        assert await here.all_of(here.send("d1", 2)) == [ACCEPTED]
        assert here.hub.attached == [identity("d1")] * 2


async def test_a_token_is_renewed_before_its_end_and_the_link_stays() -> None:
    async with world() as here:
        assert await here.all_of(here.send("d1", 1)) == [ACCEPTED]
        here.keys.now += 3_000
        await asyncio.sleep(0.05)
        assert len(here.hub.tokens) == 1
        here.keys.now += 10
        await here.until(lambda: len(here.hub.tokens) == 2)
        assert await here.all_of(here.send("d1", 2)) == [ACCEPTED]
        await asyncio.sleep(0.05)
        assert here.hub.attached == [identity("d1")]
        assert len(here.hub.tokens) == 2


async def test_a_renewal_that_is_refused_costs_the_link() -> None:
    async with world() as here:
        assert await here.all_of(here.send("d1", 1)) == [ACCEPTED]
        here.hub.token_status["d1"] = 401
        here.keys.now += 3_010
        await here.until(lambda: bool(here.seen(DeviceRefusedUpstream)))
        assert here.proxy.devices == 0


async def test_a_link_that_the_hub_closes_without_a_reason_is_opened_for_the_next_message() -> None:
    async with world() as here:
        assert await here.all_of(here.send("d1", 1)) == [ACCEPTED]
        here.hub.connection.detach(identity("d1"))
        await here.until(lambda: here.proxy.devices == 0)
        assert await here.all_of(here.send("d1", 2)) == [ACCEPTED]


async def test_a_device_is_busy_until_its_last_answer() -> None:
    async with world() as here:
        here.hub.judge = hold
        futures = here.send("d1", 1)
        await here.until(lambda: bool(here.hub.transfers))
        assert here.proxy.is_busy(identity("d1"))
        here.hub.connection.answer(Accepted())
        await here.all_of(futures)
        assert not here.proxy.is_busy(identity("d1"))
        assert not here.proxy.is_busy(identity("d2"))


async def test_while_the_other_end_does_not_read_batches_grow_here_and_nobody_is_blamed() -> None:
    async with world(times=AmqpTimes(stall_s=60.0, tend_s=0.01)) as here:
        hours = Hours(here.proxy)
        assert await here.all_of(here.send("d1", 0) + here.send("d2", 0)) == [ACCEPTED] * 2
        near = here.hub.connection.wire.other.pump
        near.sending_paused()
        futures = here.send("d2", 1) + here.send("d1", 1, 2)
        await asyncio.sleep(0.03)
        hours.now += 120.0
        await asyncio.sleep(0.03)
        futures += here.send("d1", 3)
        await asyncio.sleep(0.02)
        assert len(here.hub.arrived) == 2
        near.sending_resumed()
        assert await here.all_of(futures) == [ACCEPTED] * 4
        assert here.hub.transfers[2:] == [(identity("d2"), 1), (identity("d1"), 3)]
        assert here.seen(LinkLost) == []
