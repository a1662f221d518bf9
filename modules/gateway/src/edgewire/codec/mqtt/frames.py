"""What a peer may send, and the packets of a byte stream. Spec: MQTT 3.1.1 §2.2, MQTT 5 §2.1.

A packet is refused from its fixed header: what may come (type, flags) and how long it may be stand in one table by the
first byte, so that nothing of a refused packet is stored.
"""

from collections.abc import Iterable
from typing import Final

from edgewire.codec.mqtt.packets import PacketType
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.codec.mqtt.wire import MAX_VARINT, malformed, violation, write_varint
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.packets import Frame, read_varint, split

_REFUSED: Final = -1

_MQTT3_SIZES: Final = {
    PacketType.CONNACK: 2,
    PacketType.PUBACK: 2,
    PacketType.PUBREC: 2,
    PacketType.PUBREL: 2,
    PacketType.PUBCOMP: 2,
    PacketType.UNSUBACK: 2,
    PacketType.DISCONNECT: 0,
}
"""Packets of one size in MQTT 3."""

_FIXED_FLAGS: Final = {PacketType.PUBREL: 2, PacketType.SUBSCRIBE: 2, PacketType.UNSUBSCRIBE: 2}
"""Flags that are reserved with a value other than 0. Spec: MQTT311-2.2.2-1, MQTT5-2.1.3-1."""


def flags_allowed(kind: PacketType, level: int) -> frozenset[int]:
    """The flags that a packet of this type may have."""
    if kind is PacketType.PUBLISH:
        # QoS 3 is none (3.3.1-4); QoS 0 is never sent again, so it has no DUP (3.3.1-2).
        return frozenset({0, 1, *range(2, 6), *range(10, 14)})
    flags = _FIXED_FLAGS.get(kind, 0)
    if level == 3 and flags:
        # MQTT 3.1 §3.8, §3.10, §3.6: these have a DUP flag, which 3.1.1 took from them.
        return frozenset({flags, flags | 8})
    return frozenset({flags})


class Bounds:
    """What a peer may send now: packet types, their flags, and how long each may be.

    `max_packet_bytes` counts the whole packet, fixed header included (MQTT 5 §3.1.2.11.4). `max_qos` bounds PUBLISH.
    """

    __slots__ = ("kinds", "level", "limits", "max_packet_bytes", "max_qos")

    def __init__(self, kinds: Iterable[PacketType], *, level: int, max_packet_bytes: int, max_qos: int = 2) -> None:
        self.kinds = frozenset(kinds)
        self.level = level
        self.max_packet_bytes = max_packet_bytes
        self.max_qos = max_qos
        self.limits = tuple(self._limit(first) for first in range(256))

    def _limit(self, first: int) -> int:
        """The largest remaining length after this first byte, or -1 if nothing may begin so."""
        if first < 16:
            return _REFUSED
        kind = PacketType(first >> 4)
        if kind not in self.kinds or first & 15 not in flags_allowed(kind, self.level):
            return _REFUSED
        if kind is PacketType.PUBLISH and first >> 1 & 3 > self.max_qos:
            return _REFUSED
        longest = _longest_body(self.max_packet_bytes)
        if kind in (PacketType.PINGREQ, PacketType.PINGRESP):
            return 0
        return min(longest, _MQTT3_SIZES.get(kind, longest)) if self.level < 5 else longest

    def why(self, first: int, size: int) -> ProtocolError:
        """Why a packet with this fixed header is refused."""
        if first < 16 or (first >> 4 == PacketType.AUTH and self.level < 5):
            return malformed("a packet type that does not exist", "MQTT5 §2.1.2, MQTT311 §2.2.1")
        kind = PacketType(first >> 4)
        if kind not in self.kinds:
            return _not_now(kind, self.kinds)
        if first & 15 not in flags_allowed(kind, self.level):
            spec = "MQTT5-2.1.3-1, MQTT311-2.2.2-2" if kind is not PacketType.PUBLISH else "3.3.1-2, 3.3.1-4"
            return malformed(f"{kind.name} with flags that it may not have", spec)
        if kind is PacketType.PUBLISH and first >> 1 & 3 > self.max_qos:
            what = f"PUBLISH with QoS {first >> 1 & 3}, where {self.max_qos} is the most"
            return ProtocolError(what, reply=ReasonCode.QOS_NOT_SUPPORTED, spec="MQTT5-3.2.2-11")
        if size > _longest_body(self.max_packet_bytes):
            what = f"{kind.name} of {size} bytes, where packets of {self.max_packet_bytes} are the longest"
            return ProtocolError(what, reply=ReasonCode.PACKET_TOO_LARGE, spec="MQTT5 §3.2.2.3.6")
        return malformed(f"{kind.name} with {size} bytes, more than it can have", "MQTT5 §3, MQTT311 §3")


