"""A server engine with a client that only writes and reads frames, and a clock that the test sets."""

from edgewire.codec.amqp.frames import AMQP_HEADER, SASL_HEADER, FrameReader, write_frame
from edgewire.codec.amqp.performatives import (
    RECEIVER,
    SENDER,
    Attach,
    Begin,
    Open,
    Performative,
    SaslInit,
    Source,
    Target,
    Transfer,
)
from edgewire.codec.amqp.types import Symbol
from edgewire.session.amqp.events import AmqpEvent, AttachReceived
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.server import AmqpServer

START = 1_000.0

Sent = tuple[int, Performative | None, bytes]
"""Channel, performative and payload of a frame."""


class Wire:
    """Both ends of one connection."""

    def __init__(self, limits: AmqpLimits | None = None, *, offers_external: bool = False) -> None:
        self.now = START
        self.server = AmqpServer(limits or AmqpLimits(), self.now, offers_external=offers_external, container_id="gw")
        self.headers: list[bytes] = []
        self._reader = FrameReader(1_048_576)

    def transfer(self, data: bytes) -> list[AmqpEvent]:
        """What the server makes of these bytes; what waited for nothing but another call is read, too."""
        return self.server.receive(data, self.now) + self.due()

    def due(self) -> list[AmqpEvent]:
        """What the server does at a deadline that is now."""
        found: list[AmqpEvent] = []
        while (due := self.server.deadline()) is not None and due <= self.now:
            found += self.server.on_deadline(self.now)
        return found

    def send(self, *performatives: Performative, channel: int = 0) -> list[AmqpEvent]:
        """What the server makes of these, in one read."""
        return self.transfer(b"".join(write_frame(channel, one) for one in performatives))

    def message(self, payload: bytes, *, channel: int = 0, **fields: object) -> bytes:
        """The frame of a transfer."""
        transfer = Transfer(0, 0, b"t")
        for name, value in fields.items():
            setattr(transfer, name, value)
        return write_frame(channel, transfer, payload)

    def inbox(self, *, headers: int = 0) -> list[Performative | None]:
        """What the server has sent since the last time, behind `headers` protocol headers."""
        return [performative for _, performative, _ in self.frames(headers=headers)]

    def frames(self, *, headers: int = 0) -> list[Sent]:
        """The same with channels and payloads; a SASL exchange has its header before the first frame, AMQP after it."""
        self._reader.push(self.server.take_output())
        for _ in range(headers):
            header = self._reader.next_header()
            assert header is not None
            self.headers.append(header)
        found: list[Sent] = []
        while (frame := self._reader.next()) is not None:
            found.append((frame.channel, frame.performative, frame.payload))
        assert self._reader.held == 0, "the server sent half a frame"
        return found

    def sasl(self, mechanism: str = "ANONYMOUS", response: bytes | None = None) -> list[AmqpEvent]:
        """The SASL header and init."""
        init = SaslInit(mechanism=Symbol(mechanism), initial_response=response)
        return self.transfer(SASL_HEADER + write_frame(0, init))

    def open(self, opened: Open | None = None) -> None:
        """A connection without SASL that both ends have opened."""
        self.transfer(AMQP_HEADER + write_frame(0, opened or Open(container_id="dev")))
        self.server.open()
        self.inbox(headers=1)

    def begin(self, channel: int = 0, *, window: int = 1_000) -> None:
        """A session."""
        self.send(Begin(next_outgoing_id=0, incoming_window=window, outgoing_window=1_000), channel=channel)
        self.inbox()

    def attach(
        self, handle: int = 0, *, sends: bool = True, credit: int = 100, channel: int = 0, name: str = "link"
    ) -> Link:
        """A link, accepted; the client sends on it, or receives."""
        [asked] = self.send(attach_of(handle, sends=sends, name=name), channel=channel)
        assert isinstance(asked, AttachReceived)
        self.server.accept_link(asked.link, credit=credit)
        self.inbox()
        return asked.link

    def advance(self, seconds: float) -> list[AmqpEvent]:
        """Let time pass; deadlines on the way are met as they come."""
        end = self.now + seconds
        found: list[AmqpEvent] = []
        while (due := self.server.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            found += self.server.on_deadline(self.now)
        self.now = end
        return found


def attach_of(handle: int = 0, *, sends: bool = True, name: str = "link", address: str | None = "a") -> Attach:
    """A client's attach."""
    return Attach(
        name=name,
        handle=handle,
        role=SENDER if sends else RECEIVER,
        source=Source(address=None if sends else address),
        target=Target(address=address if sends else None),
        initial_delivery_count=0 if sends else None,
    )


def linked(limits: AmqpLimits | None = None, *, sends: bool = True, credit: int = 100) -> tuple[Wire, Link]:
    """An opened connection with a session on channel 0 and a link on handle 0."""
    wire = Wire(limits)
    wire.open()
    wire.begin()
    return wire, wire.attach(sends=sends, credit=credit)
