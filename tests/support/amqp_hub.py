"""The far end of an AMQP connection in memory: the server's engine on a wire without a socket, doing as it is told.

Bytes pass in turns of the loop. A test says whom it lets in, what it accepts, and when it answers.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, read_batch, read_message
from edgewire.codec.amqp.performatives import Accepted, DeliveryState, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.amqp.addresses import Purpose, is_cbs, parse_address
from edgewire.iothub.amqp.cbs import PutTokenReply, identities_of, read_put_token, request_id, write_reply
from edgewire.iothub.amqp.messages import Content, read_telemetry
from edgewire.message import Identity
from edgewire.session.amqp.events import (
    AmqpEvent,
    AttachReceived,
    CreditReceived,
    DeliveryStateChanged,
    LinkDetached,
    MessageReceived,
    OpenReceived,
    SaslInitReceived,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.server import AmqpServer
from edgewire.transport.dialer import DialError, DialFault
from edgewire.transport.pump import Accept, Owner, Peer, Pump, Session
from support.amqp_hub_back import BackDesk

PEER = Peer(address="127.0.0.1", port=5671)


class Wire:
    """One end of a connection in memory: what it writes reaches the other end in a later turn of the loop."""

    def __init__(self) -> None:
        self.other: Wire
        self.pump: Pump[Any]
        self.open = True
        self.buffered = 0
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None
        self.errors: list[Exception] = []

    def write(self, data: bytes) -> None:
        self.loop.call_soon(self.other.take, data)

    def take(self, data: bytes) -> None:
        if self.open:
            self.pump.receive(data)

    def close(self) -> None:
        self.loop.call_soon(self.abort)

    def abort(self) -> None:
        for end in (self, self.other):
            if end.open:
                end.open = False
                if end.timer is not None:
                    end.timer.cancel()
                self.loop.call_soon(end.pump.lost)

    def crash(self, error: Exception) -> None:
        self.errors.append(error)
        self.abort()

    def pause_reading(self) -> None:
        """Nothing here sends too much."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def wake_at(self, when: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_at(when, self._wake)

    def _wake(self) -> None:
        if self.open:
            self.pump.wake(self.loop.time())


