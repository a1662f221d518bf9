"""Messages as records of the store's batch. What repeats is made once: envelopes and delivery lists.

Layout of a record, little-endian: RECORD; a DELIVERY for each queue; envelope (see `envelopes`); body. What is around
the records, and what the store promises of them, is `gateway.store`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from struct import Struct

from edgewire.line.envelopes import write_envelope
from edgewire.message import Delivery, Endpoint, Envelope, Message

RECORD = Struct("<IQHI")  # body length, received at, deliveries, envelope length
DELIVERY = Struct("<HI")  # queue, time to live in seconds
NO_LIMIT = 0xFFFF_FFFF
"""The time to live of a delivery that never expires."""

PLANS = 4096
"""Delivery lists kept; a routing table makes the same few again and again."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A delivery list, ready to be written: its bytes, and queue → time to live."""

    data: bytes
    times_to_live_s: dict[int, int]


PARTS = 4
"""Pieces of a record: head, deliveries, envelope, body."""


@dataclass(slots=True)
class Batch:
    """Records on their way to the disk."""

    parts: list[bytes] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    size: int = 0
    first_received_at_ms: int = 0
    last_received_at_ms: int = 0

    @property
    def records(self) -> int:
        """How many."""
        return len(self.plans)

    def tally(self) -> list[tuple[Plan, int, int]]:
        """What the batch holds, by delivery list: records and their bytes."""
        tallies: dict[Plan, list[int]] = {}
        for plan, size in zip(self.plans, self.sizes, strict=True):
            tally = tallies.get(plan)
            if tally is None:
                tallies[plan] = [1, size]
            else:
                tally[0] += 1
                tally[1] += size
        return [(plan, records, size) for plan, (records, size) in tallies.items()]

    def cut(self, records: int, size: int) -> None:
        """Take back what was added since the batch had so many records and bytes."""
        del self.parts[records * PARTS :]
        del self.plans[records:]
        del self.sizes[records:]
        self.size = size


class Encoder:
    """Turns messages into records of a batch."""

    def __init__(self, queue_for: Callable[[Endpoint, int], int | None]) -> None:
        """`queue_for` gives the number of an endpoint's queue, None if there are too many already."""
        self._queue_for = queue_for
        self._plans: dict[int, tuple[Sequence[Delivery], Plan]] = {}

    def add(self, batch: Batch, messages: Sequence[tuple[Message, Sequence[Delivery]]], now_ms: int) -> bool:
        """Add all messages that go anywhere; False, and nothing added, if there is no queue left for one of them."""
        before, size_before = len(batch.plans), batch.size
        parts, plans, sizes, known_plans = batch.parts, batch.plans, batch.sizes, self._plans
        pack, head_size = RECORD.pack, RECORD.size
        for message, deliveries in messages:
            if not deliveries:
                continue
            known = known_plans.get(id(deliveries))
            plan = known[1] if known is not None else self._plan(deliveries)
            if plan is None:
                batch.cut(before, size_before)
                return False
            envelope = message.envelope.notes.stored or _noted(message.envelope)
            body, data = message.body, plan.data
            parts += (pack(len(body), now_ms, len(plan.times_to_live_s), len(envelope)), data, envelope, body)
            size = head_size + len(data) + len(envelope) + len(body)
            sizes.append(size)
            plans.append(plan)
            batch.size += size
        if not before:
            batch.first_received_at_ms = batch.last_received_at_ms = now_ms
        elif now_ms > batch.last_received_at_ms:
            batch.last_received_at_ms = now_ms
        return True

    def _plan(self, deliveries: Sequence[Delivery]) -> Plan | None:
        times_to_live_s: dict[int, int] = {}
        for delivery in deliveries:
            queue = self._queue_for(delivery.endpoint, delivery.priority)
            if queue is None:
                return None
            wanted_s = delivery.time_to_live_s
            limit_s = NO_LIMIT if wanted_s is None else min(max(wanted_s, 0), NO_LIMIT - 1)
            times_to_live_s[queue] = max(limit_s, times_to_live_s.get(queue, 0))
        plan = Plan(b"".join(DELIVERY.pack(*pair) for pair in times_to_live_s.items()), times_to_live_s)
        if isinstance(deliveries, tuple):  # a list could change while its id stays
            if len(self._plans) >= PLANS:
                self._plans.clear()
            self._plans[id(deliveries)] = (deliveries, plan)
        return plan


def _noted(envelope: Envelope) -> bytes:
    """An envelope's bytes, noted for its next message."""
    data = envelope.notes.stored = write_envelope(envelope)
    return data
