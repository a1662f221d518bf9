"""The node `$cbs` of one connection: takes tokens, each by a request and its answer.

A token is checked when it comes, so that a client hears at once what is wrong with it, and again when a link asks for
it. One that is good renews the login of whoever is let in already. Spec: edgehub.md §5.2, amqp.md §7.2.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final, NamedTuple

from edgewire.codec.amqp.message import AmqpMessage, read_message
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.amqp.cbs import PutTokenReply, identities_of, read_put_token, request_id, write_reply
from edgewire.iothub.amqp.values import check_request_id
from edgewire.message import Identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.session import Session
from gateway.head.amqp_answers import AnswerLink, Answers, RequestLink
from gateway.head.amqp_guest import Guest
from gateway.head.amqp_line import Line, LinkEnd
from gateway.identity.credentials import Admitted, RefusalReason, Refused
from gateway.observe.identity import LoginRefused

MAX_TOKEN_REQUEST_BYTES: Final = 16_384
"""A request to `$cbs`: a token and its name, 4,096 characters each, with room to spare. Anybody may send one."""


class _Reply(NamedTuple):
    """What is answered, and after how long."""

    status: int
    description: str
    hold_s: float = 0.0


_TAKEN = _Reply(200, "OK")


class CbsNode:
    """The node, for all sessions of a connection: the two links of a session belong together.

    guests: who is let in on the connection.
    """

    __slots__ = ("_answers", "_guests", "_line")

    def __init__(self, line: Line, guests: Mapping[Identity, Guest]) -> None:
        self._line = line
        self._guests = guests
        self._answers: dict[Session, Answers] = {}

    def end_of(self, link: Link) -> LinkEnd:
        """Our end of a link to or from the node."""
        answers = self._answers.get(link.session)
        if answers is None:
            answers = self._answers[link.session] = Answers(self._line, always_settled=False)
        if link.role is Role.SENDER:
            return AnswerLink(self._line, link, answers)
        return _TokenLink(self._line, link, answers, self)

    def forget(self, session: Session) -> None:
        """A session is over."""
        self._answers.pop(session, None)

    def asks(self, message: AmqpMessage, then: Callable[[], None]) -> bool:
        """Whether the hub is asked about the device that a request names; `then` is called when it has answered."""
        try:
            token = read_put_token(message).token
            owners = identities_of(sas.audience(sas.parse(token)))
        except ProtocolError:
            return False  # `take` says why
        if not owners or not self._line.credentials.may_use(owners[0]):
            return False
        claim = self._line.credentials.token_claim(owners[0], token, self._line.house.clock())
        return self._line.house.authenticator.asks(claim, then)

    def take(self, message: AmqpMessage) -> _Reply:
        """Take what a request brings."""
        try:
            token = read_put_token(message).token
            owners = identities_of(sas.audience(sas.parse(token)))
        except ProtocolError as error:
            return self._refuse(error.what)
        if not owners:
            return self._refuse("the token's 'sr' names no device or module")
        return self._keep(owners, token)

    def _keep(self, owners: tuple[Identity, ...], token: str) -> _Reply:
        """Keep a token that is good; the one before stays if it is not."""
        credentials = self._line.credentials
        if not any(map(credentials.may_use, owners)):
            named = str(owners[0])
            self._line.house.emit(LoginRefused(named, self._line.peer.address, RefusalReason.FOREIGN_AUDIENCE))
            return _Reply(401, f"the connection was logged in as '{credentials.plain}'")
        before = {who: credentials.own_token_of(who) for who in owners}
        if not credentials.put(owners, token):
            return self._refuse("there are too many tokens on this connection")
        verdict = self._judge(owners)
        if isinstance(verdict, Refused):
            credentials.restore(before)
            if verdict.reason is RefusalReason.UPSTREAM_AWAY:
                return _Reply(503, "the hub cannot be asked about this device now; try again")
            return _Reply(401, "the token is not good", verdict.hold_s)
        self._renew_modules_of(verdict.identity)
        return _TAKEN

    def _judge(self, owners: tuple[Identity, ...]) -> Admitted | Refused:
        """Whether the token is good for one of those that it may name; if that one is let in already, it stays so."""
        for who in owners:
            guest = self._guests.get(who)
            verdict = self._line.judge(who) if guest is None else guest.renew()
            if isinstance(verdict, Admitted):
                break
        return verdict

    def _renew_modules_of(self, device: Identity) -> None:
        """A device's token is good for its modules, too, as long as they have none of their own."""
        for who, guest in tuple(self._guests.items()):
            if who.module is not None and who.device == device.device and device.module is None:
                guest.renew()

    def _refuse(self, what: str) -> _Reply:
        self._line.house.emit(LoginRefused("", self._line.peer.address, RefusalReason.MALFORMED_TOKEN, what))
        return _Reply(400, what)


class _TokenLink(RequestLink):
    """Where the client sends its put-tokens."""

    max_bytes: ClassVar[int] = MAX_TOKEN_REQUEST_BYTES
    __slots__ = ("_node",)

    def __init__(self, line: Line, link: Link, answers: Answers, node: CbsNode) -> None:
        super().__init__(line, link, answers)
        self._node = node

    def on_message(self, event: MessageReceived) -> None:
        """A request."""
        engine = self.line.engine
        try:
            message = read_message(event.payload)
            check_request_id(request_id(message))
        except ProtocolError as error:
            refused = Error(condition=str(error.reply), description=error.what)
            engine.settle(self.link, [event.delivery_id], Rejected(refused))
            self.line.house.emit(LoginRefused("", self.line.peer.address, RefusalReason.MALFORMED_TOKEN, error.what))
            self.answers.send()
            return
        engine.settle(self.link, [event.delivery_id], ACCEPTED)
        if self._node.asks(message, partial(self._take_late, message)):
            self.answers.hold()
            return
        answer, hold_s = self._answer_to(message)
        if not hold_s:
            self.answers.put(answer)
            return
        self.answers.hold()
        asyncio.get_running_loop().call_later(hold_s, self._answer_late, answer)

    def _answer_to(self, message: AmqpMessage) -> tuple[bytes, float]:
        """What is answered, and after how long."""
        reply = self._node.take(message)
        said = PutTokenReply(correlation_id=request_id(message), status=reply.status, description=reply.description)
        return write_reply(said), reply.hold_s

    def _take_late(self, message: AmqpMessage) -> None:
        """The hub was asked; the client may have gone meanwhile."""
        if self.line.closed:
            return
        answer, hold_s = self._answer_to(message)
        if hold_s:
            asyncio.get_running_loop().call_later(hold_s, self._answer_late, answer)
        else:
            self._answer_late(answer)

    def _answer_late(self, answer: bytes) -> None:
        if not self.line.closed:
            self.answers.put_held(answer)
            self.line.flush()
