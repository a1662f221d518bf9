"""Asks the provisioning service over HTTPS, one connection for each question (iothub_wire.md §5.3).

A device registers once in a long time: there is nothing to keep a connection for. The device's token goes along as it
is, and nothing of it is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from edgewire.errors import ProtocolError
from edgewire.iothub.dps import Register, format_target
from edgewire.session.http.client import CallAnswered, CallRequest, HttpCall
from edgewire.transport.dialer import DialError
from edgewire.transport.pump import Accept, Owner, Peer, Pump, Session
from gateway.dispatch.provisioning import Question
from gateway.dispatch.provisioning_answers import Answer
from gateway.observe.events import Event
from gateway.observe.provisioning import ProvisioningAway, ProvisioningBack

ANSWER_S: Final = 20.0
"""For one question, the connection included: the SDKs wait 30 s for each answer."""
REST_S: Final = 5.0
"""After a question that nobody could be asked, all are answered "away" for so long."""
MAX_ANSWER_BYTES: Final = 131_072
"""Of the service's answer: a registration state holds a payload, as a request may."""
MAX_ANSWER_HEAD_BYTES: Final = 16_384
MAX_RETRY_S: Final = 3_600
"""The longest wait that is passed on to a device."""
_JSON: Final = "application/json; charset=utf-8"

Dial = Callable[[Accept], Awaitable[None]]
"""Connects to the service and serves what is made. Raises DialError."""


class _Call:
    """The owner of one connection to the service."""

    def __init__(self, request: CallRequest) -> None:
        self.answered: asyncio.Future[CallAnswered] = asyncio.get_running_loop().create_future()
        self._session = HttpCall(request, max_body_bytes=MAX_ANSWER_BYTES, max_head_bytes=MAX_ANSWER_HEAD_BYTES)
        self._pump: Pump[CallAnswered] | None = None

    def accept(self, _peer: Peer) -> tuple[Session[Any], Owner[Any]]:
        """The connection stands."""
        return self._session, self

    def on_connected(self, pump: Pump[CallAnswered]) -> None:
        """The request goes out when this returns."""
        self._pump = pump

    def on_events(self, events: list[CallAnswered]) -> None:
        """The answer is whole."""
        if not self.answered.done():
            self.answered.set_result(events[0])
        self.end()

    def on_failed(self, error: ProtocolError) -> None:
        """It is none."""
        self._fail(error.what)

    def on_closed(self) -> None:
        """The server has gone; some say by that where the answer ends."""
        if not self.answered.done():
            try:
                whole = self._session.receive_end()
            except ProtocolError as error:
                self._fail(error.what)
                return
            if whole:
                self.answered.set_result(whole[0])
            else:
                self._fail("it closed the connection without an answer")

    def end(self) -> None:
        """Nothing more is wanted."""
        if self._pump is not None:
            self._pump.abort()

    def _fail(self, what: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(ProtocolError(what))


class DpsLink:
    """A `dispatch.provisioning.ProvisioningService`. `run` it beside the gateway; `place` is its name for people."""

    def __init__(
        self,
        host: str,
        dial: Dial,
        *,
        place: str,
        emit: Callable[[Event], None],
        answer_s: float = ANSWER_S,
        rest_s: float = REST_S,
    ) -> None:
        self._host = host
        self._dial = dial
        self._place = place
        self._emit = emit
        self._answer_s = answer_s
        self._rest_s = rest_s
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None
        self._rests_until = 0.0
        self._away = False

    def ask(self, question: Question, answer: Callable[[Answer | None], None]) -> None:
        """Ask; the answer comes within `answer_s`, None if there is none."""
        if self._tasks is None or self._loop.time() < self._rests_until:
            self._loop.call_soon(answer, None)
            return
        self._tasks.create_task(self._ask(question, answer), name="question to the provisioning service")

    async def run(self) -> None:
        """Answer questions until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await asyncio.Event().wait()
        finally:
            self._tasks = None

    async def _ask(self, question: Question, answer: Callable[[Answer | None], None]) -> None:
        call = _Call(self._request(question))
        try:
            async with asyncio.timeout(self._answer_s):
                await self._dial(call.accept)
                said = await call.answered
        except TimeoutError:
            self._note_away(f"it did not answer in {self._answer_s:g} s")
            self._loop.call_soon(answer, None)
        except (DialError, ProtocolError) as error:
            self._note_away(str(error))
            self._loop.call_soon(answer, None)
        else:
            self._note_back()
            # Not from here: a fault in what is done with it must not end the questions of others.
            self._loop.call_soon(answer, Answer(said.status, said.body, _retry_after_s(said)))
        finally:
            call.end()

    def _request(self, question: Question) -> CallRequest:
        method, target = format_target(question.registrant, question.request)
        headers = [("Authorization", question.token), ("Accept", "application/json")]
        if isinstance(question.request, Register):
            headers.append(("Content-Type", _JSON))
        return CallRequest(method=method, target=target, host=self._host, headers=tuple(headers), body=question.body)

    def _note_away(self, why: str) -> None:
        self._rests_until = self._loop.time() + self._rest_s
        if not self._away:
            self._away = True
            self._emit(ProvisioningAway(self._place, why))

    def _note_back(self) -> None:
        if self._away:
            self._away = False
            self._emit(ProvisioningBack(self._place))


def _retry_after_s(said: CallAnswered) -> int | None:
    """When to ask again; the service says it in seconds, never by a date."""
    value = said.header("retry-after")
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 9:
        return None
    return min(int(value), MAX_RETRY_S)
