"""Events of dispatch: what was taken in, and what was not."""

from dataclasses import dataclass
from typing import ClassVar

from gateway.observe.events import Event, Level


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
class ConnectionStateNotKept(Event):
    """A device came or went, and the store could not keep the message that tells it: full, or its disk failed."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_lost_connection_states_total"

    def sentence(self) -> str:
        """What a person reads in the log."""
        return "a message that tells that a device came or went was not kept: the store is full, or its disk failed"
