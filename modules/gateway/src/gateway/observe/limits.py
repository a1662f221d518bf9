"""Events of devices that send more than the settings allow them."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class Limit(Enum):
    """What of the section `limits` a device has used up."""

    MESSAGES_PER_SECOND = "messages_per_second"
    BYTES_PER_SECOND = "bytes_per_second"
    MESSAGES_PER_DAY = "messages_per_day"


class WhenOver(Enum):
    """What becomes of a device that sends more; the values are those of the settings."""

    SLOW = "slow"
    """It is not read from until it may send again: nothing is lost, it waits."""
    REFUSE = "refuse"
    """What is above is refused, unacknowledged, as IoT Hub refuses it."""


SAYS = {
    Limit.MESSAGES_PER_SECOND: "messages in a second",
    Limit.BYTES_PER_SECOND: "bytes in a second",
    Limit.MESSAGES_PER_DAY: "messages today (UTC)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLimited(Event):
    """A device is at what the section `limits` allows it; told once a minute while it goes on."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_limited_devices_total"
    LABELS: ClassVar[tuple[str, ...]] = ("limit", "when_over")

    limit: Limit
    when_over: WhenOver
    identity: str
    allowed: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        follows = {
            WhenOver.SLOW: "it is read from more slowly, and loses nothing",
            WhenOver.REFUSE: "what is above is refused, unacknowledged",
        }[self.when_over]
        return (
            f"'{self.identity}' is at its limit of {self.allowed:,.12g} {SAYS[self.limit]}: {follows}. "
            "Let it send less, or raise its 'limits' in the settings document"
        )


@dataclass(frozen=True, slots=True)
class QuotasNotKept(Event):
    """What devices have sent today could not be written; after a restart the day would begin anew for them."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unkept_quotas_total"

    path: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"what devices have sent today cannot be kept in '{self.path}' ({self.error}): after a restart they could "
            "send their messagesPerDay once more. Check the disk"
        )


@dataclass(frozen=True, slots=True)
class QuotasUnreadable(Event):
    """The file of what devices have sent today was damaged; the day begins anew for them."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unreadable_quotas_total"

    path: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"'{self.path}' is of no use ({self.error}): devices may send their messagesPerDay anew from now on. It is "
            "written again; there is nothing to do"
        )
