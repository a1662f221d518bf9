"""A stage behind its Forwarder: takes the entries that wait, stores what is made of them, and only then lets them go.

It is a `MessageProxy` whose other end is the store. `run` turns once a second while something is held; a test calls
`turn` itself. A store that refuses is asked again: nothing is released, so nothing has to be unmade.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.message import Delivery, Endpoint, Identity, Message, Outcome
from edgewire.transport.backoff import Backoff
from gateway.observe.events import Event
from gateway.observe.sending import MadeOf, MessagesMade, SendingNotKept
from gateway.sending.aggregate import Aggregator
from gateway.sending.batch import Batcher
from gateway.sending.how import Aggregate, Batch
from gateway.sending.made import Made
from gateway.store.values import AppendResult
from gateway.store.values import Entry as StoredEntry
from gateway.upstream.proxy import Entry, LinkState, LinkStatus, Sent, Window

MAX_HELD_MESSAGES: Final = 2_048
"""Entries that a stage holds; with more it makes what it can of them."""
MAX_HELD_BYTES: Final = 2 * 1024 * 1024
"""Bodies that a stage holds; the last message of the largest size may come on top."""
TURN_S: Final = 1.0
"""Between two looks at the clock, while something is held."""
KEEP_S: Final = 60.0
"""What is counted is written so often at most, for the sake of flash; until then its entries wait in the store."""
PRESSED_S: Final = 10.0
"""The longest wait while the store is nearly full: what waits keeps its segments from being given back."""

_ACCEPTED: Final = Sent(Outcome.ACCEPTED)


class Append(Protocol):
    """The store's `append`."""

    def __call__(
        self, batch: Sequence[tuple[Message, Sequence[Delivery]]], done: Callable[[AppendResult], None], /
    ) -> None:
        """Store a batch, all or nothing, and call `done`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What stages have in common. `now` counts seconds and is never set, `clock` gives seconds since 1970.

    `pressed`: the store is nearly full. `module` is the gateway's own identity.
    """

    append: Append
    pressed: Callable[[], bool]
    emit: Callable[[Event], None]
    now: Callable[[], float]
    clock: Callable[[], float]
    module: Identity
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class _Held:
    """An entry that is taken and not let go."""

    entry: StoredEntry
    future: asyncio.Future[Sent]
    since: float


class Stage(ABC):
    """A `MessageProxy` for the entries of one route."""

    _KIND: MadeOf

    def __init__(self, delivery: Delivery, around: Surroundings) -> None:
        self._deliveries = (delivery,)
        self._around = around
        self._held: dict[int, _Held] = {}
        """By sequence, the oldest first: a stage is one queue of the store."""
        self._held_bytes = 0
        self._backoff = Backoff()
        self._wake = asyncio.Event()
        self._turning = asyncio.Lock()
        self._started_at = around.now()

    # A MessageProxy

    async def run(self) -> None:
        """Make what is due, until cancelled."""
        while True:
            await self._woken()
            await self.turn()

    async def connected(self) -> None:  # noqa: B027 - all there is to it
        """The store is always there."""

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        """Hold an entry; it is accepted once what was made of it is safe."""
        if not isinstance(entry, StoredEntry):
            raise TypeError(f"{endpoint} takes entries of the store")
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self._held[entry.sequence] = _Held(entry, future, self._around.now())
        self._held_bytes += len(entry.message.body)
        self._take(entry)
        if len(self._held) == 1 or self._full or self._hurried:
            self._wake.set()
        return future

    def status(self) -> LinkStatus:
        """It is as the store is."""
        return LinkStatus(
            state=LinkState.CONNECTED,
            reason="",
            since_at=self._started_at,
            last_success_at=None,
            in_flight=len(self._held),
        )

    def window(self) -> Window:
        """What it holds at most."""
        return Window(MAX_HELD_MESSAGES, MAX_HELD_BYTES)

    def on_wider(self, call: Callable[[], None]) -> None:  # noqa: B027 - all there is to it
        """It never becomes wider."""

    # Making

    async def turn(self) -> None:
        """Make and let go what is due now."""
        async with self._turning:
            await self._make(finishing=False)

    async def finish(self) -> None:
        """The gateway stops: let everything go that can be, so that a start does not begin with repetitions."""
        async with self._turning:
            await self._make(finishing=True)

    @abstractmethod
    def _take(self, entry: StoredEntry) -> None:
        """An entry came."""

    @abstractmethod
    async def _make(self, *, finishing: bool) -> None:
        """Make what is due, store it, and let entries go."""

    @property
    @abstractmethod
    def _hurried(self) -> bool:
        """Whether something waits for the next turn and no clock."""

    @property
    @abstractmethod
    def _ticks(self) -> bool:
        """Whether the clock matters."""

    @property
    def _full(self) -> bool:
        """Whether the next entry might find no room: its record has its properties beside the body."""
        return len(self._held) >= MAX_HELD_MESSAGES or self._held_bytes > MAX_HELD_BYTES - 2 * MAX_MESSAGE_BYTES

    def _held_for_s(self) -> float:
        return self._around.now() - next(iter(self._held.values())).since if self._held else 0.0

    async def _woken(self) -> None:
        if not self._wake.is_set() and self._ticks:
            try:
                async with asyncio.timeout(TURN_S):
                    await self._wake.wait()
            except TimeoutError:
                return
        await self._wake.wait()
        self._wake.clear()

    async def _store(self, messages: Sequence[Message]) -> None:
        """Return once the store has them; it is asked until it does."""
        if not messages:
            return
        while await self._append(messages) is not AppendResult.STORED:
            await self._around.sleep(self._backoff.next_delay_s())
        self._backoff.reset()
        self._around.emit(MessagesMade(self._KIND, len(messages)))

    async def _append(self, messages: Sequence[Message]) -> AppendResult:
        told: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()

        def done(result: AppendResult) -> None:
            if not told.done():
                told.set_result(result)

        self._around.append([(message, self._deliveries) for message in messages], done)
        return await told

    def _let_go(self, sequences: Sequence[int]) -> None:
        for sequence in sequences:
            held = self._held.pop(sequence)
            self._held_bytes -= len(held.entry.message.body)
            if not held.future.done():
                held.future.set_result(_ACCEPTED)


