"""Provisioning over AMQP, TCP or WebSocket: a pair of links at `{scope}/registrations/{id}` (iothub_wire.md §5.2).

A request is accepted, and its answer sent on the other link; a request that is refused is rejected, and has no answer.
"""

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Int, Symbol
from edgewire.codec.amqp.message import AmqpMessage, Properties, read_message, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.cbs import request_id as message_id
from edgewire.iothub.amqp.values import check_request_id
from edgewire.iothub.dps import is_address, parse_address
from edgewire.session.amqp.events import CreditReceived, MessageReceived
from edgewire.session.amqp.link import Link, Role
from edgewire.transport.pump import Peer
from standin.amqp_nodes import AmqpLine, Attached
from standin.dps import MAX_BODY_BYTES, Answer, Provisioning
from standin.dps_admission import Proven
from standin.dps_errors import BAD_REQUEST, UNAUTHORIZED, DpsError
from standin.hub import Closing

MAX_WAITING: Final = 10
"""Answers that wait for credit, and requests that may come ahead of them."""
_MESSAGE_ROOM_BYTES: Final = 4_096
"""What AMQP writes around a request."""
_OPERATION: Final = "iotdps-operation-type"
_OPERATION_ID: Final = "iotdps-operation-id"
_RETRY_AFTER: Final = "retry-after"
_REGISTER: Final = "iotdps-register"
_POLL: Final = "iotdps-get-operationstatus"
_CONDITIONS: Final[Mapping[int, Symbol]] = MappingProxyType(
    {
        400: conditions.ARGUMENT_ERROR,
        401: conditions.UNAUTHORIZED_ACCESS,
        404: conditions.NOT_FOUND,
        429: conditions.DEVICE_CONTAINER_THROTTLED,
    }
)
"""What Node's client reads as what (azure-iot-amqp-base); all else it takes for an internal error, and tries again."""


class DpsAmqp:
    """The addresses and the logins of provisioning. Implements `amqp_nodes.Node` and `amqp_nodes.Guests`."""

    def __init__(self, dps: Provisioning) -> None:
        self._dps = dps
        self._desks: dict[AmqpLine, _Desk] = {}

    def claims(self, address: str) -> bool:
        """Whether this is an address of provisioning."""
        return is_address(address.removeprefix("/"))

    def knows(self, name: str) -> bool:
        """Whether a user name of SASL PLAIN is one of provisioning."""
        return is_address(name)

    def log_in(self, name: str, token: str, peer: Peer) -> Proven | None:  # noqa: ARG002 - the nodes' interface
        """Who this is, by its token; None refuses it."""
        try:
            return self._dps.admit(parse_address(name), token, ())
        except (DpsError, ProtocolError):
            return None

    def attach(self, line: AmqpLine, link: Link) -> None:
        """A link either way, for who has logged in or has shown its certificate."""
        try:
            registrant = parse_address((link.address or "").removeprefix("/"))
            proven = line.guest if isinstance(line.guest, Proven) else None
            if proven is None:
                proven = self._dps.admit(registrant, None, line.peer.certificates)
        except ProtocolError as error:
            line.refuse(link, conditions.NOT_ALLOWED, error.what)
            return
        except DpsError as error:
            line.refuse(link, _condition(error), error.what)
            return
        if proven.registrant.key != registrant.key:
            line.refuse(link, conditions.UNAUTHORIZED_ACCESS, f"only {proven.registrant} logged in on this connection")
            return
        desk = self._desks.get(line)
        if desk is None:
            desk = self._desks[line] = _Desk(self, line, self._dps, proven)
        desk.attach(link)

    def left(self, line: AmqpLine) -> None:
        """The last link of this connection is gone."""
        self._desks.pop(line, None)


class _End(Attached):
    """One link of a desk."""

    __slots__ = ("desk", "link")

    def __init__(self, desk: "_Desk", link: Link) -> None:
        super().__init__()
        self.desk = desk
        self.link = link

    def take(self, event: MessageReceived) -> None:
        """A request."""
        self.desk.take(event)

    def on_credit(self, event: CreditReceived) -> None:  # noqa: ARG002 - the nodes' interface
        """Answers can be sent."""
        self.desk.send()

    def on_detached(self) -> None:
        """The link is gone."""
        self.desk.detached(self.link)


