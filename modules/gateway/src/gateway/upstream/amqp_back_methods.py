"""Direct methods of devices: a call comes down, goes to the device, and its answer back. Never stored or repeated."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final

import orjson

from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import SETTLED
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Purpose, format_address
from edgewire.iothub.amqp.methods import MethodAnswer, MethodCall, read_call, write_answer
from edgewire.message import Identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.session import Session
from gateway.dispatch.methods import MAX_CALLS_PER_DEVICE, MethodError, MethodFault, Methods
from gateway.observe.events import Event
from gateway.observe.upstream import BackKind, UnreadableFromCloud
from gateway.upstream.amqp_back import Back
from gateway.upstream.amqp_back_strand import Strand, StrandHost
from gateway.upstream.amqp_link import AmqpLink

CALL_S: Final = 300.0
"""The longest that IoT Hub lets a caller wait. How long this one does is not told, so its answer may come too late."""
CALL_CREDIT: Final = 2 * MAX_CALLS_PER_DEVICE
"""Calls that may come at once: more than are taken, so that those in excess are told so and do not wait at the hub."""
MAX_WAITING_ANSWERS: Final = 64
"""Answers of a device that wait for the other end's credit; beyond, the earliest is dropped: nobody waits so long."""
MAX_QUEUED_CALLS: Final = 2_000
"""Calls that are looked at, over all devices: twice of what may wait for answers. Beyond, they are answered 429."""
LINGER_S: Final = 30.0
"""Who takes no more calls may answer those that it has for so long, IoT Hub's usual wait; new ones get 404."""
ENVELOPE_BYTES: Final = 256
"""What an answer takes around its payload."""


class MethodStrand(Strand):
    """The pair of links of one device."""

    kind: ClassVar[BackKind] = BackKind.METHODS

    def __init__(
        self,
        who: Identity,
        host: StrandHost,
        *,
        called: "Callable[[MethodStrand, Link, MethodCall], None]",
        emit: Callable[[Event], None],
    ) -> None:
        super().__init__(who, host)
        self._called = called
        self._emit = emit
        self._answers: deque[bytes] = deque()
        self.calls = 0
        """Calls that wait for their answer."""
        self.leaving: asyncio.TimerHandle | None = None
        """The device takes no more calls; ends the wait for its answers."""

    def on_message(self, event: MessageReceived) -> None:
        """A call."""
        connection = self._host.link()
        if connection is not None:
            connection.grant(event.link, CALL_CREDIT)
        try:
            call = read_call(read_message(event.payload))
        except ProtocolError as error:
            self._emit(UnreadableFromCloud(self.kind, str(self.who), error.what))
            return
        self._called(self, event.link, call)

    def answer(self, link: Link, answer: MethodAnswer) -> None:
        """Answer a call that came by `link`; too late if that is gone."""
        if link not in self._links:
            return
        if len(self._answers) == MAX_WAITING_ANSWERS:
            self._answers.popleft()
        self._answers.append(write_answer(self._fitting(answer)))
        self._send()
        self._host.flush_soon()

    def on_credit(self) -> None:
        """Answers may go."""
        self._send()

    def _attach(self, connection: AmqpLink, session: Session) -> tuple[Link, ...]:
        address, channel = format_address(self.who, Purpose.METHODS), f"methods:{uuid.uuid4()}"
        return (
            connection.attach_sender(session, address, self, channel=channel, snd_settle_mode=SETTLED),
            connection.attach_receiver(session, address, self, channel=channel, credit=CALL_CREDIT),
        )

    def _on_open(self) -> None:
        """The hub calls when somebody does."""

    def _on_void(self) -> None:
        self._answers.clear()

    def _send(self) -> None:
        connection = self._host.link()
        while self._answers and self._links and connection is not None:
            if not connection.post(self._links[0], self._answers[0]):
                return
            self._answers.popleft()

    def _fitting(self, answer: MethodAnswer) -> MethodAnswer:
        """The answer, or that it is larger than the other end takes."""
        most = self._links[0].peer_max_message_size
        if not most or len(answer.payload) + ENVELOPE_BYTES <= most:
            return answer
        what = f"the answer has {len(answer.payload)} bytes; the other end takes {most}"
        return MethodAnswer(rid=answer.rid, status=500, payload=_said(what))


class CloudCalls:
    """Brings the hub's calls to `Methods`, and the answers back. `run` it beside the connection."""

    def __init__(self, back: Back, methods: Methods, emit: Callable[[Event], None]) -> None:
        self._back = back
        self._methods = methods
        self._emit = emit
        self._tasks: asyncio.TaskGroup | None = None
        self._count = 0
        methods.watch(self._watch)
        for who in methods.listeners():
            self._watch(who, True)

    async def run(self) -> None:
        """Bring calls until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None

    def _watch(self, who: Identity, takes: bool) -> None:  # noqa: FBT001 - see above
        strand = self._back.find(who, BackKind.METHODS)
        assert strand is None or isinstance(strand, MethodStrand)
        if not takes:
            if strand is not None:
                self._leave(strand)
        elif strand is None:
            self._back.want(MethodStrand(who, self._back, called=self._on_call, emit=self._emit))
        elif strand.leaving is not None:
            strand.leaving.cancel()
            strand.leaving = None

    def _leave(self, strand: MethodStrand) -> None:
        """Devices answer and are gone: the links stay for what is on its way."""
        if strand.calls:
            strand.leaving = asyncio.get_running_loop().call_later(LINGER_S, self._back.drop, strand)
        else:
            self._back.drop(strand)

    def _on_call(self, strand: MethodStrand, link: Link, call: MethodCall) -> None:
        if self._tasks is None or self._count >= MAX_QUEUED_CALLS:
            strand.answer(link, _failed(call, MethodError(MethodFault.BUSY, "too many calls wait for their answer")))
            return
        self._count += 1
        strand.calls += 1
        self._tasks.create_task(self._bring(strand, link, call), name=f"method of {strand.who}")

    async def _bring(self, strand: MethodStrand, link: Link, call: MethodCall) -> None:
        try:
            result = await self._methods.invoke(
                strand.who, call.name, call.payload, connect_timeout_s=0.0, response_timeout_s=CALL_S
            )
        except MethodError as error:
            strand.answer(link, _failed(call, error))
        else:
            strand.answer(link, MethodAnswer(rid=str(call.rid), status=result.status, payload=result.payload))
        finally:
            self._count -= 1
            strand.calls -= 1
            if strand.leaving is not None and not strand.calls:
                strand.leaving.cancel()
                self._back.drop(strand)


def _failed(call: MethodCall, error: MethodError) -> MethodAnswer:
    """What the caller gets where the device has no answer: as of a device, since the hub knows no other answer."""
    fault: MethodFault = error.fault
    return MethodAnswer(rid=str(call.rid), status=fault.value, payload=_said(error.what))


def _said(what: str) -> bytes:
    return orjson.dumps({"message": what})
