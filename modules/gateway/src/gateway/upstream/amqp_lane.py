"""One device's way up: its messages in order, its link, and one batch on its way at a time.

One batch, because only so the order stands whatever becomes of it: a batch that is given back, or that is refused for
one message of it, is sent again before anything later has left. Meanwhile the next batch grows, so a long round trip
makes batches larger, not the device slower. amqp.md §7.4.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import ClassVar, Final, Protocol

from edgewire.codec.amqp.message import MESSAGE_FORMAT, MESSAGE_FORMAT_BATCH, write_batch
from edgewire.codec.amqp.performatives import Accepted, DeliveryState, Error, Rejected
from edgewire.iothub.limits import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES
from edgewire.message import Identity, Outcome
from edgewire.session.amqp.link import Delivery, Link
from edgewire.session.amqp.session import Session
from edgewire.transport.backoff import Backoff
from gateway.upstream.amqp_link import AmqpLink
from gateway.upstream.amqp_message import carry
from gateway.upstream.amqp_refusal import Reach, is_throttle, reach_of, words_of
from gateway.upstream.amqp_seat import OPEN_S
from gateway.upstream.proxy import Entry, Sent

RETRY_FIRST_S: Final = 1.0
RETRY_CAP_S: Final = 300.0
"""How long a device that is refused waits before it is tried again, doubled each time up to this."""
SECTION_BYTES: Final = 8
"""Around each message of a batch: descriptor (3), binary with a four-byte size (5). AMQP 1.0 §3.2.6, §1.6.19."""

ACCEPTED: Final = Sent(Outcome.ACCEPTED)


class Waiting:
    """A message on its way, from `send` to its outcome."""

    __slots__ = ("encoded", "entry", "future")

    def __init__(self, entry: Entry, future: asyncio.Future[Sent]) -> None:
        self.entry = entry
        self.future = future
        self.encoded: bytes | None = None

    def finish(self, sent: Sent) -> None:
        """What became of it; nobody may be waiting any more."""
        if not self.future.done():
            self.future.set_result(sent)


class LaneState(Enum):
    """How far a lane is."""

    CLOSED = "closed"
    """There is no link; one is opened when there is something to send and the time for the next try has come."""
    SEATING = "seating"
    """Its token is on the way, or there is no place."""
    ATTACHING = "attaching"
    OPEN = "open"


class LaneHost(Protocol):
    """What a lane needs of its proxy."""

    stall_s: float
    """How long a batch may be without an answer."""

    def now(self) -> float:
        """The loop's clock."""
        ...

    def link(self) -> AmqpLink | None:
        """The connection, if it stands."""
        ...

    def take_seat(self, lane: "Lane") -> bool:
        """Ask for the device's token and session; False if there is no place: the lane is called when there is."""
        ...

    def leave_seat(self, lane: "Lane", *links: Link) -> None:
        """These links are not wanted any more, and neither is the seat."""

    def refuse_seat(self, lane: "Lane", reason: str) -> None:
        """The other end does not let the device in: all who sit there are told."""

    def retire(self, lane: "Lane") -> None:
        """The lane has nothing to do, and its place is needed."""

    def wants_room(self, lane: "Lane") -> None:
        """The connection is paused: the lane is called when it is not any more."""

    def on_sent(self) -> None:
        """A batch has left."""

    def on_answered(self) -> None:
        """The other end has answered a batch."""

    def on_finished(self, count: int) -> None:
        """So many messages have an outcome."""

    def on_idle(self, lane: "Lane") -> None:
        """Nothing is on its way on this lane."""

    def on_place(self, lane: "Lane") -> None:
        """There is a place again."""

    def on_refused(self, lane: "Lane") -> None:
        """The other end does not let this device in, or there is no token for it: `lane.fault` says why."""

    def on_waits(self, lane: "Lane") -> None:
        """The other end does not take this device's messages now: `lane.fault` says why."""

    def on_recovered(self, lane: "Lane") -> None:
        """A device's messages are taken for the first time, or again after a fault."""


