"""Links that send to an Event Hub of the namespace: where they lead, what they may send, when it is answered.

`{entity}` spreads what has no partition key over the partitions, `{entity}/Partitions/{n}` names one, and with
`{entity}/Publishers/{id}` the publisher is the key. Spec: iothub_wire.md §2.4, §6.
"""

import asyncio
import re
from typing import Final, NamedTuple

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, read_batch, read_message
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub.partitions import partition_of_key
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from standin.amqp_nodes import AmqpLine, Attached, Need
from standin.eventhub_addresses import path_of
from standin.faults import Refusal
from standin.hub import Hub
from standin.namespace import OwnEventHub

MAX_EVENT_BYTES: Final = 1_048_576
"""One transfer, batch or not: the standard tier's limit."""
SENDER_CREDIT: Final = 300
MAX_KEY_CHARS: Final = 128
"""Of a partition key; Event Hubs' own limit."""
_KEY: Final = "x-opt-partition-key"
_NOTED: Final = ("x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time")
_ADDRESS: Final = re.compile(r"([^/]+)(?:/(Partitions|Publishers)/([^/]+))?", re.IGNORECASE)
_REFUSED: Final = {
    Refusal.THROTTLED: Rejected(
        Error(condition=conditions.SERVER_BUSY, description="The request was terminated because the entity is busy")
    ),
    Refusal.OVER_QUOTA: Rejected(Error(condition=conditions.QUOTA_EXCEEDED, description="the quota is used up")),
}


class SenderAddress(NamedTuple):
    """Where a sender's link leads."""

    entity: str
    partition: str | None = None
    publisher: str | None = None

    @property
    def below(self) -> tuple[str, ...]:
        """What stands behind the entity, as a token may name it."""
        if self.partition is not None:
            return "Partitions", self.partition
        return () if self.publisher is None else ("Publishers", self.publisher)


def parse_sender(text: str) -> SenderAddress | None:
    """The parts of the address that a link sends to; None for any other."""
    found = _ADDRESS.fullmatch(path_of(text))
    if found is None:
        return None
    entity, kind, name = found.groups()
    if kind is None:
        return SenderAddress(entity)
    is_partition = kind.lower() == "partitions"
    return SenderAddress(entity, name if is_partition else None, None if is_partition else name)


class Sender(Attached):
    """One link that sends. `partition`: the one that its address names, None for any; `publisher`: likewise."""

    __slots__ = ("_entity", "_hub", "_line", "_link", "_next", "_partition", "_publisher")

    def __init__(
        self,
        hub: Hub,
        line: AmqpLine,
        link: Link,
        *,
        need: Need,
        entity: OwnEventHub,
        partition: int | None,
        publisher: str | None,
    ) -> None:
        super().__init__(need)
        self._hub = hub
        self._line = line
        self._link = link
        self._entity = entity
        self._partition = partition
        self._publisher = publisher
        self._next = 0
        """The partition of what comes next without a key."""

    def begin(self) -> None:
        """Accept the link."""
        self._line.session.accept_link(self._link, credit=SENDER_CREDIT, max_message_size=MAX_EVENT_BYTES)

    def take(self, event: MessageReceived) -> None:
        """A transfer: kept whole, or refused whole."""
        session, faults = self._line.session, self._hub.faults
        if faults.refusal is not None:
            self._hub.counters["messages refused on purpose"] += 1
            session.settle(self._link, (event.delivery_id,), _REFUSED[faults.refusal])
        else:
            try:
                count = self._keep(event)
            except ProtocolError as error:
                self._reject(event, error)
            else:
                self._kept(event.delivery_id, count)
        session.grant(self._link, SENDER_CREDIT)

    def _keep(self, event: MessageReceived) -> int:
        if len(event.payload) > MAX_EVENT_BYTES:
            what = f"the transfer has {len(event.payload)} bytes; the limit is {MAX_EVENT_BYTES}"
            raise ProtocolError(what, reply=conditions.MESSAGE_SIZE_EXCEEDED)
        is_batch = event.message_format == MESSAGE_FORMAT_BATCH
        payloads = read_batch(event.payload) if is_batch else [event.payload]
        if not payloads:
            raise ProtocolError("the batch is empty", reply=conditions.ARGUMENT_ERROR)
        keys = {_key_of(payload) for payload in payloads}
        log = self._entity.log
        partition = self._choose(keys)
        log.append(partition, payloads)
        self._hub.counters[f"events kept in {self._entity.name}"] += len(payloads)
        self._hub.note(f"{len(payloads)} events in partition {partition} of {self._entity.name}")
        return len(payloads)

    def _choose(self, keys: set[str | None]) -> int:
        partitions = self._entity.log.partitions
        if self._partition is not None:
            return self._partition
        if self._publisher is not None:
            return partition_of_key(self._publisher, partitions)
        if len(keys) > 1:
            what = "the events of a batch have different partition keys, and the link names no partition"
            raise ProtocolError(what, reply=conditions.ARGUMENT_ERROR)
        (key,) = keys
        if key is not None:
            return partition_of_key(key, partitions)
        self._next = (self._next + 1) % partitions
        return self._next

    def _kept(self, delivery_id: int, count: int) -> None:
        """Answer, as the faults in force have it."""
        faults = self._hub.faults
        if faults.drops_with(count):
            asyncio.get_running_loop().call_soon(self._hub.drop_connections)
        elif faults.acknowledgement_delay_s:
            asyncio.get_running_loop().call_later(faults.acknowledgement_delay_s, self._accept, delivery_id)
        else:
            self._accept(delivery_id)

    def _accept(self, delivery_id: int) -> None:
        if self._line.is_closing or not self._link.attached or self._hub.faults.stalled:
            return
        if not self._hub.faults.loses_acknowledgement():
            self._line.session.settle(self._link, (delivery_id,), ACCEPTED)
            self._line.flush_soon()

    def _reject(self, event: MessageReceived, error: ProtocolError) -> None:
        condition = error.reply if isinstance(error.reply, Symbol) else conditions.ARGUMENT_ERROR
        self._hub.counters["messages refused: malformed"] += 1
        self._hub.note(f"refused what was sent to {self._entity.name}: {error}")
        rejected = Rejected(Error(condition=condition, description=error.what))
        self._line.session.settle(self._link, (event.delivery_id,), rejected)


def _key_of(payload: bytes) -> str | None:
    """The partition key of an event. Raises ProtocolError for one that cannot be read, or says what others note."""
    annotations = read_message(payload).message_annotations or {}
    forged = [name for name in _NOTED if name in annotations]
    if forged:
        raise ProtocolError(f"only the service notes {forged[0]}", reply=conditions.ARGUMENT_ERROR)
    key = annotations.get(_KEY)
    if key is not None and (not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARS):
        raise ProtocolError(f"a partition key is a text of 1 to {MAX_KEY_CHARS}", reply=conditions.ARGUMENT_ERROR)
    return key
