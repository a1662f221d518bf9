"""Values to bytes. Spec: AMQP 1.0 §1.6."""

import struct
from collections.abc import Callable
from typing import Any, Final

from edgewire.codec.amqp.kinds import (
    NULL,
    Array,
    Byte,
    Char,
    Decimal32,
    Decimal64,
    Decimal128,
    Described,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Uuid,
)
from edgewire.errors import UsageError

FAULTS_OF_WRITING: Final = (struct.error, OverflowError, TypeError, ValueError, AttributeError, RecursionError)
"""What values raise that do not fit the type that they are written as."""


def write_value(value: object) -> bytes:
    """The shortest bytes of a value; a plain int is written as long, a list as list, a dict as map."""
    try:
        return _write(value)
    except FAULTS_OF_WRITING as error:
        raise UsageError(f"a {type(value).__name__} that AMQP cannot hold: {error}") from error


_PACK_U32: Final = struct.Struct(">I").pack
_PACK_U64: Final = struct.Struct(">Q").pack
_PACK_I8: Final = struct.Struct(">b").pack
_PACK_I32: Final = struct.Struct(">i").pack
_PACK_I64: Final = struct.Struct(">q").pack
_PACK_PAIR: Final = struct.Struct(">II").pack

_BYTES: Final = tuple(bytes((number,)) for number in range(256))


def write_boolean(value: bool) -> bytes:  # noqa: FBT001 - the value that is written
    """AMQP 1.0 §1.6.2."""
    if value is True:
        return b"\x41"
    if value is False:
        return b"\x42"
    raise TypeError("a boolean is True or False")


def write_ubyte(value: int) -> bytes:
    """AMQP 1.0 §1.6.3."""
    return bytes((0x50, value))


def write_ushort(value: int) -> bytes:
    """AMQP 1.0 §1.6.4."""
    return b"\x60" + value.to_bytes(2, "big")


def write_uint(value: int) -> bytes:
    """AMQP 1.0 §1.6.5."""
    if value > 0xFF:
        return b"\x70" + _PACK_U32(value)
    return b"\x52" + _BYTES[value] if value > 0 else _zero(value, b"\x43")


def write_ulong(value: int) -> bytes:
    """AMQP 1.0 §1.6.6."""
    if value > 0xFF:
        return b"\x80" + _PACK_U64(value)
    return b"\x53" + _BYTES[value] if value > 0 else _zero(value, b"\x44")


def _zero(value: int, code: bytes) -> bytes:
    if value:
        raise OverflowError(f"{value} is below zero")
    return code


def write_int(value: int) -> bytes:
    """AMQP 1.0 §1.6.9."""
    return b"\x54" + _PACK_I8(value) if -128 <= value < 128 else b"\x71" + _PACK_I32(value)


def write_long(value: int) -> bytes:
    """AMQP 1.0 §1.6.10."""
    return b"\x55" + _PACK_I8(value) if -128 <= value < 128 else b"\x81" + _PACK_I64(value)


def write_timestamp(value: int) -> bytes:
    """AMQP 1.0 §1.6.17."""
    return b"\x83" + _PACK_I64(value)


def _variable(short: bytes, long: bytes, content: bytes) -> bytes:
    size = len(content)
    return short + _BYTES[size] + content if size < 256 else long + _PACK_U32(size) + content


def write_binary(value: bytes) -> bytes:
    """AMQP 1.0 §1.6.19."""
    return _variable(b"\xa0", b"\xb0", value)


def write_string(value: str) -> bytes:
    """AMQP 1.0 §1.6.20."""
    return _variable(b"\xa1", b"\xb1", value.encode())


def write_symbol(value: str) -> bytes:
    """AMQP 1.0 §1.6.21."""
    return _variable(b"\xa3", b"\xb3", value.encode("ascii"))


def write_list(items: list[bytes]) -> bytes:
    """The list of elements that are bytes already. Spec: AMQP 1.0 §1.6.22."""
    return _compound(b"\xc0", b"\xd0", len(items), b"".join(items)) if items else b"\x45"


def write_map(items: list[bytes]) -> bytes:
    """The map of keys and values, in turn, that are bytes already. Spec: AMQP 1.0 §1.6.23."""
    return _compound(b"\xc1", b"\xd1", len(items), b"".join(items))


def _compound(short: bytes, long: bytes, count: int, content: bytes) -> bytes:
    # The size counts the count, too.
    if len(content) < 255 and count < 256:
        return b"".join((short, _BYTES[len(content) + 1], _BYTES[count], content))
    return long + _PACK_PAIR(len(content) + 4, count) + content


