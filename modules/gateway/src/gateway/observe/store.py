"""What the message store says."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class RefusalReason(Enum):
    """Why messages were not taken."""

    BYTE_CAP = "byte_cap"
    DISK_FULL = "disk_full"
    WAITING_FOR_DISK = "waiting_for_disk"
    TOO_MANY_QUEUES = "too_many_queues"
    FAILED = "failed"


REASONS = {
    RefusalReason.BYTE_CAP: "storeAndForward.maxBytes is reached",
    RefusalReason.DISK_FULL: "the disk is full",
    RefusalReason.WAITING_FOR_DISK: "more messages wait for the disk than memory is set aside for",
    RefusalReason.TOO_MANY_QUEUES: "routes name more endpoints and priorities than the store has queues",
    RefusalReason.FAILED: "the disk refuses writes",
}


@dataclass(frozen=True, slots=True)
class StoreOpened(Event):
    """The store is ready."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_store_opened_total"

    messages: int
    bytes: int
    segments: int

    def sentence(self) -> str:
        """See Event."""
        return f"message store opened: {self.messages} deliveries wait, {self.bytes} bytes in {self.segments} segments"


@dataclass(frozen=True, slots=True)
class StoreTailCut(Event):
    """A batch was being written when the gateway or the machine stopped; nobody had been told it was safe."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_store_cut_bytes_total"

    file: str
    count: int

    def sentence(self) -> str:
        """See Event."""
        return (
            f"message store: {self.count} bytes cut from the end of {self.file}. They were being written when the "
            "gateway stopped and had not been acknowledged, so nothing is lost"
        )


@dataclass(frozen=True, slots=True)
class StoreFull(Event):
    """The store began to refuse messages."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_store_full_episodes_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    reason: RefusalReason
    error: str = ""

    def sentence(self) -> str:
        """See Event."""
        detail = f" ({self.error})" if self.error else ""
        return (
            f"message store: {REASONS[self.reason]}{detail}. New messages are refused, unacknowledged, until space "
            "comes back; what is stored goes on being sent. `gateway store status` says what waits for which endpoint"
        )


@dataclass(frozen=True, slots=True)
class StoreFailed(Event):
    """A write or sync failed; the store began to refuse messages."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_store_failures_total"

    error: str

    def sentence(self) -> str:
        """See Event."""
        return (
            f"message store: writing failed ({self.error}). The messages concerned were not acknowledged and are not "
            "kept; each new one tries again with a new file. Check the disk (dmesg, free space, read-only mount)"
        )


@dataclass(frozen=True, slots=True)
class StoreTakesAgain(Event):
    """The store takes messages again."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_store_recoveries_total"

    def sentence(self) -> str:
        """See Event."""
        return "message store: takes messages again"


@dataclass(frozen=True, slots=True)
class MessagesRefused(Event):
    """Messages were not taken and not acknowledged: devices send again what they sent with QoS 1."""

    METRIC: ClassVar[str] = "gateway_store_refused_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    reason: RefusalReason
    count: int

    def sentence(self) -> str:
        """See Event."""
        return f"message store: {self.count} messages refused: {REASONS[self.reason]}"


@dataclass(frozen=True, slots=True)
class MessagesExpired(Event):
    """Messages reached the end of their time to live before their endpoint took them."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_store_expired_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("endpoint",)

    endpoint: str
    count: int

    def sentence(self) -> str:
        """See Event."""
        return (
            f"message store: {self.count} messages for {self.endpoint} expired before it took them "
            "(timeToLiveSecs of the route or of storeAndForward)"
        )


@dataclass(frozen=True, slots=True)
class MessagesDropped(Event):
    """The oldest messages gave way to new ones, as whenFull says."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_store_dropped_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("endpoint",)

    endpoint: str
    count: int

    def sentence(self) -> str:
        """See Event."""
        return (
            f"message store: the {self.count} oldest messages for {self.endpoint} were dropped to make room "
            "(storeAndForward: maxBytes is reached and whenFull is dropOldest)"
        )


@dataclass(frozen=True, slots=True)
class CheckpointFailed(Event):
    """Positions could not be written, or space not be given back; it is tried again."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_store_checkpoint_failures_total"

    error: str

    def sentence(self) -> str:
        """See Event."""
        return (
            f"message store: the checkpoint could not be written ({self.error}). Nothing is lost; after a restart what "
            "was sent since the last one would be sent again. Space comes back once it can be written"
        )


@dataclass(frozen=True, slots=True)
class StoreDamageFound(Event):
    """Bytes that were safe on disk cannot be read any more."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_store_damages_total"

    what: str

    def sentence(self) -> str:
        """See Event."""
        return f"message store: {self.what}"
