"""What a transfer carries: a message's sections, and Azure's batches of messages. Spec: AMQP 1.0 §3.2."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgewire.codec.amqp.composites import (
    ANNOTATIONS,
    BINARY,
    BOOLEAN,
    MESSAGE_ID,
    STRING,
    SYMBOL,
    TIMESTAMP,
    UBYTE,
    UINT,
    Table,
)
from edgewire.codec.amqp.kinds import NULL, Array, Described, Symbol, ULong, Uuid
from edgewire.codec.amqp.performatives import Map
from edgewire.codec.amqp.types import (
    FAULTS_OF_READING,
    check_compound,
    check_distinct,
    cut_short,
    malformed,
    not_text,
    read_value,
)
from edgewire.codec.amqp.writing import (
    FAULTS_OF_WRITING,
    write_binary,
    write_list,
    write_map,
    write_string,
    write_value,
)
from edgewire.errors import UsageError

MESSAGE_FORMAT: Final = 0
"""AMQP 1.0 §3.2.16: a message as it stands here."""

MESSAGE_FORMAT_BATCH: Final = 0x80013700
"""Azure's: each data section is a whole message. The C SDK sends even a single one so."""

Data = bytes
"""A body of data sections: their bytes, joined. Spec: AMQP 1.0 §3.2.6."""


@dataclass(frozen=True, slots=True)
class Value:
    """A body of one value. Spec: AMQP 1.0 §3.2.8."""

    value: object


