"""Reading single packets and comparing them with vector rows, for the tests of both versions."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from edgewire.codec.mqtt import v3, v5
from edgewire.codec.mqtt.frames import Bounds, FrameReader
from edgewire.codec.mqtt.packets import Packet, PacketType
from edgewire.errors import ProtocolError


def everything(level: int, max_packet_bytes: int = 1_000_000) -> Bounds:
    """Bounds that take all packets of a version."""
    kinds = [kind for kind in PacketType if kind is not PacketType.AUTH or level == 5]
    return Bounds(kinds, level=level, max_packet_bytes=max_packet_bytes)


def read_one(data: bytes, level: int) -> Packet:
    """The one packet that `data` is, cut from it and read."""
    reader = FrameReader(everything(level))
    reader.push(data)
    frame = reader.next()
    assert frame is not None, "the row holds no whole packet"
    assert reader.held == 0, "the row holds more than a packet"
    return v5.read(*frame) if level == 5 else v3.read(*frame, level=level)


def write_one(packet: Packet, level: int) -> bytes:
    """The packet in this version's form."""
    return v5.write(packet) if level == 5 else v3.write(packet)


def refusal_of(call: Callable[[], object]) -> ProtocolError | None:
    """The ProtocolError that a call ends in, or None; any other exception is the test's failure."""
    try:
        call()
    except ProtocolError as error:
        return error
    return None


def as_row(value: object) -> Any:
    """A value as JSON would hold it: bytes as Latin-1 text, tuples as lists, a dataclass as what is not its default."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_row(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple):
        return [as_row(one) for one in value]
    return value


def agrees(found: Any, wanted: Any) -> bool:
    """Whether all that a row names is as it says; what it does not name is free."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and agrees(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(agrees, found, wanted))
    return bool(found == wanted)
