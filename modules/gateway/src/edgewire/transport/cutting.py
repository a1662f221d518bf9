"""Output taken apart before TLS, for boards that lose the rest of a record when they answer the first half of it.

axTLS has one buffer for both ways: what of a record was not read yet is overwritten by the next write. So each packet
travels in a record of its own.
"""

from collections.abc import Callable, Iterable

from edgewire.transport.pump import Wire

Cutter = Callable[[bytes], Iterable[bytes]]
"""What a session gave at once, in the pieces that are written one by one."""


class CutWire:
    """A connection as its pump sees it, where each piece of output is a write, and so a record, of its own."""

    __slots__ = ("_cut", "_wire", "abort", "close", "crash", "pause_reading", "resume_reading", "wake_at")

    def __init__(self, wire: Wire, cut: Cutter) -> None:
        self._wire = wire
        self._cut = cut
        self.close = wire.close
        self.abort = wire.abort
        self.crash = wire.crash
        self.pause_reading = wire.pause_reading
        self.resume_reading = wire.resume_reading
        self.wake_at = wire.wake_at

    @property
    def buffered(self) -> int:
        """Bytes not yet taken by the socket."""
        return self._wire.buffered

    def write(self, data: bytes) -> None:
        """Send, piece by piece."""
        for piece in self._cut(data):
            self._wire.write(piece)
