"""A device that speaks AMQP over a real socket, TLS or WebSocket: our client's engine under asyncio's streams."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

from edgewire.codec.amqp.message import AmqpMessage, read_message, write_message
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import CBS, Purpose, format_address
from edgewire.iothub.amqp.cbs import PutToken, PutTokenReply, read_reply, write_put_token
from edgewire.iothub.amqp.sasl import PlainLogin, write_plain
from edgewire.message import Identity, identity
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import (
    AmqpEvent,
    ConnectionClosed,
    LinkDetached,
    MessageReceived,
    SaslOutcomeReceived,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery, Link
from edgewire.session.amqp.session import Session
from support.gateway_site import GatewaySite
from support.websocket_client import MemoryWebSocket

AMQP_PORT = 5671
PATIENCE_S = 30.0


class AmqpDevice:
    """One connection. Whatever is waited for has an end: `PATIENCE_S`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        engine: AmqpClient,
        websocket: MemoryWebSocket | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.websocket = websocket
        self.engine = engine
        self.events: list[AmqpEvent] = []
        self.gone = False
        """The gateway has closed the connection."""

    @classmethod
    @asynccontextmanager
    async def dial(
        cls,
        site: GatewaySite,
        sasl: str | None = None,
        response: bytes = b"",
        *,
        port: int = AMQP_PORT,
        tls: ssl.SSLContext | None = None,
        source: str | None = None,
        protocols: tuple[str, ...] = (),
    ) -> AsyncIterator[Self]:
        """A connection that is opened, or refused by now; over WebSocket with these sub-protocols, if there are any."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(
                site.address,
                port,
                ssl=tls or site.client_tls(),
                server_hostname=site.address,
                local_addr=None if source is None else (source, 0),
            )
        engine = AmqpClient(
            AmqpLimits(), _now(), container_id="device", hostname=site.hub.hub_name, sasl=sasl, response=response
        )
        websocket = MemoryWebSocket(protocols) if protocols else None
        device = cls(reader, writer, engine, websocket)
        try:
            if websocket is not None:
                writer.write(websocket.request)
                await device.until(lambda: websocket.accepted is not None)
            await device.until(lambda: engine.opened or engine.dead)
            yield device
        finally:
            await device._leave()

    @classmethod
    def plain(
        cls, site: GatewaySite, who: str | Identity, token: str, **options: Any
    ) -> AbstractAsyncContextManager[Self]:
        """A connection that logs in by SASL PLAIN."""
        owner = identity(who) if isinstance(who, str) else who
        login = PlainLogin(identity=owner, hub=site.hub.hub_name.partition(".")[0], token=token)
        return cls.dial(site, "PLAIN", write_plain(login), **options)

    def said(self, kind: type[AmqpEvent]) -> list[Any]:
        """The events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def subprotocol(self) -> str | None:
        """What the gateway has taken of the sub-protocols that were offered."""
        assert self.websocket is not None
        assert self.websocket.accepted is not None
        return self.websocket.accepted.subprotocol

    @property
    def sasl_code(self) -> int:
        """The code of the SASL outcome."""
        [outcome] = self.said(SaslOutcomeReceived)
        return int(outcome.code)

    async def begin(self) -> Session:
        """A session."""
        session = self.engine.begin()
        await self.until(lambda: session.mapped)
        return session

    async def sender(self, session: Session, address: str) -> str | Link:
        """A link to send on, or with what it was refused."""
        link = self.engine.attach_sender(session, f"to {address}"[:200], address)
        return await self._attached(link)

    async def receiver(self, session: Session, address: str) -> str | Link:
        """A link to receive on, or with what it was refused."""
        link = self.engine.attach_receiver(session, f"from {address}"[:200], address)
        return await self._attached(link)

    async def _attached(self, link: Link) -> str | Link:
        await self.until(lambda: self.refusal_of(link) is not None or (link.attached and self._granted(link)))
        refusal = self.refusal_of(link)
        return link if refusal is None else refusal

    def _granted(self, link: Link) -> bool:
        """Whether the gateway's own end of a link is there; one that is null is about to be detached."""
        return (link.target if link.role == "sender" else link.source) is not None

    def refusal_of(self, link: Link) -> str | None:
        """With what the gateway has detached this link; None if it has not."""
        found = [event.error for event in self.said(LinkDetached) if event.link is link]
        return None if not found else "" if found[0] is None else str(found[0].condition)

    async def telemetry(self, session: Session, device: str) -> Link:
        """A link for telemetry that was granted."""
        link = await self.sender(session, format_address(identity(device), Purpose.EVENTS))
        assert isinstance(link, Link), link
        await self.until(lambda: link.credit > 0)
        return link

    async def put(self, session: Session, token: str) -> PutTokenReply:
        """Put a token to CBS, by links of its own; what is answered."""
        requests, answers = await self.sender(session, CBS), await self.receiver(session, CBS)
        assert isinstance(requests, Link)
        assert isinstance(answers, Link)
        await self.until(lambda: requests.credit > 0)
        self.send(requests, write_put_token(PutToken(message_id="1", name="n", token=token)))
        await self.until(lambda: any(event.link is answers for event in self.said(MessageReceived)))
        [answer] = [event for event in self.said(MessageReceived) if event.link is answers]
        return read_reply(read_message(answer.payload))

    def send(self, link: Link, payload: bytes, *, message_format: int = 0) -> Delivery:
        """Send what there must be credit for."""
        delivery = self.engine.send(link, payload, message_format=message_format)
        assert delivery is not None
        return delivery

    async def tell(self, link: Link, body: bytes) -> Any:
        """Send one message; what became of it."""
        return await self.outcome(self.send(link, write_message(AmqpMessage(body=body))))

    async def outcome(self, delivery: Delivery) -> Any:
        """What became of a delivery."""
        await self.until(lambda: delivery.state is not None)
        return delivery.state

    async def closed(self) -> str:
        """With what the gateway closes the connection."""
        await self.until(lambda: self.gone or bool(self.said(ConnectionClosed)))
        errors = [event.error for event in self.said(ConnectionClosed) if event.error is not None]
        return errors[0].condition if errors else ""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Carry bytes both ways until `condition` holds, or raise if the gateway closes before that."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._send()
                if condition():
                    return
                assert not self.gone, self.events
                await self._receive()

    def _send(self) -> None:
        if self.websocket is not None and self.websocket.accepted is None:
            return
        data = self.engine.take_output()
        if data:
            self._writer.write(data if self.websocket is None else self.websocket.message(data))

    async def _receive(self) -> None:
        try:
            data = await self._reader.read(65_536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        self.gone = not data
        with contextlib.suppress(ProtocolError):  # it tries again what the gateway has refused by closing
            self.events += self.engine.receive(data if self.websocket is None else self.websocket.read(data), _now())

    async def _leave(self) -> None:
        self.engine.close()
        self._send()
        self._writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()


def _now() -> float:
    return asyncio.get_running_loop().time()