class BatchStage(Stage):
    """Makes batches. All that waits goes once the first of it has waited long enough: so little comes again."""

    _KIND = MadeOf.BATCH

    def __init__(self, route: str, batch: Batch, delivery: Delivery, around: Surroundings) -> None:
        super().__init__(delivery, around)
        self._max_age_s = batch.max_age_s
        self._batcher = Batcher(route, batch, around.module)
        self._made: list[Made] = []

    def _take(self, entry: StoredEntry) -> None:
        self._made += self._batcher.add(entry)

    @property
    def _hurried(self) -> bool:
        return bool(self._made)

    @property
    def _ticks(self) -> bool:
        return bool(self._held)

    async def _make(self, *, finishing: bool) -> None:
        waited_s = self._held_for_s()
        pressed = waited_s >= PRESSED_S and self._around.pressed()
        if finishing or pressed or self._full or waited_s >= self._max_age_s:
            self._made += self._batcher.flush()
        made, self._made = self._made, []
        await self._store([each.message for each in made])
        if made:
            self._let_go([entry.sequence for each in made for entry in each.entries])


class AggregateStage(Stage):
    """Counts. What is counted is written to a file before its entries go, so a window may be longer than what is held.

    `keep` writes the file, in a thread, and raises an exception of which the text is told. `caught_up`: nothing of the
    route waits in the store to be read.
    """

    _KIND = MadeOf.AGGREGATE

    def __init__(
        self,
        route: str,
        aggregate: Aggregate,
        delivery: Delivery,
        around: Surroundings,
        *,
        keep: Callable[[bytes], None],
        caught_up: Callable[[], bool],
    ) -> None:
        super().__init__(delivery, around)
        self._route = route
        self._aggregator = Aggregator(route, aggregate)
        self._keep = keep
        self._caught_up = caught_up

    def restore(self, state: Any) -> None:
        """Go on from what `keep` got. Raises ValueError, KeyError or TypeError if it is not that."""
        self._aggregator.restore(state)
        if self._aggregator.waits:
            self._wake.set()

    def _take(self, entry: StoredEntry) -> None:
        self._aggregator.add(entry)

    @property
    def _hurried(self) -> bool:
        return self._aggregator.overfull

    @property
    def _ticks(self) -> bool:
        return bool(self._held) or self._aggregator.waits

    async def _make(self, *, finishing: bool) -> None:
        closed = self._aggregator.close(int(self._around.clock() * 1000), caught_up=self._caught_up())
        await self._store([self._aggregator.message(tally) for tally in closed])
        waited_s = self._held_for_s()
        if closed or self._full or (self._held and (finishing or waited_s >= KEEP_S)):
            await self._write()

    async def _write(self) -> None:
        """Write what is counted, with all entries held now, and let those go."""
        state = orjson.dumps(self._aggregator.state())
        counted = list(self._held)
        told = False
        while (error := await asyncio.to_thread(self._try_to_keep, state)) is not None:
            if not told:
                told = True
                self._around.emit(SendingNotKept(self._route, error))
            await self._around.sleep(self._backoff.next_delay_s())
        self._backoff.reset()
        self._let_go(counted)

    def _try_to_keep(self, state: bytes) -> str | None:
        try:
            self._keep(state)
        except Exception as error:  # noqa: BLE001 - whatever it is, the entries stay in the store and it is tried again
            return str(error)
        return None
