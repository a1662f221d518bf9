"""What a link to a configured endpoint is: opened once, sent over lane by lane, dropped when anything goes wrong."""

from collections.abc import Sequence
from typing import Protocol

from edgewire.message import DeviceId
from gateway.observe.upstream import LinkFault
from gateway.upstream.proxy import Entry, Sent


class LinkDownError(Exception):
    """The link cannot be built, or is of no use any more; the text says why, for a person, and holds no secret."""

    def __init__(self, fault: LinkFault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason


class EndpointLink(Protocol):
    """One link: `open` it once, `close` it once. All calls are made on the event loop."""

    async def open(self) -> None:
        """Connect, prove who we are, and see that sending is allowed. Raises LinkDownError."""

    def lane_of(self, device: DeviceId) -> int:
        """The lane of this device's messages, the same as long as the link is up: lanes do not wait for each other."""
        ...

    async def send(self, lane: int, entries: Sequence[Entry]) -> Sequence[Sent]:
        """Send the first of these, one at least, in order; return when what became of them is known.

        Once one is released, nothing behind it in the lane has been taken. Raises LinkDownError if the link is lost:
        any of them may have arrived then.
        """
        ...

    async def close(self) -> None:
        """End the link."""
