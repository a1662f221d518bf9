"""Direct methods: calls to a device and its answers. Spec: edgehub.md §5.4, amqp.md §7.4, iothub_wire.md §2.4."""

import uuid
from dataclasses import dataclass
from typing import Final

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Int
from edgewire.codec.amqp.message import AmqpMessage, Properties, write_message
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.messages import read_body
from edgewire.iothub.amqp.values import id_text
from edgewire.iothub.limits import MAX_METHOD_NAME_CHARS

# In this capitalisation, and no other, clients look for them.
_NAME: Final = "IoThub-methodname"
_STATUS: Final = "IoThub-status"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCall:
    """A method called on a device. `rid` is a uuid, since .NET's client reads it as one."""

    rid: uuid.UUID
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodAnswer:
    """A device's answer; `rid` is that of the call, as text."""

    rid: str
    status: int
    payload: bytes


def write_call(call: MethodCall) -> bytes:
    """The message that calls a method."""
    properties = Properties(correlation_id=call.rid)
    said = {_NAME: call.name}
    return write_message(AmqpMessage(properties=properties, application_properties=said, body=call.payload))


def read_call(message: AmqpMessage) -> MethodCall:
    """The call that a message makes. Raises ProtocolError if it has no name or no uuid to answer to."""
    name = (message.application_properties or {}).get(_NAME)
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_METHOD_NAME_CHARS:
        raise ProtocolError(
            f"the call has no '{_NAME}' of 1 to {MAX_METHOD_NAME_CHARS} characters", reply=INVALID_FIELD
        )
    try:
        rid = uuid.UUID(_rid(message))
    except ValueError:
        raise ProtocolError("the correlation-id of the call is no uuid", reply=INVALID_FIELD) from None
    return MethodCall(rid=rid, name=str(name), payload=read_body(message))


def write_answer(answer: MethodAnswer) -> bytes:
    """The message that answers a call: the correlation-id is a uuid again if it can be one, as all clients send it."""
    properties = Properties(correlation_id=_uuid_or_text(answer.rid))
    said = {_STATUS: Int(answer.status)}
    return write_message(AmqpMessage(properties=properties, application_properties=said, body=answer.payload))


def read_answer(message: AmqpMessage) -> MethodAnswer:
    """The answer that a message gives. Raises ProtocolError if it says no status or not to which call."""
    status = (message.application_properties or {}).get(_STATUS)
    if not isinstance(status, int) or isinstance(status, bool):
        raise ProtocolError(f"the answer has no number as '{_STATUS}'", reply=INVALID_FIELD)
    return MethodAnswer(rid=_rid(message), status=int(status), payload=read_body(message))


def _rid(message: AmqpMessage) -> str:
    rid = None if message.properties is None else message.properties.correlation_id
    if rid is None:
        raise ProtocolError("the message of a method has no correlation-id", reply=INVALID_FIELD)
    return id_text(rid)


def _uuid_or_text(text: str) -> uuid.UUID | str:
    try:
        return uuid.UUID(text)
    except ValueError:
        return text
