"""Single values, read and written. Spec: AMQP 1.0 §1.6.

Reading stands here, the classes of values in `kinds`, writing in `writing`; all of it can be had from here.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from edgewire.codec.amqp.conditions import DECODE_ERROR
from edgewire.codec.amqp.kinds import (
    Array,
    Byte,
    Char,
    Decimal32,
    Decimal64,
    Decimal128,
    Described,
    Float,
    Int,
    Long,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Uuid,
)
from edgewire.codec.amqp.writing import write_value
from edgewire.errors import ProtocolError

__all__ = [
    "FAULTS_OF_READING",
    "MAX_DEPTH",
    "MAX_ZERO_WIDTH_ITEMS",
    "Array",
    "Byte",
    "Char",
    "Decimal32",
    "Decimal64",
    "Decimal128",
    "Described",
    "Float",
    "Int",
    "Long",
    "Short",
    "Symbol",
    "Timestamp",
    "UByte",
    "UInt",
    "ULong",
    "UShort",
    "Uuid",
    "check_compound",
    "check_distinct",
    "check_key",
    "cut_short",
    "malformed",
    "not_text",
    "read_value",
    "write_value",
]

MAX_DEPTH: Final = 32
"""Values inside values: bounds recursion. Nothing that a device sends nests deeper than six."""

MAX_ZERO_WIDTH_ITEMS: Final = 8
"""Elements without a byte of their own, as in an array of null: there could be 4,294,967,295 of them in ten bytes."""

Read = tuple[Any, int]
"""A value, and the index after it."""

_Reader = Callable[[bytes, int, int], Read]

_U16: Final = struct.Struct(">H").unpack_from
_U32: Final = struct.Struct(">I").unpack_from
_U32_PAIR: Final = struct.Struct(">II").unpack_from

FAULTS_OF_READING: Final = (IndexError, struct.error)
"""What reading past the end raises in Python; every public reader turns it into a ProtocolError."""


def malformed(what: str, spec: str = "AMQP 1.0 §1.6") -> ProtocolError:
    """The error for bytes that are no AMQP value, or not the one that must stand there."""
    return ProtocolError(what, reply=DECODE_ERROR, spec=spec)


def cut_short() -> ProtocolError:
    """The error for bytes that end inside a value."""
    return malformed("the bytes end inside a value", "AMQP 1.0 §1.2")


def read_value(data: bytes, at: int = 0, depth: int = 0) -> tuple[object, int]:
    """Read the value at `at`: it, and the index after it. `depth` counts the values that it stands in."""
    try:
        return _READERS[data[at]](data, at + 1, depth)
    except FAULTS_OF_READING as error:
        raise cut_short() from error


# --- reading: each takes the index after the format code -------------------------------------------------------------


def _no_such_type(data: bytes, at: int, depth: int) -> Read:  # noqa: ARG001 - one signature for the whole table
    raise malformed(f"the format code 0x{data[at - 1]:02x}, which is none")


def _constant(value: object) -> _Reader:
    def read(data: bytes, at: int, depth: int) -> Read:  # noqa: ARG001 - one signature for the whole table
        return value, at

    return read


def _small(make: Callable[[int], object]) -> _Reader:
    def read(data: bytes, at: int, depth: int) -> Read:  # noqa: ARG001 - one signature for the whole table
        return make(data[at]), at + 1

    return read


def _fixed(layout: str, make: Callable[[Any], object]) -> _Reader:
    packed = struct.Struct(layout)
    unpack, width = packed.unpack_from, packed.size

    def read(data: bytes, at: int, depth: int) -> Read:  # noqa: ARG001 - one signature for the whole table
        return make(unpack(data, at)[0]), at + width

    return read


def _boolean(data: bytes, at: int, depth: int) -> Read:  # noqa: ARG001 - one signature for the whole table
    byte = data[at]
    if byte > 1:
        raise malformed(f"a boolean of {byte}", "AMQP 1.0 §1.6.2")
    return byte == 1, at + 1


def _character(code: int) -> Char:
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise malformed(f"a character 0x{code:x}, which Unicode has not", "AMQP 1.0 §1.6.16")
    return Char(chr(code))


def _uuid(value: bytes) -> Uuid:
    return Uuid(bytes=value)


def _binary8(data: bytes, at: int, depth: int) -> Read:  # noqa: ARG001 - one signature for the whole table
    end = at + 1 + data[at]
    if end > len(data):
        raise cut_short()
    return data[at + 1 : end], end


def _binary32(data: bytes, at: int, depth: int) -> Read:  # noqa: ARG001 - one signature for the whole table
    end = at + 4 + _U32(data, at)[0]
    if end > len(data):
        raise cut_short()
    return data[at + 4 : end], end


def not_text(error: UnicodeDecodeError) -> ProtocolError:
    """The error for text that is not in its encoding."""
    kind, spec = ("string", "§1.6.20") if error.encoding == "utf-8" else ("symbol", "§1.6.21")
    return malformed(f"a {kind} that is not {error.encoding.upper()}", f"AMQP 1.0 {spec}")


def _string8(data: bytes, at: int, depth: int) -> Read:
    value, at = _binary8(data, at, depth)
    try:
        return str(value, "utf-8"), at
    except UnicodeDecodeError as error:
        raise not_text(error) from error


def _string32(data: bytes, at: int, depth: int) -> Read:
    value, at = _binary32(data, at, depth)
    try:
        return str(value, "utf-8"), at
    except UnicodeDecodeError as error:
        raise not_text(error) from error


def _symbol8(data: bytes, at: int, depth: int) -> Read:
    value, at = _binary8(data, at, depth)
    try:
        return Symbol(value, "ascii"), at
    except UnicodeDecodeError as error:
        raise not_text(error) from error


def _symbol32(data: bytes, at: int, depth: int) -> Read:
    value, at = _binary32(data, at, depth)
    try:
        return Symbol(value, "ascii"), at
    except UnicodeDecodeError as error:
        raise not_text(error) from error


def _list0(data: bytes, at: int, depth: int) -> Read:  # noqa: ARG001 - one signature for the whole table
    return [], at


def _list8(data: bytes, at: int, depth: int) -> Read:
    return _list(data, at + 2, at + 1 + data[at], data[at + 1], depth)


def _list32(data: bytes, at: int, depth: int) -> Read:
    size, count = _U32_PAIR(data, at)
    return _list(data, at + 8, at + 4 + size, count, depth)


def check_compound(data: bytes, at: int, end: int, count: int, depth: int) -> None:
    """Raise ProtocolError if a list or a map may not be so large, hold so much or stand so deep.

    Each element has a byte at least, its format code, so that no more of them can be than bytes are left.
    """
    if depth >= MAX_DEPTH:
        raise malformed(f"values inside values, {MAX_DEPTH} deep", "AMQP 1.0 §1.2")
    if end > len(data):
        raise cut_short()
    if count > end - at:
        raise malformed(f"{count} elements in {max(end - at, 0)} bytes", "AMQP 1.0 §1.6.22")


def _list(data: bytes, at: int, end: int, count: int, depth: int) -> Read:
    check_compound(data, at, end, count, depth)
    items: list[object] = []
    for _ in range(count):
        item, at = _READERS[data[at]](data, at + 1, depth + 1)
        items.append(item)
    if at != end:
        raise malformed("a list whose size is not that of its elements", "AMQP 1.0 §1.6.22")
    return items, end


def _map8(data: bytes, at: int, depth: int) -> Read:
    return _map(data, at + 2, at + 1 + data[at], data[at + 1], depth)


def _map32(data: bytes, at: int, depth: int) -> Read:
    size, count = _U32_PAIR(data, at)
    return _map(data, at + 8, at + 4 + size, count, depth)


def _map(data: bytes, at: int, end: int, count: int, depth: int) -> Read:
    check_compound(data, at, end, count, depth)
    if count & 1:
        raise malformed("a map with a key and no value", "AMQP 1.0 §1.6.23")
    found: dict[object, object] = {}
    for _ in range(count >> 1):
        key, at = _READERS[data[at]](data, at + 1, depth + 1)
        check_key(key)
        found[key], at = _READERS[data[at]](data, at + 1, depth + 1)
    if at != end:
        raise malformed("a map whose size is not that of its elements", "AMQP 1.0 §1.6.23")
    check_distinct(found, count)
    return found, end


def check_key(key: object) -> None:
    """Raise ProtocolError for a key that is no text, number or bytes.

    No map of a standard has others. Lists cannot be hashed, and a peer can make uuids whose hashes collide: a map of
    4,000 would take seconds.
    """
    if not isinstance(key, str | int | bytes):
        raise malformed(f"a map with a key of type {type(key).__name__}", "AMQP 1.0 §1.6.23")


def check_distinct(found: dict[Any, object], count: int) -> None:
    """Raise ProtocolError if a map of `count` keys and values held a key twice.

    A symbol and a string, or integers of two types, are one key here if Python finds them equal.
    """
    if len(found) != count >> 1:
        raise malformed("a map with two equal keys", "AMQP 1.0 §1.6.23")


def _described(data: bytes, at: int, depth: int) -> Read:
    if depth >= MAX_DEPTH:
        raise malformed(f"values inside values, {MAX_DEPTH} deep", "AMQP 1.0 §1.2")
    descriptor, at = _READERS[data[at]](data, at + 1, depth + 1)
    value, at = _READERS[data[at]](data, at + 1, depth + 1)
    return Described(descriptor, value), at


def _array8(data: bytes, at: int, depth: int) -> Read:
    return _array(data, at + 2, at + 1 + data[at], data[at + 1], depth)


def _array32(data: bytes, at: int, depth: int) -> Read:
    size, count = _U32_PAIR(data, at)
    return _array(data, at + 8, at + 4 + size, count, depth)


def _array(data: bytes, at: int, end: int, count: int, depth: int) -> Read:
    check_compound(data, at, end, 1, depth)  # the constructor stands there even if no element does
    start = at
    code, descriptor, at = _constructor(data, at, depth)
    constructor = data[start:at]
    most = MAX_ZERO_WIDTH_ITEMS if code in _ZERO_WIDTH else end - at
    if count > most:
        raise malformed(f"an array of {count} elements, where {max(most, 0)} can be", "AMQP 1.0 §1.6.24")
    read = _READERS[code]
    items: list[object] = []
    for _ in range(count):
        item, at = read(data, at, depth + 1)
        items.append(item if descriptor is None else Described(descriptor[0], item))
    if at != end:
        raise malformed("an array whose size is not that of its elements", "AMQP 1.0 §1.6.24")
    return Array(tuple(items), constructor), end


def _constructor(data: bytes, at: int, depth: int) -> tuple[int, tuple[object] | None, int]:
    """The format code of an array's elements, their descriptor if they have one, and the index after both."""
    code = data[at]
    if code:
        _check_code(code)
        return code, None, at + 1
    descriptor, at = _READERS[data[at + 1]](data, at + 2, depth + 1)
    code = data[at]
    if not code:
        # The grammar has it, nobody sends it: each byte of an element could stand for a hundred objects.
        raise malformed("an array whose elements have two descriptors", "AMQP 1.0 §1.6.24")
    _check_code(code)
    return code, (descriptor,), at + 1


