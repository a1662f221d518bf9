"""A link to an endpoint that a test holds in its hands, and entries for it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgewire.message import DeviceId, Envelope, Message, Outcome, identity
from gateway.upstream.endpoint_link import LinkDownError
from gateway.upstream.proxy import Entry, Sent


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as small as endpoints allow."""

    entry_id: str
    message: Message
    received_at_ms: int = 1_795_000_000_123


def stored(number: int, device: str = "d0", *, size: int = 1, **system: str) -> Stored:
    """Entry `e<number>` of a device."""
    envelope = Envelope(sender=identity(device), properties={}, system=system)
    return Stored(f"e{number}", Message(envelope, b"x" * size))


@dataclass
class Call:
    """One send that waits for its answer."""

    lane: int
    entries: list[Entry]
    answer: "asyncio.Future[Sequence[Sent]]" = field(default_factory=asyncio.Future)

    def accept(self, count: int | None = None) -> None:
        """All of it is taken, or the first few."""
        self.answer.set_result([Sent(Outcome.ACCEPTED)] * (len(self.entries) if count is None else count))


class FakeLink:
    """Devices named `d<n>` have the lane n. `refusal`: raised at `open`; `hangs`: it never opens, or never closes."""

    def __init__(self, refusal: LinkDownError | None = None, *, hangs: str = "") -> None:
        self.refusal = refusal
        self.hangs = hangs
        self.calls: asyncio.Queue[Call] = asyncio.Queue()
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()

    async def open(self) -> None:
        """Open, or not."""
        if self.hangs == "open":
            await asyncio.Event().wait()
        if self.refusal is not None:
            raise self.refusal
        self.opened.set()

    def lane_of(self, device: DeviceId) -> int:
        """The number in its name."""
        return int(device[1:])

    async def send(self, lane: int, entries: Sequence[Entry]) -> Sequence[Sent]:
        """Wait for what the test says became of it."""
        call = Call(lane, list(entries))
        await self.calls.put(call)
        return await call.answer

    async def close(self) -> None:
        """Close, or not."""
        self.closed.set()
        if self.hangs == "close":
            await asyncio.Event().wait()
