"""Messages as parts of a batch: the hot path of `append`. What repeats is made once: envelopes and delivery lists."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgewire.message import Delivery, Endpoint, Message
from gateway.store.envelopes import EnvelopeWriter
from gateway.store.record import DELIVERY, NO_LIMIT, RECORD, Row, expiry

PLANS = 4096
"""Delivery lists kept; a routing table makes the same few again and again."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A delivery list, ready to be written: its bytes, and queue → time to live."""

    data: bytes
    times_to_live_s: dict[int, int]


@dataclass(slots=True)
class Batch:
    """Records on their way to the disk."""

    parts: list[bytes] = field(default_factory=list)
    records: int = 0
    size: int = 0
    first_received_at_ms: int = 0
    last_received_at_ms: int = 0
    tallies: dict[Plan, list[int]] = field(default_factory=dict)
    """Records and bytes per plan."""

    def rows(self) -> tuple[Row, ...]:
        """What the batch holds, by queue."""
        rows: dict[int, Row] = {}
        for plan, (records, size) in self.tallies.items():
            for queue, time_to_live_s in plan.times_to_live_s.items():
                known = rows.get(queue)
                expires_at_ms = expiry(self.last_received_at_ms, time_to_live_s)
                rows[queue] = Row(
                    queue=queue,
                    records=records + (known.records if known else 0),
                    bytes=size + (known.bytes if known else 0),
                    expires_at_ms=max(expires_at_ms, known.expires_at_ms if known else 0),
                )
        return tuple(rows[queue] for queue in sorted(rows))

    def extend(self, other: "Batch") -> None:
        """Add what another batch holds, after what this one holds."""
        if not self.records:
            self.first_received_at_ms = other.first_received_at_ms
        self.parts += other.parts
        self.records += other.records
        self.size += other.size
        self.last_received_at_ms = max(self.last_received_at_ms, other.last_received_at_ms)
        for plan, (records, size) in other.tallies.items():
            tally = self.tallies.setdefault(plan, [0, 0])
            tally[0] += records
            tally[1] += size


class Encoder:
    """Turns messages into batches."""

    def __init__(self, queue_for: Callable[[Endpoint, int], int | None]) -> None:
        """`queue_for` gives the number of an endpoint's queue, None if there are too many already."""
        self._queue_for = queue_for
        self._envelopes = EnvelopeWriter()
        self._plans: dict[int, tuple[Sequence[Delivery], Plan]] = {}

    def encode(self, messages: Sequence[tuple[Message, Sequence[Delivery]]], now_ms: int) -> Batch | None:
        """The batch of all messages that go anywhere; None if there is no queue left for one of them."""
        batch = Batch(first_received_at_ms=now_ms, last_received_at_ms=now_ms)
        parts, tallies, plans, pack = batch.parts, batch.tallies, self._plans, RECORD.pack
        write = self._envelopes.write
        for message, deliveries in messages:
            if not deliveries:
                continue
            known = plans.get(id(deliveries))
            plan = known[1] if known is not None else self._plan(deliveries)
            if plan is None:
                return None
            envelope = write(message.envelope)
            body, data = message.body, plan.data
            head = pack(len(body), now_ms, len(plan.times_to_live_s), len(envelope))
            parts += (head, data, envelope, body)
            size = RECORD.size + len(data) + len(envelope) + len(body)
            batch.size += size
            batch.records += 1
            tally = tallies.get(plan)
            if tally is None:
                tallies[plan] = [1, size]
            else:
                tally[0] += 1
                tally[1] += size
        return batch

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
