"""Requests on one link and their answers on another, which wait there for the peer's credit."""

from typing import ClassVar, Final

from edgewire.codec.amqp.conditions import MESSAGE_SIZE_EXCEEDED
from edgewire.codec.amqp.performatives import SETTLED
from edgewire.session.amqp.events import CreditReceived
from edgewire.session.amqp.link import Link
from gateway.head.amqp_line import Line, LinkEnd

MAX_WAITING_ANSWERS: Final = 100
"""Answers that wait for credit on one link; so many requests may come before one of them has left."""

MAX_REQUEST_BYTES: Final = 65_536
"""A request to a twin: a patch of 32 KiB, with room to spare."""


class Answers:
    """The answers of one pair of links.

    Credit for requests is given back only as answers leave, so a peer that asks and never listens is not read further.
    """

    __slots__ = ("_always_settled", "_held", "_line", "_requests", "_to", "_waiting")

    def __init__(self, line: Line, *, always_settled: bool) -> None:
        self._line = line
        self._always_settled = always_settled
        self._requests: Link | None = None
        self._to: Link | None = None
        self._waiting: list[bytes] = []
        self._held = 0

    def take_requests_from(self, link: Link | None) -> None:
        """Requests come on this link now."""
        self._requests = link

    def send_to(self, link: Link | None) -> None:
        """Answers leave on this link now."""
        self._to = link
        self.send()

    @property
    def links(self) -> tuple[Link | None, Link | None]:
        """Where requests come from and where answers go."""
        return self._requests, self._to

    def hold(self) -> None:
        """An answer will come later: it counts as waiting already."""
        self._held += 1

    def put_held(self, answer: bytes) -> None:
        """The answer that `hold` was for."""
        self._held -= 1
        self.put(answer)

    def put(self, answer: bytes) -> None:
        """Send an answer as soon as the peer takes it."""
        self._waiting.append(answer)
        self.send()

    def send(self) -> None:
        """Send what the peer takes now, and let it ask as much again."""
        while self._waiting and self._to is not None and self._send_to(self._to, self._waiting[0]):
            del self._waiting[0]
        if self._requests is not None:
            room = MAX_WAITING_ANSWERS - len(self._waiting) - self._held
            self._line.engine.grant(self._requests, max(0, room))

    def on_credit(self, event: CreditReceived) -> None:
        """The peer takes more."""
        self.send()
        if event.drain and not self._waiting:
            self._line.engine.drained(event.link)

    def _send_to(self, link: Link, answer: bytes) -> bool:
        engine = self._line.engine
        if 0 < link.peer_max_message_size < len(answer):
            engine.detach(link, MESSAGE_SIZE_EXCEEDED, f"an answer has {len(answer)} bytes")
            self._to = None
            return False
        settled = self._always_settled or link.snd_settle_mode == SETTLED
        return engine.send(link, answer, settled=settled) is not None


class AnswerLink(LinkEnd):
    """Where the client receives answers."""

    __slots__ = ("_answers",)

    def __init__(self, line: Line, link: Link, answers: Answers) -> None:
        super().__init__(line, link)
        self._answers = answers

    def begin(self) -> None:
        """Answers leave on this link from now on."""
        super().begin()
        self._answers.send_to(self.link)

    def on_credit(self, event: CreditReceived) -> None:
        """The peer takes answers."""
        self._answers.on_credit(event)

    def on_over(self) -> None:
        """Answers wait for another link."""
        if self._answers.links[1] is self.link:
            self._answers.send_to(None)


class RequestLink(LinkEnd):
    """Where the client sends requests; a kind of request overrides `on_message`, and what one may weigh."""

    __slots__ = ("answers",)
    max_bytes: ClassVar[int] = MAX_REQUEST_BYTES

    def __init__(self, line: Line, link: Link, answers: Answers) -> None:
        super().__init__(line, link)
        self.answers = answers

    def begin(self) -> None:
        """Requests come on this link from now on."""
        self.line.engine.accept_link(self.link, credit=0, max_message_size=self.max_bytes)
        self.answers.take_requests_from(self.link)
        self.answers.send()

    def on_over(self) -> None:
        """Requests come on another link."""
        if self.answers.links[0] is self.link:
            self.answers.take_requests_from(None)