@dataclass(frozen=True, slots=True)
class Sequence:
    """A body of sequence sections: their elements, joined. Spec: AMQP 1.0 §3.2.7."""

    items: list[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """How a message is to be delivered. Spec: AMQP 1.0 §3.2.1."""

    durable: bool = False
    priority: int = 4
    ttl: int | None = None
    first_acquirer: bool = False
    delivery_count: int = 0


# Made once per message, so it is neither frozen nor keyword-only.
@dataclass(slots=True)
class Properties:
    """What a message is. Spec: AMQP 1.0 §3.2.4."""

    message_id: str | ULong | Uuid | bytes | None = None
    user_id: bytes | None = None
    to: str | None = None
    subject: str | None = None
    reply_to: str | None = None
    correlation_id: str | ULong | Uuid | bytes | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    absolute_expiry_time: int | None = None
    creation_time: int | None = None
    group_id: str | None = None
    group_sequence: int | None = None
    reply_to_group_id: str | None = None


# As Properties.
@dataclass(slots=True)
class AmqpMessage:
    """A message, section by section; None is a section that is not there. Spec: AMQP 1.0 §3.2."""

    header: Header | None = None
    delivery_annotations: Map | None = None
    message_annotations: Map | None = None
    properties: Properties | None = None
    application_properties: Map | None = None
    body: bytes | Value | Sequence | None = None
    footer: Map | None = None


_HEADER: Final = Table(Header, 0x70, "header", BOOLEAN, UBYTE, UINT, BOOLEAN, UINT)
_PROPERTIES: Final = Table(
    Properties,
    0x73,
    "properties",
    *(MESSAGE_ID, BINARY, STRING, STRING, STRING, MESSAGE_ID, SYMBOL, SYMBOL),
    *(TIMESTAMP, TIMESTAMP, STRING, UINT, STRING),
)
_WRITE: Final = tuple(row.kind.write for row in _PROPERTIES.rows)
_DEFAULT_HEADER: Final = Header()

_NAMES: Final = {
    Symbol(f"amqp:{name}"): code
    for code, name in (
        (0x70, "header:list"),
        (0x71, "delivery-annotations:map"),
        (0x72, "message-annotations:map"),
        (0x73, "properties:list"),
        (0x74, "application-properties:map"),
        (0x75, "data:binary"),
        (0x76, "amqp-sequence:list"),
        (0x77, "amqp-value:*"),
        (0x78, "footer:map"),
    )
}
_CODES: Final = frozenset(_NAMES.values())
_REPEATED: Final = (0x75, 0x76)
"""Sections of which there may be several."""

_U32: Final = struct.Struct(">I").unpack_from
_U32_PAIR: Final = struct.Struct(">II").unpack_from

_QUICK: Final = (0xA1, 0xA0, 0xA1, 0xA1, 0xA1, 0xA1, 0xA3, 0xA3, -1, -1, 0xA1, -1, 0xA1)
"""The format code that each of the properties mostly has, if that is one with a size of one byte."""


def read_message(payload: bytes) -> AmqpMessage:
    """Read the message that a transfer carried. Raises ProtocolError."""
    message, chunks = _read(payload)
    if chunks:
        message.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return message


def read_batch(payload: bytes) -> list[bytes]:
    """The messages of a batch (format 0x80013700), each to be read by `read_message`. Raises ProtocolError."""
    message, chunks = _read(payload)
    if not chunks or message.body is not None:
        raise malformed("a batch whose body is no data sections", "message format 0x80013700")
    return chunks


def _read(payload: bytes) -> tuple[AmqpMessage, list[bytes]]:
    """The message without its data sections, and these one by one."""
    try:
        return _read_sections(payload)
    except FAULTS_OF_READING as error:
        raise cut_short() from error
    except UnicodeDecodeError as error:
        raise not_text(error) from error


def _read_sections(data: bytes) -> tuple[AmqpMessage, list[bytes]]:
    message = AmqpMessage()
    chunks: list[bytes] = []
    at, stop, last = 0, len(data), 0
    while at < stop:
        if data[at] == 0 and data[at + 1] == 0x53:
            code = data[at + 2]
            at += 3
        else:
            code, at = _read_descriptor(data, at)
        if code <= last:
            _check_again(code, last)
        last = code
        if code == 0x75:
            chunk, at = _read_data(data, at)
            chunks.append(chunk)
        elif code == 0x73:
            message.properties, at = _read_properties(data, at)
        elif code == 0x74:
            message.application_properties, at = _read_application_properties(data, at)
        else:
            at = _read_other(message, data, at, code)
        if code > 0x75 and chunks and code != 0x78:
            raise malformed("a body of more than one kind", "AMQP 1.0 §3.2")
    return message, chunks


def _check_again(code: int, last: int) -> None:
    """Raise ProtocolError unless a section with this code may follow one with code `last`, which is no lower."""
    if code != last or code not in _REPEATED:
        raise malformed(f"section 0x{code:02x} after section 0x{last:02x}", "AMQP 1.0 §3.2")


def _read_descriptor(data: bytes, at: int) -> tuple[int, int]:
    """The code of a section whose descriptor is not in its shortest form, and the index after that."""
    if data[at]:
        raise malformed("bytes that are no section of a message", "AMQP 1.0 §3.2")
    descriptor, at = read_value(data, at + 1, 1)
    if type(descriptor) is Symbol and descriptor in _NAMES:
        return _NAMES[descriptor], at
    if type(descriptor) is ULong:
        return int(descriptor), at
    raise malformed("a section that no message has", "AMQP 1.0 §3.2")


def _read_data(data: bytes, at: int) -> tuple[bytes, int]:
    code = data[at]
    if code == 0xA0:
        start = at + 2
        end = start + data[at + 1]
    elif code == 0xB0:
        start = at + 5
        end = start + _U32(data, at + 1)[0]
    else:
        raise malformed("a data section that is no binary", "AMQP 1.0 §3.2.6")
    if end > len(data):
        raise cut_short()
    return data[start:end], end


def _read_properties(data: bytes, at: int) -> tuple[Properties, int]:
    code = data[at]
    if code == 0xC0:
        end = at + 2 + data[at + 1]
        count = data[at + 2]
        at += 3
    elif code == 0xD0:
        size, count = _U32_PAIR(data, at + 1)
        end = at + 5 + size
        at += 9
    else:
        value, at = read_value(data, at, 1)
        return _PROPERTIES.read(value), at
    check_compound(data, at, end, count, 1)
    if count > len(_QUICK):
        raise malformed(f"properties with {count} fields, where {len(_QUICK)} are", "AMQP 1.0 §1.4")
    values: list[Any] = []
    for index in range(count):
        code = data[at]
        if code == 0x40:
            values.append(None)
            at += 1
        elif code == _QUICK[index]:
            start = at + 2
            at = start + data[at + 1]
            part = data[start:at]
            if code == 0xA1:
                values.append(part.decode())
            else:
                values.append(part if code == 0xA0 else part.decode("ascii"))
        else:
            row = _PROPERTIES.rows[index]
            value, at = read_value(data, at, 2)
            values.append(row.kind.read(value, row.name))
    if at != end:
        raise malformed("a list whose size is not that of its elements", "AMQP 1.0 §1.6.22")
    return Properties(*values), end


def _read_application_properties(data: bytes, at: int) -> tuple[dict[str, object], int]:
    code = data[at]
    if code == 0xC1:
        end = at + 2 + data[at + 1]
        count = data[at + 2]
        at += 3
    elif code == 0xD1:
        size, count = _U32_PAIR(data, at + 1)
        end = at + 5 + size
        at += 9
    else:
        raise malformed("application properties that are no map", "AMQP 1.0 §3.2.5")
    check_compound(data, at, end, count, 1)
    if count & 1:
        raise malformed("a map with a key and no value", "AMQP 1.0 §1.6.23")
    found: dict[str, object] = {}
    for _ in range(count >> 1):
        if data[at] == 0xA1:
            start = at + 2
            at = start + data[at + 1]
            key = data[start:at].decode()
        else:
            key, at = _read_key(data, at)
        if data[at] == 0xA1:
            start = at + 2
            at = start + data[at + 1]
            found[key] = data[start:at].decode()
        else:
            found[key], at = _read_simple(data, at)
    if at != end:
        raise malformed("a map whose size is not that of its elements", "AMQP 1.0 §1.6.23")
    check_distinct(found, count)
    return found, end


def _read_key(data: bytes, at: int) -> tuple[str, int]:
    key, at = read_value(data, at, 2)
    if type(key) is not str:
        raise malformed("an application property whose name is no string", "AMQP 1.0 §3.2.5")
    return key, at


def _read_simple(data: bytes, at: int) -> tuple[object, int]:
    value, at = read_value(data, at, 2)
    if isinstance(value, list | dict | Array | Described):
        raise malformed("an application property that is no simple value", "AMQP 1.0 §3.2.5")
    return value, at


def _read_other(message: AmqpMessage, data: bytes, at: int, code: int) -> int:
    """Put a section that not every message has into its place; the index after it."""
    if code not in _CODES:
        raise malformed(f"section 0x{code:02x}, which no message has", "AMQP 1.0 §3.2")
    value, at = read_value(data, at, 1)
    match code:
        case 0x70:
            message.header = _HEADER.read(value) if value else _empty_header(value)
        case 0x71:
            message.delivery_annotations = ANNOTATIONS.read(value, "delivery-annotations")
        case 0x72:
            message.message_annotations = ANNOTATIONS.read(value, "message-annotations")
        case 0x76:
            message.body = _longer(message.body, value)
        case 0x77:
            _check_first(message.body)
            message.body = Value(value)
        case _:
            message.footer = ANNOTATIONS.read(value, "footer")
    return at


def _empty_header(value: object) -> Header:
    """The header that node's library sends with every message: one without fields."""
    return _DEFAULT_HEADER if type(value) is list else _HEADER.read(value)


def _longer(body: object, more: object) -> Sequence:
    if type(more) is not list:
        raise malformed("a sequence section that is no list", "AMQP 1.0 §3.2.7")
    if not isinstance(body, Sequence):
        return Sequence(more)
    body.items.extend(more)
    return body


def _check_first(body: object) -> None:
    if body is not None:
        raise malformed("a body of more than one kind", "AMQP 1.0 §3.2")


# --- writing ----------------------------------------------------------------------------------------------------------


def write_message(message: AmqpMessage) -> bytes:
    """The bytes of a message, for a transfer of format 0."""
    try:
        return b"".join(_sections(message))
    except FAULTS_OF_WRITING as error:
        raise UsageError(f"a message that AMQP cannot hold: {error}") from error


def write_batch(messages: Iterable[bytes]) -> bytes:
    """Messages that are bytes already as one, for a transfer of format 0x80013700."""
    return b"".join([b"\x00\x53\x75" + write_binary(message) for message in messages])


def _sections(message: AmqpMessage) -> list[bytes]:
    parts: list[bytes] = []
    if message.header is not None:
        parts.append(_HEADER.write(message.header))
    if message.delivery_annotations is not None:
        parts += (b"\x00\x53\x71", ANNOTATIONS.write(message.delivery_annotations))
    if message.message_annotations is not None:
        parts += (b"\x00\x53\x72", ANNOTATIONS.write(message.message_annotations))
    if message.properties is not None:
        parts.append(_write_properties(message.properties))
    if message.application_properties is not None:
        parts += (b"\x00\x53\x74", _write_application_properties(message.application_properties))
    if message.body is not None:
        parts += _write_body(message.body)
    if message.footer is not None:
        parts += (b"\x00\x53\x78", ANNOTATIONS.write(message.footer))
    return parts


def _write_properties(properties: Properties) -> bytes:
    # By hand, since this is done once per message.
    p = properties
    values = (
        *(p.message_id, p.user_id, p.to, p.subject, p.reply_to, p.correlation_id, p.content_type, p.content_encoding),
        *(p.absolute_expiry_time, p.creation_time, p.group_id, p.group_sequence, p.reply_to_group_id),
    )
    parts = [NULL if value is None else write(value) for write, value in zip(_WRITE, values, strict=True)]
    return b"\x00\x53\x73" + write_list(parts)


def _write_application_properties(properties: Mapping[str, object]) -> bytes:
    parts: list[bytes] = []
    for key, value in properties.items():
        parts += (write_string(key), write_string(value) if type(value) is str else write_value(value))
    return write_map(parts)


def _write_body(body: bytes | Value | Sequence) -> tuple[bytes, bytes]:
    if isinstance(body, Value):
        return b"\x00\x53\x77", write_value(body.value)
    if isinstance(body, Sequence):
        return b"\x00\x53\x76", write_value(body.items)
    return b"\x00\x53\x75", write_binary(body)
