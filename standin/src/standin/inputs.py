"""Messages on their way to module inputs: kept until the module has acknowledged them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from edgewire.message import Endpoint, Identity, Message, identity
from standin.documents import open_database
from standin.journal import Statement

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS deliveries (
    delivery INTEGER PRIMARY KEY, device TEXT NOT NULL, module TEXT NOT NULL, input TEXT NOT NULL,
    properties BLOB NOT NULL, system BLOB NOT NULL, body BLOB NOT NULL
)
"""
MAX_WAITING: Final = 10_000
"""Messages waiting for one module; what comes on top is refused: its sender is closed, unacknowledged."""
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message for one input; `system` names the sender."""

    number: int
    target: Identity
    input: str
    properties: Mapping[str, str | None]
    system: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Queue:
    waiting: deque[Delivery] = field(default_factory=deque)
    taken: dict[int, Delivery] = field(default_factory=dict)
    messages: int = 0
    size: int = 0


class Inputs:
    """The queues of all modules, oldest message first. Who connects for a module takes from its queue."""

    def __init__(self, path: Path) -> None:
        self._queues: dict[Identity, _Queue] = {}
        connection = open_database(path)
        connection.execute(SCHEMA)
        rows = connection.execute("SELECT * FROM deliveries ORDER BY delivery")
        deliveries = [_from_row(row) for row in rows]
        connection.close()
        self._numbered = deliveries[-1].number if deliveries else 0
        for delivery in deliveries:
            self._reserve(delivery)
            self.committed(delivery)

    def waiting(self, target: Identity) -> int:
        """How many messages this module has not acknowledged."""
        queue = self._queues.get(target)
        return 0 if queue is None else queue.messages

    def number(self, device: str, endpoint: Endpoint, message: Message) -> tuple[Delivery, Statement] | None:
        """The next delivery and the statement that keeps it, or None if this module's queue is full."""
        target = identity(device, endpoint.name)
        queue = self._queue(target)
        if queue.messages >= MAX_WAITING or queue.size + len(message.body) > MAX_WAITING_BYTES:
            return None
        self._numbered += 1
        delivery = Delivery(
            number=self._numbered,
            target=target,
            input=endpoint.input or "",
            properties=message.envelope.properties,
            system=message.envelope.system,
            body=message.body,
        )
        self._reserve(delivery)
        return delivery, ("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?)", _to_row(delivery))

    def committed(self, delivery: Delivery) -> None:
        """Its statement is on disk: it may be taken."""
        self._queue(delivery.target).waiting.append(delivery)

    def abandoned(self, delivery: Delivery) -> None:
        """Its statement was not kept: it never was."""
        self._forget(delivery)

    def take(self, target: Identity) -> Delivery | None:
        """The oldest that nobody has taken, or None."""
        queue = self._queue(target)
        if not queue.waiting:
            return None
        delivery = queue.waiting.popleft()
        queue.taken[delivery.number] = delivery
        return delivery

    def put_back(self, delivery: Delivery) -> None:
        """It could not be sent now: it is the next one again."""
        queue = self._queue(delivery.target)
        del queue.taken[delivery.number]
        queue.waiting.appendleft(delivery)

    def settle(self, delivery: Delivery) -> Statement:
        """The module has acknowledged it. Returns the statement that forgets it."""
        del self._queue(delivery.target).taken[delivery.number]
        self._forget(delivery)
        return ("DELETE FROM deliveries WHERE delivery = ?", (delivery.number,))

    def drop(self, target: Identity) -> Statement:
        """The module is no more. Returns the statement that forgets all that waited for it."""
        self._queues.pop(target, None)
        return ("DELETE FROM deliveries WHERE device = ? AND module = ?", (target.device, target.module))

    def release(self, target: Identity) -> None:
        """The module's connection is gone: what it had taken waits again, in its old order."""
        queue = self._queue(target)
        queue.waiting.extendleft(reversed(queue.taken.values()))
        queue.taken.clear()

    def _queue(self, target: Identity) -> _Queue:
        return self._queues.setdefault(target, _Queue())

    def _reserve(self, delivery: Delivery) -> None:
        queue = self._queue(delivery.target)
        queue.messages += 1
        queue.size += len(delivery.body)

    def _forget(self, delivery: Delivery) -> None:
        queue = self._queue(delivery.target)
        queue.messages -= 1
        queue.size -= len(delivery.body)


def _to_row(delivery: Delivery) -> tuple[object, ...]:
    return (
        delivery.number,
        delivery.target.device,
        delivery.target.module,
        delivery.input,
        orjson.dumps(dict(delivery.properties)),
        orjson.dumps(dict(delivery.system)),
        delivery.body,
    )


def _from_row(row: tuple[int, str, str, str, bytes, bytes, bytes]) -> Delivery:
    number, device, module, input_name, properties, system, body = row
    return Delivery(
        number=number,
        target=identity(device, module),
        input=input_name,
        properties=orjson.loads(properties),
        system=orjson.loads(system),
        body=body,
    )
