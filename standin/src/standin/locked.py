"""Queues whose messages are locked by whoever takes them, and come back if they are not settled (iothub_wire.md §4.3).

One message at a time per lock, oldest first. What is abandoned, or whose lock is lost, is the next one again and has
been delivered once more in vain; whoever is delivered too often in vain leaves the queue, as does what is too old.
Every change is on disk when the call returns; a lock does not outlive the process, and its end counts for nothing then.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Self

from standin.documents import open_database
from standin.errors import HubError

_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS waiting (
        queue TEXT NOT NULL, sequence INTEGER NOT NULL, enqueued_at REAL NOT NULL, expires_at REAL NOT NULL,
        delivery_count INTEGER NOT NULL, head BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (queue, sequence)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS numbered (queue TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID",
)
_READ: Final = "SELECT queue, sequence, enqueued_at, expires_at, delivery_count, head, body FROM waiting"
_LONGEST_TIMER_S: Final = 3_600.0
"""A clock may be set; no timer trusts it for longer."""


class Settlement(Enum):
    """What a receiver makes of a message."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    ABANDONED = "abandoned"


class End(Enum):
    """Why a message has left its queue; the values are the words of IoT Hub's feedback."""

    SUCCESS = "Success"
    EXPIRED = "Expired"
    DELIVERY_COUNT_EXCEEDED = "DeliveryCountExceeded"
    REJECTED = "Rejected"
    PURGED = "Purged"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockLimits:
    """How long a lock holds, how often a message is delivered, how many may wait."""

    lock_s: float = 60.0
    max_deliveries: int = 10
    max_waiting: int = 50


@dataclass(slots=True, kw_only=True)
class Waiting:
    """One message of a queue; times in seconds since 1970. Its lock is empty while nobody has taken it."""

    sequence: int
    enqueued_at: float
    expires_at: float
    head: bytes
    body: bytes
    delivery_count: int = 0
    """How often it has been delivered in vain."""
    lock_token: uuid.UUID | None = None
    locked_until: float = 0.0
    holder: object = None


