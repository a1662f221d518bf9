"""One queue read in order: what is unread on disk, what is taken and not settled, what is to be taken again."""

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edgewire.line.envelopes import EnvelopeReader
from edgewire.line.records import DELIVERY, RECORD
from edgewire.message import Message
from gateway.store.backlog import Backlog, Segment
from gateway.store.errors import Damage
from gateway.store.files import Files
from gateway.store.queues import Queue
from gateway.store.record import NEVER, BatchHeader, expiry
from gateway.store.recovery import Share
from gateway.store.segment import SEGMENT, Source
from gateway.store.values import Entry, StoreLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What all cursors of a store share."""

    files: Files
    backlog: Backlog
    envelopes: EnvelopeReader
    limits: StoreLimits
    store_id: str
    now_ms: Callable[[], int]
    expired: Callable[[Queue, int], None]
    damaged: Callable[[Damage], None]
    changed: Callable[[], None]
    """A position moved; a segment may be free."""


@dataclass(slots=True)
class Room:
    """What one `take` may still give. The first message is given whatever its size."""

    messages: int
    bytes: int
    used: bool = False

    def admits(self, size: int) -> bool:
        """Whether a message of `size` fits."""
        return self.messages > 0 and (size <= self.bytes or not self.used)

    def use(self, size: int) -> None:
        """Count a message that is given."""
        self.messages -= 1
        self.bytes -= size
        self.used = True


class Cursor:
    """How far one queue is read and settled."""

    def __init__(self, queue: Queue, reading: Reading, from_sequence: int) -> None:
        self.queue = queue
        self.unread = 0
        self.unread_bytes = 0
        self.taken_bytes = 0
        self._reading = reading
        self._from = from_sequence
        self._sequence = from_sequence  # the first one not looked at
        self._taken: dict[int, tuple[Segment, Entry]] = {}  # ascending, as taken
        self._again: deque[Entry] = deque()
        self._segment: Segment | None = None
        self._source: Source | None = None
        self._offset = SEGMENT.size  # of the next batch in the segment
        self._batch: bytes | None = None
        self._batch_at = 0
        self._batch_end = 0  # sequence
        self._at = 0  # of the next record in the batch
        self._blocked = False

    @property
    def position(self) -> int:
        """The lowest unsettled sequence: where to start after a restart."""
        if self._taken:
            return next(iter(self._taken))
        return max(self._sequence, self._from) if self.unread else self._reading.backlog.next_sequence

    @property
    def taken(self) -> int:
        """How many are taken and not settled."""
        return len(self._taken)

    @property
    def ready(self) -> bool:
        """Whether `take` may give something."""
        return bool(self._again or self.unread) and not self._blocked and self._in_bounds()

    def oldest_at_ms(self) -> int | None:
        """When the oldest pending one was received, to the batch; None if nothing is pending."""
        if self._taken:
            return next(iter(self._taken.values()))[1].received_at_ms
        for _, share in self._reading.backlog.shares_of(self.queue.queue_id):
            if share.unread:
                return share.received_at_ms
        return None

    def arrived(self, segment: Segment, offset: int, header: BatchHeader, count: int, size: int) -> None:
        """A batch with `count` records for this queue is on the disk."""
        if not self.unread:
            # All before was looked at, so the search need not pass through what concerns others.
            self._move(segment, offset)
            self._sequence = header.first_sequence
        self.unread += count
        self.unread_bytes += size

    def restore(self, share: Share) -> None:
        """Count what was found at the start."""
        self.unread += share.unread
        self.unread_bytes += share.unread_bytes

    def take(self, room: Room) -> list[Entry]:
        """The next ones, in order, as `room` admits."""
        out: list[Entry] = []
        now_ms = self._reading.now_ms()
        expired = self._take_again(room, now_ms, out)
        while self.unread and not self._again and not self._blocked and self._in_bounds() and room.messages > 0:
            if self._batch is None and not self._load_next():
                break
            before = self.unread
            given = len(out)
            go_on = self._take_from_batch(room, now_ms, out)
            expired += before - self.unread - (len(out) - given)
            if not go_on:
                break
        if expired:
            self._reading.expired(self.queue, expired)
            self._reading.changed()
        return out

    def settle(self, entry: Entry) -> None:
        """The next one answers for it. One that is not taken (settled before, or dropped) is passed over."""
        held = self._taken.pop(entry.sequence, None)
        if held is None:
            return
        segment, mine = held
        self.taken_bytes -= mine.size
        segment.shares[self.queue.queue_id].taken -= 1
        self._reading.backlog.settle(segment, 1)

    def release(self) -> None:
        """What is taken and not settled will be taken again, in order, before anything else of this queue."""
        self._again = deque(entry for _, entry in self._taken.values())

    def expire_unread(self, segment: Segment) -> int:
        """Pass over all that is unread in a segment; how many."""
        share = segment.shares[self.queue.queue_id]
        count = share.unread
        self.unread -= count
        self.unread_bytes -= share.unread_bytes
        self._reading.backlog.settle(segment, count)
        share.unread = share.unread_bytes = 0
        share.read_from = segment.end_offset  # a segment that is being written may get more, behind these
        self._leave(segment)
        return count

    def lose(self, segment: Segment) -> int:
        """Forget all that is pending in a segment that is dropped; how many."""
        count = self.expire_unread(segment)
        for sequence in [key for key, (of, _) in self._taken.items() if of is segment]:
            self.settle(self._taken[sequence][1])
            count += 1
        self._again = deque(entry for entry in self._again if entry.sequence in self._taken)
        return count

    def rest(self) -> None:
        """Give memory and file back; reading goes on where it was."""
        if self._batch is not None:
            self._offset, self._from, self._batch = self._batch_at, self._sequence, None
        if self._source is not None:
            self._source.close()
            self._source = None

    def _in_bounds(self) -> bool:
        limits = self._reading.limits
        return bool(self._again) or (
            len(self._taken) < limits.max_taken_messages and self.taken_bytes < limits.max_taken_bytes
        )

    def _take_again(self, room: Room, now_ms: int, out: list[Entry]) -> int:
        expired = 0
        while self._again:
            entry = self._again[0]
            if entry.sequence in self._taken:
                if entry.expires_at_ms is not None and entry.expires_at_ms <= now_ms:
                    self.settle(entry)
                    expired += 1
                elif not room.admits(entry.size):
                    break
                else:
                    room.use(entry.size)
                    out.append(entry)
            self._again.popleft()
        return expired

    def _take_from_batch(self, room: Room, now_ms: int, out: list[Entry]) -> bool:
        try:
            return self._read_records(room, now_ms, out)
        except (struct.error, ValueError, IndexError) as error:
            self._fail(self._batch_at, f"a record in the batch cannot be read ({error})")
            return False

    def _read_records(self, room: Room, now_ms: int, out: list[Entry]) -> bool:
        """Give what the loaded batch holds from where it was left; False once `room` admits no more."""
        batch, segment, queue_id = self._batch, self._segment, self.queue.queue_id
        assert batch is not None
        assert segment is not None
        share = segment.shares[queue_id]
        while self._sequence < self._batch_end:
            at = self._at
            body_length, received_at_ms, deliveries, envelope_length = RECORD.unpack_from(batch, at)
            deliveries_at = at + RECORD.size
            envelope_at = deliveries_at + deliveries * DELIVERY.size
            end = envelope_at + envelope_length + body_length
            time_to_live_s = _find(batch, deliveries_at, deliveries, queue_id)
            if time_to_live_s is not None and self._sequence >= self._from:
                expires_at_ms = expiry(received_at_ms, time_to_live_s)
                size = end - at
                if expires_at_ms <= now_ms:
                    self._reading.backlog.settle(segment, 1)
                elif not room.admits(size) or not self._in_bounds():
                    return False
                else:
                    body_at = envelope_at + envelope_length
                    envelope = self._reading.envelopes.read(batch[envelope_at:body_at])
                    entry = Entry(
                        store_id=self._reading.store_id,
                        sequence=self._sequence,
                        message=Message(envelope, batch[body_at:end]),
                        endpoint=self.queue.endpoint,
                        priority=self.queue.priority,
                        received_at_ms=received_at_ms,
                        expires_at_ms=None if expires_at_ms == NEVER else expires_at_ms,
                        size=size,
                    )
                    room.use(size)
                    out.append(entry)
                    self._taken[self._sequence] = (segment, entry)
                    self.taken_bytes += size
                    share.taken += 1
                share.unread -= 1
                share.unread_bytes -= size
                self.unread -= 1
                self.unread_bytes -= size
                share.received_at_ms = received_at_ms
            self._at = end
            self._sequence += 1
        self._batch = None
        return True

    def _load_next(self) -> bool:
        """Load the next batch that concerns this queue; False if it cannot be."""
        segment = self._segment_to_read()
        if segment is None:
            return False
        try:
            source = self._open(segment)
            while self._offset < source.end:
                at = self._offset
                header = source.header_at(at)
                if header is None:
                    return self._fail(at, "no batch starts here")
                self._offset += header.length
                if header.end_sequence <= self._from or not header.concerns(self.queue.queue_id):
                    continue
                batch = source.batch_at(at, header.length)
                if batch is None:
                    return self._fail(at, "the batch's CRC-32 does not match its bytes")
                self._load(batch, at, header)
                return True
        except OSError as error:
            return self._fail(self._offset, f"it cannot be read: {error}")
        return self._fail(self._offset, "fewer records are here than were counted")

    def _load(self, batch: bytes, at: int, header: BatchHeader) -> None:
        self._batch, self._batch_at, self._at = batch, at, header.records_at
        self._sequence, self._batch_end = header.first_sequence, header.end_sequence

    def _segment_to_read(self) -> Segment | None:
        queue_id = self.queue.queue_id
        segment = self._segment
        if segment is not None and (share := segment.shares.get(queue_id)) is not None and share.unread:
            return segment
        base = 0 if segment is None else segment.base + 1
        found = self._reading.backlog.unread_from(base, queue_id)
        if found is not None:
            self._move(found, found.shares[queue_id].read_from)
        return found

    def _move(self, segment: Segment, offset: int) -> None:
        if segment is not self._segment:
            self.rest()
        self._segment, self._offset, self._batch = segment, offset, None

    def _open(self, segment: Segment) -> Source:
        if self._source is None:
            self._source = Source(self._reading.files.open_to_read(segment.name), segment.end_offset)
        self._source.end = segment.end_offset
        return self._source

    def _leave(self, segment: Segment) -> None:
        if self._segment is segment:
            self._batch = None
            self.rest()
            self._offset = segment.end_offset
            self._sequence = segment.end_sequence

    def _fail(self, at: int, what: str) -> bool:
        self._blocked = True
        name = "" if self._segment is None else self._segment.name
        self.rest()
        self._reading.damaged(Damage(name, at, what))
        return False


def _find(batch: bytes, at: int, deliveries: int, queue_id: int) -> int | None:
    """The time to live of the delivery to `queue_id`; None if there is none."""
    for _ in range(deliveries):
        queue, time_to_live_s = DELIVERY.unpack_from(batch, at)
        if queue == queue_id:
            return int(time_to_live_s)
        at += DELIVERY.size
    return None
