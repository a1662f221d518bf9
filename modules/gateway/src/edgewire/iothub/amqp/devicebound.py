"""Messages to a device or to an input of a module, with what the hub notes on them.

The delivery tag is the lock token: 16 bytes, in .NET's order. Spec: edgehub.md §5.4, amqp.md §7.4.
"""

import uuid
from dataclasses import dataclass
from typing import Final, NamedTuple

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Timestamp, UByte, ULong
from edgewire.codec.amqp.message import AmqpMessage
from edgewire.codec.amqp.performatives import Map
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.messages import read_content, write_body, write_sections
from edgewire.iothub.bag import Bag, Direction

_LOCK: Final = "x-opt-lock-token"
_SEQUENCE: Final = "x-opt-sequence-number"
_ENQUEUED: Final = "iothub-enqueuedtime"
_COUNT: Final = "iothub-deliverycount"
_INPUT: Final = "x-opt-input-name"

_TAG_BYTES: Final = 16
_LAST_COUNT: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What the hub notes on a message to a device; None for what it does not say."""

    lock_token: uuid.UUID | None = None
    sequence_number: int | None = None
    enqueued_at_ms: int | None = None
    delivery_count: int | None = None
    input_name: str | None = None


class Devicebound(NamedTuple):
    """A message to a device or module."""

    bag: Bag
    body: bytes
    notes: Notes


def read_devicebound(message: AmqpMessage) -> Devicebound:
    """What a message to a device says. Raises ProtocolError for what no bag may hold and for notes of other types."""
    bag, body = read_content(message, Direction.TO_DEVICE)
    return Devicebound(bag, body, _read_notes(message.message_annotations or {}))


def write_devicebound(bag: Bag, body: bytes, notes: Notes) -> bytes:
    """A message to a device, encoded, in the types that all clients read (amqp.md §7.4)."""
    return write_sections(bag, Direction.TO_DEVICE, _write_notes(notes)) + write_body(body)


def tag_of(lock_token: uuid.UUID) -> bytes:
    """The delivery tag that stands for a lock token."""
    return lock_token.bytes_le


def lock_token_of(tag: bytes) -> uuid.UUID | None:
    """The lock token that a delivery tag stands for; None if it is of another kind."""
    return uuid.UUID(bytes_le=tag) if len(tag) == _TAG_BYTES else None


def _read_notes(annotations: Map) -> Notes:
    said = {name: annotations.get(name) for name in (_LOCK, _SEQUENCE, _ENQUEUED, _COUNT, _INPUT)}
    input_name = said[_INPUT]
    if input_name is not None and not isinstance(input_name, str):
        raise ProtocolError(f"the annotation '{_INPUT}' is no text", reply=INVALID_FIELD)
    return Notes(
        lock_token=_read_lock(said[_LOCK]),
        sequence_number=_read_number(said[_SEQUENCE], _SEQUENCE),
        enqueued_at_ms=_read_number(said[_ENQUEUED], _ENQUEUED),
        delivery_count=_read_number(said[_COUNT], _COUNT),
        input_name=None if input_name is None else str(input_name),
    )


def _write_notes(notes: Notes) -> dict[str, object]:
    said: dict[str, object] = {}
    if notes.lock_token is not None:
        said[_LOCK] = str(notes.lock_token)
    if notes.sequence_number is not None:
        said[_SEQUENCE] = ULong(notes.sequence_number)
    if notes.enqueued_at_ms is not None:
        said[_ENQUEUED] = Timestamp(notes.enqueued_at_ms)
    if notes.delivery_count is not None:
        said[_COUNT] = UByte(min(notes.delivery_count, _LAST_COUNT))
    if notes.input_name is not None:
        said[_INPUT] = notes.input_name
    return said


def _read_lock(value: object) -> uuid.UUID | None:
    if value is None or isinstance(value, uuid.UUID):
        return value
    if isinstance(value, str):
        try:
            return uuid.UUID(value)
        except ValueError:
            pass
    raise ProtocolError(f"the annotation '{_LOCK}' is no uuid", reply=INVALID_FIELD)


def _read_number(value: object, name: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ProtocolError(f"the annotation '{name}' is no number", reply=INVALID_FIELD)
    return int(value)
