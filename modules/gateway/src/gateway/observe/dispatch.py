"""Events of dispatch: what was taken in, and what was not."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class NotKept(Enum):
    """Why a message that was properly sent is not on disk."""

    STORE_FULL = "store_full"
    STORE_FAILED = "store_failed"


@dataclass(frozen=True, slots=True)
class MessagesReceived(Event):
    """Messages of devices and modules that were taken in, before routing."""

    METRIC: ClassVar[str] = "gateway_received_messages_total"

    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages received"


@dataclass(frozen=True, slots=True)
class MessagesUnrouted(Event):
    """Messages that no route matched: acknowledged and gone, as the routes say."""

    METRIC: ClassVar[str] = "gateway_unrouted_messages_total"

    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages matched no route and end here"


@dataclass(frozen=True, slots=True)
class MessagesNotKept(Event):
    """Messages that were not acknowledged, because the store could not keep them."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_not_kept_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    reason: NotKept
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{self.count} messages were not acknowledged: {self.reason.value.replace('_', ' ')}. Their devices keep "
            "them and send again; `gateway store status` shows what fills the disk"
        )
