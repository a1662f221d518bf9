"""Claims-based security: a token put on a connection by a message to `$cbs`, and the answer.

Whose token it is stands in the token itself (`sr`); its name, which some clients escape and others do not, only has to
be there. A token is read here and checked by whoever knows the keys. Spec: edgehub.md §5.2, amqp.md §7.2.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Int, Timestamp
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, write_message
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import CBS
from edgewire.iothub.amqp.values import MessageId
from edgewire.iothub.ids import is_id
from edgewire.iothub.limits import MAX_TOKEN_CHARS
from edgewire.iothub.sas import Audience
from edgewire.line.escapes import percent_decode
from edgewire.message import Identity, identity

_OPERATION: Final = "operation"
_PUT: Final = "put-token"
_TYPE: Final = "type"
_NAME: Final = "name"
_EXPIRATION: Final = "expiration"
_STATUS: Final = "status-code"
_DESCRIPTION: Final = "status-description"
_REPLY_TO: Final = "cbs"


class TokenKind(Enum):
    """The types of token that are known; both are shared access signatures."""

    SERVICE_BUS = "servicebus.windows.net:sastoken"
    DEVICES = "azure-devices.net:sastoken"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutToken:
    """A request to take a token."""

    message_id: MessageId | None
    name: str
    """The audience as the client wrote it, escaped or not: nothing depends on it."""
    token: str = field(repr=False)
    kind: TokenKind = TokenKind.SERVICE_BUS


@dataclass(frozen=True, slots=True, kw_only=True)
class PutTokenReply:
    """The answer: 200 for a token that was taken."""

    correlation_id: MessageId | None
    status: int
    description: str = ""


def read_put_token(message: AmqpMessage) -> PutToken:
    """The request that a message to `$cbs` makes.

    Raises ProtocolError for anything else, and never with the token in it; answer that with status 400.
    """
    said = message.application_properties or {}
    operation = said.get(_OPERATION)
    if not isinstance(operation, str) or operation.lower() != _PUT:
        raise ProtocolError("the request to $cbs is no put-token", reply=INVALID_FIELD)
    kind = _read_kind(said.get(_TYPE))
    name = said.get(_NAME)
    if not isinstance(name, str) or not name:
        raise ProtocolError("the put-token has no 'name'", reply=INVALID_FIELD)
    token = message.body.value if isinstance(message.body, Value) else None
    if not isinstance(token, str) or not token:
        raise ProtocolError("the body of the put-token is no amqp-value with the token as text", reply=INVALID_FIELD)
    if max(len(token), len(name)) > MAX_TOKEN_CHARS:
        raise ProtocolError(f"the put-token has more than {MAX_TOKEN_CHARS} characters", reply=INVALID_FIELD)
    return PutToken(message_id=request_id(message), name=str(name), token=str(token), kind=kind)


def write_put_token(request: PutToken, expires_at_ms: int | None = None) -> bytes:
    """The message that makes this request, as Node's and Java's clients write it."""
    said: dict[str, object] = {_OPERATION: _PUT, _TYPE: request.kind.value, _NAME: request.name}
    if expires_at_ms is not None:
        said[_EXPIRATION] = Timestamp(expires_at_ms)
    properties = Properties(message_id=request.message_id, to=CBS, reply_to=_REPLY_TO)
    return write_message(AmqpMessage(properties=properties, application_properties=said, body=Value(request.token)))


def request_id(message: AmqpMessage) -> MessageId | None:
    """The id that the answer to a message must carry, also where the message itself is refused."""
    return None if message.properties is None else message.properties.message_id


def read_reply(message: AmqpMessage) -> PutTokenReply:
    """The answer that a message from `$cbs` gives. Raises ProtocolError if it has no status."""
    said = message.application_properties or {}
    status = said.get(_STATUS)
    if not isinstance(status, int) or isinstance(status, bool):
        raise ProtocolError("the answer from $cbs has no 'status-code'", reply=INVALID_FIELD)
    description = said.get(_DESCRIPTION)
    return PutTokenReply(
        correlation_id=None if message.properties is None else message.properties.correlation_id,
        status=int(status),
        description=str(description) if isinstance(description, str) else "",
    )


def write_reply(reply: PutTokenReply) -> bytes:
    """The message that gives this answer; the status is an int: uamqp never sees a long (iothub_wire.md §2.2)."""
    said = {_STATUS: Int(reply.status), _DESCRIPTION: reply.description}
    properties = Properties(correlation_id=reply.correlation_id)
    return write_message(AmqpMessage(properties=properties, application_properties=said, body=Value(None)))


def identities_of(audience: Audience) -> tuple[Identity, ...]:
    """Whom a token's audience may name: the device or module as it is written, then as .NET means it, escaped twice.

    Empty if it names none, such as the hub as a whole. Spec: edgehub.md §5.2.
    """
    match audience.path:
        case ("devices", device):
            ids: tuple[str, ...] = (device,)
        case ("devices", device, "modules", module):
            ids = (device, module)
        case _:
            return ()
    readings = dict.fromkeys((ids, tuple(map(_decoded, ids))))
    return tuple(identity(*reading) for reading in readings if all(map(is_id, reading)))


def _decoded(text: str) -> str:
    try:
        return percent_decode(text, "the token's 'sr'")
    except ProtocolError:
        return text


def _read_kind(text: object) -> TokenKind:
    for kind in TokenKind:
        if isinstance(text, str) and text.lower() == kind.value:
            return kind
    raise ProtocolError(
        f"the type of the put-token is none of {', '.join(kind.value for kind in TokenKind)}", reply=INVALID_FIELD
    )
