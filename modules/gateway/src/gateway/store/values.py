"""What the store takes and gives: limits, results, entries, status."""

from dataclasses import dataclass
from enum import Enum

from edgewire.message import Endpoint, Message

MAX_QUEUES = 1000
"""Endpoints times priorities that may have messages at one time; the checkpoint file has room for so many."""


class WhenFull(Enum):
    """What gives way when `max_bytes` is reached; the values are those of the settings."""

    REFUSE = "refuse"
    """New messages are not taken, so devices wait and keep them."""
    DROP_OLDEST = "dropOldest"
    """The oldest segment goes, with what nobody has taken yet."""


class AppendResult(Enum):
    """What became of a batch. Only STORED may be acknowledged to a device."""

    STORED = "stored"
    FULL = "full"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Every bound of the store. A segment is at most a quarter of `max_bytes`, so that space can come back."""

    max_bytes: int = 1 << 30
    when_full: WhenFull = WhenFull.REFUSE
    segment_bytes: int = 16 << 20
    max_batch_bytes: int = 1 << 20
    """A commit that has so much takes no more appends. A reader's queue holds one batch in memory."""
    max_uncommitted_bytes: int = 32 << 20
    """What may wait for the disk in memory; beyond it appends are refused as FULL."""
    max_taken_messages: int = 65_536
    max_taken_bytes: int = 64 << 20
    """What a reader's queue may hold taken and unsettled; beyond it `take` gives no more."""
    checkpoint_s: float = 1.0
    """How long settled positions may stay unwritten; after a crash so much may be sent twice."""
    sweep_s: float = 30.0
    """How often expired messages that nobody reads are looked for."""

    def effective_segment_bytes(self) -> int:
        """The size of a new segment: as set, but at most a quarter of the cap and at least 4 KiB."""
        return max(min(self.segment_bytes, self.max_bytes // 4), 4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message taken by a reader, to be settled once the next one answers for it."""

    store_id: str
    sequence: int
    message: Message
    endpoint: Endpoint
    priority: int
    received_at_ms: int
    expires_at_ms: int | None
    size: int

    @property
    def entry_id(self) -> str:
        """The same for this message for ever: across restarts, resends and endpoints."""
        return f"{self.store_id}-{self.sequence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """What waits for one endpoint at one priority."""

    endpoint: Endpoint
    priority: int
    messages: int
    bytes: int
    oldest_at_ms: int | None


class StoreState(Enum):
    """Whether the store takes messages."""

    READY = "ready"
    FULL = "full"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The store at one moment."""

    state: StoreState | None
    """None where it is not known: the status was read from the files, not asked of the gateway."""
    queues: tuple[QueueStatus, ...]
    segments: int
    bytes: int
    max_bytes: int | None
    when_full: WhenFull | None
    next_sequence: int
    set_aside_files: int = 0
    set_aside_bytes: int = 0

    @property
    def messages(self) -> int:
        """Deliveries that wait: a message for two endpoints counts twice."""
        return sum(queue.messages for queue in self.queues)
