"""What an error of the other end means for a device: for its message alone, for good, or for now."""

from enum import Enum
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.performatives import Error


class Reach(Enum):
    """How far an error reaches."""

    MESSAGE = "message"
    """This message will never be taken."""
    DEVICE = "device"
    """This device is not let in, with this token at least."""
    NOW = "now"
    """It may be taken later."""


IOT_HUB_NOT_FOUND: Final = Symbol("com.microsoft:iot-hub-not-found-error")

_REACHES: Final = {
    Reach.MESSAGE: (
        conditions.MESSAGE_SIZE_EXCEEDED,
        conditions.ARGUMENT_ERROR,
        conditions.ARGUMENT_OUT_OF_RANGE,
        conditions.DECODE_ERROR,
        conditions.INVALID_FIELD,
        conditions.NOT_IMPLEMENTED,
    ),
    Reach.DEVICE: (
        conditions.UNAUTHORIZED_ACCESS,
        conditions.NOT_FOUND,
        conditions.NOT_ALLOWED,
        conditions.ENTITY_DISABLED,
        IOT_HUB_NOT_FOUND,
    ),
}
"""Spec: edgehub.md §5.5, iothub_wire.md §2.6. Whatever stands in neither row may pass: throttles, quotas, faults."""

_THROTTLES: Final = (
    conditions.RESOURCE_LIMIT_EXCEEDED,
    conditions.DEVICE_CONTAINER_THROTTLED,
    conditions.SERVER_BUSY,
    conditions.QUOTA_EXCEEDED,
    conditions.TIMEOUT,
)

_BY_CONDITION: Final = {str(condition): reach for reach, row in _REACHES.items() for condition in row}

_GOOD: Final = range(200, 300)
_DEVICE: Final = (400, 401, 403, 404)


def reach_of(error: Error | None) -> Reach:
    """How far an error reaches; none at all is a link that ended for reasons of the other end's own."""
    return Reach.NOW if error is None else _BY_CONDITION.get(str(error.condition), Reach.NOW)


def is_throttle(error: Error | None) -> bool:
    """Whether an error is about how much is sent, and not about what."""
    return error is not None and error.condition in _THROTTLES


def words_of(error: Error | None) -> str:
    """What an error says, for a person: on one line and not endless."""
    if error is None:
        return "no reason given"
    said = f"{error.condition} {error.description or ''}".strip()
    short = said[:200]
    return short if short.isprintable() else ascii(short)[1:-1]


def is_taken(status: int) -> bool:
    """Whether a put-token was taken."""
    return status in _GOOD


def reach_of_status(status: int) -> Reach:
    """How far the refusal of a put-token reaches."""
    return Reach.DEVICE if status in _DEVICE else Reach.NOW
