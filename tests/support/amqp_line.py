"""An AMQP client in memory, on one line to the stand-in's hub: our engine as its peer, no socket, no TLS."""

import asyncio
from collections.abc import Callable, Sequence

from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, AmqpMessage, read_message, write_batch, write_message
from edgewire.codec.amqp.performatives import DeliveryState
from edgewire.iothub import sas
from edgewire.iothub.amqp.addresses import CBS, Purpose, format_address
from edgewire.iothub.amqp.cbs import PutToken, PutTokenReply, read_reply, write_put_token
from edgewire.iothub.amqp.values import MessageId
from edgewire.message import Identity
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import AmqpEvent, DeliveryStateChanged, LinkDetached, MessageReceived
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery, Link, Role
from edgewire.session.amqp.server import AmqpServer
from edgewire.session.amqp.session import Session
from edgewire.transport.pump import Peer, Pump
from standin.amqp import CONTAINER_ID, LIMITS, AmqpConnection
from standin.amqp_nodes import Node
from standin.dps_amqp import DpsAmqp
from support.hub_line import HUB_NAME, PATIENCE_S, House


def text_message(body: bytes = b"x", **properties: str) -> bytes:
    """An encoded message with these application properties."""
    return write_message(AmqpMessage(application_properties=dict(properties) or None, body=body))