class _Desk:
    """The links of one connection to provisioning, and the answers that wait."""

    def __init__(self, node: DpsAmqp, line: AmqpLine, dps: Provisioning, proven: Proven) -> None:
        self._node = node
        self._line = line
        self._dps = dps
        self._proven = proven
        self._links: dict[Role, Link] = {}
        self._replies: deque[bytes] = deque()

    def attach(self, link: Link) -> None:
        """Take a link; there is one each way, and the newest counts."""
        older = self._links.get(link.role)
        self._links[link.role] = link
        link.owner = _End(self, link)
        if older is not None:
            self._line.detach(older, conditions.STOLEN, "another link took its place")
        self._line.session.accept_link(link, credit=MAX_WAITING, max_message_size=MAX_BODY_BYTES + _MESSAGE_ROOM_BYTES)
        self.send()

    def detached(self, link: Link) -> None:
        """A link is gone, and with the last one the desk."""
        if self._links.get(link.role) is link:
            del self._links[link.role]
        if not self._links:
            self._node.left(self._line)

    def take(self, event: MessageReceived) -> None:
        """A request: answered, or rejected."""
        session = self._line.session
        try:
            message = read_message(event.payload)
            check_request_id(None if message.properties is None else message.properties.correlation_id)
            answer = self._answer(message)
        except (DpsError, ProtocolError) as error:
            refused = error if isinstance(error, DpsError) else DpsError(BAD_REQUEST, error.what)
            session.settle(event.link, (event.delivery_id,), self._rejected(refused))
            session.grant(event.link, MAX_WAITING)
            return
        session.settle(event.link, (event.delivery_id,), ACCEPTED)
        self._replies.append(_reply(message, answer))
        self.send()

    def send(self) -> None:
        """Send the answers that wait, as far as there is a link with credit."""
        link, session = self._links.get(Role.SENDER), self._line.session
        while self._replies and link is not None and not self._line.is_closing:
            if session.send(link, self._replies[0]) is None:
                break
            self._replies.popleft()
        requests = self._links.get(Role.RECEIVER)
        if requests is not None and not self._line.is_closing:
            session.grant(requests, MAX_WAITING - len(self._replies))
        self._line.flush_soon()

    def _answer(self, message: AmqpMessage) -> Answer:
        if self._dps.clock() >= self._proven.expires_at:
            raise DpsError(UNAUTHORIZED, Closing.TOKEN_EXPIRED.value)
        said = message.application_properties or {}
        match said.get(_OPERATION):
            case str(operation) if operation == _REGISTER:
                return self._dps.register(self._proven, message.body if isinstance(message.body, bytes) else b"")
            case str(operation) if operation == _POLL:
                return self._dps.poll(self._proven, str(said.get(_OPERATION_ID)))
        raise DpsError(BAD_REQUEST, f"the request has no {_OPERATION} that is known here")

    def _rejected(self, error: DpsError) -> Rejected:
        refusal = self._dps.refusal(error)
        info = None if refusal.retry_after_s is None else {Symbol(_RETRY_AFTER): Int(refusal.retry_after_s)}
        return Rejected(Error(condition=_condition(error), description=orjson.dumps(refusal.body).decode(), info=info))


def _reply(request: AmqpMessage, answer: Answer) -> bytes:
    """The answer, with the request's correlation id in its own type; without one, with its message id."""
    said: dict[str, object] = {}
    if answer.retry_after_s is not None:
        said[_RETRY_AFTER] = Int(answer.retry_after_s)
    correlation_id = None if request.properties is None else request.properties.correlation_id
    properties = Properties(correlation_id=message_id(request) if correlation_id is None else correlation_id)
    return write_message(
        AmqpMessage(properties=properties, application_properties=said, body=orjson.dumps(answer.body))
    )


def _condition(error: DpsError) -> Symbol:
    return _CONDITIONS.get(error.status, conditions.INTERNAL_ERROR)
