"""An AMQP client without manners: writes any bytes into TLS, reads whole frames, and notices the end."""

import asyncio
import itertools
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self, TypeVar

from edgewire.codec.amqp.frames import AMQP_HEADER, SASL_HEADER, Frame, FrameReader, write_frame
from edgewire.codec.amqp.message import AmqpMessage, write_message
from edgewire.codec.amqp.performatives import (
    RECEIVER,
    SENDER,
    Accepted,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Performative,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Source,
    Target,
    Transfer,
)
from edgewire.codec.amqp.types import Symbol, ULong
from edgewire.iothub.amqp.cbs import PutToken, write_put_token
from edgewire.iothub.amqp.sasl import PlainLogin, write_plain
from edgewire.message import identity
from support.gateway_site import GatewaySite
from support.process_watch import processor_s
from support.raw_peer import PATIENCE_S, RawPeer

AMQP_PORT: Final = 5671
CBS: Final = "$cbs"
OPEN: Final = Open(container_id="raw")
BEGIN: Final = Begin(next_outgoing_id=0, incoming_window=5_000, outgoing_window=5_000)
PING_CHANNEL: Final = 1_023
PING: Final = write_frame(PING_CHANNEL, BEGIN) + write_frame(PING_CHANNEL, End())
MESSAGE: Final = write_message(AmqpMessage(body=b"good"))
PAUSE_S: Final = 0.005
"""Between an answer and the next message of a good client: one that is busy, not one that floods."""

P = TypeVar("P")


