import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.message import (
    UPSTREAM,
    Endpoint,
    Envelope,
    Message,
    MessageSource,
    Outcome,
    identity,
    module_input,
)
from edgewire.transport.backoff import Backoff
from gateway.observe.events import Event, Level
from gateway.observe.upstream import ForwardingPaused, MessageRejected, MessagesForwarded
from gateway.upstream.forwarder import Forwarder, Window
from gateway.upstream.proxy import Entry, LinkState, LinkStatus, Sent

ACCEPTED = Sent(Outcome.ACCEPTED)
SMALL = Window(4, 1000)
RELEASED = Sent(Outcome.RELEASED, "the link was lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An entry as small as the forwarder allows."""

    entry_id: str
    message: Message
    priority: int = 5
    received_at_ms: int = 0


def stored(number: int, *, sender: str = "d1", priority: int = 5, size: int = 1) -> Stored:
    envelope = Envelope(sender=identity(sender), properties={}, system={}, source=MessageSource.TELEMETRY)
    return Stored(entry_id=str(number), message=Message(envelope, b"x" * size), priority=priority)


class Backlog:
    """The store's reader as the contract words it, in memory."""

    def __init__(self, entries: Sequence[Stored] = ()) -> None:
        self.entries = list(entries)
        self.taken: list[Stored] = []
        self.settled: list[str] = []
        self.releases = 0
        self.takes = 0
        self._changed = asyncio.Event()

    def add(self, entry: Stored) -> None:
        self.entries.append(entry)
        self._changed.set()

    def take(self, max_messages: int, max_bytes: int) -> list[Stored]:
        ready = sorted((entry for entry in self.entries if entry not in self.taken), key=lambda each: each.priority)
        batch: list[Stored] = []
        self.takes += 1
        for entry in ready[:max_messages]:
            if self.taken and sum(len(each.message.body) for each in [*batch, entry]) > max_bytes:
                break
            batch.append(entry)
            self.taken.append(entry)
        return batch

    def settle(self, entries: Sequence[Stored]) -> None:
        for entry in entries:
            self.settled.append(entry.entry_id)
            self.entries.remove(entry)
            self.taken.remove(entry)

    def release(self) -> None:
        self.releases += 1
        self.taken = []
        self._changed.set()

    async def wait(self) -> None:
        while len(self.entries) == len(self.taken):
            self._changed.clear()
            await self._changed.wait()


class ScriptedProxy:
    """Keeps what it is given until the test says what becomes of it."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.open: deque[tuple[Entry, asyncio.Future[Sent]]] = deque()
        self.up = asyncio.Event()
        self.up.set()
        self.answer: Callable[[Entry], Sent | None] = lambda _entry: None
        self.own_window = Window()
        self.wider: Callable[[], None] = lambda: None

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def connected(self) -> None:
        await self.up.wait()

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        del endpoint
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self.arrived.append(entry.entry_id)
        answer = self.answer(entry)
        if answer is None:
            self.open.append((entry, future))
        else:
            future.set_result(answer)
        return future

    def finish(self, sent: Sent, count: int = 1) -> None:
        for _ in range(count):
            self.open.popleft()[1].set_result(sent)

    def status(self) -> LinkStatus:
        return LinkStatus(
            state=LinkState.CONNECTED, reason="", since_at=0.0, last_success_at=None, in_flight=len(self.open)
        )

    def window(self) -> Window:
        return self.own_window

    def on_wider(self, call: Callable[[], None]) -> None:
        self.wider = call


@dataclass
class Scene:
    backlog: Backlog
    proxy: ScriptedProxy
    forwarder: Forwarder[Stored]
    events: list[Event] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)


async def settle_down() -> None:
    """Let all that is ready run: no time passes."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def forwarding(
    entries: Sequence[Stored] = (), window: Window | None = SMALL, endpoint: Endpoint = UPSTREAM
) -> AsyncIterator[Scene]:
    scene_events: list[Event] = []
    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)
        await asyncio.sleep(0)

    backlog, proxy = Backlog(entries), ScriptedProxy()
    forwarder = Forwarder(
        endpoint=endpoint,
        backlog=backlog,
        proxy=proxy,
        emit=scene_events.append,
        window=window,
        backoff=Backoff(1.0, 4.0, draw=lambda: 1.0),
        sleep=sleep,
    )
    running = asyncio.create_task(forwarder.run())
    await settle_down()
    try:
        yield Scene(backlog, proxy, forwarder, scene_events, slept)
    finally:
        running.cancel()
        await asyncio.wait([running])


def numbered(count: int) -> list[Stored]:
    return [stored(number) for number in range(count)]


