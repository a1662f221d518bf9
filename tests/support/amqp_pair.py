"""A client and a server engine in memory, and a clock that the test sets."""

from collections.abc import Iterator
from itertools import cycle

from edgewire.codec.amqp.performatives import Map
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import (
    AmqpEvent,
    AttachReceived,
    LinkAttached,
    OpenReceived,
    SaslInitReceived,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.server import AmqpServer
from edgewire.session.amqp.session import Session

START = 1_000.0


class Pair:
    """Both ends of one connection. `client_events` and `server_events` keep what each end reported."""

    def __init__(
        self,
        *,
        sasl: str | None = None,
        response: bytes = b"",
        client_limits: AmqpLimits | None = None,
        server_limits: AmqpLimits | None = None,
        piece: int | None = None,
    ) -> None:
        self.now = START
        self.cut([] if piece is None else [piece])
        self.client = AmqpClient(
            client_limits or AmqpLimits(),
            self.now,
            container_id="client",
            hostname="hub.example",
            sasl=sasl,
            response=response,
        )
        self.server = AmqpServer(server_limits or AmqpLimits(), self.now, offers_external=False, container_id="server")
        self.client_events: list[AmqpEvent] = []
        self.server_events: list[AmqpEvent] = []

    def cut(self, sizes: list[int]) -> None:
        """Carry bytes in pieces of these sizes from now on, over and over; whole if there are none."""
        self._sizes: Iterator[int | None] = cycle(sizes or [None])

    def transfer(self) -> None:
        """Carry bytes both ways until neither end has any more, and let both read what waited for an answer."""
        while True:
            up, down = self.client.take_output(), self.server.take_output()
            self.server_events += self._deliver(self.server, up)
            self.client_events += self._deliver(self.client, down)
            if not up and not down and not self._due(self.server) and not self._due(self.client):
                return

    def _deliver(self, to: AmqpClient | AmqpServer, data: bytes) -> list[AmqpEvent]:
        found: list[AmqpEvent] = []
        while data:
            size = next(self._sizes)
            piece, data = (data, b"") if size is None else (data[:size], data[size:])
            found += to.receive(piece, self.now)
        if self._due(to):
            found += to.on_deadline(self.now)
        return found

    def _due(self, end: AmqpClient | AmqpServer) -> bool:
        due = end.deadline()
        return due is not None and due <= self.now

    def open(self) -> None:
        """Open the connection, the server accepting whoever comes."""
        self.transfer()
        if any(isinstance(event, SaslInitReceived) for event in self.server_events):
            self.server.accept_sasl()
            self.transfer()
        assert any(isinstance(event, OpenReceived) for event in self.server_events)
        self.server.open()
        self.transfer()
        assert self.client.opened
        assert self.server.opened
        self.forget()

    def begin(self) -> Session:
        """A session of the client's."""
        session = self.client.begin()
        self.transfer()
        assert session.mapped
        self.forget()
        return session

    def sender(
        self, session: Session, address: str = "a", *, credit: int = 100, properties: Map | None = None
    ) -> tuple[Link, Link]:
        """A link that the client sends on: its end, and the server's."""
        ours = self.client.attach_sender(session, f"to {address}", address, properties=properties)
        return ours, self._accepted(ours, credit)

    def receiver(self, session: Session, address: str = "a", *, credit: int = 100) -> tuple[Link, Link]:
        """A link that the client receives on: its end, and the server's."""
        ours = self.client.attach_receiver(session, f"from {address}", address, credit=credit)
        return ours, self._accepted(ours, 0)

    def _accepted(self, ours: Link, credit: int) -> Link:
        self.transfer()
        [theirs] = [event.link for event in self.server_events if isinstance(event, AttachReceived)]
        self.server.accept_link(theirs, credit=credit)
        self.transfer()
        assert any(isinstance(event, LinkAttached) and event.link is ours for event in self.client_events)
        self.forget()
        return theirs

    def forget(self) -> None:
        """Forget what was reported."""
        self.client_events.clear()
        self.server_events.clear()

    def advance(self, seconds: float) -> None:
        """Let time pass; deadlines on the way are met as they come."""
        end = self.now + seconds
        while True:
            dues = [due for each in (self.client, self.server) if (due := each.deadline()) is not None and due <= end]
            if not dues:
                break
            self.now = max(self.now, *dues[:1])
            self.transfer()
        self.now = end