class LockedQueue:
    """One queue. `left` hears of everything that leaves it, `back` that something has come back."""

    def __init__(
        self,
        name: str,
        store: "LockedStore",
        limits: LockLimits,
        *,
        left: Callable[[Waiting, End], None],
        back: Callable[[], None],
    ) -> None:
        self._name = name
        self._store = store
        self._limits = limits
        self._left = left
        self._back = back
        self._messages: dict[int, Waiting] = {each.sequence: each for each in store.read(name)}
        self._timer: asyncio.TimerHandle | None = None
        self._watch()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, head: bytes, body: bytes, expires_at: float) -> Waiting:
        """Keep a message. Raises HubError if as many wait as may."""
        self.tick()
        if len(self._messages) >= self._limits.max_waiting:
            raise HubError(403004, f"{len(self._messages)} messages wait already, which is the most there may be")
        message = self._store.append(self._name, head=head, body=body, expires_at=expires_at)
        self._messages[message.sequence] = message
        self._watch()
        return message

    def lock(self, holder: object = None) -> Waiting | None:
        """Take the oldest that nobody has, for as long as a lock holds; None if there is none."""
        self.tick()
        for message in self._messages.values():
            if message.lock_token is None:
                message.lock_token = uuid.uuid4()
                message.locked_until = self._store.clock() + self._limits.lock_s
                message.holder = holder
                self._watch()
                return message
        return None

    def settle(self, lock_token: uuid.UUID, settlement: Settlement) -> None:
        """Say what became of a locked message. Raises HubError if its lock is lost."""
        self.tick()
        message = next((each for each in self._messages.values() if each.lock_token == lock_token), None)
        if message is None:
            raise HubError(412002, "the lock of the message is lost, or never was")
        match settlement:
            case Settlement.COMPLETED:
                self._remove(message, End.SUCCESS)
            case Settlement.REJECTED:
                self._remove(message, End.REJECTED)
            case Settlement.ABANDONED:
                self._unlock(message)
                self._watch()

    def release(self, holder: object) -> None:
        """Who had taken these is gone: their locks are lost."""
        for message in tuple(self._messages.values()):
            if message.lock_token is not None and message.holder is holder:
                self._unlock(message)
        self._watch()

    def put_back(self, lock_token: uuid.UUID) -> None:
        """What was taken could not be sent: it is the next one again, and that counts for nothing."""
        for message in self._messages.values():
            if message.lock_token == lock_token:
                message.lock_token = message.holder = None

    def purge(self) -> int:
        """Remove all. Returns how many there were."""
        messages = tuple(self._messages.values())
        for message in messages:
            self._remove(message, End.PURGED)
        return len(messages)

    def remove_oldest(self) -> None:
        """Make room: what has waited longest leaves as if it were too old."""
        message = next(iter(self._messages.values()), None)
        if message is not None:
            self._remove(message, End.EXPIRED)

    def tick(self) -> None:
        """Look at the clock: locks that are over, messages that are too old."""
        now = self._store.clock()
        for message in tuple(self._messages.values()):
            if message.lock_token is not None and message.locked_until <= now:
                self._unlock(message)
            if message.lock_token is None and message.expires_at <= now and message.sequence in self._messages:
                self._remove(message, End.EXPIRED)

    def close(self) -> None:
        """No more timers; what is on disk stays there, and whoever leaves after this has no locks to lose."""
        self._stop_timer()
        self._messages.clear()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unlock(self, message: Waiting) -> None:
        message.lock_token = message.holder = None
        message.delivery_count += 1
        if message.delivery_count >= self._limits.max_deliveries:
            self._remove(message, End.DELIVERY_COUNT_EXCEEDED)
        else:
            self._store.count(self._name, message)
            # Not at once: whoever is told takes messages in the midst of what goes on here.
            asyncio.get_running_loop().call_soon(self._back)

    def _remove(self, message: Waiting, end: End) -> None:
        del self._messages[message.sequence]
        message.lock_token = message.holder = None
        self._store.delete(self._name, message)
        self._left(message, end)

    def _watch(self) -> None:
        """Look again when the first lock or life is over."""
        self._stop_timer()
        if not self._messages:
            return
        due = min(each.expires_at if each.lock_token is None else each.locked_until for each in self._messages.values())
        left_s = min(max(due - self._store.clock(), 0), _LONGEST_TIMER_S)
        self._timer = asyncio.get_running_loop().call_later(left_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.tick()
        self._watch()


class LockedStore:
    """What the queues of one run directory are kept in."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._connection = open_database(path)
        for statement in _SCHEMA:
            self._connection.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def names(self) -> list[str]:
        """The queues in which something waits."""
        return [name for (name,) in self._connection.execute("SELECT DISTINCT queue FROM waiting")]

    def read(self, queue: str) -> list[Waiting]:
        """What waits in a queue, oldest first."""
        rows = self._connection.execute(f"{_READ} WHERE queue = ? ORDER BY sequence", (queue,))
        return [
            Waiting(
                sequence=sequence,
                enqueued_at=enqueued_at,
                expires_at=expires_at,
                delivery_count=delivery_count,
                head=head,
                body=body,
            )
            for _, sequence, enqueued_at, expires_at, delivery_count, head, body in rows
        ]

    def append(self, queue: str, *, head: bytes, body: bytes, expires_at: float) -> Waiting:
        """Number a message and keep it."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        execute("INSERT INTO numbered VALUES (?, 1) ON CONFLICT (queue) DO UPDATE SET last = last + 1", (queue,))
        ((sequence,),) = execute("SELECT last FROM numbered WHERE queue = ?", (queue,))
        message = Waiting(sequence=sequence, enqueued_at=self.clock(), expires_at=expires_at, head=head, body=body)
        values = (queue, sequence, message.enqueued_at, expires_at, 0, head, body)
        execute("INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        execute("COMMIT")
        return message

    def count(self, queue: str, message: Waiting) -> None:
        """Keep its delivery count."""
        self._connection.execute(
            "UPDATE waiting SET delivery_count = ? WHERE queue = ? AND sequence = ?",
            (message.delivery_count, queue, message.sequence),
        )

    def delete(self, queue: str, message: Waiting) -> None:
        """Forget a message."""
        self._connection.execute("DELETE FROM waiting WHERE queue = ? AND sequence = ?", (queue, message.sequence))

    def drop(self, queue: str) -> None:
        """Forget a queue and its numbers."""
        self._connection.execute("DELETE FROM waiting WHERE queue = ?", (queue,))
        self._connection.execute("DELETE FROM numbered WHERE queue = ?", (queue,))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._connection.close()
