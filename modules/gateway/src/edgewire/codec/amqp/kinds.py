"""The classes of values. Spec: AMQP 1.0 §1.6.

In Python a value is what it is anyway (`None`, `bool`, `str`, `bytes`, `list`, `dict`; `float` is double, `int` long);
a type without such a counterpart is a small subclass, so that a value is written back as the type it was read as.
Values of types that are alike in Python compare equal: `Symbol("a") == "a"`, `UInt(1) == 1`.
"""

import uuid
from dataclasses import dataclass, field
from typing import Final


class Symbol(str):
    """A symbolic value: a name from a domain, in ASCII. Spec: AMQP 1.0 §1.6.21."""

    __slots__ = ()


class Char(str):
    """A single Unicode character. Spec: AMQP 1.0 §1.6.16."""

    __slots__ = ()


class UByte(int):
    """An integer of 8 bits. Spec: AMQP 1.0 §1.6.3."""

    __slots__ = ()


class UShort(int):
    """An integer of 16 bits. Spec: AMQP 1.0 §1.6.4."""

    __slots__ = ()


class UInt(int):
    """An integer of 32 bits. Spec: AMQP 1.0 §1.6.5."""

    __slots__ = ()


class ULong(int):
    """An integer of 64 bits. Spec: AMQP 1.0 §1.6.6."""

    __slots__ = ()


class Byte(int):
    """A signed integer of 8 bits. Spec: AMQP 1.0 §1.6.7."""

    __slots__ = ()


class Short(int):
    """A signed integer of 16 bits. Spec: AMQP 1.0 §1.6.8."""

    __slots__ = ()


class Int(int):
    """A signed integer of 32 bits. Spec: AMQP 1.0 §1.6.9."""

    __slots__ = ()


Long = int
"""A signed integer of 64 bits, which a plain int is. Spec: AMQP 1.0 §1.6.10."""


class Timestamp(int):
    """Milliseconds since 1970-01-01 UTC, signed. Spec: AMQP 1.0 §1.6.17."""

    __slots__ = ()


class Float(float):
    """A binary32 number. Spec: AMQP 1.0 §1.6.11."""

    __slots__ = ()


class Decimal32(bytes):
    """A decimal32 number, as its 4 bytes. Spec: AMQP 1.0 §1.6.13."""

    __slots__ = ()


class Decimal64(bytes):
    """A decimal64 number, as its 8 bytes. Spec: AMQP 1.0 §1.6.14."""

    __slots__ = ()


class Decimal128(bytes):
    """A decimal128 number, as its 16 bytes. Spec: AMQP 1.0 §1.6.15."""

    __slots__ = ()


Uuid = uuid.UUID
"""Spec: AMQP 1.0 §1.6.18."""


@dataclass(frozen=True, slots=True)
class Described:
    """A value with a descriptor that says what it means. Spec: AMQP 1.0 §1.2."""

    descriptor: object
    value: object


@dataclass(frozen=True, slots=True)
class Array:
    """Values of one type. Spec: AMQP 1.0 §1.6.24.

    `constructor` is the bytes that stood for that type; they are needed only if there is no element to tell it.
    """

    items: tuple[object, ...]
    constructor: bytes = field(default=b"\x40", compare=False)


NULL: Final = b"\x40"
"""The bytes of the null value. Spec: AMQP 1.0 §1.6.1."""
