"""A gateway's AMQP head in memory, beside the MQTT head of `mqtt_site`, and clients without sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from edgewire.codec.amqp.kinds import ULong
from edgewire.codec.amqp.message import AmqpMessage, read_message, write_message
from edgewire.codec.amqp.performatives import Error
from edgewire.iothub import sas
from edgewire.iothub.amqp.addresses import Purpose, format_address
from edgewire.iothub.amqp.cbs import PutToken, PutTokenReply, TokenKind, read_reply, write_put_token
from edgewire.iothub.amqp.sasl import PlainLogin, write_plain
from edgewire.message import Identity, identity
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import (
    AmqpEvent,
    LinkAttached,
    LinkDetached,
    MessageReceived,
    SaslOutcomeReceived,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery, Link
from edgewire.session.amqp.server import AmqpServer
from edgewire.session.amqp.session import Session
from edgewire.transport.pump import Peer, Pump
from gateway.head.amqp import AmqpConnection, AmqpHead
from gateway.identity.authenticator import Authenticator
from gateway.store.values import StoreLimits
from support.mqtt_site import EVERYTHING, HUB, KEY, MemoryWire, Site

ADDRESS = "127.0.0.98"
CBS = "$cbs"
PATIENCE_S = 45.0


class Client:
    """One connection of a client, driven by the test: what it calls is carried over at once, both ways."""

    def __init__(self, site: "AmqpSite", peer: Peer, sasl: str | None, response: bytes) -> None:
        self.site = site
        self.wire = MemoryWire()
        self.session: AmqpServer
        self.owner: AmqpConnection
        self.session, self.owner = site.amqp.accept(peer)
        self.pump: Pump[Any] = Pump(self.wire, self.session, self.owner, peer=peer, clock=now)
        self.pump.begin()
        self.engine = AmqpClient(AmqpLimits(), now(), container_id="client", hostname=HUB, sasl=sasl, response=response)
        self.events: list[AmqpEvent] = []
        self.transfer()

    def transfer(self) -> None:
        """Carry bytes both ways until there are no more."""
        while True:
            up, down = self.engine.take_output(), bytes(self.wire.written)
            self.wire.written.clear()
            if up:
                self.pump.receive(up)
            if (due := self.session.deadline()) is not None and due <= now():
                self.pump.wake(now())
            if self.wire.crashed is not None:
                raise self.wire.crashed
            if down:
                self.events += self.engine.receive(down, now())
            if not up and not down and not self.wire.written:
                return

    def said(self, kind: type[AmqpEvent]) -> list[Any]:
        """The events of a kind so far."""
        self.transfer()
        return [event for event in self.events if isinstance(event, kind)]

    def is_closed(self) -> bool:
        """Whether the gateway has closed the connection."""
        return self.wire.closed

    def is_let_in(self) -> bool:
        """What SASL said."""
        [outcome] = self.said(SaslOutcomeReceived)
        return bool(outcome.ok)

    def lose(self) -> None:
        """The socket is gone."""
        self.pump.lost()

    # Sessions and links.

    def begin(self) -> Session:
        """A session."""
        session = self.engine.begin()
        self.transfer()
        assert session.mapped
        return session

    def sender(self, session: Session, address: str, name: str = "", **options: Any) -> Link:
        """A link to send on, whatever became of it."""
        link = self.engine.attach_sender(session, name or f"to {address}", address, **options)
        self.transfer()
        return link

    def receiver(self, session: Session, address: str, name: str = "", **options: Any) -> Link:
        """A link to receive on, whatever became of it."""
        link = self.engine.attach_receiver(session, name or f"from {address}", address, **options)
        self.transfer()
        return link

    def telemetry(self, session: Session, device: str = "d1", module: str | None = None) -> Link:
        """A link for telemetry that was granted."""
        link = self.sender(session, format_address(identity(device, module), Purpose.EVENTS))
        assert self.refusal_of(link) is None, self.refusal_of(link)
        assert link.attached
        return link

    def refusal_of(self, link: Link) -> Error | None:
        """With what the gateway has detached this link; None if it has not."""
        found = [event.error for event in self.said(LinkDetached) if event.link is link]
        return found[0] if found else None

    def attached(self, link: Link) -> bool:
        """Whether the gateway has answered the attach of this link."""
        return any(event.link is link for event in self.said(LinkAttached))

    # Messages.

    def send(self, link: Link, payload: bytes, *, message_format: int = 0, settled: bool = False) -> Delivery:
        """Send what there must be credit for."""
        delivery = self.engine.send(link, payload, message_format=message_format, settled=settled)
        assert delivery is not None
        self.transfer()
        return delivery

    def tell(self, link: Link, body: bytes = b"{}", **properties: object) -> Delivery:
        """Send one message of telemetry."""
        return self.send(link, write_message(AmqpMessage(application_properties=properties or None, body=body)))

    def received(self, link: Link) -> list[AmqpMessage]:
        """The messages that came on a link."""
        return [read_message(event.payload) for event in self.said(MessageReceived) if event.link is link]

    async def outcome(self, delivery: Delivery) -> Any:
        """What became of a delivery, once the gateway says it."""
        await self.until(lambda: delivery.settled or delivery.state is not None)
        return delivery.state

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; it may take a disk."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self.transfer()
                if condition():
                    return
                await asyncio.sleep(0.001)

    # Tokens.

    def cbs(self, session: Session) -> tuple[Link, Link]:
        """The two links of the node for tokens."""
        return self.sender(session, CBS), self.receiver(session, CBS)

    def put(self, links: tuple[Link, Link], token: str, message_id: Any = ULong(7)) -> PutTokenReply:  # noqa: B008 — a value
        """Put a token; what is answered."""
        before = len(self.received(links[1]))
        request = PutToken(message_id=message_id, name="any", token=token, kind=TokenKind.SERVICE_BUS)
        self.send(links[0], write_put_token(request))
        return read_reply(self.received(links[1])[before])


class AmqpSite(Site):
    """Both heads and all behind them."""

    amqp: AmqpHead

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, *, routes: Mapping[str, str] = EVERYTHING, limits: StoreLimits | None = None
    ) -> AsyncIterator[Self]:
        """A site with the devices `d1` and `d2`."""
        async with super().open(folder, routes=routes, limits=limits) as site:
            names = [HUB, "edge-box.local"]
            site.amqp = AmqpHead(
                authenticator=Authenticator(site.registry, names, None),
                ingress=site.ingress,
                presence=site.presence,
                delivery=site.delivery,
                methods=site.methods,
                twins=site.twins,
                emit=site.events.append,
                clock=site.clock,
                hub_names=names,
                limits=AmqpLimits(),
            )
            yield site

    def sas(self, device: str, module: str | None = None, *, key: bytes = KEY, life_s: float = 3600) -> str:
        """A token as text."""
        resource = sas.resource_of(HUB, identity(device, module))
        return sas.make(resource, key, int(self.clock.now + life_s))

    def dial_amqp(
        self, sasl: str | None = None, response: bytes = b"", *, certificates: tuple[bytes, ...] = ()
    ) -> Client:
        """A connection of which SASL and open are over."""
        return Client(self, Peer(address=ADDRESS, port=5000, certificates=certificates), sasl, response)

    def plain(self, who: Identity | str = "d1", token: str | None = None, hub: str = "hub") -> Client:
        """A connection that has logged in by SASL PLAIN, with whatever success."""
        owner = identity(who) if isinstance(who, str) else who
        login = PlainLogin(identity=owner, hub=hub, token=token or self.sas(owner.device, owner.module))
        return self.dial_amqp("PLAIN", write_plain(login))

    def by_token(self, *devices: str) -> tuple[Client, Session]:
        """A connection with tokens of these devices, put to CBS."""
        client = self.dial_amqp("MSSBCBS")
        session = client.begin()
        links = client.cbs(session)
        for device in devices:
            assert client.put(links, self.sas(device)).status == 200
        return client, session


def now() -> float:
    """The clock of connections."""
    return asyncio.get_running_loop().time()


__all__ = ["ADDRESS", "CBS", "HUB", "KEY", "AmqpSite", "Client"]
