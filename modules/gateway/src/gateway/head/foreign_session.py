"""Which messages of a broker are not acknowledged yet, over breaks of the connection.

A message is acknowledged on the connection that stands when the disk has it. If none does, or another one, the broker
will send the message again: then the repeat is acknowledged and not taken a second time, for its first acknowledgement
never left. Only where an acknowledgement may have been lost on its way does a repeat count as a message of its own.
"""

from dataclasses import dataclass
from typing import Final

from gateway.dispatch.mapped import Publication
from gateway.head.foreign_notes import Digest

OVERHEAD_BYTES: Final = 500
"""What a message takes in memory beside topic and payload, about."""


@dataclass(slots=True, eq=False)
class Heard:
    """A message of the broker, on its way to the disk. `packet_id` is 0 with QoS 0, which nobody acknowledges."""

    publication: Publication
    packet_id: int
    digest: Digest = b""
    connection: int = 0
    """The connection on which its acknowledgement is due, the first is 1."""
    is_stored: bool = False

    @property
    def size(self) -> int:
        """What it takes in memory, about."""
        return len(self.publication.payload) + 2 * len(self.publication.topic) + OVERHEAD_BYTES


class Session:
    """The session that the broker keeps under our client id, as far as it concerns us."""

    def __init__(self) -> None:
        self._open: dict[int, Heard] = {}
        self._due: list[int] = []
        self._connection = 0
        self.is_up = False
        self.unanswered = 0
        """Messages that were handed on, and of which nothing is known yet."""
        self.unanswered_bytes = 0

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker will send again if the connection breaks now."""
        return len(self._open)

    def begin(self, *, present: bool) -> None:
        """A connection stands; with `present` the broker goes on where the last one ended."""
        self._connection += 1
        self.is_up = True
        self._due.clear()
        if not present:
            self._open.clear()

    def end(self) -> None:
        """The connection is gone."""
        self.is_up = False
        self._due.clear()

    def hear(self, heard: Heard) -> None:
        """A message is handed on."""
        heard.connection = self._connection
        self.unanswered += 1
        self.unanswered_bytes += heard.size
        if heard.packet_id:
            self._open[heard.packet_id] = heard

    def is_repeat(self, packet_id: int, digest: Digest) -> bool:
        """Whether what came with DUP is here and was never acknowledged. It will be, on this connection."""
        known = self._open.get(packet_id)
        if known is None or known.digest != digest:
            return False
        known.connection = self._connection
        if known.is_stored:
            self._acknowledge(known)
        return True

    def settle(self, heard: Heard) -> None:
        """It is on disk, or will never be taken."""
        self.unanswered -= 1
        self.unanswered_bytes -= heard.size
        heard.is_stored = True
        if self.is_up and heard.connection == self._connection and self._open.get(heard.packet_id) is heard:
            self._acknowledge(heard)

    def take_due(self) -> list[int]:
        """The packet ids to acknowledge now, in the order of their messages."""
        due, self._due = self._due, []
        return due

    def _acknowledge(self, heard: Heard) -> None:
        del self._open[heard.packet_id]
        self._due.append(heard.packet_id)
