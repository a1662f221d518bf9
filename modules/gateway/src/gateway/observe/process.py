"""Events of the process that the gateway is."""

from dataclasses import dataclass
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
