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
from edgewire.iothub.limits import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, MAX_PROPERTIES, MAX_TRANSFER_BYTES
from edgewire.message import Envelope, SystemProperties

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
    direction: {
        name: next(wire for wire, known in WIRE_NAMES[direction].items() if known == system)
        for name, system in names.items()
    }
    for direction, names in _APPLICATION.items()
}
"""The same by what a bag calls them."""


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
        bag = _read_bag(message, direction)
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


def _read_bag(message: AmqpMessage, direction: Direction) -> Bag:
    system: dict[str, str] = {}
    if message.properties is not None:
        _read_properties(message.properties, system)
    if message.message_annotations:
        _read_annotations(message.message_annotations, direction, system)
    said = message.application_properties
    if not said:
        return Bag({}, system)
    if len(said) + len(system) > MAX_PROPERTIES:
        raise ProtocolError(f"the message has more than {MAX_PROPERTIES} properties")
    bag = read_pairs(_pairs(said, direction), direction)
    system.update(bag.system)
    return Bag(bag.properties, system)


def _read_properties(said: Properties, system: dict[str, str]) -> None:
    """What the properties section says; empty texts count as absent, as for edgeHub."""
    if said.message_id is not None and (text := id_text(said.message_id)):
        system["messageId"] = text
    if said.correlation_id is not None and (text := id_text(said.correlation_id)):
        system["cid"] = text
    if said.user_id:
        system["userId"] = utf8_text(said.user_id, "the user-id")
    if said.to:
        system["to"] = str(said.to)
    if said.content_type:
        system["contentType"] = str(said.content_type)
    if said.content_encoding:
        system["contentEncoding"] = str(said.content_encoding)
    if said.absolute_expiry_time is not None:
        system["absolute-expiry-time"] = format_time(said.absolute_expiry_time, "absolute-expiry-time")
    if said.creation_time is not None:
        # What SDKs write, among the application properties, is read later and wins.
        system["creationTime"] = format_time(said.creation_time, "creation-time")


def _read_annotations(annotations: Map, direction: Direction, system: dict[str, str]) -> None:
    for name, key in _ANNOTATIONS[direction].items():
        value = annotations.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise ProtocolError(f"the annotation '{name}' is no text")
        system[key] = str(value)


def _pairs(said: Map, direction: Direction) -> list[tuple[str, str | None]]:
    """The application properties under the names of a bag; a system property without a text is none."""
    systems, wire_names = _BAG_NAMES[direction], WIRE_NAMES[direction]
    pairs: list[tuple[str, str | None]] = []
    for name, value in said.items():
        text = value if type(value) is str else property_text(value, name)
        wire = systems.get(name)
        if wire is None:
            if name.startswith("$.") and name.lower() in wire_names:
                # It is no system property here, but behind MQTT it would turn into one.
                raise ProtocolError(f"the property '{name}' has another place in an AMQP message; see docs/amqp.md")
            pairs.append((name, text))
        elif text:
            pairs.append((wire, text))
    return pairs


# --- writing ------------------------------------------------------------------------------------------------------


def write_telemetry(envelope: Envelope, body: bytes) -> bytes:
    """A message on its way to the hub, encoded; its sender is the owner of the link and is not in it."""
    return write_envelope(envelope) + write_body(body)


def write_envelope(envelope: Envelope) -> bytes:
    """All of a message on its way to the hub but its body: the same for all messages of an envelope."""
    return write_sections(Bag(envelope.properties, envelope.system), Direction.FROM_DEVICE)


def write_sections(bag: Bag, direction: Direction, annotations: Mapping[str, object] | None = None) -> bytes:
    """The sections before the body; system properties that have no place in this direction stay behind."""
    system = bag.system
    notes: dict[Symbol, object] = {
        Symbol(name): system[key] for name, key in _ANNOTATIONS[direction].items() if system.get(key)
    }
    for name, value in (annotations or {}).items():
        notes[Symbol(name)] = value
    return write_message(
        AmqpMessage(
            message_annotations=notes or None,
            properties=_write_properties(system),
            application_properties=_write_application(bag, direction) or None,
        )
    )


def write_body(body: bytes) -> bytes:
    """The section of the body, which comes last."""
    return write_message(AmqpMessage(body=body))


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


def _write_application(bag: Bag, direction: Direction) -> dict[str, object]:
    """Application properties: the sender's own, but for names that are the system's, whatever their case."""
    said = {name: bag.system[key] for name, key in _APPLICATION[direction].items() if bag.system.get(key)}
    return said | {name: value for name, value in bag.properties.items() if name.lower() not in said}


def _symbol(text: str | None) -> Symbol | None:
    """A symbol is ASCII (AMQP 1.0 §1.6.21): a text that is not stays behind (docs/deviations.md)."""
    return Symbol(text) if text and text.isascii() else None


def _time(text: str | None) -> Timestamp | None:
    time_ms = parse_time(text) if text else None
    return None if time_ms is None else Timestamp(time_ms)
