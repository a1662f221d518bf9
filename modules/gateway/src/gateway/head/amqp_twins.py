"""Twins of one identity over AMQP: requests on one link, answers and changes of desired properties on the other.

Attaching the link for answers subscribes changes, too. Spec: edgehub.md §5.3, §5.4; iothub_wire.md §2.4.
"""

from functools import partial
from typing import Final

from edgewire.codec.amqp.conditions import INVALID_FIELD, RESOURCE_LIMIT_EXCEEDED
from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.twins import (
    DesiredChange,
    TwinAnswer,
    TwinOperation,
    TwinRequest,
    read_request,
    write_answer,
    write_change,
)
from edgewire.iothub.amqp.values import MessageId
from edgewire.message import Identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from gateway.dispatch.twin_desk import OK, TWINS_NOT_SERVED, TwinDesk, TwinReply
from gateway.head.amqp_answers import AnswerLink, Answers, RequestLink
from gateway.head.amqp_line import Line
from gateway.observe.head import MessageRefused, RefusedMessage

MAX_WAITING_CHANGES: Final = 100
"""Changes of desired properties that wait for the peer's credit; a peer that lets more of them wait loses the link, and
reads its twin when it comes again."""


class TwinChannel(Answers):
    """What goes to one identity about its twin."""

    __slots__ = ("_owner", "_twins")

    def __init__(self, line: Line, twins: TwinDesk, owner: Identity) -> None:
        super().__init__(line, always_settled=True)
        self._twins = twins
        self._owner = owner

    def take(self, request: TwinRequest) -> None:
        """A request; its answer comes at once or later, and counts as waiting till then."""
        self.hold()
        answer = partial(self._answer, request.correlation_id)
        match request.operation:
            case TwinOperation.GET:
                self._twins.get(self._owner, answer)
            case TwinOperation.REPORT:
                self._twins.report(self._owner, request.patch, answer)
            case TwinOperation.SUBSCRIBE:
                self.watch()
                answer(self._done())
            case TwinOperation.UNSUBSCRIBE:
                self.unwatch()
                answer(self._done())

    def watch(self) -> None:
        """Changes of the desired properties are wanted."""
        self._twins.subscribe(self._owner, self)

    def unwatch(self) -> None:
        """They are wanted no more, or the identity is gone."""
        self._twins.unsubscribe(self._owner, self)

    def desired(self, patch: bytes, _version: int) -> None:
        """A change of the desired properties."""
        if self._line.closed or self._to is None:
            return
        if len(self._waiting) >= MAX_WAITING_CHANGES:
            self.unwatch()
            what = f"more than {MAX_WAITING_CHANGES} changes of the twin wait for credit"
            self._line.engine.detach(self._to, RESOURCE_LIMIT_EXCEEDED, what)
            self._to = None
        else:
            self.put(write_change(DesiredChange(patch)))
        self._line.flush()

    def _done(self) -> TwinReply:
        return TwinReply(status=OK) if self._twins.is_served else TWINS_NOT_SERVED

    def _answer(self, correlation_id: MessageId, reply: TwinReply) -> None:
        if self._line.closed:
            return
        answer = TwinAnswer(
            correlation_id=correlation_id, status=reply.status, version=reply.version, document=reply.document
        )
        self.put_held(write_answer(answer))
        self._line.flush()


class TwinAnswers(AnswerLink):
    """Where the client receives answers and changes."""

    __slots__ = ("_channel",)

    def __init__(self, line: Line, link: Link, channel: TwinChannel) -> None:
        super().__init__(line, link, channel)
        self._channel = channel

    def begin(self) -> None:
        """Answers leave on this link from now on, and changes."""
        super().begin()
        self._channel.watch()

    def on_over(self) -> None:
        """Answers wait for another link; changes do not."""
        if self._channel.links[1] is self.link:
            self._channel.unwatch()
        super().on_over()


class TwinRequests(RequestLink):
    """Where the client asks."""

    __slots__ = ("_channel", "_who")

    def __init__(self, line: Line, link: Link, channel: TwinChannel, who: Identity) -> None:
        super().__init__(line, link, channel)
        self._channel = channel
        self._who = who

    def on_message(self, event: MessageReceived) -> None:
        """A request."""
        try:
            request = read_request(read_message(event.payload))
        except ProtocolError as error:
            self._refuse(event, error)
            return
        self.line.engine.settle(self.link, [event.delivery_id], ACCEPTED)
        self._channel.take(request)

    def _refuse(self, event: MessageReceived, error: ProtocolError) -> None:
        self.line.house.emit(MessageRefused(str(self._who), RefusedMessage.MALFORMED_MESSAGE, error.what))
        refused = Error(condition=str(error.reply or INVALID_FIELD), description=error.what)
        self.line.engine.settle(self.link, [event.delivery_id], Rejected(refused))
        self.answers.send()
