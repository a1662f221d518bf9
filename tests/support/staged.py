"""A stage without a gateway: entries by hand, a store that keeps what it is given, and clocks that a test sets."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity, stage_of
from gateway.observe.events import Event
from gateway.sending.stage import Surroundings
from gateway.store.values import AppendResult, Entry

NOON_MS = 1_800_014_400_000
"""Some day, 12:00 UTC."""
STAGE = stage_of("r", "{}")
GATEWAY = identity("edge", "gateway")
JSON = {"contentType": "application/json", "contentEncoding": "utf-8"}


def told(value: Any, sender: str = "d1", **properties: str) -> Message:
    """A device's JSON message."""
    system = {"connectionDeviceId": sender, **JSON}
    return Message(Envelope(sender=identity(sender), properties=properties, system=system), orjson.dumps(value))


def entry(message: Message, sequence: int, *, at_ms: int = NOON_MS, store_id: str = "s") -> Entry:
    """A message as the store gives it."""
    return Entry(
        store_id=store_id,
        sequence=sequence,
        message=message,
        endpoint=STAGE,
        priority=0,
        received_at_ms=at_ms,
        expires_at_ms=None,
        size=len(message.body),
    )


def entries(values: Sequence[Any], *, sender: str = "d1", first: int = 1, at_ms: int = NOON_MS) -> list[Entry]:
    """Such messages of one device, by their values."""
    return [entry(told(value, sender), first + number, at_ms=at_ms) for number, value in enumerate(values)]


def read(message: Message) -> Any:
    """The JSON of a body."""
    return orjson.loads(message.body)


@dataclass
class World:
    """What a stage has around it."""

    now: float = 0.0
    unix: float = NOON_MS / 1000
    stored: list[Message] = field(default_factory=list)
    deliveries: list[Sequence[Delivery]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    results: list[AppendResult] = field(default_factory=list)
    """What the store answers next; without any it stores."""
    naps: list[float] = field(default_factory=list)
    is_pressed: bool = False
    on_nap: Callable[[], None] = lambda: None
    arrival: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once something is stored."""

    def append(
        self, batch: Sequence[tuple[Message, Sequence[Delivery]]], done: Callable[[AppendResult], None], /
    ) -> None:
        result = self.results.pop(0) if self.results else AppendResult.STORED
        if result is AppendResult.STORED:
            self.stored += (message for message, _ in batch)
            self.deliveries += (to for _, to in batch)
            self.arrival.set()
        done(result)

    def pass_s(self, seconds: float) -> None:
        """Both clocks go on."""
        self.now += seconds
        self.unix += seconds

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.on_nap()
        await asyncio.sleep(0)

    def around(self) -> Surroundings:
        return Surroundings(
            append=self.append,
            pressed=lambda: self.is_pressed,
            emit=self.events.append,
            now=lambda: self.now,
            clock=lambda: self.unix,
            module=GATEWAY,
            sleep=self.sleep,
        )


UP = Delivery(UPSTREAM, 3, 600)
