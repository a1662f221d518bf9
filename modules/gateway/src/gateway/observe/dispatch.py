"""Events of dispatch: what was taken in, what was not, and what became of what the cloud sent down."""

from dataclasses import dataclass
from enum import Enum
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


class HeldBack(Enum):
    """Why a route's `send` let a message not go on."""

    UNCHANGED = "unchanged"
    """The value is what went on last, or within its dead band."""
    TOO_SOON = "too_soon"
    """The last one went on less than `atMostEverySecs` ago."""
    NOT_SAMPLED = "not_sampled"


@dataclass(frozen=True, slots=True)
class MessagesHeldBack(Event):
    """Messages that a route matched and its `send` held back: acknowledged, and not sent by that route."""

    METRIC: ClassVar[str] = "gateway_held_back_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    reason: HeldBack
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages were held back, as their routes say: {self.reason.value.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class ConnectionStateNotKept(Event):
    """A device came or went, and the store could not keep the message that tells it: full, or its disk failed."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_lost_connection_states_total"

    def sentence(self) -> str:
        """What a person reads in the log."""
        return "a message that tells that a device came or went was not kept: the store is full, or its disk failed"


class DeliveryOutcome(Enum):
    """What became of a message to a device."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    EXPIRED = "expired"
    VOID = "void"
    """The way to the cloud was gone before the device had settled it."""


class MethodOutcome(Enum):
    """How a call of a method ended."""

    ANSWERED = "answered"
    NOT_FOUND = "not_found"
    TIMED_OUT = "timed_out"
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    BUSY = "busy"


class IgnoredAnswer(Enum):
    """Why an answer to a method was ignored."""

    UNKNOWN_CALL = "unknown_call"
    """Nobody waits for it: the call was never made, was answered already, or its time was over."""
    FOREIGN_DEVICE = "foreign_device"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class CloudMessagesSettled(Event):
    """Messages to devices that went to somebody who listens, by what became of them."""

    METRIC: ClassVar[str] = "gateway_cloud_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("outcome",)

    outcome: DeliveryOutcome
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages to devices: {self.outcome.value}"


@dataclass(frozen=True, slots=True)
class CloudMessageExpired(Event):
    """A message to a device came after its time was over; the hub is told that it is rejected."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_expired_cloud_messages_total"

    identity: str
    message_id: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"message '{self.message_id}' to '{self.identity}' came when its time was over, and was rejected. If the "
            "hub's clock is right, set the clock of this machine"
        )


@dataclass(frozen=True, slots=True)
class MethodCalls(Event):
    """Calls of methods of devices that have ended."""

    METRIC: ClassVar[str] = "gateway_method_calls_total"
    LABELS: ClassVar[tuple[str, ...]] = ("outcome",)

    outcome: MethodOutcome
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} calls of methods of devices: {self.outcome.value.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class MethodAnswerIgnored(Event):
    """A device answered a method that nobody waits for, or that was called on another."""

    METRIC: ClassVar[str] = "gateway_ignored_method_answers_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    identity: str
    reason: IgnoredAnswer

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"an answer of '{self.identity}' to a method was ignored: {self.reason.value.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class TwinChangeNotKept(Event):
    """A device reported, and the store could not keep the message that tells it: full, or its disk failed."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_lost_twin_changes_total"

    def sentence(self) -> str:
        """What a person reads in the log."""
        return "a message that tells what a device reported was not kept: the store is full, or its disk failed"