class Lane:
    """One device; a user of its seat. Calls may leave something to be flushed."""

    listens: ClassVar[bool] = False

    __slots__ = (
        "_alone",
        "_backoff",
        "_delivery",
        "_host",
        "_link",
        "_proven",
        "_retry_at",
        "_starved_at",
        "_step_by",
        "batch",
        "bytes",
        "fault",
        "queue",
        "state",
        "used_at",
        "who",
    )

    def __init__(self, who: Identity, host: LaneHost) -> None:
        self.who = who
        self._host = host
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_CAP_S)
        self._link: Link | None = None
        self._retry_at = 0.0
        self._step_by: float | None = None
        self._starved_at: float | None = None
        self._delivery: Delivery | None = None
        self.bytes = 0
        """Of the bodies of what has no outcome."""
        self._alone = 0
        """So many of the next messages go one by one: a batch that held them was refused."""
        self.state = LaneState.CLOSED
        self.queue: deque[Waiting] = deque()
        self.batch: list[Waiting] = []
        self.fault = ""
        """Why this device waits, empty while it does not."""
        self._proven = False
        """A message was taken since the link was opened."""
        self.used_at = host.now()

    @property
    def failures(self) -> int:
        """Tries that failed in a row."""
        return self._backoff.failures

    @property
    def waiting(self) -> int:
        """Messages without an outcome."""
        return len(self.queue) + len(self.batch)

    # What the proxy calls.

    def put(self, one: Waiting) -> None:
        """One more message."""
        self.queue.append(one)
        self.bytes += len(one.entry.message.body)

    def advance(self) -> None:
        """Do what can be done now: open the link, or send what waits."""
        if self.batch or not self.queue or (self._retry_at and self._host.now() < self._retry_at):
            return
        if self.state is LaneState.OPEN:
            self._send()
        elif self.state is LaneState.CLOSED:
            self._open()

    def tend(self) -> None:
        """Look at the times: a step that takes too long, a try that is due."""
        now = self._host.now()
        stall_s = self._host.stall_s
        if self._step_by is not None and now >= self._step_by:
            self._try_later(
                f"the other end acknowledged nothing for {stall_s:.0f} s"
                if self.state is LaneState.OPEN
                else f"the other end did not answer for {OPEN_S:.0f} s"
            )
        elif self._starved_at is not None and now >= self._starved_at + stall_s:
            self._try_later(f"the other end gave no credit for {stall_s:.0f} s")
        else:
            self.advance()

    def try_now(self) -> None:
        """There is a newer token: whoever waits for one goes on."""
        if self.state is LaneState.CLOSED:
            self._retry_at = 0.0
            self.advance()

    def close(self) -> None:
        """Give the link back; nothing is on its way on it."""
        self._drop_link()

    def release(self, sent: Sent) -> None:
        """The connection is gone, or all begins anew: every message has this outcome, in their order."""
        self._link = self._delivery = None
        self.state = LaneState.CLOSED
        self._step_by = self._starved_at = None
        for one in self.take_all():
            one.finish(sent)

    def take_all(self) -> list[Waiting]:
        """All without an outcome, in their order; they are somebody else's now."""
        taken = [*self.batch, *self.queue]
        self.batch = []
        self.queue.clear()
        self._alone = self.bytes = 0
        self._host.on_finished(len(taken))
        return taken

    def abandon(self) -> list[Waiting]:
        """As `take_all`, and what is on its way is answered to nobody any more."""
        if self.batch:
            self._host.on_answered()
            self._drop_link()
        return self.take_all()

    # Opening.

    def _open(self) -> None:
        if self._host.link() is None:
            return
        self.state = LaneState.SEATING
        if not self._host.take_seat(self):
            self.state = LaneState.CLOSED

    # What the seat tells.

    @property
    def gives_way(self) -> bool:
        """Whether its place may go to somebody else."""
        return self.state is LaneState.OPEN and not self.waiting

    def retire(self) -> None:
        """Leave: somebody else needs the place."""
        self._host.retire(self)

    def on_place(self) -> None:
        """There is a place again."""
        self._host.on_place(self)

    def on_seated(self, session: Session) -> None:
        """The token is taken."""
        link = self._host.link()
        assert link is not None
        self._step_by = self._host.now() + OPEN_S
        self.state = LaneState.ATTACHING
        self._link = link.attach(session, self.who, self)

    def on_refused(self, reason: str) -> None:
        """It will not work with this token: somebody else may take the messages."""
        if self.state is LaneState.CLOSED:
            return
        self._stop(reason)
        self._retry_at = self._host.now() + self._backoff.next_delay_s()
        self._host.on_refused(self)

    def on_unseated(self, reason: str) -> None:
        """There is no seat now."""
        if self.state is not LaneState.CLOSED:
            self._try_later(reason)

    # What the link tells.

    def on_attached(self) -> None:
        """The other end lets the device in."""
        self.state = LaneState.OPEN
        self._step_by = None
        self.used_at = self._host.now()
        self.advance()
        self._host.on_idle(self)

    def on_credit(self) -> None:
        """There is credit, or room, again."""
        self.advance()

    def on_state(self, delivery: Delivery, state: DeliveryState | None) -> None:
        """What became of the batch."""
        if delivery is not self._delivery:
            return
        self._delivery = None
        batch, self.batch = self.batch, []
        self._step_by = None
        self._host.on_answered()
        if type(state) is Accepted:
            self._settle(batch, ACCEPTED)
            if not self._proven:
                self._recover()
        elif type(state) is Rejected:
            self._on_rejected(batch, state.error)
        else:
            self._rest(batch, "the other end gave its messages back")
        self.advance()
        self._host.on_idle(self)

    def on_detached(self, error: Error | None) -> None:
        """The link is over, or was refused."""
        if self.state is LaneState.CLOSED:
            return
        self._link = None
        if reach_of(error) is Reach.DEVICE:
            self._host.refuse_seat(self, words_of(error))
        elif self.state is LaneState.OPEN and error is None and not self.batch:
            self._drop_link()
            self.advance()
        else:
            self._try_later(f"the other end ended its link: {words_of(error)}")

    # Sending.

    def _send(self) -> None:
        """Send as many as one transfer holds; what does not fit stays, encoded."""
        link, connection = self._link, self._host.link()
        if link is None or connection is None:
            return
        if connection.paused:
            self._host.wants_room(self)
            return
        now = self._host.now()
        if not link.credit:
            self._starved_at = self._starved_at or now
            return
        limit = link.peer_max_message_size or MAX_BATCH_BYTES
        parts = self._gather(min(MAX_BATCH_BYTES, limit))
        while parts and link.peer_max_message_size and len(parts[0]) > link.peer_max_message_size:
            refused = Sent(Outcome.REJECTED, f"it takes {len(parts[0])} bytes; the other end takes {limit}")
            self._settle([self.queue.popleft()], refused)
            parts = self._gather(min(MAX_BATCH_BYTES, limit))
        if not parts:
            return
        alone = len(parts) == 1
        payload = parts[0] if alone else write_batch(parts)
        self._delivery = connection.send(link, payload, MESSAGE_FORMAT if alone else MESSAGE_FORMAT_BATCH)
        if self._delivery is None:
            self._starved_at = self._starved_at or now
            return
        self.batch = [self.queue.popleft() for _ in parts]
        self._starved_at = None
        self.used_at = now
        self._step_by = now + self._host.stall_s
        self._host.on_sent()

    def _gather(self, max_bytes: int) -> list[bytes]:
        """The next messages, encoded: as many as a transfer takes, at least one."""
        parts: list[bytes] = []
        size = 0
        for one in islice(self.queue, 1 if self._alone else MAX_BATCH_MESSAGES):
            encoded = one.encoded
            if encoded is None:
                encoded = one.encoded = carry(one.entry)
            size += len(encoded) + SECTION_BYTES
            if parts and size > max_bytes:
                break
            parts.append(encoded)
        return parts

    def _settle(self, batch: list[Waiting], sent: Sent) -> None:
        if self._alone:
            self._alone = max(0, self._alone - len(batch))
        for one in batch:
            self.bytes -= len(one.entry.message.body)
            if not one.future.done():
                one.future.set_result(sent)
        self._host.on_finished(len(batch))

    def _on_rejected(self, batch: list[Waiting], error: Error | None) -> None:
        words = words_of(error)
        reach = reach_of(error)
        if reach is Reach.DEVICE:
            self._put_back(batch)
            self._host.refuse_seat(self, words)
        elif is_throttle(error):
            self._rest(batch, words)
        elif len(batch) > 1:
            # One of them is at fault, or may be: each goes by itself now, so that the others are taken.
            self._put_back(batch)
            self._alone = len(batch)
        elif reach is Reach.MESSAGE:
            self._settle(batch, Sent(Outcome.REJECTED, words))
        else:
            self._rest(batch, words)

    def _put_back(self, batch: Iterable[Waiting]) -> None:
        self.queue.extendleft(reversed(list(batch)))

    # Failing, and recovering.

    def _recover(self) -> None:
        self._proven = True
        self._retry_at = 0.0
        self.fault = ""
        self._backoff.reset()
        self._host.on_recovered(self)

    def _rest(self, batch: Iterable[Waiting], reason: str) -> None:
        """These were not taken now: the link stays, and they are sent again after a rest."""
        self._put_back(batch)
        self._proven = False
        self.fault = reason
        self._retry_at = self._host.now() + self._backoff.next_delay_s()
        self._host.on_waits(self)

    def _try_later(self, reason: str) -> None:
        """The link is of no use, or there is none: this device waits, nobody else does."""
        self._stop(reason)
        self._retry_at = self._host.now() + self._backoff.next_delay_s()
        self._host.on_waits(self)

    def _stop(self, reason: str) -> None:
        batch, self.batch = self.batch, []
        if batch:
            self._put_back(batch)
            self._host.on_answered()
        self._drop_link()
        self._proven = False
        self.fault = reason

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        self._delivery = None
        self.state = LaneState.CLOSED
        self._step_by = self._starved_at = None
        self._host.leave_seat(self, *(() if link is None else (link,)))
