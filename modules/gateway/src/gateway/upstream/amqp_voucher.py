"""Asks the hub about the tokens of devices that nobody here knows: by putting the token and attaching a link.

On a connection of its own, and each device once per connection: a wrong token must neither replace a good one that is
in use, nor be helped by it (edgeHub takes any token on `$cbs` and judges when a link attaches: edgehub.md §5.2).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from edgewire.codec.amqp.performatives import DeliveryState, Error
from edgewire.message import DeviceId, Identity
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery
from edgewire.session.amqp.session import Session
from edgewire.transport.dialer import DialError
from gateway.identity.neighbours import Neighbours
from gateway.identity.tokens import Token
from gateway.identity.vouching import Vouching
from gateway.observe.upstream import LinkFault
from gateway.upstream.amqp_link import AmqpLink, Dial, LinkFailedError
from gateway.upstream.amqp_refusal import Reach, is_taken, reach_of, reach_of_status

ANSWER_S: Final = 15.0
"""For one question, the connection included: devices wait 20 to 60 s for their CONNACK."""
OPEN_S: Final = 10.0
"""For the connection."""
IDLE_S: Final = 30.0
"""The connection stays so long after its last question."""
REST_S: Final = 5.0
"""After a try to connect that failed, all questions are answered "away" for so long."""
CLOSE_S: Final = 1.0


class _Question:
    """One question; the owner of its link."""

    def __init__(self, who: Identity, token: Token, answer: Callable[[Vouching], None]) -> None:
        self.who = who
        self.token = token
        self._answer: Callable[[Vouching], None] | None = answer
        self._connection: AmqpLink | None = None
        self._session: Session | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not answered yet."""
        return self._answer is not None

    @property
    def has_begun(self) -> bool:
        """Whether it is on the way."""
        return self._connection is not None

    def begin(self, connection: AmqpLink, name: str) -> None:
        """Put the token; the link follows."""
        self._connection = connection
        connection.put_token(name, self.token.text, self._on_token)

    def finish(self, vouching: Vouching) -> None:
        """Answer, once, and leave nothing behind on the connection."""
        answer, self._answer = self._answer, None
        if self._session is not None and self._connection is not None:
            self._connection.end(self._session)
            self._session = None
        if answer is not None:
            answer(vouching)

    def _on_token(self, status: int, _said: str) -> None:
        if not self.is_open or self._connection is None:
            return
        if is_taken(status):
            self._session = self._connection.begin(self)
            if self._session is None:
                self.finish(Vouching.AWAY)
            else:
                self._connection.attach(self._session, self.who, self)
        else:
            refused = reach_of_status(status) is Reach.DEVICE
            self.finish(Vouching.REFUSED if refused else Vouching.AWAY)

    def on_attached(self) -> None:
        """The hub lets it in."""
        self.finish(Vouching.GOOD)

    def on_credit(self) -> None:
        """Nothing is sent here."""

    def on_state(self, delivery: Delivery, state: DeliveryState | None) -> None:
        """See `on_credit`."""

    def on_detached(self, error: Error | None) -> None:
        """The hub does not."""
        self.finish(Vouching.REFUSED if reach_of(error) is Reach.DEVICE else Vouching.AWAY)

    def on_ended(self, error: Error | None) -> None:
        """As `on_detached`, of the session as a whole."""
        self._session = None
        self.on_detached(error)


class AmqpVoucher:
    """A `Voucher`. `run` it beside the gateway; it connects when there is a question."""

    def __init__(
        self,
        *,
        hostname: str,
        dial: Dial,
        name_of: Callable[[Identity], str],
        limits: AmqpLimits | None = None,
        answer_s: float = ANSWER_S,
        idle_s: float = IDLE_S,
        rest_s: float = REST_S,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._neighbours = neighbours or Neighbours()
        self._hostname = hostname
        self._dial = dial
        self._name_of = name_of
        self._limits = limits or AmqpLimits()
        self._answer_s = answer_s
        self._idle_s = idle_s
        self._rest_s = rest_s
        self._loop = asyncio.get_running_loop()
        self._questions: list[_Question] = []
        """All that are open, in their order."""
        self._link: AmqpLink | None = None
        self._changed = asyncio.Event()
        self._rests_until = 0.0
        self._running = False

    def ask(self, who: Identity, token: Token, answer: Callable[[Vouching], None]) -> None:
        """Ask; the answer comes within `answer_s`."""
        if not self._running or self._loop.time() < self._rests_until:
            self._loop.call_soon(answer, Vouching.AWAY)
            return

        def answered(vouching: Vouching) -> None:
            self._changed.set()
            answer(vouching)

        question = _Question(who, token, answered)
        self._questions.append(question)
        self._loop.call_later(self._answer_s, question.finish, Vouching.AWAY)
        self._changed.set()

    async def run(self) -> None:
        """Answer questions until cancelled."""
        self._running = True
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                self._forget_answered()
                if self._questions:
                    await self._serve()
        finally:
            self._running = False
            self._give_up()

    def on_lost(self, _fault: LinkFault, _reason: str) -> None:
        """The connection stood, and does not any more. Called by it."""
        self._link = None
        for question in self._questions:
            if question.has_begun:
                question.finish(Vouching.AWAY)
        self._changed.set()

    def on_room(self) -> None:
        """Questions are small: nobody waits for room."""

    async def _serve(self) -> None:
        """One connection: for the questions there are, and those that come until it is idle."""
        link = AmqpLink(self, self._dial, hostname=self._hostname, limits=self._limits, neighbours=self._neighbours)
        try:
            async with asyncio.timeout(OPEN_S):
                await link.open()
        except (DialError, LinkFailedError, TimeoutError):
            link.abort()
            self._rests_until = self._loop.time() + self._rest_s
            self._give_up()
            return
        except BaseException:
            link.abort()
            raise
        self._link = link
        try:
            await self._stay(link)
        finally:
            self._link = None
            await link.close(CLOSE_S)
            self._changed.set()

    async def _stay(self, link: AmqpLink) -> None:
        """Ask what can be asked here; return when the connection is lost, idle, or was asked about a device before."""
        asked: set[DeviceId] = set()
        while self._link is link:
            self._forget_answered()
            for question in self._questions:
                if question.who.device not in asked:
                    asked.add(question.who.device)
                    question.begin(link, self._name_of(question.who))
            link.flush()
            if self._questions and not any(each.has_begun for each in self._questions):
                return  # those that are left want another connection
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._changed.wait()
            except TimeoutError:
                if not self._questions:
                    return
            self._changed.clear()

    def _forget_answered(self) -> None:
        self._questions = [each for each in self._questions if each.is_open]

    def _give_up(self) -> None:
        questions, self._questions = self._questions, []
        for question in questions:
            question.finish(Vouching.AWAY)
