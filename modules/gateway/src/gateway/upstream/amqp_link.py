"""One AMQP connection to edgeHub or IoT Hub, used once: opened, tokens put on it, a session and its links per device.

A session per device, as .NET's and Java's clients have it: what the other end holds against one of them ends that one
session, and no device's messages use up another's window. It carries the device's telemetry and all that comes down
for it. `$cbs` has a session of its own. iothub_wire.md §2.5.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import UNSETTLED, Accepted, DeliveryState, Error, Received
from edgewire.errors import ProtocolError, UsageError
from edgewire.iothub.amqp.addresses import CBS, Purpose, format_address
from edgewire.iothub.amqp.cbs import PutToken, PutTokenReply, read_reply, write_put_token
from edgewire.iothub.amqp.links import LinkProperties, write_link_properties
from edgewire.message import Identity
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import (
    AmqpEvent,
    ConnectionClosed,
    CreditReceived,
    DeliveryStateChanged,
    LinkAttached,
    LinkDetached,
    MessageReceived,
    Opened,
    SaslOutcomeReceived,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery, Link, Role
from edgewire.session.amqp.session import Session
from edgewire.transport.pump import Accept, Peer, Pump
from gateway import __version__
from gateway.identity.neighbours import Neighbours
from gateway.observe.upstream import LinkFault
from gateway.upstream.amqp_refusal import words_of

IDLE_TIMEOUT_S: Final = 60.0
"""What our open announces: a connection on which nothing was heard for twice of it is dead."""
SASL: Final = "MSSBCBS"
"""No identity of its own; the tokens on `$cbs` say who. The mechanism that Azure's own CBS clients choose."""
MAX_PUTS: Final = 32
"""Put-tokens on their way at once; a thousand devices need 32 turns, and no hub is flooded with them."""
FLUSH_BYTES: Final = 262_144
"""Given to the transport at once, a full batch: behind it we see whether the other end still reads."""
CLIENT_VERSION: Final = f"edge-gateway/{__version__}"
API_VERSION: Final = "2020-09-30"
"""Of IoT Hub's device API, as Node's and Java's clients name it on the links of methods and twins."""

Taken = Callable[[int, str], None]
"""What became of a put-token: its status, as in HTTP, and what was said."""


class LinkOwner(Protocol):
    """Who has a link of a device. Called on the loop; what it sends leaves when all events are handled."""

    def on_attached(self) -> None:
        """Messages may be sent, as soon as there is credit."""

    def on_credit(self) -> None:
        """There is credit, or room, again."""

    def on_state(self, delivery: Delivery, state: DeliveryState | None) -> None:
        """What became of a delivery; it is settled."""

    def on_detached(self, error: Error | None) -> None:
        """The link is over, or was refused; what it had on its way has no answer."""


class ReceiverOwner(LinkOwner, Protocol):
    """Who has a link on which messages come down."""

    def on_message(self, event: MessageReceived) -> None:
        """One has come."""


class SessionOwner(Protocol):
    """Who has a session."""

    def on_ended(self, error: Error | None) -> None:
        """The other end has ended it, and its links with it; they have no event of their own."""


class AmqpLinkListener(Protocol):
    """Who has the connection."""

    def on_lost(self, fault: LinkFault, reason: str) -> None:
        """It stood, and does not any more. Called once, on the loop."""

    def on_room(self) -> None:
        """It was `paused`, and is not any more."""


Dial = Callable[[Accept], Awaitable[None]]
"""Connects, and serves what it is given. Raises DialError."""