def _longest_body(max_packet_bytes: int) -> int:
    """The largest remaining length of a packet of at most so many bytes in all."""
    for digits in (4, 3, 2):
        body = max_packet_bytes - 1 - digits
        if body >= 1 << 7 * (digits - 1):
            return min(body, (1 << 7 * digits) - 1)
    return min(max_packet_bytes - 2, 0x7F)


def _not_now(kind: PacketType, kinds: frozenset[PacketType]) -> ProtocolError:
    if kinds == {PacketType.CONNECT}:
        return violation(f"{kind.name} where CONNECT must come first", "MQTT5-3.1.0-1, MQTT311-3.1.0-1")
    if kind is PacketType.CONNECT:
        return violation("a second CONNECT", "MQTT5-3.1.0-2, MQTT311-3.1.0-2")
    return violation(f"{kind.name}, which this side does not take", "MQTT5 §4.13.1, MQTT311 §4.8")


def whole_packets(data: bytes) -> list[bytes]:
    """The packets that `data`, written by one of our sessions, is made of."""
    packets: list[bytes] = []
    at = 0
    while at < len(data):
        read = read_varint(data, at + 1)
        if read is None or read[1] + read[0] > len(data):
            raise UsageError("packets of ours that end in the middle of one")
        end = read[0] + read[1]
        packets.append(data[at:end])
        at = end
    return packets


class FrameReader:
    """Takes bytes as they arrive and gives the packets that are whole.

    What arrives is cut in place; only the start of a packet whose end is still to come is copied, once, into a buffer
    that grows until the packet is whole: many small pieces cost linear time.
    """

    __slots__ = ("_at", "_data", "_needed", "_pending", "bounds", "refused")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._data = b""
        self._at = 0
        self._pending = bytearray()
        self._needed = 0
        self.refused = False
        """What follows the packets given last is refused: the next call raises."""

    @property
    def held(self) -> int:
        """How many bytes have arrived and are not yet given as packets."""
        return len(self._data) - self._at + len(self._pending)

    def take(self, data: bytes) -> list[Frame]:
        """Take what has arrived, and give all packets that are whole: `push` and `rest` in one."""
        if self._pending or self._at != len(self._data):
            self.push(data)
        else:
            self._data = data
            self._at = 0
        return self._cut(MAX_VARINT)

    def push(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._pending:
            self._pending += data
        elif self._at == len(self._data):
            self._data = data
            self._at = 0
        else:
            self._pending += memoryview(self._data)[self._at :]
            self._pending += data
            self._data = b""
            self._at = 0
            self._needed = 0

    def next(self) -> Frame | None:
        """The next packet, or None if it is not whole yet. Raises ProtocolError if its fixed header is refused."""
        frames = self._cut(1)
        return frames[0] if frames else None

    def rest(self) -> list[Frame]:
        """All packets that are whole.

        Raises ProtocolError if the first one's fixed header is refused; packets before a refused one are given first,
        and the next call raises.
        """
        return self._cut(MAX_VARINT)

    def drop(self) -> None:
        """Forget what has arrived, for a connection that ends."""
        self._data = b""
        self._at = 0
        self._pending.clear()

    def _cut(self, most: int) -> list[Frame]:
        if self._pending:
            if len(self._pending) < self._needed:
                return []
            self._data, self._at = bytes(self._pending), 0
            self._pending.clear()
        bounds = self.bounds
        frames, at, needed, refused = split(self._data, self._at, bounds.limits, bounds.level, most)
        if refused:
            if not frames:
                raise self._why(at)
            self.refused = True
        self._at = at
        if needed:
            self._pending += memoryview(self._data)[at:]
            self._data, self._at, self._needed = b"", 0, needed
        return frames

    def _why(self, at: int) -> ProtocolError:
        found = read_varint(self._data, at + 1)
        return self.bounds.why(self._data[at], found[0] if found is not None else 0)


def frame(first: int, body: bytes) -> bytes:
    """A packet: its first byte, the length of its body, its body."""
    if len(body) > MAX_VARINT:
        raise UsageError(f"a packet of {len(body)} bytes does not exist in MQTT")
    return bytes((first,)) + write_varint(len(body)) + body
