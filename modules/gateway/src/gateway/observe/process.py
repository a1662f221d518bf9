"""Events of the process that the gateway is."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


@dataclass(frozen=True, slots=True)
class OpenFilesLimited(Event):
    """The system allows fewer open files than GATEWAY_MAX_CONNECTIONS needs; devices above that cannot connect."""

    LEVEL: ClassVar[Level] = Level.WARNING

    limit: int
    connections: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"this system allows the gateway {self.limit} open files, too few for {self.connections} connections: "
            "devices above that cannot connect. Raise the container's limit (HostConfig.Ulimits, nofile), or lower "
            "GATEWAY_MAX_CONNECTIONS"
        )


class StuckPart(Enum):
    """What of the gateway made no progress."""

    EVENT_LOOP = "event_loop"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class GatewayStuck(Event):
    """The gateway made no progress for GATEWAY_WATCHDOG_SECS and ended itself; the agent starts it again."""

    LEVEL: ClassVar[Level] = Level.ERROR

    part: StuckPart
    for_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        what = {
            StuckPart.EVENT_LOOP: "its event loop has not turned",
            StuckPart.STORE: "a write of the message store has not come back from the disk",
        }[self.part]
        advice = {
            StuckPart.EVENT_LOOP: "Report what follows on stderr: where each thread stood",
            StuckPart.STORE: "Check the disk (dmesg, a network mount, a worn SD card)",
        }[self.part]
        return (
            f"the gateway is stuck and ends itself: {what} for {self.for_s:g} s. What was acknowledged is on disk. "
            f"{advice}; GATEWAY_WATCHDOG_SECS says how long is too long"
        )
