"""Messages of AMQP and what they say: bodies, properties, and batches of telemetry, both ways.

Everything has its one place in an AMQP message: system properties in the properties section, in annotations or under
reserved names among the application properties, all other names among those. What a bag of MQTT calls `$.mid` is
message-id here; the rules on names (twice, reserved, empty) are the bag's own. The table is in docs/amqp.md.
Spec: edgehub.md §5.4, iothub_wire.md §2.4, amqp.md §7.4.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from edgewire.codec.amqp.conditions import ARGUMENT_ERROR, MESSAGE_SIZE_EXCEEDED
from edgewire.codec.amqp.kinds import Symbol, Timestamp
from edgewire.codec.amqp.message import (
    MESSAGE_FORMAT_BATCH,
    AmqpMessage,
    Properties,
    Value,
    read_batch,
    read_message,
    write_batch,
    write_message,
)
from edgewire.codec.amqp.performatives import Map
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.values import format_time, id_text, parse_time, property_text, utf8_text
from edgewire.iothub.bag import WIRE_NAMES, Bag, Direction, read_pairs
from edgewire.iothub.limits import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, MAX_TRANSFER_BYTES
from edgewire.message import Envelope, SystemProperties
from edgewire.message import Properties as ApplicationProperties

Pair = tuple[str, str | None]

_SECTION_BYTES: Final = 8
"""Around each message of a batch: descriptor (3), binary with a four-byte size (5). AMQP 1.0 §3.2.6, §1.6.19."""

_ANNOTATIONS: Final[Mapping[Direction, Mapping[str, str]]] = {
    Direction.FROM_DEVICE: {"iothub-interface-id": "iothub-interface-id", "dt-subject": "dt-subject"},
    Direction.TO_DEVICE: {
        "dt-subject": "dt-subject",
        "iothub-connection-device-id": "connectionDeviceId",
        "iothub-connection-module-id": "connectionModuleId",
    },
}
"""Message annotations that are system properties."""

_APPLICATION_BOTH_WAYS: Final = {
    "iothub-message-schema": "messageSchema",
    "iothub-creation-time-utc": "creationTime",
    "iothub-operation": "operation",
    "ack": "ack",
}
_APPLICATION: Final[Mapping[Direction, Mapping[str, str]]] = {
    Direction.FROM_DEVICE: _APPLICATION_BOTH_WAYS | {"iothub-outputname": "outputName"},
    Direction.TO_DEVICE: _APPLICATION_BOTH_WAYS,
}
"""Application properties that are system properties, compared with case as edgeHub does."""

_BAG_NAMES: Final[Mapping[Direction, Mapping[str, str]]] = {
    direction: {name: wire for wire, name in names.items()} for direction, names in WIRE_NAMES.items()
}
"""System properties to what a bag calls them."""


class Content(NamedTuple):
    """What a message says, whoever sent it."""

    bag: Bag
    body: bytes


class Batch(NamedTuple):
    """A transfer of several messages, and how many they are."""

    payload: bytes
    message_count: int


# --- reading ------------------------------------------------------------------------------------------------------


def read_transfer(message_format: int, payload: bytes) -> list[Content]:
    """The messages from a device in one transfer: one, or those of a batch, in their order.

    Raises ProtocolError, for the whole of it, if one is refused: a batch is answered once (amqp.md §7.4).
    """
    if len(payload) > MAX_TRANSFER_BYTES:
        raise ProtocolError(
            f"the transfer has {len(payload)} bytes; the limit is {MAX_TRANSFER_BYTES}", reply=MESSAGE_SIZE_EXCEEDED
        )
    if message_format != MESSAGE_FORMAT_BATCH:
        return [read_telemetry(read_message(payload))]
    parts = read_batch(payload)
    if len(parts) > MAX_BATCH_MESSAGES:
        raise ProtocolError(f"the batch has more than {MAX_BATCH_MESSAGES} messages", reply=MESSAGE_SIZE_EXCEEDED)
    return [_read_part(part, number, len(parts)) for number, part in enumerate(parts, 1)]


def read_telemetry(message: AmqpMessage) -> Content:
    """What a message from a device or module says.

    Raises ProtocolError for what a bag may not hold either, and for values that have no text.
    """
    return read_content(message, Direction.FROM_DEVICE)


def read_content(message: AmqpMessage, direction: Direction) -> Content:
    """What a message that travels this way says."""
    try:
        bag = read_pairs(_pairs(message, direction), direction)
    except ProtocolError as error:
        raise ProtocolError(error.what, reply=error.reply or ARGUMENT_ERROR, spec=error.spec) from None
    return Content(bag, read_body(message))


def read_body(message: AmqpMessage) -> bytes:
    """The bytes of a body: data as it is, a text in UTF-8. Raises ProtocolError for another value or a sequence."""
    match message.body:
        case bytes() as data:
            return data
        case None | Value(None):
            return b""
        case Value(str() as text):
            return text.encode("utf-8")
        case Value(bytes() as data):
            return data
        case _:
            raise ProtocolError(
                "the body is an AMQP value or sequence; send data, a text or binary", reply=ARGUMENT_ERROR
            )


def _read_part(part: bytes, number: int, count: int) -> Content:
    try:
        return read_telemetry(read_message(part))
    except ProtocolError as error:
        what = f"message {number} of {count} in the batch: {error.what}"
        raise ProtocolError(what, reply=error.reply, spec=error.spec) from None


def _pairs(message: AmqpMessage, direction: Direction) -> list[Pair]:
    """All properties under the names of a bag."""
    pairs: list[Pair] = []
    if message.properties is not None:
        pairs += _read_properties(message.properties)
    if message.message_annotations:
        pairs += _read_annotations(message.message_annotations, direction)
    if message.application_properties:
        pairs += _read_application(message.application_properties, direction)
    said = message.properties.creation_time if message.properties is not None else None
    if said is not None and all(name != "$.ctime" for name, _ in pairs):
        pairs.append(("$.ctime", format_time(said, "creation-time")))
    return pairs


def _read_properties(said: Properties) -> Iterator[Pair]:
    """What the properties section says; empty texts count as absent, as for edgeHub."""
    if said.message_id is not None and (text := id_text(said.message_id)):
        yield "$.mid", text
    if said.correlation_id is not None and (text := id_text(said.correlation_id)):
        yield "$.cid", text
    if said.user_id:
        yield "$.uid", utf8_text(said.user_id, "the user-id")
    if said.to:
        yield "$.to", str(said.to)
    if said.content_type:
        yield "$.ct", str(said.content_type)
    if said.content_encoding:
        yield "$.ce", str(said.content_encoding)
    if said.absolute_expiry_time is not None:
        yield "$.exp", format_time(said.absolute_expiry_time, "absolute-expiry-time")


def _read_annotations(annotations: Map, direction: Direction) -> Iterator[Pair]:
    wire_of = _BAG_NAMES[direction]
    for name, system in _ANNOTATIONS[direction].items():
        value = annotations.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise ProtocolError(f"the annotation '{name}' is no text")
        yield wire_of[system], str(value)


def _read_application(said: Map, direction: Direction) -> Iterator[Pair]:
    systems, wire_of, wire_names = _APPLICATION[direction], _BAG_NAMES[direction], WIRE_NAMES[direction]
    for name, value in said.items():
        if name.startswith("$.") and name in wire_names:
            # Among the application properties of AMQP it is no system property; behind MQTT it would turn into one.
            raise ProtocolError(f"the property '{name}' has another place in an AMQP message; see docs/amqp.md")
        text = property_text(value, name)
        system = systems.get(name)
        if system is None:
            yield str(name), text
        elif text:
            yield wire_of[system], text


# --- writing ------------------------------------------------------------------------------------------------------


def write_telemetry(envelope: Envelope, body: bytes) -> bytes:
    """A message on its way to the hub, encoded; its sender is the owner of the link and is not in it."""
    return write_content(envelope.properties, envelope.system, body, Direction.FROM_DEVICE)


def write_content(
    properties: ApplicationProperties,
    system: SystemProperties,
    body: bytes,
    direction: Direction,
    annotations: Mapping[str, object] | None = None,
) -> bytes:
    """A message that travels this way, encoded; system properties that have no place in it stay behind."""
    notes = {name: system[key] for name, key in _ANNOTATIONS[direction].items() if system.get(key)} | dict(
        annotations or {}
    )
    said = _write_application(properties, system, direction)
    return write_message(
        AmqpMessage(
            message_annotations={Symbol(name): value for name, value in notes.items()} or None,
            properties=_write_properties(system),
            application_properties=said or None,
            body=body,
        )
    )


def write_batches(messages: Iterable[bytes], max_bytes: int = MAX_BATCH_BYTES) -> Iterator[Batch]:
    """Encoded messages in batches of at most `max_bytes` each, in their order.

    One that is larger by itself makes a batch of its own: whoever receives it says what it thinks of that.
    """
    parts: list[bytes] = []
    size = 0
    for message in messages:
        taken = len(message) + _SECTION_BYTES
        if parts and (size + taken > max_bytes or len(parts) == MAX_BATCH_MESSAGES):
            yield Batch(write_batch(parts), len(parts))
            parts, size = [], 0
        parts.append(message)
        size += taken
    if parts:
        yield Batch(write_batch(parts), len(parts))


def _write_properties(system: SystemProperties) -> Properties:
    get = system.get
    user_id = get("userId")
    return Properties(
        message_id=get("messageId") or None,
        correlation_id=get("cid") or None,
        user_id=user_id.encode("utf-8") if user_id else None,
        to=get("to") or None,
        content_type=_symbol(get("contentType")),
        content_encoding=_symbol(get("contentEncoding")),
        absolute_expiry_time=_time(get("absolute-expiry-time")),
    )


def _write_application(
    properties: ApplicationProperties, system: SystemProperties, direction: Direction
) -> dict[str, object]:
    """Application properties, the system's before the sender's own; those win, whatever the case of a name."""
    said: dict[str, object] = {name: system[key] for name, key in _APPLICATION[direction].items() if system.get(key)}
    taken = frozenset(said)
    said.update({name: value for name, value in properties.items() if name.lower() not in taken})
    return said


def _symbol(text: str | None) -> Symbol | None:
    """A symbol is ASCII (AMQP 1.0 §1.6.21): a text that is not stays behind (docs/deviations.md)."""
    return Symbol(text) if text and text.isascii() else None


def _time(text: str | None) -> Timestamp | None:
    time_ms = parse_time(text) if text else None
    return None if time_ms is None else Timestamp(time_ms)
