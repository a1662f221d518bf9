"""The fields that packets are made of. Spec: MQTT 3.1.1 §1.5, §2.2.3; MQTT 5 §1.5."""

from typing import Final

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.names import decode_text
from edgewire.line.packets import check_shortest, read_varint

MAX_VARINT: Final = 268_435_455
"""Four bytes of seven bits: the largest remaining length there is."""

MAX_TEXT_BYTES: Final = 65_535

_SHORT = "MQTT5 §1.5, MQTT311 §1.5"


def malformed(what: str, spec: str) -> ProtocolError:
    """The error for bytes that are no packet; MQTT 5 answers them with 0x81."""
    return ProtocolError(what, reply=ReasonCode.MALFORMED_PACKET, spec=spec)


def violation(what: str, spec: str) -> ProtocolError:
    """The error for a packet that is well formed and not allowed; MQTT 5 answers it with 0x82."""
    return ProtocolError(what, reply=ReasonCode.PROTOCOL_ERROR, spec=spec)


def write_varint(value: int) -> bytes:
    """The variable byte integer of `value`."""
    if not 0 <= value <= MAX_VARINT:
        raise UsageError(f"{value} does not fit a variable byte integer")
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def write_text(text: str) -> bytes:
    """A UTF-8 string with its length before it."""
    try:
        raw = text.encode()
    except UnicodeEncodeError as exc:
        raise UsageError("a string with a surrogate has no UTF-8") from exc
    if b"\0" in raw:
        raise UsageError("a string with U+0000 is not allowed in MQTT")
    return write_binary(raw)


def write_binary(raw: bytes) -> bytes:
    """Binary data with its length before it."""
    if len(raw) > MAX_TEXT_BYTES:
        raise UsageError(f"{len(raw)} bytes do not fit a field of at most {MAX_TEXT_BYTES}")
    return len(raw).to_bytes(2, "big") + raw


def write_packet_id(packet_id: int) -> bytes:
    """A packet identifier. Spec: MQTT311-2.3.1-1, MQTT5-2.2.1-3."""
    if not 1 <= packet_id <= 0xFFFF:
        raise UsageError(f"{packet_id} is no packet identifier")
    return packet_id.to_bytes(2, "big")


class Reader:
    """Reads the fields of one packet's body in order; a body that ends inside a field is malformed."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = at
        self._end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """How many bytes are still to be read."""
        return self._end - self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start, stop = self._at, self._at + size
        if stop > self._end:
            raise malformed("the packet ends inside a field", _SHORT)
        self._at = stop
        return self._data[start:stop]

    def number(self, size: int) -> int:
        """An unsigned integer of `size` bytes, big-endian."""
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        """A variable byte integer, in as few bytes as it needs."""
        at = self._at
        if at < self._end and self._data[at] < 0x80:  # one byte, as nearly all are
            self._at = at + 1
            return self._data[at]
        found = read_varint(self._data, self._at)
        if found is None or found[1] > self._end:
            raise malformed("the packet ends inside a length", "MQTT5 §1.5.5")
        value, stop = found
        check_shortest(value, stop - self._at)
        self._at = stop
        return value

    def binary(self) -> bytes:
        """Binary data that its length stands before."""
        return self.take(self.number(2))

    def text(self) -> str:
        """A UTF-8 string."""
        return decode_text(self.binary())

    def packet_id(self) -> int:
        """A packet identifier, which is never 0. Spec: MQTT311-2.3.1-1, MQTT5-2.2.1-3."""
        found = self.number(2)
        if found == 0:
            raise violation("packet identifier 0", "MQTT5-2.2.1-3, MQTT311-2.3.1-1")
        return found

    def section(self, size: int) -> "Reader":
        """A reader for the next `size` bytes alone, which this one skips."""
        if size > self.left:
            raise malformed("the packet ends inside a field", _SHORT)
        start = self._at
        self._at += size
        return Reader(self._data, start, start + size)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def done(self, spec: str) -> None:
        """Raise ProtocolError if anything is left."""
        if self.left:
            raise malformed("bytes after the end of the packet", spec)