def _check_code(code: int) -> None:
    if _READERS[code] is _no_such_type:
        raise malformed(f"the format code 0x{code:02x}, which is none")


_BY_CODE: Final[dict[int, _Reader]] = {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(UInt(0)),
    0x44: _constant(ULong(0)),
    0x45: _list0,
    0x50: _small(UByte),
    0x51: _fixed(">b", Byte),
    0x52: _small(UInt),
    0x53: _small(ULong),
    0x54: _fixed(">b", Int),
    0x55: _fixed(">b", int),
    0x56: _boolean,
    0x60: _fixed(">H", UShort),
    0x61: _fixed(">h", Short),
    0x70: _fixed(">I", UInt),
    0x71: _fixed(">i", Int),
    0x72: _fixed(">f", Float),
    0x73: _fixed(">I", _character),
    0x74: _fixed(">4s", Decimal32),
    0x80: _fixed(">Q", ULong),
    0x81: _fixed(">q", int),
    0x82: _fixed(">d", float),
    0x83: _fixed(">q", Timestamp),
    0x84: _fixed(">8s", Decimal64),
    0x94: _fixed(">16s", Decimal128),
    0x98: _fixed(">16s", _uuid),
    0xA0: _binary8,
    0xA1: _string8,
    0xA3: _symbol8,
    0xB0: _binary32,
    0xB1: _string32,
    0xB3: _symbol32,
    0xC0: _list8,
    0xC1: _map8,
    0xD0: _list32,
    0xD1: _map32,
    0xE0: _array8,
    0xF0: _array32,
}

_READERS: Final = tuple(_BY_CODE.get(code, _no_such_type) for code in range(256))

_ZERO_WIDTH: Final = frozenset(range(0x40, 0x46))