class AmqpLine:
    """One connection: the client's engine, and the stand-in's side. Implements `transport.pump.Wire`."""

    def __init__(
        self,
        house: House,
        *,
        sasl: str | None = "ANONYMOUS",
        response: bytes = b"",
        certificates: tuple[bytes, ...] = (),
        limits: AmqpLimits = LIMITS,
        client_limits: AmqpLimits = LIMITS,
        nodes: Sequence[Node] = (),
    ) -> None:
        self.house = house
        self.closed = asyncio.Event()
        self.reading = True
        self.buffered = 0
        self.sent = bytearray()
        """All that the client has said."""
        self.events: list[AmqpEvent] = []
        """What the client's engine has reported."""
        self._news = asyncio.Event()
        self._cbs: dict[Session, tuple[Link, Link]] = {}
        self.client = AmqpClient(
            client_limits,
            house.clock.now,
            container_id="client",
            hostname=HUB_NAME,
            sasl=sasl,
            response=response,
        )
        self.server = AmqpServer(limits, house.clock.now, offers_external=bool(certificates), container_id=CONTAINER_ID)
        guests = () if house.dps is None else (DpsAmqp(house.dps),)
        self.owner = AmqpConnection(
            house.hub, house.admission, self.server, nodes=(*guests, *nodes), guests=guests, clock=house.wall_clock
        )
        peer = Peer(address="127.0.0.1", port=1, certificates=certificates)
        self.pump: Pump[AmqpEvent] = Pump(self, self.server, self.owner, peer=peer, clock=house.clock)
        self.pump.begin()

    # Wire

    def write(self, data: bytes) -> None:
        self.events += self.client.receive(data, self.house.clock())
        self._news.set()
        asyncio.get_running_loop().call_soon(self.carry)

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self._news.set()
            asyncio.get_running_loop().call_soon(self.pump.lost)

    def crash(self, error: Exception) -> None:
        raise error

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        asyncio.get_running_loop().call_soon(self.carry)

    def wake_at(self, when: float) -> None:
        if when <= self.house.clock.now:
            asyncio.get_running_loop().call_soon(self.pump.wake, when)

    # What tests do

    def carry(self) -> None:
        """Bring the stand-in what the client has to say, and let the client read what waited in it."""
        due = self.client.deadline()
        if due is not None and due <= self.house.clock.now:
            self.events += self.client.on_deadline(self.house.clock.now)
        if self.reading and not self.closed.is_set() and (data := self.client.take_output()):
            self.sent += data
            self.pump.receive(data)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Carry bytes until the client has seen something."""
        self.carry()
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_closed(self) -> None:
        self.carry()
        async with asyncio.timeout(PATIENCE_S):
            await self.closed.wait()
        await asyncio.sleep(0)  # on_closed runs in the next turn

    async def open(self) -> Session:
        """Open the connection and a session."""
        await self.until(lambda: self.client.opened)
        return await self.begin()

    async def begin(self) -> Session:
        session = self.client.begin()
        await self.until(lambda: session.mapped)
        return session

    def token(self, who: Identity, *, life_s: int = 3600, hub: str = HUB_NAME, key: bytes | None = None) -> str:
        """A token of this identity, good if nothing is said."""
        entry = self.house.hub.registry.get(who)
        assert entry is not None
        end = int(self.house.wall_clock.now) + life_s
        return sas.make(sas.resource_of(hub, who), key or entry.signing_keys()[0], end)

    async def cbs(self, session: Session) -> tuple[Link, Link]:
        """The two links to `$cbs` of a session: what is sent on, what is received on."""
        if session in self._cbs:
            return self._cbs[session]
        sender = self.client.attach_sender(session, "cbs-out", CBS)
        receiver = self.client.attach_receiver(session, "cbs-in", CBS)
        await self.until(lambda: sender.credit > 0 and receiver.attached)
        self._cbs[session] = sender, receiver
        return self._cbs[session]

    async def put(self, cbs: tuple[Link, Link], token: str, message_id: MessageId = "1") -> PutTokenReply:
        """Put a token. Returns the answer."""
        request = PutToken(message_id=message_id, name="whoever", token=token)
        assert self.client.send(cbs[0], write_put_token(request)) is not None
        before = len(self.messages(cbs[1]))
        await self.until(lambda: len(self.messages(cbs[1])) > before)
        answer = self.messages(cbs[1])[before]
        return read_reply(read_message(answer.payload))

    async def enter(self, who: Identity, *, life_s: int = 3600) -> Link:
        """Open, put a good token, attach. Returns the link for telemetry."""
        session = await self.open()
        reply = await self.put(await self.cbs(session), self.token(who, life_s=life_s))
        assert (reply.status, reply.description) == (200, "OK")
        return await self.telemetry(session, who)

    async def telemetry(self, session: Session, who: Identity) -> Link:
        """A link for telemetry."""
        link = self.client.attach_sender(session, f"to {who}", format_address(who, Purpose.EVENTS))
        await self.until(lambda: link.credit > 0)
        return link

    async def attach(self, session: Session, address: str, role: Role = Role.SENDER) -> Link:
        """A link with our end in this role, attached or refused."""
        attach = self.client.attach_sender if role is Role.SENDER else self.client.attach_receiver
        link = attach(session, f"{role} {address}", address)
        await self.until(lambda: link.attached or self.detached(link) is not None)
        return link

    def send(self, link: Link, payload: bytes, message_format: int = 0) -> Delivery:
        delivery = self.client.send(link, payload, message_format=message_format)
        assert delivery is not None
        return delivery

    async def settled(self, link: Link, payload: bytes, message_format: int = 0) -> DeliveryState | None:
        """Send a message. Returns the verdict."""
        delivery = self.send(link, payload, message_format)
        await self.until(lambda: delivery.settled)
        return delivery.state

    async def settled_batch(self, link: Link, messages: Sequence[bytes]) -> DeliveryState | None:
        return await self.settled(link, write_batch(messages), MESSAGE_FORMAT_BATCH)

    def messages(self, link: Link) -> list[MessageReceived]:
        return [each for each in self.events if isinstance(each, MessageReceived) and each.link is link]

    def verdicts(self) -> list[DeliveryStateChanged]:
        return [each for each in self.events if isinstance(each, DeliveryStateChanged)]

    def detached(self, link: Link) -> LinkDetached | None:
        found = [each for each in self.events if isinstance(each, LinkDetached) and each.link is link]
        return found[0] if found else None

    def reason(self, link: Link) -> str:
        """The condition a link was detached with, empty if it is not."""
        found = self.detached(link)
        return "" if found is None or found.error is None else str(found.error.condition)

    async def until_detached(self, link: Link) -> str:
        """Wait for a link's end. Returns the condition."""
        await self.until(lambda: self.detached(link) is not None)
        return self.reason(link)
