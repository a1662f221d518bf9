"""Requests to a twin, their answers, and changes of desired properties.

Spec: edgehub.md §5.4, amqp.md §7.4, iothub_wire.md §2.4.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Int, Symbol
from edgewire.codec.amqp.message import AmqpMessage, Properties, write_message
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.messages import read_body
from edgewire.iothub.amqp.values import MessageId, check_request_id

_OPERATION: Final = Symbol("operation")
_RESOURCE: Final = Symbol("resource")
_STATUS: Final = Symbol("status")
_VERSION: Final = Symbol("version")
_REPORTED: Final = "/properties/reported"
_DESIRED: Final = "/notifications/twin/properties/desired"


class TwinOperation(Enum):
    """What a device asks; the value is the operation on the wire."""

    GET = "GET"
    REPORT = "PATCH"
    """Patch the reported properties."""
    SUBSCRIBE = "PUT"
    """Changes of the desired properties from now on."""
    UNSUBSCRIBE = "DELETE"


_RESOURCES: Final = {
    TwinOperation.GET: "",
    TwinOperation.REPORT: _REPORTED,
    TwinOperation.SUBSCRIBE: _DESIRED,
    TwinOperation.UNSUBSCRIBE: _DESIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRequest:
    """A request; `patch` is empty but for REPORT."""

    operation: TwinOperation
    correlation_id: MessageId
    patch: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinAnswer:
    """The answer to a request; `document` is the twin where it was asked for."""

    correlation_id: MessageId
    status: int
    version: int | None = None
    document: bytes = b""


@dataclass(frozen=True, slots=True)
class DesiredChange:
    """A change of the desired properties, with `$version` in it."""

    patch: bytes


def read_request(message: AmqpMessage) -> TwinRequest:
    """What a device asks. Raises ProtocolError for an unknown operation or resource, or if it cannot be answered."""
    said = message.message_annotations or {}
    operation = _operation(said.get(_OPERATION))
    resource = said.get(_RESOURCE) or ""
    if not isinstance(resource, str) or resource.lower() != _RESOURCES[operation]:
        raise ProtocolError(
            f"the resource of a {operation.value} to the twin is not '{_RESOURCES[operation]}'", reply=INVALID_FIELD
        )
    correlation_id = None if message.properties is None else message.properties.correlation_id
    if correlation_id is None:
        raise ProtocolError("the request to the twin has no correlation-id", reply=INVALID_FIELD)
    check_request_id(correlation_id)
    patch = read_body(message) if operation is TwinOperation.REPORT else b""
    return TwinRequest(operation=operation, correlation_id=correlation_id, patch=patch)


def write_request(request: TwinRequest) -> bytes:
    """The message that asks this; where there is nothing to say its body is a blank, as of Node's and C's clients."""
    said: dict[Symbol, object] = {_OPERATION: request.operation.value}
    if _RESOURCES[request.operation]:
        said[_RESOURCE] = _RESOURCES[request.operation]
    properties = Properties(correlation_id=request.correlation_id)
    body = request.patch or b" "
    return write_message(AmqpMessage(message_annotations=said, properties=properties, body=body))


def write_answer(answer: TwinAnswer) -> bytes:
    """The message that answers: status is an int; version a long, for the C SDK drops an answer with a ulong."""
    said: dict[Symbol, object] = {_STATUS: Int(answer.status)}
    if answer.version is not None:
        said[_VERSION] = int(answer.version)
    properties = Properties(correlation_id=answer.correlation_id)
    return write_message(AmqpMessage(message_annotations=said, properties=properties, body=answer.document))


def write_change(change: DesiredChange) -> bytes:
    """The message that tells a change: the one without a correlation-id."""
    said = {_RESOURCE: _DESIRED}
    return write_message(AmqpMessage(message_annotations=said, properties=Properties(), body=change.patch))


def read_reply(message: AmqpMessage) -> TwinAnswer | DesiredChange:
    """What the hub says. Raises ProtocolError for an answer without a status."""
    correlation_id = None if message.properties is None else message.properties.correlation_id
    if correlation_id is None:
        return DesiredChange(read_body(message))
    said = message.message_annotations or {}
    status = _number(said.get(_STATUS))
    if status is None:
        raise ProtocolError("the answer of the twin has no status", reply=INVALID_FIELD)
    return TwinAnswer(
        correlation_id=correlation_id,
        status=status,
        version=_number(said.get(_VERSION)),
        document=read_body(message),
    )


def _operation(value: object) -> TwinOperation:
    try:
        return TwinOperation(value.upper() if isinstance(value, str) else value)
    except ValueError:
        names = ", ".join(operation.value for operation in TwinOperation)
        raise ProtocolError(f"the operation on the twin is none of {names}", reply=INVALID_FIELD) from None


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None