def write_array(items: tuple[object, ...], constructor: bytes = NULL) -> bytes:
    """The array of values of one type; `constructor` is their type if there are none. Spec: AMQP 1.0 §1.6.24."""
    content = constructor
    if items:
        constructors, elements = zip(*map(_element, items), strict=True)
        content = constructors[0] + b"".join(elements)
        if len(set(constructors)) > 1:
            raise TypeError("an array has values of one type")
    return _compound(b"\xe0", b"\xf0", len(items), content)


def _element(value: object) -> tuple[bytes, bytes]:
    """The constructor and the bytes of an element, in the one form that holds any value of its type."""
    if isinstance(value, Described):
        if isinstance(value.value, Described):
            raise TypeError("an array whose elements have two descriptors, which no reader takes")
        constructor, content = _element(value.value)
        return b"\x00" + _write(value.descriptor) + constructor, content
    for kind in type(value).__mro__:
        if kind in _WIDE:
            code, write = _WIDE[kind]
            return code, write(value)
    raise TypeError(f"no AMQP type is like {type(value).__name__}")


def _write(value: Any) -> bytes:
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    for kind in type(value).__mro__:
        if kind in _WRITERS:
            return _WRITERS[kind](value)
    raise TypeError(f"no AMQP type is like {type(value).__name__}")


def _write_list(value: list[object]) -> bytes:
    return write_list([_write(item) for item in value])


def _write_map(value: dict[object, object]) -> bytes:
    return write_map([_write(part) for pair in value.items() for part in pair])


def _write_described(value: Described) -> bytes:
    return b"\x00" + _write(value.descriptor) + _write(value.value)


def _write_array(value: Array) -> bytes:
    return write_array(value.items, value.constructor)


def _packer(layout: str) -> Callable[[Any], bytes]:
    return struct.Struct(layout).pack


def _code_point(value: str) -> bytes:
    return chr(ord(value)).encode("utf-32-be")  # a surrogate raises UnicodeEncodeError


def _exactly(size: int) -> Callable[[bytes], bytes]:
    def write(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes, where {size} must be")
        return bytes(value)

    return write


def _with_size(content: bytes) -> bytes:
    return _PACK_U32(len(content)) + content


def _wide_list(value: list[object]) -> bytes:
    content = b"".join([_write(item) for item in value])
    return _PACK_PAIR(len(content) + 4, len(value)) + content


def _wide_map(value: dict[object, object]) -> bytes:
    content = b"".join([_write(part) for pair in value.items() for part in pair])
    return _PACK_PAIR(len(content) + 4, 2 * len(value)) + content


def _wide_array(value: Array) -> bytes:
    content = write_array(value.items, value.constructor)
    if content[0] == 0xF0:
        return content[1:]
    return _PACK_PAIR(content[1] + 3, content[2]) + content[3:]


_WIDE: Final[dict[type, tuple[bytes, Callable[[Any], bytes]]]] = {
    type(None): (b"\x40", lambda _: b""),
    bool: (b"\x56", lambda value: b"\1" if value else b"\0"),
    UByte: (b"\x50", _packer(">B")),
    UShort: (b"\x60", _packer(">H")),
    UInt: (b"\x70", _packer(">I")),
    ULong: (b"\x80", _packer(">Q")),
    Byte: (b"\x51", _packer(">b")),
    Short: (b"\x61", _packer(">h")),
    Int: (b"\x71", _packer(">i")),
    int: (b"\x81", _packer(">q")),
    Timestamp: (b"\x83", _packer(">q")),
    Float: (b"\x72", _packer(">f")),
    float: (b"\x82", _packer(">d")),
    Decimal32: (b"\x74", _exactly(4)),
    Decimal64: (b"\x84", _exactly(8)),
    Decimal128: (b"\x94", _exactly(16)),
    Char: (b"\x73", _code_point),
    Uuid: (b"\x98", lambda value: value.bytes),
    bytes: (b"\xb0", _with_size),
    str: (b"\xb1", lambda value: _with_size(value.encode())),
    Symbol: (b"\xb3", lambda value: _with_size(value.encode("ascii"))),
    list: (b"\xd0", _wide_list),
    dict: (b"\xd1", _wide_map),
    Array: (b"\xf0", _wide_array),
}
"""By the class of an element: the format code and the bytes that hold any value of it, as an array needs them."""


def _as_element(kind: type) -> Callable[[Any], bytes]:
    code, write = _WIDE[kind]
    return lambda value: code + write(value)


_WRITERS: Final[dict[type, Callable[[Any], bytes]]] = {
    **{kind: _as_element(kind) for kind in _WIDE},
    type(None): lambda _: NULL,
    bool: write_boolean,
    UInt: write_uint,
    ULong: write_ulong,
    Int: write_int,
    int: write_long,
    bytes: write_binary,
    str: write_string,
    Symbol: write_symbol,
    list: _write_list,
    dict: _write_map,
    Array: _write_array,
    Described: _write_described,
}