def connect(near: tuple[Session[Any], Owner[Any]], far: tuple[Session[Any], Owner[Any]]) -> tuple[Wire, Wire]:
    """Two ends that hear each other."""
    wires = (Wire(), Wire())
    wires[0].other, wires[1].other = wires[1], wires[0]
    for wire, (session, owner) in zip(wires, (near, far), strict=True):
        wire.pump = Pump(wire, session, owner, peer=PEER, clock=wire.loop.time)
    for wire in wires:
        wire.pump.begin()
    return wires


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that came, and on which connection."""

    who: Identity
    content: Content
    connection: int

    @property
    def body(self) -> bytes:
        """What it says."""
        return self.content.body

    @property
    def message_id(self) -> str:
        """Its id."""
        return self.content.bag.system["messageId"]


@dataclass(slots=True)
class Held:
    """A transfer that is not answered."""

    link: Link
    delivery_id: int
    who: Identity
    contents: list[Content]


Judge = Callable[[Identity, Sequence[Content]], DeliveryState | None]
"""What to answer to a transfer; None for nothing, until the test does."""


def accept_all(_who: Identity, _contents: Sequence[Content]) -> DeliveryState | None:
    """Takes everything."""
    return Accepted()


@dataclass
class FakeHub:
    """A hub; `dial` is given to what connects to it."""

    limits: AmqpLimits = field(default_factory=AmqpLimits)
    judge: Judge = accept_all
    faults: list[Exception] = field(default_factory=list)
    """What the next tries to connect end with."""
    refused: dict[str, Error] = field(default_factory=dict)
    """Devices that are not let in, and why."""
    token_status: dict[str, int] = field(default_factory=dict)
    silent_tokens: bool = False
    credit: int = 100
    max_message_size: int | None = None
    connections: "list[HubConnection]" = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    tokens: list[tuple[Identity, str]] = field(default_factory=list)
    transfers: list[tuple[Identity, int]] = field(default_factory=list)
    """Whose, and how many messages."""
    attached: list[Identity] = field(default_factory=list)
    """Whose links for telemetry."""
    back: BackDesk = field(default_factory=BackDesk)
    """What it has for devices."""

    async def dial(self, accept: Accept) -> None:
        """See `gateway.upstream.amqp_link.Dial`."""
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.pop(0)
        session, owner = accept(PEER)
        connection = HubConnection(self)
        self.connections.append(connection)
        connection.wire = connect((session, owner), (connection.server, connection))[1]

    @property
    def connection(self) -> "HubConnection":
        """The latest."""
        return self.connections[-1]

    def bodies(self, device: str) -> list[bytes]:
        """What came of a device, in order."""
        return [one.body for one in self.arrived if one.who.device == device]

    def drop(self) -> None:
        """Cut the connection."""
        self.connection.wire.abort()


class HubConnection:
    """The owner of one server's engine."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self.number = len(hub.connections)
        self.server = AmqpServer(
            hub.limits, asyncio.get_running_loop().time(), offers_external=False, container_id="hub"
        )
        self.wire: Wire
        self.pump: Pump[AmqpEvent]
        self.replies: list[bytes] = []
        self.cbs: Link | None = None
        self.links: dict[Identity, Link] = {}
        self.held: list[Held] = []
        self.failed: ProtocolError | None = None
        self.closed = asyncio.Event()

    # What tests do.

    def answer(self, state: DeliveryState, count: int = 1) -> None:
        """Answer the oldest transfers that are held."""
        for _ in range(count):
            held = self.held.pop(0)
            if isinstance(state, Accepted):
                self._take(held)
            self.server.settle(held.link, [held.delivery_id], state)
        self.pump.flush()

    def detach(self, who: Identity, condition: str | None = None) -> None:
        """End a device's link."""
        self.server.detach(self.links[who], condition, "told to")
        self.pump.flush()

    # What the pump calls.

    def on_connected(self, pump: Pump[AmqpEvent]) -> None:
        self.pump = pump

    def on_failed(self, error: ProtocolError) -> None:
        self.failed = error

    def on_closed(self) -> None:
        self.hub.back.on_gone(self)
        self.closed.set()

    def on_events(self, events: list[AmqpEvent]) -> None:
        for event in events:
            match event:
                case SaslInitReceived():
                    self.server.accept_sasl()
                case OpenReceived():
                    self.server.open()
                case AttachReceived(link=link):
                    self._attach(link)
                case MessageReceived(link=link) if is_cbs(link.address or ""):
                    self._put_token(event)
                case MessageReceived(link=link) if not _is_telemetry(link):
                    self.hub.back.on_message(self, event, parse_address(link.address or ""))
                case MessageReceived():
                    self._transfer(event)
                case CreditReceived(link=link) if link is self.cbs:
                    self._reply()
                case _:
                    self._on_back(event)

    def _on_back(self, event: AmqpEvent) -> None:
        """What is about links on which something goes to devices."""
        match event:
            case CreditReceived(link=link):
                self.hub.back.on_credit(link)
            case DeliveryStateChanged():
                self.hub.back.on_state(event)
            case LinkDetached(link=link):
                self.hub.back.take_back(link)
            case SessionEnded(session=session):
                self.hub.back.take_back(*session.links)
            case _:
                pass

    def _attach(self, link: Link) -> None:
        if is_cbs(link.address or ""):
            if link.role is Role.SENDER:
                self.cbs = link
            self.server.accept_link(link, credit=50)
            return
        who = parse_address(link.address or "").identity
        error = self.hub.refused.get(who.device)
        if error is not None:
            self.server.refuse_link(link, error.condition, error.description or "")
            return
        if not _is_telemetry(link):
            self.hub.back.attach(self, link, parse_address(link.address or ""))
            return
        self.links[who] = link
        self.hub.attached.append(who)
        self.server.accept_link(link, credit=self.hub.credit, max_message_size=self.hub.max_message_size)
        if not self.hub.credit:
            self.server.grant(link, 0)

    def _put_token(self, event: MessageReceived) -> None:
        self.server.settle(event.link, [event.delivery_id], Accepted())
        self.server.grant(event.link, 50)
        message = read_message(event.payload)
        request = read_put_token(message)
        [who, *_] = identities_of(sas.audience(sas.parse(request.token)))
        self.hub.tokens.append((who, request.token))
        if self.hub.silent_tokens:
            return
        status = self.hub.token_status.get(who.device, 200)
        self.replies.append(write_reply(PutTokenReply(correlation_id=request_id(message), status=status)))
        self._reply()

    def _reply(self) -> None:
        assert self.cbs is not None
        while self.replies and self.server.send(self.cbs, self.replies[0], settled=True) is not None:
            self.replies.pop(0)

    def _transfer(self, event: MessageReceived) -> None:
        is_batch = event.message_format == MESSAGE_FORMAT_BATCH
        parts = read_batch(event.payload) if is_batch else [event.payload]
        contents = [read_telemetry(read_message(part)) for part in parts]
        who = parse_address(event.link.address or "").identity
        self.hub.transfers.append((who, len(contents)))
        held = Held(event.link, event.delivery_id, who, contents)
        self.server.grant(event.link, self.hub.credit)
        state = self.hub.judge(who, contents)
        if state is None:
            self.held.append(held)
            return
        if isinstance(state, Accepted):
            self._take(held)
        self.server.settle(event.link, [event.delivery_id], state)

    def _take(self, held: Held) -> None:
        self.hub.arrived += [Arrived(held.who, content, self.number) for content in held.contents]


def _is_telemetry(link: Link) -> bool:
    return parse_address(link.address or "").purpose is Purpose.EVENTS


def rejected(condition: str = conditions.ARGUMENT_ERROR) -> Rejected:
    """A refusal."""
    return Rejected(Error(condition=condition, description="no"))


def unreachable() -> DialError:
    """What a try to connect ends with when nobody is there."""
    return DialError(DialFault.UNREACHABLE, "cannot reach hub.example:5671: connection refused")