async def test_no_more_than_the_window_is_in_flight() -> None:
    async with forwarding(numbered(10)) as scene:
        assert scene.proxy.arrived == ["0", "1", "2", "3"]
        assert scene.forwarder.in_flight == 4

        scene.proxy.finish(ACCEPTED, 2)
        await settle_down()

        assert scene.proxy.arrived == ["0", "1", "2", "3", "4", "5"]


async def test_the_window_counts_bytes_too() -> None:
    async with forwarding([stored(number, size=400) for number in range(5)]) as scene:
        assert scene.proxy.arrived == ["0", "1"]

        scene.proxy.finish(ACCEPTED)
        await settle_down()

        assert scene.proxy.arrived == ["0", "1", "2"]


async def test_an_entry_too_large_for_the_room_that_is_left_makes_no_busy_loop() -> None:
    async with forwarding([stored(number, size=400) for number in range(5)]) as scene:
        before = scene.backlog.takes
        await settle_down()

        assert scene.backlog.takes == before


async def test_nothing_is_settled_before_it_is_acknowledged() -> None:
    async with forwarding(numbered(3)) as scene:
        assert scene.backlog.settled == []

        scene.proxy.finish(ACCEPTED)
        await settle_down()

        assert scene.backlog.settled == ["0"]


async def test_what_arrives_later_is_sent_without_polling() -> None:
    async with forwarding() as scene:
        scene.backlog.add(stored(1))
        await settle_down()
        scene.proxy.finish(ACCEPTED)
        await settle_down()
        scene.backlog.add(stored(2))
        await settle_down()

        assert scene.proxy.arrived == ["1", "2"]


async def test_an_urgent_message_overtakes_at_the_edge_of_the_window() -> None:
    async with forwarding(numbered(8)) as scene:
        scene.backlog.add(stored(100, priority=0))
        scene.proxy.finish(ACCEPTED)
        await settle_down()

        assert scene.proxy.arrived == ["0", "1", "2", "3", "100"]


async def test_after_a_failure_all_is_resumed_from_the_lowest_unacknowledged() -> None:
    async with forwarding(numbered(6)) as scene:
        scene.proxy.finish(ACCEPTED)
        scene.proxy.finish(RELEASED, 3)
        await settle_down()

        assert scene.backlog.settled == ["0"]
        assert scene.proxy.arrived == ["0", "1", "2", "3", "1", "2", "3", "4"]


async def test_after_a_failure_nothing_is_sent_before_the_rest_of_the_window_has_finished() -> None:
    async with forwarding(numbered(6)) as scene:
        scene.proxy.finish(RELEASED)
        await settle_down()

        assert scene.proxy.arrived == ["0", "1", "2", "3"]
        assert scene.slept == []

        scene.proxy.finish(ACCEPTED)
        scene.proxy.finish(RELEASED, 2)
        await settle_down()

        assert scene.backlog.settled == ["1"]
        assert scene.proxy.arrived[4:] == ["0", "2", "3", "4"]


async def test_pauses_grow_and_a_success_ends_them() -> None:
    async with forwarding(numbered(1)) as scene:
        for _ in range(4):
            scene.proxy.finish(RELEASED)
            await settle_down()
        assert scene.slept == [1.0, 2.0, 4.0, 4.0]
        pauses = [event for event in scene.events if isinstance(event, ForwardingPaused)]
        assert [(event.released, event.delay_s) for event in pauses] == [(1, 1.0), (1, 2.0), (1, 4.0), (1, 4.0)]
        assert "the link was lost" in pauses[0].sentence()

        scene.proxy.finish(ACCEPTED)
        scene.backlog.add(stored(1))
        await settle_down()
        scene.proxy.finish(RELEASED)
        await settle_down()

        assert scene.slept[-1] == 1.0


async def test_a_rejected_message_is_reported_and_leaves_the_store() -> None:
    async with forwarding(numbered(2)) as scene:
        scene.proxy.finish(Sent(Outcome.REJECTED, "it counts 300000 bytes"))
        scene.proxy.finish(ACCEPTED)
        await settle_down()

        assert sorted(scene.backlog.settled) == ["0", "1"]
        [event] = [event for event in scene.events if isinstance(event, MessageRejected)]
        assert event.LEVEL is Level.ERROR
        assert "message 0 of 'd1'" in event.sentence()
        assert "it counts 300000 bytes" in event.sentence()
        assert scene.slept == []


async def test_acknowledgements_are_counted_per_commit_not_per_message() -> None:
    async with forwarding(numbered(4)) as scene:
        scene.proxy.finish(ACCEPTED, 4)
        await settle_down()

        assert [event.count for event in scene.events if isinstance(event, MessagesForwarded)] == [4]


async def test_nothing_is_taken_while_there_is_no_link() -> None:
    async with forwarding() as scene:
        scene.proxy.up.clear()
        scene.backlog.add(stored(1))
        await settle_down()
        assert scene.proxy.arrived == []

        scene.proxy.up.set()
        await settle_down()
        assert scene.proxy.arrived == ["1"]


