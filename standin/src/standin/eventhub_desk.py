"""The links of one connection to `$management`: requests in, answers out when the peer gives credit."""

from collections import deque
from collections.abc import Callable
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.message import AmqpMessage, read_message
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected, Target
from edgewire.errors import ProtocolError
from edgewire.session.amqp.events import CreditReceived, MessageReceived
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.session import Session
from standin.amqp_nodes import AmqpLine, Attached, Need

REQUEST_CREDIT: Final = 100
MAX_REPLIES: Final = 2 * REQUEST_CREDIT
"""Answers that wait for credit; whoever lets more come up loses the link it asks on."""


class Desk:
    """Puts requests before `answer`, which gives the message that answers. `left`: the last link is gone."""

    def __init__(self, line: AmqpLine, answer: Callable[[AmqpMessage], bytes], *, left: Callable[[], None]) -> None:
        self._line = line
        self._answer = answer
        self._left = left
        self._links: list[Link] = []
        self._replies: deque[tuple[str | None, Session, bytes]] = deque()
        """Where each goes to by name, the session it was asked in, and the answer."""

    def attach(self, link: Link, need: Need) -> None:
        """Accept a link, either way."""
        self._links.append(link)
        link.owner = _DeskLink(self, link, need)
        self._line.session.accept_link(link, credit=REQUEST_CREDIT)
        self.send()

    def detached(self, link: Link) -> None:
        """A link is gone."""
        self._links.remove(link)
        if not self._links:
            self._left()

    def take(self, event: MessageReceived) -> None:
        """A request: settled first, then answered (iothub_wire.md §2.2)."""
        session = self._line.session
        try:
            message = read_message(event.payload)
        except ProtocolError as error:
            rejected = Rejected(Error(condition=conditions.DECODE_ERROR, description=error.what))
            session.settle(event.link, (event.delivery_id,), rejected)
            return
        session.settle(event.link, (event.delivery_id,), ACCEPTED)
        reply_to = None if message.properties is None else message.properties.reply_to
        self._replies.append((reply_to, event.link.session, self._answer(message)))
        self.send()
        if len(self._replies) > MAX_REPLIES:
            what = "too many answers wait for credit"
            self._line.detach(event.link, conditions.RESOURCE_LIMIT_EXCEEDED, what)
        else:
            session.grant(event.link, REQUEST_CREDIT)

    def send(self) -> None:
        """Send the answers that wait, as far as there is a link for them and credit on it."""
        while self._replies:
            reply_to, session, payload = self._replies[0]
            link = self._link_for(reply_to, session)
            if link is None or self._line.session.send(link, payload, settled=True) is None:
                return
            self._replies.popleft()

    def _link_for(self, reply_to: str | None, session: Session) -> Link | None:
        """The link to who is named; clients that name nobody have one in the session they ask in."""
        links = [link for link in self._links if link.role is Role.SENDER]
        named = [link for link in links if reply_to is not None and _target_of(link) == reply_to]
        near = [link for link in links if link.session is session]
        return next(iter(named + near + links), None)


class _DeskLink(Attached):
    """One of its links."""

    __slots__ = ("_desk", "_link")

    def __init__(self, desk: Desk, link: Link, need: Need) -> None:
        super().__init__(need)
        self._desk = desk
        self._link = link

    def take(self, event: MessageReceived) -> None:
        self._desk.take(event)

    def on_credit(self, event: CreditReceived) -> None:  # noqa: ARG002 - the interface of all links
        self._desk.send()

    def on_detached(self) -> None:
        self._desk.detached(self._link)


def _target_of(link: Link) -> str | None:
    return link.target.address if isinstance(link.target, Target) else None
