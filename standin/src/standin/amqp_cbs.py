"""The node `$cbs` of one AMQP connection: takes tokens, answers when the peer gives credit (iothub_wire.md §2.2)."""

from collections import deque
from collections.abc import Callable
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.message import AmqpMessage, read_message
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.cbs import PutToken, PutTokenReply, read_put_token, request_id, write_reply
from edgewire.session.amqp.events import CreditReceived, MessageReceived
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.server import AmqpServer
from edgewire.session.amqp.session import Session
from standin.amqp_nodes import Attached

CREDIT: Final = 1_000
"""Tokens that a client may put ahead of our answers: those of a thousand identities at once."""
MAX_REPLIES: Final = 2 * CREDIT
"""Answers that wait for credit; whoever lets more come up is closed."""
OK: Final = 200
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401


class CbsNode:
    """Puts tokens before `decide`, which returns the status and its description."""

    def __init__(self, session: AmqpServer, decide: Callable[[str], tuple[int, str]]) -> None:
        self._session = session
        self._decide = decide
        self._links: list[Link] = []
        """Where answers go."""
        self._replies: deque[tuple[Session, bytes]] = deque()

    def attach(self, link: Link) -> None:
        """A link of the peer's to this node, either way."""
        link.owner = CbsLink(self, link)
        self._session.accept_link(link, credit=CREDIT)
        if link.role is Role.SENDER:
            self._links.append(link)
            self.send()

    def detached(self, link: Link) -> None:
        """A link is gone; does nothing if it was none of this node's."""
        if link in self._links:
            self._links.remove(link)

    def take(self, event: MessageReceived) -> None:
        """A request. uamqp fails if the answer comes before its request is settled."""
        try:
            message = read_message(event.payload)
        except ProtocolError as error:
            rejected = Rejected(Error(condition=conditions.DECODE_ERROR, description=error.what))
            self._session.settle(event.link, (event.delivery_id,), rejected)
            return
        self._session.settle(event.link, (event.delivery_id,), ACCEPTED)
        self._replies.append((event.link.session, write_reply(self._answer(message))))
        self.send()
        if len(self._replies) > MAX_REPLIES:
            self._session.close(conditions.RESOURCE_LIMIT_EXCEEDED, "too many answers of $cbs wait for credit")
        self._session.grant(event.link, CREDIT)

    def send(self) -> None:
        """Send the answers that wait, each in the session of its request if there is a link.

        One that its link has no room for is lost: the peer has said that it does not want it.
        """
        while self._replies and self._links:
            session, payload = self._replies[0]
            link = next((each for each in self._links if each.session is session), self._links[0])
            takes = not link.peer_max_message_size or len(payload) <= link.peer_max_message_size
            if takes and self._session.send(link, payload) is None:
                return
            self._replies.popleft()

    def _answer(self, message: AmqpMessage) -> PutTokenReply:
        correlation_id = request_id(message)
        try:
            request: PutToken = read_put_token(message)
        except ProtocolError as error:
            return PutTokenReply(correlation_id=correlation_id, status=BAD_REQUEST, description=error.what)
        status, description = self._decide(request.token)
        return PutTokenReply(correlation_id=correlation_id, status=status, description=description)


class CbsLink(Attached):
    """A link to the node, kept as `link.owner`."""

    __slots__ = ("_link", "_node")

    def __init__(self, node: CbsNode, link: Link) -> None:
        super().__init__()
        self._node = node
        self._link = link

    def take(self, event: MessageReceived) -> None:
        """A request."""
        self._node.take(event)

    def on_credit(self, _: CreditReceived) -> None:
        """Answers may go out now."""
        self._node.send()

    def on_detached(self) -> None:
        """The link is gone."""
        self._node.detached(self._link)
