"""Twins of devices, asked and told over the connection on behalf of them: a `TwinCloud`.

A device's pair of links is there while it watches its desired properties, and for a while after it asked for something.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Final

from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import SETTLED
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Purpose, format_address
from edgewire.iothub.amqp.twins import DesiredChange, TwinAnswer, TwinOperation, TwinRequest, read_reply, write_request
from edgewire.message import Identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.session import Session
from gateway.dispatch.twins import TwinCloudAwayError, TwinRefusedError, Twins
from gateway.observe.events import Event
from gateway.observe.upstream import BackKind, UnreadableFromCloud
from gateway.upstream.amqp_back import Back
from gateway.upstream.amqp_back_strand import Step, Strand, StrandHost, StrandState
from gateway.upstream.amqp_link import AmqpLink
from gateway.upstream.amqp_seat import OPEN_S

TWIN_CREDIT: Final = 100
"""Answers and changes that may come at once."""
IDLE_S: Final = 60.0
"""The links of a device that watches nothing are given back so long after its last request."""
ANSWER_S: Final = 30.0
"""For the other end to answer a request, the links included if they are not there yet."""
ENVELOPE_BYTES: Final = 256
"""What a request takes around a report."""

_GOOD: Final = range(200, 300)
_CLOSED: Final = (StrandState.RESTING, StrandState.UNPLACED)


class TwinStrand(Strand):
    """The pair of links of one device."""

    kind: ClassVar[BackKind] = BackKind.TWINS

    def __init__(
        self, who: Identity, host: StrandHost, *, twins: Twins, emit: Callable[[Event], None], watches: bool
    ) -> None:
        super().__init__(who, host)
        self.watches = watches
        """The device wants to hear of changes."""
        self.asking = 0
        """Requests that wait for their answer, or for the links."""
        self._twins = twins
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Future[None] = self._loop.create_future()
        self._asked: dict[str, asyncio.Future[TwinAnswer]] = {}
        self._unsent: deque[tuple[str, bytes]] = deque()
        self._put: str | None = None
        """The request for changes that is not answered yet."""
        self._put_by = 0.0
        self._broke = False
        """It was not there for a while: what was kept here meanwhile is to be sent."""

    @property
    def gives_way(self) -> bool:
        """Whether its place may go to somebody else: while nothing is asked or watched."""
        return self.state is StrandState.OPEN and not self.watches and not self.asking

    def watch(self, *, watches: bool) -> None:
        """Changes are wanted from now on, or not any more."""
        self.watches = watches
        if self.state is StrandState.OPEN:
            self._tell_watch()
            self._host.flush_soon()

    async def ask(self, operation: TwinOperation, patch: bytes = b"") -> TwinAnswer:
        """One request and its answer.

        Raises TwinCloudAwayError if there is none, or no links; TwinRefusedError for more than the other end takes.
        """
        self.asking += 1
        rid = str(uuid.uuid4())
        try:
            if self.state is not StrandState.OPEN:
                await asyncio.shield(self._opening)
            if not self._links:
                raise TwinCloudAwayError  # gone again since
            self._check_size(patch)
            answer: asyncio.Future[TwinAnswer] = self._loop.create_future()
            self._asked[rid] = answer
            self._send(rid, operation, patch)
            self._host.flush_soon()
            return await answer
        finally:
            self._asked.pop(rid, None)
            self.asking -= 1
            self.used_at = self._host.now()
            if self.gives_way and self._host.is_wanted(self):
                self.retire()

    def tend(self) -> None:
        """Look at the times."""
        super().tend()
        if self._put is not None and self._host.now() >= self._put_by:
            self._fail(f"the other end did not answer for {OPEN_S:.0f} s")

    def on_message(self, event: MessageReceived) -> None:
        """An answer, or a change of the desired properties."""
        connection = self._host.link()
        if connection is not None:
            connection.grant(event.link, TWIN_CREDIT)
        try:
            reply = read_reply(read_message(event.payload))
        except ProtocolError as error:
            self._emit(UnreadableFromCloud(self.kind, str(self.who), error.what))
            return
        if isinstance(reply, DesiredChange):
            self._twins.on_desired(self.who, reply.patch)
        elif reply.correlation_id == self._put:
            self._on_watched(reply)
        else:
            answer = self._asked.get(str(reply.correlation_id))
            if answer is not None and not answer.done():
                answer.set_result(reply)

    def on_credit(self) -> None:
        """Requests may go."""
        connection = self._host.link()
        while self._unsent and self._links and connection is not None:
            rid, payload = self._unsent[0]
            # Nobody may wait for it any more.
            if (rid in self._asked or rid == self._put) and not connection.post(self._links[0], payload):
                return
            self._unsent.popleft()

    def _attach(self, connection: AmqpLink, session: Session) -> tuple[Link, ...]:
        address, channel = format_address(self.who, Purpose.TWIN), f"twin:{uuid.uuid4()}"
        return (
            connection.attach_sender(session, address, self, channel=channel, snd_settle_mode=SETTLED),
            connection.attach_receiver(session, address, self, channel=channel, credit=TWIN_CREDIT),
        )

    def _on_open(self) -> None:
        if not self._opening.done():
            self._opening.set_result(None)
        if self.watches:
            self._tell_watch()
        elif self._broke:
            self._twins.on_up(self.who)
        self._broke = False

    def _on_void(self) -> None:
        self._put = None
        self._unsent.clear()

    def _move(self, step: Step) -> bool:
        moved = super()._move(step)
        if moved and self.state in (*_CLOSED, StrandState.AWAY, StrandState.OVER):
            self._broke = True
            self._give_up()
        return moved

    def _give_up(self) -> None:
        """Tell all who wait for an answer, or for the links, that none will come."""
        if self._opening.done():
            self._opening = self._loop.create_future()
        else:
            opening, self._opening = self._opening, self._loop.create_future()
            opening.set_exception(TwinCloudAwayError())
            opening.exception()  # it may be that nobody waits
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(TwinCloudAwayError())

    def _tell_watch(self) -> None:
        self._put = str(uuid.uuid4())
        self._put_by = self._host.now() + OPEN_S
        self._send(self._put, TwinOperation.SUBSCRIBE if self.watches else TwinOperation.UNSUBSCRIBE)

    def _on_watched(self, reply: TwinAnswer) -> None:
        self._put = None
        if not self.watches:
            return
        if reply.status in _GOOD:
            self._twins.on_up(self.who)
        else:
            self._fail(f"changes of its twin were refused with status {reply.status}")

    def _check_size(self, patch: bytes) -> None:
        most = self._links[0].peer_max_message_size
        if most and len(patch) + ENVELOPE_BYTES > most:
            raise TwinRefusedError(413, f"the report has {len(patch)} bytes; the cloud's link takes {most}")

    def _send(self, rid: str, operation: TwinOperation, patch: bytes = b"") -> None:
        payload = write_request(TwinRequest(operation=operation, correlation_id=rid, patch=patch))
        self._unsent.append((rid, payload))
        self.on_credit()


class CloudTwins:
    """A `TwinCloud`: the links of all devices that ask or watch. A `Beside` of the proxy, after `Back`."""

    def __init__(self, back: Back, twins: Twins, emit: Callable[[Event], None]) -> None:
        self._back = back
        self._twins = twins
        self._emit = emit

    def is_up(self, who: Identity) -> bool:
        """Whether a request has a chance now: links that are not there yet are opened for it."""
        strand = self._strand(who)
        return self._back.link() is not None and (strand is None or strand.state not in _CLOSED)

    async def read(self, who: Identity) -> bytes:
        """The twin as the cloud tells devices. Raises TwinCloudAwayError, TwinRefusedError."""
        return (await self._ask(who, TwinOperation.GET)).document

    async def report(self, who: Identity, patch: bytes) -> int | None:
        """Patch the reported properties. Returns their version. Raises TwinCloudAwayError, TwinRefusedError."""
        return (await self._ask(who, TwinOperation.REPORT, patch)).version

    def watch(self, who: Identity) -> None:
        """Changes of the desired properties are wanted from now on."""
        strand = self._strand(who)
        if strand is None:
            self._want(who, watches=True)
        else:
            strand.watch(watches=True)

    def unwatch(self, who: Identity) -> None:
        """They are wanted no more; the links stay for a while, for requests."""
        strand = self._strand(who)
        if strand is not None:
            strand.watch(watches=False)

    # What the proxy tells.

    def on_up(self) -> None:
        """The connection stands: reports may wait of devices that watch nothing, and so have no links."""
        for who in self._twins.wanted():
            if self._strand(who) is None:
                self._twins.on_up(who)

    def on_down(self) -> None:
        """It does not any more: links that nobody watches by are opened when they are asked for."""
        for strand in self._strands():
            if not strand.watches:
                self._back.drop(strand)

    def on_token(self, who: Identity) -> None:
        """`Back` sees to it."""

    def tend(self) -> None:
        """Give back what was not used for long."""
        now = self._back.now()
        spare = [
            strand
            for strand in self._strands()
            if not strand.watches and not strand.asking and now - strand.used_at >= IDLE_S
        ]
        wanted = self._twins.wanted() if any(one.state is not StrandState.OPEN for one in spare) else ()
        for strand in spare:
            if strand.state is StrandState.OPEN or strand.who not in wanted:
                self._back.drop(strand)

    # Helpers.

    def _strand(self, who: Identity) -> TwinStrand | None:
        strand = self._back.find(who, BackKind.TWINS)
        return strand if isinstance(strand, TwinStrand) else None

    def _strands(self) -> list[TwinStrand]:
        return [one for one in self._back.strands(BackKind.TWINS) if isinstance(one, TwinStrand)]

    def _want(self, who: Identity, *, watches: bool) -> TwinStrand:
        strand = TwinStrand(who, self._back, twins=self._twins, emit=self._emit, watches=watches)
        self._back.want(strand)
        return strand

    async def _ask(self, who: Identity, operation: TwinOperation, patch: bytes = b"") -> TwinAnswer:
        if self._back.link() is None:
            raise TwinCloudAwayError
        strand = self._strand(who) or self._want(who, watches=False)
        if strand.state in _CLOSED:
            raise TwinCloudAwayError
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await strand.ask(operation, patch)
        except TimeoutError:
            raise TwinCloudAwayError from None
        if answer.status not in _GOOD:
            raise TwinRefusedError(answer.status, _words(answer))
        return answer


def _words(answer: TwinAnswer) -> str:
    """What a refusal says, for the device."""
    said = ""
    with suppress(UnicodeDecodeError):
        said = answer.document.decode()[:200].strip()
    return said if said and said.isprintable() else f"the cloud answered with status {answer.status}"
