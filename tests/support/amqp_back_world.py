"""The way on behalf of devices with all that comes down it, between a hub in memory and devices that are played."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from edgewire.message import UPSTREAM, Envelope, Identity, Message, identity
from edgewire.transport.backoff import Backoff
from gateway.dispatch.delivery import Delivery, Parcel, Settlement
from gateway.dispatch.methods import Methods
from gateway.dispatch.twin_desk import TwinReply
from gateway.dispatch.twins import Twins
from gateway.observe.events import Event
from gateway.twin.opening import open_store
from gateway.upstream.amqp_back import Back
from gateway.upstream.amqp_back_devicebound import CloudSource
from gateway.upstream.amqp_back_methods import CloudCalls
from gateway.upstream.amqp_back_twins import CloudTwins
from gateway.upstream.amqp_proxy import AmqpProxy, AmqpTimes
from gateway.upstream.proxy import Sent, Window
from support.amqp_hub import FakeHub
from support.amqp_tokens import HUB, Keys, Stored

LIMIT_S: Final = 45.0
"""Of each wait; nothing in these tests takes a second, but the machine may."""
D1: Final = identity("d1")
D2: Final = identity("d2")


class Device:
    """One that listens: keeps what comes, and does with it as it is told."""

    def __init__(self, settlement: Settlement | None = Settlement.COMPLETED) -> None:
        self.settlement = settlement
        self.parcels: list[Parcel] = []
        self.calls: list[tuple[str, str, bytes]] = []
        self.takes_calls = True
        self.changes: list[tuple[bytes, int]] = []
        self.replies: list[TwinReply] = []

    @property
    def bodies(self) -> list[bytes]:
        """What came."""
        return [parcel.message.body for parcel in self.parcels]

    def deliver(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)
        if self.settlement is not None:
            parcel.settle(self.settlement)

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        self.calls.append((rid, name, payload))
        return self.takes_calls

    def desired(self, patch: bytes, version: int) -> None:
        self.changes.append((patch, version))


class BackWorld:
    """What the tests set and see."""

    def __init__(self, **how: Any) -> None:
        self.hub = FakeHub()
        self.keys = Keys()
        self.events: list[Event] = []
        self.go = asyncio.Event()
        self.go.set()
        emit = self.events.append
        self.proxy = AmqpProxy(
            hostname=HUB,
            dial=self.hub.dial,
            tokens=self.keys,
            emit=emit,
            times=how.pop("times", AmqpTimes(tend_s=0.01)),
            window=Window(100, 100_000),
            backoff=Backoff(0.01, 0.01, draw=lambda: 1.0),
            sleep=self.sleep,
            clock=lambda: self.keys.now,
            **how,
        )
        self.delivery = Delivery(emit, lambda: self.keys.now)
        self.methods = Methods(emit)
        self.twins = Twins(emit)
        self.back = Back(self.proxy, emit)
        self.cloud = CloudTwins(self.back, self.twins, emit)
        self.calls = CloudCalls(self.back, self.methods, emit)
        self.proxy.share(self.back)
        self.proxy.share(self.cloud)
        self.delivery.use(CloudSource(self.back, self.delivery, emit))
        self.twins.use(self.cloud)

    async def sleep(self, _delay_s: float) -> None:
        await asyncio.sleep(0)
        await self.go.wait()

    def listen(self, who: Identity, device: Device | None = None, window: int = 10) -> Device:
        """Somebody takes messages."""
        device = device or Device()
        self.delivery.subscribe(who, device, window)
        return device

    def send(self, who: Identity, number: int) -> asyncio.Future[Sent]:
        """A message to the hub."""
        envelope = Envelope(sender=who, properties={}, system={})
        return self.proxy.send(Stored(f"{who}-{number}", Message(envelope, b"%d" % number)), UPSTREAM)

    def seen(self, kind: type[Event]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a fact."""
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110 - what is waited for is a fact about the world, not an event
                await asyncio.sleep(0.001)

    async def up(self) -> None:
        """Wait for the connection."""
        async with asyncio.timeout(LIMIT_S):
            await self.proxy.connected()

    async def get_twin(self, who: Identity) -> TwinReply:
        """What a device gets that reads its twin."""
        replies: list[TwinReply] = []
        self.twins.get(who, replies.append)
        await self.until(lambda: replies)
        return replies[0]

    async def report(self, who: Identity, patch: bytes) -> TwinReply:
        """What a device gets that reports."""
        replies: list[TwinReply] = []
        self.twins.report(who, patch, replies.append)
        await self.until(lambda: replies)
        return replies[0]


@asynccontextmanager
async def back_world(folder: Path | None = None, **how: Any) -> AsyncIterator[BackWorld]:
    """A world whose connection stands; with a `folder`, twins are kept there."""
    made = BackWorld(**how)
    store = None if folder is None else await open_store(folder / "twins.db", None, made.events.append)
    runs = [made.proxy.run(), made.calls.run(), made.twins.run()]
    running = [asyncio.create_task(run) for run in runs]
    try:
        if store is not None:
            made.twins.keep_in(store)
        await made.up()
        yield made
    finally:
        for task in reversed(running):
            task.cancel()
        await asyncio.wait(running)
        if store is not None:
            await store.close()
        for task in running:
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc] # looked at in the line above
        for one in made.hub.connections:
            assert one.failed is None
            if errors := one.wire.errors + one.wire.other.errors:
                raise ExceptionGroup("an end of the wire crashed", errors)
