"""What waits to be written, in order; dispositions that follow each other become one range."""

from dataclasses import replace

from edgewire.codec.amqp.frames import write_frame
from edgewire.codec.amqp.performatives import Close, DeliveryState, Detach, Disposition, End, Error, Performative
from edgewire.session.amqp.serial import MASK

_Verdict = tuple[int, bool, bool, DeliveryState | None]
"""Channel, role, settled and state: what dispositions must share to become one."""


class Outbox:
    """Frames of one connection that have not been taken yet. No frame but a disposition is larger than `max_frame`."""

    __slots__ = ("_first", "_last", "_parts", "_verdict", "max_frame")

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self._parts: list[bytes] = []
        self._verdict: _Verdict | None = None
        self._first = 0
        self._last = 0

    def put(self, data: bytes) -> None:
        """Bytes as they are: a header, an empty frame, a frame written elsewhere."""
        if self._verdict is not None:
            self._write_disposition()
        self._parts.append(data)

    def frame(self, channel: int, performative: Performative) -> bool:
        """A frame; False if it is larger than the peer takes, which for an error costs its description only."""
        data = write_frame(channel, performative)
        if len(data) > self.max_frame and isinstance(performative, Close | End | Detach) and performative.error:
            bare = Error(condition=performative.error.condition)
            data = write_frame(channel, replace(performative, error=bare))
        if len(data) > self.max_frame:
            return False
        self.put(data)
        return True

    def disposition(
        self, channel: int, *, receiver: bool, first: int, last: int, settled: bool, state: DeliveryState | None
    ) -> None:
        """A verdict over a range of deliveries; it grows as long as the next range begins where it ends."""
        verdict = (channel, receiver, settled, state)
        if self._verdict is not None:
            if first == self._last + 1 & MASK and verdict == self._verdict:
                self._last = last
                return
            self._write_disposition()
        self._verdict = verdict
        self._first = first
        self._last = last

    def take(self) -> bytes:
        """All of it; given once."""
        if self._verdict is not None:
            self._write_disposition()
        parts = self._parts
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return data

    def _write_disposition(self) -> None:
        assert self._verdict is not None
        channel, receiver, settled, state = self._verdict
        self._verdict = None
        last = None if self._last == self._first else self._last
        disposition = Disposition(role=receiver, first=self._first, last=last, settled=settled, state=state)
        self._parts.append(write_frame(channel, disposition))