async def test_after_a_lost_link_nothing_is_tried_until_it_is_back() -> None:
    async with forwarding(numbered(3)) as scene:
        scene.proxy.up.clear()
        scene.proxy.finish(RELEASED, 3)
        await settle_down()
        assert scene.slept == [1.0]
        assert scene.proxy.arrived == ["0", "1", "2"]

        scene.proxy.up.set()
        await settle_down()
        assert scene.proxy.arrived == ["0", "1", "2", "0", "1", "2"]


async def test_a_stalled_endpoint_never_blocks_another() -> None:
    async with forwarding(numbered(9), endpoint=module_input("m", "i")) as stalled, forwarding(numbered(9)) as other:
        other.proxy.answer = lambda _entry: ACCEPTED
        other.proxy.finish(ACCEPTED, 4)
        await settle_down()

        assert len(other.backlog.settled) == 9
        assert stalled.backlog.settled == []


async def test_stop_waits_for_what_is_in_flight_and_takes_nothing_more() -> None:
    backlog, proxy = Backlog(numbered(6)), ScriptedProxy()
    forwarder = Forwarder(endpoint=UPSTREAM, backlog=backlog, proxy=proxy, emit=lambda _: None, window=Window(4, 1000))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(forwarder.run())
        await settle_down()
        forwarder.stop()
        await settle_down()
        assert not running.done()

        proxy.finish(ACCEPTED, 4)

    assert backlog.settled == ["0", "1", "2", "3"]
    assert proxy.arrived == ["0", "1", "2", "3"]


async def test_cancelling_settles_what_was_acknowledged_and_releases_the_rest() -> None:
    async with forwarding(numbered(4)) as scene:
        scene.proxy.finish(ACCEPTED, 2)
    await settle_down()

    assert scene.backlog.settled == ["0", "1"]
    assert scene.backlog.taken == []


@pytest.mark.parametrize("window", [1, 3, 16])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_each_sender_arrives_in_order_whatever_fails(window: int, data: st.DataObject) -> None:
    """First arrivals are in order per sender and nothing is lost, under any script of drops."""
    outcomes = data.draw(st.lists(st.sampled_from(["accept", "drop", "lose acks"]), max_size=30))
    senders = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=20))
    entries = [stored(number, sender=sender) for number, sender in enumerate(senders)]

    arrived = asyncio.run(_arrivals(entries, outcomes, window))

    assert sorted(set(arrived), key=int) == [entry.entry_id for entry in entries]
    for sender in "abc":
        own = [entry.entry_id for entry in entries if entry.message.envelope.sender.device == sender]
        firsts = list(dict.fromkeys(number for number in arrived if number in own))
        assert firsts == own


async def _arrivals(entries: list[Stored], outcomes: list[str], window: int) -> list[str]:
    """The ids the other end saw, in order, duplicates and all."""
    seen: list[str] = []
    async with asyncio.timeout(20), forwarding(entries, Window(window, 10_000)) as scene:
        script = iter(outcomes)
        while scene.backlog.entries:
            step = next(script, "accept")
            if step == "accept":
                seen.append(scene.proxy.open[0][0].entry_id)
                scene.proxy.finish(ACCEPTED)
            else:
                # A dropped link releases all that is open; with lost acknowledgements the other end has a part of it.
                had = (len(scene.proxy.open) + 1) // 2 if step == "lose acks" else 0
                seen += [entry.entry_id for entry, _ in list(scene.proxy.open)[:had]]
                scene.proxy.finish(RELEASED, len(scene.proxy.open))
            await settle_down()
    return seen


async def test_a_window_that_grows_lets_more_go_at_once() -> None:
    entries = [stored(number) for number in range(8)]
    async with forwarding(window=None) as scene:
        scene.proxy.own_window = Window(2, 1000)
        for entry in entries:
            scene.backlog.add(entry)
        await settle_down()
        assert scene.proxy.arrived == ["0", "1"]
        scene.proxy.own_window = Window(5, 1000)
        scene.proxy.wider()
        await settle_down()
        assert scene.proxy.arrived == ["0", "1", "2", "3", "4"]


async def test_the_way_there_and_back_is_measured_one_message_at_a_time() -> None:
    async with forwarding(numbered(6)) as scene:
        times = scene.forwarder._round_trips
        assert scene.proxy.arrived == ["0", "1", "2", "3"]
        scene.proxy.finish(ACCEPTED, 3)
        await settle_down()
        assert sum(times.counts) == 1, "the first one was; the fifth is, from now on"
        scene.proxy.finish(Sent(Outcome.REJECTED, "no"), 2)
        await settle_down()
        assert sum(times.counts) == 1, "only what was accepted counts"
