"""The pump between one connection's bytes, its sans-IO session, and the owner of that session."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from edgewire.errors import ProtocolError
from edgewire.transport.watchers import SendingWatcher, StoppingWatcher

E = TypeVar("E")
"""The session's own type of event."""


class Session(Protocol[E]):
    """A protocol's state machine for one connection, without I/O and clock."""

    def receive(self, data: bytes, now: float) -> list[E]:
        """Take bytes of the peer; gives what happened. Raises ProtocolError if the peer broke a rule."""
        ...

    def take_output(self) -> bytes:
        """What is to be sent now; given once."""
        ...

    def deadline(self) -> float | None:
        """When `on_deadline` wants to be called, None for never."""
        ...

    def on_deadline(self, now: float) -> list[E]:
        """The deadline has passed; gives what happened."""
        ...


class Owner(Protocol[E]):
    """Who decides what a session's events mean. Called on the event loop; after each call the output is sent."""

    def on_connected(self, pump: "Pump[E]") -> None:
        """All handshakes are done; the first call."""
        ...

    def on_events(self, events: list[E]) -> None:
        """What happened, never an empty list."""
        ...

    def on_failed(self, error: ProtocolError) -> None:
        """The peer broke the protocol; the session's farewell was sent, and the pump closes after this."""
        ...

    def on_closed(self) -> None:
        """The connection is gone. Called exactly once, as the last call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end, as far as the transport knows."""

    address: str
    port: int
    certificates: tuple[bytes, ...] = ()
    """What the peer showed in TLS and proved to hold the key of, DER, leaf first. Not checked against any anchor."""
    tls: str = ""
    """TLSv1.3, TLSv1.2, or nothing for a plain connection."""
    websocket: bool = False
    constrained: bool = False
    """It came by a listener for boards with little memory (`tls.Profile`)."""


Accept = Callable[[Peer], tuple[Session[Any], Owner[Any]]]
"""Makes the session and the owner of a new connection, once its handshakes are done. The event type is theirs alone:
sub-protocols of one port have different ones."""


class Wire(Protocol):
    """The connection as the pump sees it."""

    @property
    def buffered(self) -> int:
        """Bytes not yet taken by the socket."""
        ...

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def close(self) -> None:
        """Send what is buffered, say goodbye in each layer, close."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...

    def crash(self, error: Exception) -> None:
        """Report a fault of ours and close at once."""
        ...

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""
        ...

    def resume_reading(self) -> None:
        """Take from the peer again."""
        ...

    def wake_at(self, when: float) -> None:
        """Call `Pump.wake` at this time; replaces what was set before."""
        ...


class Pump(Generic[E]):
    """Moves one connection's bytes through its session and hands the events to its owner."""

    __slots__ = ("_clock", "_lost", "_open", "_wakes_at", "_wire", "owner", "peer", "session")

    def __init__(
        self, wire: Wire, session: Session[E], owner: Owner[E], *, peer: Peer, clock: Callable[[], float]
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._open = True
        self._lost = False
        self._wakes_at: float | None = None
        self.session = session
        self.owner = owner
        self.peer = peer

    # What the owner calls.

    @property
    def buffered(self) -> int:
        """Bytes not yet taken by the socket."""
        return self._wire.buffered

    def flush(self) -> None:
        """Send what the session has to send; for answers given outside of the owner's own calls."""
        if self._open:
            try:
                self._flush()
            except Exception as error:  # noqa: BLE001 - a session's fault must cost its own connection only
                self._crash(error)

    def close(self) -> None:
        """Send what the session has to send, then close in good order; cut when the peer does not play along."""
        self.flush()
        if self._open:
            self._open = False
            self._wire.close()

    def abort(self) -> None:
        """Close at once; what is buffered is lost."""
        self._open = False
        self._wire.abort()

    def pause_reading(self) -> None:
        """Take no more from the peer until `resume_reading`; events already read are still delivered."""
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        self._wire.resume_reading()

    # What the connection calls.

    def begin(self) -> None:
        """All handshakes are done."""
        self._guarded(lambda: self.owner.on_connected(self))

    def receive(self, data: bytes) -> None:
        """Bytes of the peer."""
        if not self._open:
            return
        try:
            events = self.session.receive(data, self._clock())
            if events:
                self.owner.on_events(events)
            if self._open:
                self._flush()
        except ProtocolError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - see flush
            self._crash(error)

    def wake(self, now: float) -> None:
        """The session's deadline has passed."""
        self._wakes_at = None
        self._guarded(lambda: self._on_deadline(now))

    def sending_paused(self) -> None:
        """The peer reads slower than we send."""
        if isinstance(self.owner, SendingWatcher):
            self._guarded(self.owner.on_sending_paused)

    def sending_resumed(self) -> None:
        """The peer has caught up."""
        if isinstance(self.owner, SendingWatcher):
            self._guarded(self.owner.on_sending_resumed)

    def stop(self) -> None:
        """The listener closes: let the owner say goodbye, then close."""
        if isinstance(self.owner, StoppingWatcher):
            self._guarded(self.owner.on_stopping)
        self.close()

    def lost(self) -> None:
        """The connection is gone."""
        self._open = False
        if self._lost:
            return
        self._lost = True
        try:
            self.owner.on_closed()
        except Exception as error:  # noqa: BLE001 - see flush
            self._crash(error)

    def _on_deadline(self, now: float) -> None:
        deadline = self.session.deadline()
        if deadline is None or now < deadline:
            return  # it has moved back since; `_flush` sets it again
        events = self.session.on_deadline(now)
        if events:
            self.owner.on_events(events)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step of the owner's or the session's and send what came of it."""
        if not self._open:
            return
        try:
            step()
            if self._open:
                self._flush()
        except ProtocolError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - see flush
            self._crash(error)

    def _flush(self) -> None:
        data = self.session.take_output()
        if data:
            self._wire.write(data)
        # One that moves back, as most do with every packet, is looked at when it would have come.
        deadline = self.session.deadline()
        if deadline is not None and (self._wakes_at is None or deadline < self._wakes_at) and self._open:
            self._wakes_at = deadline
            self._wire.wake_at(deadline)

    def _fail(self, error: ProtocolError) -> None:
        """The peer broke the protocol: send the farewell, tell the owner, close."""
        self.flush()
        try:
            self.owner.on_failed(error)
        except Exception as fault:  # noqa: BLE001 - see flush
            self._crash(fault)
        self.close()

    def _crash(self, error: Exception) -> None:
        self._open = False
        self._wire.crash(error)
