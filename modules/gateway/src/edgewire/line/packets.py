"""A stream cut into packets, and the parts of a PUBLISH. Spec: MQTT 3.1.1 §2.2, §3.3; MQTT 5 §2.1.

Written for the loop that runs once per packet: who may send what is a table by the first byte, made by
`edgewire.codec.mqtt.frames`.
"""

from typing import Final

from edgewire.errors import ProtocolError

Frame = tuple[int, bytes]
"""A packet's first byte and its body: all that follows the fixed header."""

_MALFORMED_PACKET: Final = 0x81
_PROTOCOL_ERROR: Final = 0x82
"""What MQTT 5 answers (§2.4); the names of all its codes are `edgewire.codec.mqtt.reasons`."""


def split(data: bytes, at: int, limits: tuple[int, ...], level: int, most: int) -> tuple[list[Frame], int, int, bool]:
    """At most `most` packets that are whole in `data` from `at` on, each not longer than `limits` of its first byte.

    Returns them; the index behind them; how many bytes the packet that begins there takes, 0 if that is not known yet;
    and whether it is refused for its first byte or length. Raises ProtocolError if the first one's length is none.
    """
    frames: list[Frame] = []
    end = len(data)
    while len(frames) < most and end - at > 1:
        first, size, start = data[at], data[at + 1], at + 2
        # A length of one byte, or of two, is read here: this loop runs once per packet.
        if size > 0x7F:
            high = data[start] if start < end else 0
            if 0 < high < 0x80:
                size, start = size & 0x7F | high << 7, start + 1
            else:
                try:
                    found = _read_length(data, at, level)
                except ProtocolError:
                    if frames:  # they are given first
                        return frames, at, 0, True
                    raise
                if found is None:
                    break
                size, start = found
        if size > limits[first]:
            return frames, at, 0, True
        stop = start + size
        if stop > end:
            return frames, at, stop - at, False
        frames.append((first, data[start:stop]))
        at = stop
    return frames, at, 0, False


def _read_length(data: bytes, at: int, level: int) -> tuple[int, int] | None:
    """The remaining length of the packet at `at` and where its body starts; None if it is not whole."""
    found = read_varint(data, at + 1)
    if found is not None and level == 5:
        check_shortest(found[0], found[1] - at - 1)
    return found


def read_varint(data: bytes, at: int) -> tuple[int, int] | None:
    """Read a variable byte integer at `at`: its value and the index after it, or None if `data` ends first.

    Raises ProtocolError if the fourth byte says that a fifth follows. Whether it used more bytes than it needs is
    for `check_shortest`, since only MQTT 5 forbids that.
    """
    value = 0
    for index in range(4):
        if at + index >= len(data):
            return None
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise ProtocolError(
        "a length of more than four bytes", reply=_MALFORMED_PACKET, spec="MQTT5 §1.5.5, MQTT311 §2.2.3"
    )


def check_shortest(value: int, size: int) -> None:
    """Raise ProtocolError if `value` came in more bytes than it needs. Spec: MQTT5-1.5.5-1."""
    if size > 1 and value < 1 << 7 * (size - 1):
        raise ProtocolError("a length with needless bytes", reply=_MALFORMED_PACKET, spec="MQTT5-1.5.5-1")


def publish_parts(first: int, body: bytes) -> tuple[int, int, int]:
    """Where the topic of a PUBLISH ends (it starts at 2), its packet identifier (0 with QoS 0), where the rest starts.

    Raises ProtocolError if there is no room for them, or for packet identifier 0. Spec: MQTT 3.1.1 §3.3.
    """
    size = len(body)
    if size < 2:
        raise ProtocolError("PUBLISH ends inside its topic", reply=_MALFORMED_PACKET, spec="MQTT311 §3.3.2.1")
    end = 2 + (body[0] << 8 | body[1])
    if not first & 6:
        if end > size:
            raise ProtocolError("PUBLISH ends inside its topic", reply=_MALFORMED_PACKET, spec="MQTT311 §3.3.2.1")
        return end, 0, end
    start = end + 2
    if start > size:
        what = "PUBLISH ends inside its topic or packet identifier"
        raise ProtocolError(what, reply=_MALFORMED_PACKET, spec="MQTT311 §3.3.2")
    packet_id = body[end] << 8 | body[end + 1]
    if not packet_id:
        raise ProtocolError("PUBLISH with packet identifier 0", reply=_PROTOCOL_ERROR, spec="MQTT311-2.3.1-1")
    return end, packet_id, start