class LinkFailedError(Exception):
    """The connection could not be opened; the text says why."""

    def __init__(self, fault: LinkFault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


class AmqpLink:
    """The connection; the owner of its engine. `open` it once."""

    def __init__(
        self,
        listener: AmqpLinkListener,
        dial: Dial,
        *,
        hostname: str,
        limits: AmqpLimits,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._neighbours = neighbours or Neighbours()
        self._listener = listener
        self._dial = dial
        self._hostname = hostname
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._client: AmqpClient
        self._pump: Pump[AmqpEvent] | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._closing = False
        self._puts: dict[str, Taken] = {}
        self._waiting: deque[tuple[str, str, Taken]] = deque()
        self._numbers = 0
        self._cbs_sender: Link | None = None
        self._cbs_receiver: Link | None = None
        self._unflushed = 0
        self.paused = False
        """The other end reads slower than we send: `send` gives None."""
        self.max_devices = limits.channel_max
        """Sessions for devices that the other end takes."""

    async def open(self) -> None:
        """Connect and open, up to the links that take tokens. Raises DialError, LinkFailedError."""
        await self._dial(self._make)
        await self._ready

    def put_token(self, name: str, token: str, taken: Taken) -> None:
        """Put a token on the connection; `taken` hears of it once, unless the connection is lost before."""
        self._waiting.append((name, token, taken))
        self._put_waiting()

    def begin(self, owner: SessionOwner) -> Session | None:
        """Begin a session, for one device; None if the other end takes no more."""
        try:
            session = self._client.begin()
        except UsageError:
            return None
        session.owner = owner
        return session

    def attach(self, session: Session, who: Identity, owner: LinkOwner) -> Link:
        """Ask for a link for telemetry."""
        return self.attach_sender(session, format_address(who, Purpose.EVENTS), owner)

    def attach_sender(
        self, session: Session, address: str, owner: LinkOwner, *, channel: str = "", snd_settle_mode: int = UNSETTLED
    ) -> Link:
        """Ask for a link to send on; `channel` is what the two links of a pair share."""
        name = self._next_number()
        link = self._client.attach_sender(
            session,
            name,
            address,
            source_address=name,
            snd_settle_mode=snd_settle_mode,
            properties=_properties(channel),
        )
        link.owner = owner
        return link

    def attach_receiver(
        self, session: Session, address: str, owner: ReceiverOwner, *, credit: int, channel: str = ""
    ) -> Link:
        """Ask for a link to receive on; `credit` messages may come at once."""
        name = self._next_number()
        link = self._client.attach_receiver(
            session, name, address, target_address=name, credit=credit, properties=_properties(channel)
        )
        link.owner = owner
        return link

    def send(self, link: Link, payload: bytes, message_format: int) -> Delivery | None:
        """Send; None if there is no credit, or no room: `on_credit` or `on_room` says when to try again."""
        if self.paused:
            return None
        delivery = self._client.send(link, payload, message_format=message_format)
        self._unflushed += len(payload)
        if self._unflushed >= FLUSH_BYTES:
            self.flush()  # which tells whether there is room for more
        return delivery

    def post(self, link: Link, payload: bytes) -> bool:
        """Send settled, paused or not, for it is small; False if there is no credit: `on_credit` says when."""
        return self._client.send(link, payload, settled=True) is not None

    def settle(self, link: Link, delivery_id: int, state: DeliveryState) -> None:
        """Answer a message that has come."""
        self._client.settle(link, [delivery_id], state)

    def grant(self, link: Link, credit: int) -> None:
        """Let the other end send up to `credit` messages from now."""
        self._client.grant(link, credit)

    def detach(self, link: Link) -> None:
        """Close a link; nothing of it is heard any more, its session goes on."""
        link.owner = None
        self._client.detach(link)

    def end(self, session: Session) -> None:
        """End a session with its links; nothing of it is heard any more."""
        session.owner = None
        for link in session.links:
            link.owner = None
        self._client.end(session)

    def flush(self) -> None:
        """Send what was said outside of the owners' calls."""
        self._unflushed = 0
        if self._pump is not None:
            self._pump.flush()

    async def close(self, deadline_s: float) -> None:
        """Say goodbye, and be gone within `deadline_s`."""
        self._closing = True
        pump = self._pump
        if pump is None:
            return
        self._client.close()
        pump.flush()
        try:
            async with asyncio.timeout(deadline_s):
                await self._gone.wait()
        except TimeoutError:
            pump.abort()

    def abort(self) -> None:
        """Be gone at once."""
        self._closing = True
        if self._pump is not None:
            self._pump.abort()

    # What the pump calls.

    def _make(self, _peer: Peer) -> "tuple[AmqpClient, AmqpLink]":
        self._client = AmqpClient(
            self._limits,
            self._loop.time(),
            container_id=self._neighbours.name,
            hostname=self._hostname,
            sasl=SASL,
            idle_timeout_s=IDLE_TIMEOUT_S,
        )
        return self._client, self

    def on_connected(self, pump: Pump[AmqpEvent]) -> None:
        """The transport is ready."""
        self._pump = pump

    def on_sending_paused(self) -> None:
        """The other end reads slower than we send: what is sent now would only wait where it cannot grow."""
        self.paused = True

    def on_sending_resumed(self) -> None:
        """The other end has caught up."""
        self.paused = False
        self._listener.on_room()

    def on_events(self, events: list[AmqpEvent]) -> None:
        """What the other end said."""
        for event in events:
            match event:
                case DeliveryStateChanged():
                    self._on_state(event)
                case CreditReceived(link=link):
                    self._on_credit(link)
                case MessageReceived(link=link):
                    self._on_message(link, event)
                case LinkAttached(link=link):
                    self._on_attached(link)
                case LinkDetached(link=link, error=error):
                    self._on_detached(link, error)
                case _:
                    self._on_rare(event)

    def _on_rare(self, event: AmqpEvent) -> None:
        """What comes once per session or connection."""
        match event:
            case SessionEnded(session=session, error=error):
                self._on_session_ended(session, error)
            case Opened(open=opened):
                if not self._neighbours.joined(opened.container_id):
                    self._fail(LinkFault.OTHER, f"{self._hostname} is this gateway itself: set another place")
                    return
                self.max_devices = min(opened.channel_max, self._limits.channel_max)
                self._open_cbs()
            case SaslOutcomeReceived(ok=False, code=code):
                self._fail(LinkFault.CREDENTIALS, f"{self._hostname} refused SASL {SASL} with code {code}")
            case ConnectionClosed(error=error):
                self._fail(LinkFault.DROPPED, f"{self._hostname} closed the connection: {words_of(error)}")
            case _:
                pass

    def on_failed(self, error: ProtocolError) -> None:
        """The other end broke the protocol."""
        self._fail(LinkFault.OTHER, f"{self._hostname} broke the protocol: {error}")

    def on_closed(self) -> None:
        """The connection is gone."""
        self._gone.set()
        self._fail(LinkFault.DROPPED, f"the connection to {self._hostname} is gone")

    # Tokens.

    def _open_cbs(self) -> None:
        session = self._client.begin()
        self._cbs_sender = self._client.attach_sender(session, "cbs-sender", CBS, source_address=CBS)
        self._cbs_receiver = self._client.attach_receiver(session, "cbs-receiver", CBS, target_address=CBS)

    def _is_cbs(self, link: Link) -> bool:
        return link is self._cbs_sender or link is self._cbs_receiver

    def _put_waiting(self) -> None:
        sender = self._cbs_sender
        while self._waiting and len(self._puts) < MAX_PUTS and sender is not None:
            name, token, taken = self._waiting[0]
            number = self._next_number()
            payload = write_put_token(PutToken(message_id=number, name=name, token=token))
            if self._client.send(sender, payload) is None:
                return
            self._waiting.popleft()
            self._puts[number] = taken

    def _on_message(self, link: Link, event: MessageReceived) -> None:
        if link is self._cbs_receiver:
            self._on_reply(link, event)
        elif link.owner is not None:
            link.owner.on_message(event)

    def _on_reply(self, receiver: Link, event: MessageReceived) -> None:
        if not event.settled:
            self._client.settle(receiver, [event.delivery_id], Accepted())
        self._client.grant(receiver, self._limits.link_credit)
        try:
            reply: PutTokenReply = read_reply(read_message(event.payload))
        except ProtocolError:
            return  # no answer to anything of ours: who waits for one has a deadline
        taken = self._puts.pop(str(reply.correlation_id), None)
        if taken is not None:
            taken(reply.status, reply.description)
        self._put_waiting()

    # Links.

    def _on_attached(self, link: Link) -> None:
        if link is self._cbs_receiver:
            if not self._ready.done():
                self._ready.set_result(None)
        elif link.owner is not None and _far_end(link) is not None:
            link.owner.on_attached()

    def _on_state(self, event: DeliveryStateChanged) -> None:
        if not event.settled:
            if event.state is None or type(event.state) is Received:
                return  # on the way to an outcome
            self._client.settle_sent(event.link, event.delivery, event.state)
        if event.link.owner is not None:
            event.link.owner.on_state(event.delivery, event.state)

    def _on_credit(self, link: Link) -> None:
        if link is self._cbs_sender:
            self._put_waiting()
        elif link.owner is not None:
            link.owner.on_credit()

    def _on_detached(self, link: Link, error: Error | None) -> None:
        if self._is_cbs(link):
            self._fail(LinkFault.DROPPED, f"{self._hostname} takes no tokens any more: {words_of(error)}")
        elif link.owner is not None:
            owner, link.owner = link.owner, None
            owner.on_detached(error)

    def _on_session_ended(self, session: Session, error: Error | None) -> None:
        owner, session.owner = session.owner, None
        for link in session.links:
            link.owner = None
        if owner is not None:
            owner.on_ended(error)
        elif self._cbs_sender is not None and not self._cbs_sender.session.mapped:
            self._fail(LinkFault.DROPPED, f"{self._hostname} takes no tokens any more: {words_of(error)}")

    # The end.

    def _fail(self, fault: LinkFault, reason: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(LinkFailedError(fault, reason))
            # Whoever opened it may have given up meanwhile.
            self._ready.exception()
        elif not self._closing:
            self._closing = True
            self._listener.on_lost(fault, reason)
        if self._pump is not None:
            self._pump.close()

    def _next_number(self) -> str:
        self._numbers += 1
        return f"{self._numbers}"


def _properties(channel: str) -> dict[Symbol, str]:
    """What we say of a link. Pairs name a version, too: edgeHub wants properties on them. edgehub.md §5.3."""
    version = API_VERSION if channel else ""
    return write_link_properties(LinkProperties(client_version=CLIENT_VERSION, api_version=version, channel=channel))


def _far_end(link: Link) -> object:
    """The other end's node of a link: null where the link is refused. Spec: AMQP 1.0 §2.6.3."""
    return link.target if link.role is Role.SENDER else link.source