class AmqpPeer(RawPeer):
    """One connection. `said` is what the gateway has said besides what was asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.said: list[Performative] = []
        self._held = bytearray()
        self._ready: deque[Frame] = deque()
        self._ids = itertools.count()
        self._theirs: dict[int, int] = {}
        """The gateway's handles by ours."""

    @classmethod
    async def reach(
        cls, site: GatewaySite, *, source: str | None = None, tls: ssl.SSLContext | None = None, plain: bool = False
    ) -> Self:
        """A connection that has said nothing yet; `plain` leaves out TLS."""
        return await cls.dial(site, source=source, port=AMQP_PORT, tls=tls, plain=plain)

    @classmethod
    async def opened(cls, site: GatewaySite, *, source: str | None = None, begin: bool = True) -> Self:
        """A connection without SASL, and a session on channel 0 unless told otherwise."""
        peer = await cls.reach(site, source=source)
        peer.send(AMQP_HEADER + write_frame(0, OPEN))
        await peer.next_of(Open)
        if begin:
            await peer.begin(0)
        return peer

    @classmethod
    async def logged_in(cls, site: GatewaySite, device: str, *, source: str | None = None) -> Self:
        """A device by SASL PLAIN, with a session on channel 0 and its link for telemetry on handle 0."""
        peer = await cls.reach(site, source=source)
        await peer.enter(plain_init(site, device))
        await peer.begin(0)
        await peer.attach(0, events_of(device))
        return peer

    @classmethod
    async def with_tokens(cls, site: GatewaySite, *devices: str, source: str | None = None) -> Self:
        """A connection for these devices by CBS: session 0, telemetry on handles 0, 1, 2, … in their order."""
        peer = await cls.opened(site, source=source)
        await peer.attach_cbs(1_000)
        for device in devices:
            assert await peer.put_token(1_000, site.token(device)) == Accepted()
        for handle, device in enumerate(devices):
            await peer.attach(handle, events_of(device))
        return peer

    async def enter(self, init: SaslInit) -> None:
        """SASL and open, by this init."""
        self.send(SASL_HEADER + write_frame(0, init) + AMQP_HEADER)
        await self.next_of(SaslMechanisms)
        assert (await self.next_of(SaslOutcome)).code == 0
        self.send(write_frame(0, OPEN))
        await self.next_of(Open)

    # Reading.

    async def frame(self, patience_s: float = PATIENCE_S) -> Frame | None:
        """The next frame that is not empty; None at the end of the connection."""
        async with asyncio.timeout(patience_s):
            while not self._ready:
                data = await self.chunk()
                if not data:
                    return None
                self._held += data
                self._take_frames()
        return self._ready.popleft()

    async def chunk(self) -> bytes:
        """Whatever comes next; nothing at the end of the connection."""
        try:
            data = await self.reader.read(65_536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.abort()
        return data

    def _take_frames(self) -> None:
        """Frames that are whole; protocol headers, which look like frames of a gigabyte, are left out."""
        held = self._held
        while len(held) >= 8:
            size = 8 if held.startswith(b"AMQP") else int.from_bytes(held[:4])
            if len(held) < size:
                return
            data = bytes(held[:size])
            del held[:size]
            if data[:4] == b"AMQP":
                continue
            reader = FrameReader(1 << 20)
            reader.push(data)
            found = reader.next()
            if found is not None and found.performative is not None:
                self._ready.append(found)

    async def next_of(
        self, kind: type[P], patience_s: float = PATIENCE_S, *, where: Callable[[P], bool] = lambda _: True
    ) -> P:
        """The next performative of this kind for which `where` holds; what comes before it is in `said`."""
        while (found := await self.frame(patience_s)) is not None:
            said = found.performative
            if isinstance(said, kind) and where(said):
                return said
            assert said is not None
            self.said.append(said)
        raise AssertionError(f"the connection ended where {kind.__name__} was expected: {self.said[-3:]}")

    async def told(self, patience_s: float = PATIENCE_S) -> list[Performative]:
        """What the gateway still says until it closes the connection, which it must."""
        found: list[Performative] = []
        async with asyncio.timeout(patience_s):
            while (one := await self.frame(patience_s)) is not None:
                assert one.performative is not None
                found.append(one.performative)
        return found

    # A client that is right.

    async def begin(self, channel: int) -> int:
        """A session; gives the gateway's channel for it."""
        self.send(write_frame(channel, BEGIN))
        await self.next_of(Begin, where=lambda begun: begun.remote_channel == channel)
        return channel

    async def ping(self, patience_s: float = PATIENCE_S) -> None:
        """A session that begins and ends: answered when all before it has been handled."""
        self.send(PING)
        await self.pinged(patience_s)

    async def pinged(self, patience_s: float = PATIENCE_S) -> None:
        """The answer to a ping that was sent."""
        await self.next_of(Begin, patience_s, where=lambda begun: begun.remote_channel == PING_CHANNEL)
        await self.next_of(End, patience_s)

    async def attach(self, handle: int, address: str, *, sends: bool = True, channel: int = 0) -> Attach:
        """A link; the gateway's attach. If it may send, the credit has come."""
        self.send(write_frame(channel, attach_of(handle, address, sends=sends)))
        answer = await self.next_of(Attach, where=lambda attach: attach.name == name_of(handle))
        self._theirs[handle] = answer.handle
        if sends and answer.target is not None:
            await self.next_of(Flow, where=lambda flow: flow.handle == answer.handle)
        return answer

    async def attach_cbs(self, handle: int, *, channel: int = 0) -> None:
        """Both links of `$cbs`, with credit for its answers; on this handle and the next."""
        self.send(write_frame(channel, attach_of(handle + 1, CBS, sends=False)))
        await self.next_of(Attach, where=lambda attach: attach.name == name_of(handle + 1))
        self.send(write_frame(channel, credit_of(handle + 1, 1_000_000)))
        await self.attach(handle, CBS, channel=channel)

    async def put_token(self, handle: int, token: str, *, channel: int = 0) -> Any:
        """Put a token; the state of the request. The answer goes to `said`."""
        return await self.tell(handle, put_token(token), channel=channel)

    async def tell(self, handle: int, payload: bytes = MESSAGE, *, channel: int = 0, **fields: Any) -> Any:
        """Send one message; what became of it."""
        delivery_id = next(self._ids)
        self.send(transfer_of(handle, delivery_id, payload, channel=channel, **fields))
        return await self.settled(delivery_id)

    async def settled(self, delivery_id: int) -> Any:
        """What became of the message with this id."""

        def is_of_it(said: Disposition) -> bool:
            last = said.first if said.last is None else said.last
            return said.role is RECEIVER and said.first <= delivery_id <= last

        return (await self.next_of(Disposition, where=is_of_it)).state

    def skip_ids(self, count: int) -> int:
        """So many delivery ids are used by the test itself; gives the first."""
        first = next(self._ids)
        for _ in range(count - 1):
            next(self._ids)
        return first

    async def refused(self, handle: int) -> str:
        """With what condition the gateway detaches this link."""
        detach = await self.next_of(Detach, where=lambda detach: detach.handle == self._theirs[handle])
        return condition_of(detach)


class GoodAmqpClient:
    """A device that sends one message after the other while it runs; it ends with an error if it is ever disturbed."""

    def __init__(self, peer: AmqpPeer, handle: int = 0, *, pid: int | None = None) -> None:
        self.peer = peer
        self._handle = handle
        self._pid = pid
        self.answers_s: list[float] = []
        self.held_up_s = 0.0
        """The most that the gateway has worked between a message and its answer, if its process is known."""

    @classmethod
    @asynccontextmanager
    async def running(cls, site: GatewaySite, device: str) -> "AsyncIterator[GoodAmqpClient]":
        """A client of this device, busy until the block ends; then it says whether it was served to the end."""
        client = cls(await AmqpPeer.logged_in(site, device), pid=site.gateway.pid)
        await client.send()
        task = asyncio.ensure_future(client._send_on())
        try:
            yield client
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()
        await client.peer.close()

    @property
    def slowest_s(self) -> float:
        """The slowest answer so far."""
        return max(self.answers_s)

    async def send(self) -> None:
        """One message, and its answer."""
        loop = asyncio.get_running_loop()
        began_at, worked_s = loop.time(), self._worked_s()
        assert await self.peer.tell(self._handle) == Accepted()
        self.answers_s.append(loop.time() - began_at)
        self.held_up_s = max(self.held_up_s, min(self.answers_s[-1], self._worked_s() - worked_s))

    def _worked_s(self) -> float:
        return 0.0 if self._pid is None else processor_s(self._pid)

    async def _send_on(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            await self.send()


def condition_of(said: Detach | End | Close) -> str:
    """Why something ended; empty for no reason."""
    return "" if said.error is None else str(said.error.condition)


def plain_init(site: GatewaySite, device: str, token: str | None = None) -> SaslInit:
    """The login of a device by SASL PLAIN."""
    label = site.hub.hub_name.partition(".")[0]
    login = PlainLogin(identity=identity(device), hub=label, token=token or site.token(device))
    return SaslInit(mechanism=Symbol("PLAIN"), initial_response=write_plain(login))


def put_token(token: str, message_id: int = 7) -> bytes:
    """The request that puts a token."""
    return write_put_token(PutToken(message_id=ULong(message_id), name="any", token=token))


def events_of(device: str) -> str:
    """The address of a device's telemetry."""
    return f"/devices/{device}/messages/events"


def name_of(handle: int) -> str:
    """The name of the link with this handle."""
    return f"link-{handle}"


def attach_of(handle: int, address: str | None, *, sends: bool = True, name: str | None = None) -> Attach:
    """An attach of the client."""
    return Attach(
        name=name_of(handle) if name is None else name,
        handle=handle,
        role=SENDER if sends else RECEIVER,
        source=Source(address=None if sends else address),
        target=Target(address=address if sends else None),
        initial_delivery_count=0 if sends else None,
    )


def transfer_of(
    handle: int, delivery_id: int | None, payload: bytes = MESSAGE, *, channel: int = 0, **fields: Any
) -> bytes:
    """The frame of a transfer, with whatever fields."""
    transfer = Transfer(handle, delivery_id, b"t")
    for name, value in fields.items():
        setattr(transfer, name, value)
    return write_frame(channel, transfer, payload)


def credit_of(handle: int, credit: int) -> Flow:
    """A flow that gives the gateway credit."""
    return Flow(
        next_incoming_id=0,
        incoming_window=1 << 20,
        next_outgoing_id=0,
        outgoing_window=5_000,
        handle=handle,
        delivery_count=0,
        link_credit=credit,
    )
