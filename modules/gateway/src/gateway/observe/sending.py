"""Events of sending less: what was made of messages, and what could not be kept."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class MadeOf(Enum):
    """What messages were made into."""

    BATCH = "batch"
    AGGREGATE = "aggregate"


@dataclass(frozen=True, slots=True)
class MessagesMade(Event):
    """Messages that the gateway made of others, as the `send` of a route says, and has stored."""

    METRIC: ClassVar[str] = "gateway_made_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("kind",)

    kind: MadeOf
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages made: {self.kind.value}"


@dataclass(frozen=True, slots=True)
class SendingNotKept(Event):
    """What a route has counted of its windows could not be written; it waits in the store until it can."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unkept_windows_total"

    route: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"what route '{self.route}' has counted could not be written ({self.error}). Its messages wait in the "
            "store, and it is tried again; make room on the disk"
        )


@dataclass(frozen=True, slots=True)
class SendingNotRead(Event):
    """What a route had counted before the start cannot be read: those windows are sent without it."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_unreadable_windows_total"

    file: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{self.file} cannot be read ({self.error}): what it had counted is missing in its windows. It was renamed "
            "to end with .damaged"
        )


@dataclass(frozen=True, slots=True)
class BatchesWithoutSender(Event):
    """Settings in force have a route whose batches go as the gateway's module, which has no way upstream here."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_batches_without_sender_total"

    route: str
    module: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"batches of route '{self.route}' are of all devices and go as '{self.module}', and this gateway has only "
            'the way on behalf of devices: they wait until their time to live ends. Write "per": "device" into its '
            "batch, or set GATEWAY_UPSTREAM to edgehub"
        )
