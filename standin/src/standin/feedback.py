"""What became of messages to devices, for whoever sent them: records, in batches (iothub_wire.md §4.3)."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from standin.documents import JsonObject
from standin.locked import End, LockedQueue, LockedStore, LockLimits, Settlement, Waiting

CONTENT_TYPE: Final = "application/vnd.microsoft.iothub.feedback.json"
BATCH_RECORDS: Final = 64
BATCH_S: Final = 15.0
"""A batch leaves when it has as many records, or this long after the first of them."""
MAX_BATCHES: Final = 1_000
"""Batches that nobody has read; the oldest goes then."""
_LIFE_S: Final = 3_600.0
_PENDING: Final = "feedback pending"
_BATCHES: Final = "feedback"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecord:
    """The end of one message."""

    message_id: str
    ended_at: float
    end: End
    device: str
    generation: str

    def to_json(self) -> JsonObject:
        """As the service side reads it."""
        return {
            "originalMessageId": self.message_id,
            "enqueuedTimeUtc": format_utc(self.ended_at),
            "statusCode": self.end.value,
            "description": self.end.value,
            "deviceId": self.device,
            "deviceGenerationId": self.generation,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackBatch:
    """Records that a reader has taken; `body` is the JSON array of them."""

    lock_token: uuid.UUID
    sequence_number: int
    enqueued_at: float
    delivery_count: int
    body: bytes

    def records(self) -> list[JsonObject]:
        """What is in it."""
        found: list[JsonObject] = orjson.loads(self.body)
        return found


class Feedback:
    """The feedback of one hub. Whoever reads it watches, takes a batch, and settles it."""

    def __init__(self, store: LockedStore, *, batch_s: float = BATCH_S) -> None:
        self._store = store
        self._batch_s = batch_s
        self._watchers: list[Callable[[], None]] = []
        limits = LockLimits(max_waiting=MAX_BATCHES)
        self._pending: list[Waiting] = store.read(_PENDING)
        self._batches = LockedQueue(_BATCHES, store, limits, left=lambda *_: None, back=self._tell)
        self._timer: asyncio.TimerHandle | None = None
        if self._pending:
            self._wait()

    def add(self, record: FeedbackRecord) -> None:
        """Keep a record; it leaves with the next batch."""
        body = orjson.dumps(record.to_json())
        self._pending.append(self._store.append(_PENDING, head=b"", body=body, expires_at=0))
        if len(self._pending) >= BATCH_RECORDS:
            self.flush()
        elif self._timer is None:
            self._wait()

    def flush(self) -> None:
        """Make a batch of what there is, without waiting for more."""
        self.close_timer()
        records, self._pending = self._pending, []
        if not records:
            return
        if len(self._batches) >= MAX_BATCHES:
            self._batches.remove_oldest()
        body = b"[" + b",".join(record.body for record in records) + b"]"
        self._batches.put(b"", body, self._store.clock() + _LIFE_S)
        for record in records:
            self._store.delete(_PENDING, record)
        self._tell()

    def lock(self, holder: object = None) -> FeedbackBatch | None:
        """Take the oldest batch that nobody has; None if there is none."""
        message = self._batches.lock(holder)
        if message is None:
            return None
        assert message.lock_token is not None
        return FeedbackBatch(
            lock_token=message.lock_token,
            sequence_number=message.sequence,
            enqueued_at=message.enqueued_at,
            delivery_count=message.delivery_count,
            body=message.body,
        )

    def settle(self, lock_token: uuid.UUID, settlement: Settlement) -> None:
        """Say what became of a batch. Raises HubError if its lock is lost."""
        self._batches.settle(lock_token, settlement)

    def put_back(self, lock_token: uuid.UUID) -> None:
        """It could not be sent now, and was not delivered in vain."""
        self._batches.put_back(lock_token)

    def release(self, holder: object) -> None:
        """A reader is gone: its locks are lost."""
        self._batches.release(holder)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call this when there may be a batch to take."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """No more."""
        self._watchers.remove(watcher)

    def close(self) -> None:
        """No more timers."""
        self.close_timer()
        self._batches.close()

    def close_timer(self) -> None:
        """Nobody waits for more records."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._batch_s, self.flush)

    def _tell(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()


def format_utc(at: float) -> str:
    """A time as the service side reads it: ISO 8601 in UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
