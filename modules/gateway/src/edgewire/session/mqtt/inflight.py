"""QoS 1 messages of ours that the peer has not acknowledged. Spec: MQTT 3.1.1 §2.3.1, §4.4; MQTT 5 §2.2.1, §4.9."""

from typing import Final

from edgewire.errors import UsageError

_LAST: Final = 65_535


class InFlight:
    """Packet identifiers in use, at most `window` of them."""

    __slots__ = ("_last", "_used", "_window")

    def __init__(self, window: int) -> None:
        self._window = min(window, _LAST)
        self._used: set[int] = set()
        self._last = 0

    @property
    def free(self) -> int:
        """How many more may be sent now."""
        return max(0, self._window - len(self._used))

    def take(self) -> int | None:
        """A packet identifier that is not in use, from now on in use; None if the window is used up."""
        if not self.free:
            return None
        packet_id = self._last
        while True:
            packet_id = packet_id % _LAST + 1
            if packet_id not in self._used:
                break
        self._used.add(packet_id)
        self._last = packet_id
        return packet_id

    def take_again(self, packet_id: int) -> int | None:
        """The same for a message that is sent again and must keep its identifier (MQTT311-4.4.0-1, MQTT5-4.4.0-1)."""
        if packet_id in self._used or not 1 <= packet_id <= _LAST:
            raise UsageError(f"packet identifier {packet_id} is in use, or is none")
        if not self.free:
            return None
        self._used.add(packet_id)
        self._last = max(self._last, packet_id)
        return packet_id

    def release(self, packet_id: int) -> bool:
        """The peer acknowledged it; False if it was not in use."""
        if packet_id not in self._used:
            return False
        self._used.remove(packet_id)
        return True
