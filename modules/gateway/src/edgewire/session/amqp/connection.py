"""What both sides of an AMQP connection have in common. Spec: AMQP 1.0 §2.2, §2.4."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.frames import AMQP_HEADER, EMPTY_FRAME, SASL_HEADER, Frame, FrameReader, FrameType
from edgewire.codec.amqp.performatives import (
    Begin,
    Close,
    DeliveryState,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Map,
    Open,
    Performative,
    Transfer,
)
from edgewire.codec.amqp.types import Symbol
from edgewire.errors import ProtocolError, UsageError
from edgewire.session.amqp.events import AmqpEvent, ConnectionClosed
from edgewire.session.amqp.faults import LinkError, SessionError, connection_fault
from edgewire.session.amqp.limits import MIN_MAX_FRAME, AmqpLimits
from edgewire.session.amqp.link import Delivery, Link
from edgewire.session.amqp.numbers import Numbers
from edgewire.session.amqp.outbox import Outbox
from edgewire.session.amqp.receiving import Holdings
from edgewire.session.amqp.sasl import SaslClient, SaslServer
from edgewire.session.amqp.session import Session
from edgewire.session.amqp.states import (
    CONNECTION_RECEIVED,
    CONNECTION_SENT,
    ConnectionState,
    SaslState,
    SessionState,
    Wire,
)

_OPENED: Final = ConnectionState.OPENED
_MAPPED: Final = SessionState.MAPPED
"""For the calls of each message: a member looked up in its enum costs 0.07 µs."""

_KINDS: Final = {Open: Wire.OPEN, Close: Wire.CLOSE, Begin: Wire.BEGIN, End: Wire.END}

_LATE: Final = (Detach, Disposition, Flow, End)
"""Frames that azure-eventhub's client sends on a channel whose session is over."""


class AmqpConnection(ABC):
    """One connection, as `AmqpServer` and `AmqpClient` see it.

    `receive` and `on_deadline` take what happens; the other calls answer it or send. The time of `now` is the
    caller's, in seconds, and only ever grows. A peer that breaks a rule of the connection raises ProtocolError from
    `receive` or `on_deadline`: the farewell is in the output then, and the connection is dead. Whole frames that came
    before the bad one are given first; the error follows from the next call, which `deadline` asks for.
    """

    __slots__ = (
        "_beat_s",
        "_channels",
        "_close_by",
        "_connect_by",
        "_container_id",
        "_early",
        "_ended",
        "_failure",
        "_heard_at",
        "_holdings",
        "_limits",
        "_now",
        "_outbox",
        "_reader",
        "_sasl",
        "_sent_at",
        "_sessions",
        "_state",
    )

    def __init__(self, limits: AmqpLimits, now: float, *, container_id: str) -> None:
        self._limits = limits
        self._container_id = container_id
        self._state = ConnectionState.START
        self._sasl: SaslServer | SaslClient | None = None
        # Before the peer's open says more, frames have the size that all peers take (AMQP 1.0 §2.4.1).
        self._outbox = Outbox(MIN_MAX_FRAME)
        self._reader = FrameReader(limits.max_frame)
        self._sessions: dict[int, Session] = {}
        """By the peer's channel."""
        self._channels = Numbers(limits.channel_max)
        self._ended: set[int] = set()
        """Channels of the peer that had a session."""
        self._holdings = Holdings(limits.max_partial_bytes)
        self._failure: ProtocolError | None = None
        self._early = False
        self._now = self._heard_at = self._sent_at = now
        self._connect_by = now + limits.connect_timeout_s
        self._close_by = 0.0
        self._beat_s: float | None = None

    @property
    def dead(self) -> bool:
        """Nothing more is read or sent; what `take_output` still gives is the farewell."""
        return self._state is ConnectionState.END

    @property
    def opened(self) -> bool:
        """Both opens have gone over the wire, and no close."""
        return self._state is _OPENED

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions that are not over."""
        return tuple(self._sessions.values())

    # What happens.

    def receive(self, data: bytes, now: float) -> list[AmqpEvent]:
        """Take bytes of the peer; gives what they mean. Raises ProtocolError if they break a rule of the connection."""
        self._now = now
        if self._failure is not None:
            raise self._fail(self._failure)
        if self._state is ConnectionState.END:
            return []
        self._heard_at = now
        self._reader.push(data)
        if self._state is not _OPENED and self._asks():
            if self._reader.held > self._limits.max_early_bytes:
                what = f"more than {self._limits.max_early_bytes} bytes behind what is not answered yet"
                raise self._fail(
                    connection_fault(what, condition=conditions.RESOURCE_LIMIT_EXCEEDED, spec="AMQP 1.0 §2.4.2")
                )
            return []
        if self._early:
            self._answered()
        return self._read()

    def deadline(self) -> float | None:
        """When `on_deadline` wants to be called, in the caller's clock; None for never."""
        if self._failure is not None or self._early:
            return self._now
        if self._state is _OPENED:
            # AMQP 1.0 §2.4.5: what open announces is half of the silence that is borne.
            silent = self._heard_at + 2 * self._limits.idle_timeout_s
            return silent if self._beat_s is None else min(silent, self._sent_at + self._beat_s)
        if self._state is ConnectionState.END or self._asks():
            return None
        if (self._state, Wire.CLOSE) in CONNECTION_RECEIVED or self._state is ConnectionState.CLOSE_PIPE:
            return self._close_by
        return self._connect_by

    def on_deadline(self, now: float) -> list[AmqpEvent]:
        """The deadline has passed: gives what waited for it, or keeps the connection alive, or ends it."""
        self._now = now
        if self._failure is not None:
            raise self._fail(self._failure)
        if self._early:
            self._answered()
            return self._read()
        due = self.deadline()
        if due is None or now < due:
            return []
        if self._state is not _OPENED:
            self._die()
            return [ConnectionClosed(None)]
        if now < self._heard_at + 2 * self._limits.idle_timeout_s:
            self._outbox.put(EMPTY_FRAME)
            self._sent_at = now
            return []
        what = f"nothing was heard for {2 * self._limits.idle_timeout_s:g} s"
        error = Error(condition=conditions.RESOURCE_LIMIT_EXCEEDED, description=what)
        self._outbox.frame(0, Close(error))
        self._die()
        return [ConnectionClosed(error, silent=True)]

    def connection_lost(self) -> None:
        """The connection is gone: calls that come late do nothing."""
        self._die()

    def take_output(self) -> bytes:
        """What is to be sent now; given once."""
        data = self._outbox.take()
        if data:
            self._sent_at = self._now
        return data

    # What the owner calls.

    def send(
        self,
        link: Link,
        payload: bytes,
        *,
        message_format: int = 0,
        settled: bool = False,
        tag: bytes | None = None,
    ) -> Delivery | None:
        """Send a message, in as many frames as it takes. Returns None if it cannot be sent now.

        That is: no credit, the session's window is used up or too much is unsettled, or the link is over; in the
        first cases `CreditReceived` says when to try again. A tag is made up if none is given. One larger than
        `link.peer_max_message_size` is a UsageError: it could never be sent.
        """
        session = link.session
        if not link.attached or not self._lives(session):
            return None
        return session.outgoing.send(
            session.channel,
            link,
            payload,
            message_format=message_format,
            settled=settled,
            tag=tag,
        )

    def settle(self, link: Link, delivery_ids: Sequence[int], state: DeliveryState) -> None:
        """Answer messages of the peer, in ranges as far as their ids follow each other; unknown ids are left out."""
        if self._lives(link.session):
            link.session.incoming.settle(link.session.channel, link, delivery_ids, state)

    def settle_sent(self, link: Link, delivery: Delivery, state: DeliveryState | None) -> None:
        """Settle a message of ours that the peer has given a state and not settled: rcv-settle-mode second."""
        if self._lives(link.session):
            link.session.outgoing.settle(link.session.channel, delivery, state)

    def grant(self, link: Link, credit: int) -> None:
        """Let the peer send up to `credit` messages from now; 0 stops it.

        May be called after each message: the peer is told when half of it is used up, or when it is less than before.
        """
        if self._lives(link.session):
            link.session.grant(link, credit)

    def drain(self, link: Link) -> None:
        """Ask the sender to use up its credit or give it back: `LinkDrained` follows."""
        if self._lives(link.session):
            link.session.drain(link)

    def drained(self, link: Link) -> None:
        """Answer a `CreditReceived` with `drain`: there is nothing more to send."""
        if self._lives(link.session):
            link.session.drained(link)

    def detach(self, link: Link, condition: str | None = None, description: str = "") -> None:
        """Close a link; `LinkDetached` follows with the peer's answer."""
        if self._lives(link.session):
            link.session.detach(link, error_of(condition, description))

    def end(self, session: Session, condition: str | None = None, description: str = "") -> None:
        """End a session and its links; `SessionEnded` follows with the peer's answer."""
        if self._lives(session):
            session.end(error_of(condition, description))

    def close(self, condition: str | None = None, description: str = "") -> None:
        """Close the connection, in answer to `OpenReceived` too; `ConnectionClosed` follows with the peer's answer."""
        if self._state is ConnectionState.HDR_EXCH or self._state is ConnectionState.OPEN_RCVD:
            self._send_open()  # AMQP 1.0 §2.4.3: no close without an open
            self._early = self._reader.held > 0
        error = error_of(condition, description)
        kind = Wire.CLOSE if error is None else Wire.ERROR_CLOSE
        if (self._state, kind) not in CONNECTION_SENT:
            if self._state in (ConnectionState.START, ConnectionState.HDR_SENT):
                self._die()  # nothing has been opened: there is nothing to say
            return
        self._sent(kind)
        self._outbox.frame(0, Close(error))
        self._close_by = self._now + self._limits.close_timeout_s

    # What the two sides do differently.

    @abstractmethod
    def _on_header(self, header: bytes) -> None: ...

    @abstractmethod
    def _on_opened(self, opened: Open, events: list[AmqpEvent]) -> None: ...

    @abstractmethod
    def _session_of(self, channel: int, begin: Begin) -> Session: ...

    @abstractmethod
    def _on_authenticated(self) -> None: ...

    @abstractmethod
    def _open_of_ours(self) -> Open: ...

    # Reading.

    def _answered(self) -> None:
        """The owner has answered: what waited is read, and the time that it took is not the peer's."""
        self._early = False
        self._connect_by = self._now + self._limits.connect_timeout_s

    def _asks(self) -> bool:
        """Whether the owner has been asked something and nothing may be read until it answers."""
        return self._state is ConnectionState.OPEN_RCVD or (
            self._sasl is not None and self._sasl.state is SaslState.INIT_RCVD
        )

    def _read(self) -> list[AmqpEvent]:
        """What the whole frames that wait mean; a bad one raises only if nothing stands before it."""
        events: list[AmqpEvent] = []
        try:
            if self._state is not _OPENED:
                self._read_opening(events)
            if self._state is _OPENED:
                self._read_transfers(events)
        except ProtocolError as error:
            if not events:
                raise self._fail(error) from error
            self._failure = error
        return events

    def _read_opening(self, events: list[AmqpEvent]) -> None:
        """Headers and frames as long as the connection is not opened, or is closing."""
        while self._state is not _OPENED and not self._asks():
            if self._awaits_header():
                header = self._reader.next_header()
                if header is None:
                    return
                self._on_header(header)
            else:
                frame = self._reader.next()
                if frame is None:
                    return
                self._take(frame, events)

    def _read_transfers(self, events: list[AmqpEvent]) -> None:
        """All frames of an opened connection; transfers, which come once per message, the short way."""
        next_frame = self._reader.next
        sessions = self._sessions
        while (frame := next_frame()) is not None:
            transfer = frame.performative
            if type(transfer) is Transfer and (session := sessions.get(frame.channel)) and session.state is _MAPPED:
                incoming = session.incoming
                try:
                    incoming.transfer(transfer, frame.payload, events)
                except (LinkError, SessionError) as fault:
                    session.fail(fault, events)
                if incoming.window <= incoming.low:
                    session.keep_window()
                continue
            self._take(frame, events)
            if self._state is not _OPENED:
                self._read_opening(events)
                return

    def _awaits_header(self) -> bool:
        """Whether a protocol header comes next, and not a frame."""
        if self._state is not ConnectionState.START and self._state is not ConnectionState.HDR_SENT:
            return False
        return self._sasl is None or self._sasl.state in (SaslState.HDR_SENT, SaslState.DONE)

    def _take(self, frame: Frame, events: list[AmqpEvent]) -> None:
        """One frame of the peer; an empty one only says that it is there."""
        if frame.type is FrameType.SASL:
            self._on_sasl(frame.performative, events)
            return
        channel, performative = frame.channel, frame.performative
        if performative is None:
            return
        kind = _KINDS.get(type(performative), Wire.FRAME)
        self._received(kind)
        if self._state in (ConnectionState.CLOSE_SENT, ConnectionState.DISCARDING):
            return
        match performative:
            case Open():
                self._on_open(performative, events)
            case Close():
                self._on_close(performative, events)
            case Begin():
                self._on_begin(channel, performative, events)
            case _:
                self._on_frame(channel, performative, frame.payload, events)

    def _on_sasl(self, performative: Performative | None, events: list[AmqpEvent]) -> None:
        if self._sasl is None:
            raise connection_fault(
                "a SASL frame without its header", condition=conditions.FRAMING_ERROR, spec="AMQP 1.0 §5.3.1"
            )
        self._sasl.on_frame(performative, events)
        if self._sasl.state is SaslState.DONE:
            self._reader.max_frame_bytes = self._limits.max_frame
            self._on_authenticated()
        elif self._sasl.state is SaslState.FAILED:
            self._die()

    def _on_open(self, opened: Open, events: list[AmqpEvent]) -> None:
        """Spec: AMQP 1.0 §2.7.1."""
        if opened.max_frame_size < MIN_MAX_FRAME:
            what = f"a max-frame-size of {opened.max_frame_size}"
            raise connection_fault(what, condition=conditions.INVALID_FIELD, spec="AMQP 1.0 §2.7.1")
        idle_ms = opened.idle_time_out
        if idle_ms:
            if idle_ms < self._limits.min_peer_idle_ms:
                what = f"an idle-time-out of {idle_ms} ms, below {self._limits.min_peer_idle_ms} ms"
                raise connection_fault(what, condition=conditions.NOT_ALLOWED, spec="AMQP 1.0 §2.4.5")
            self._beat_s = idle_ms / 2_000
        self._outbox.max_frame = min(opened.max_frame_size, self._limits.max_frame)
        self._channels.highest = min(opened.channel_max, self._limits.channel_max)
        self._on_opened(opened, events)

    def _on_close(self, close: Close, events: list[AmqpEvent]) -> None:
        if self._state is ConnectionState.CLOSE_RCVD:
            self._sent(Wire.CLOSE)
            self._outbox.frame(0, Close())
        self._die()
        events.append(ConnectionClosed(close.error))

    def _on_begin(self, channel: int, begin: Begin, events: list[AmqpEvent]) -> None:
        if channel > self._limits.channel_max:
            what = f"channel {channel} above {self._limits.channel_max}"
            raise connection_fault(what, condition=conditions.FRAMING_ERROR, spec="AMQP 1.0 §2.7.1")
        if channel in self._sessions:
            what = f"a begin on channel {channel}, which has a session"
            raise connection_fault(what, condition=conditions.ILLEGAL_STATE, spec="AMQP 1.0 §2.5.1")
        session = self._session_of(channel, begin)
        session.peer_channel = channel
        self._sessions[channel] = session
        session.receive(begin, b"", events)

    def _on_frame(self, channel: int, performative: Performative, payload: bytes, events: list[AmqpEvent]) -> None:
        """A frame of a session."""
        session = self._sessions.get(channel)
        if session is None:
            if channel in self._ended and isinstance(performative, _LATE):
                return
            what = f"a frame on channel {channel}, which has no session"
            raise connection_fault(what, condition=conditions.ILLEGAL_STATE, spec="AMQP 1.0 §2.5.1")
        try:
            session.receive(performative, payload, events)
        except (LinkError, SessionError) as fault:
            session.fail(fault, events)
        if session.state is SessionState.UNMAPPED:
            del self._sessions[channel]
            self._ended.add(channel)
            self._channels.give_back(session.channel)

    # Helpers.

    def _new_session(self, *, takes_attaches: bool) -> Session | None:
        """A session on the lowest channel of ours that is free; None if the peer takes no more."""
        channel = self._channels.take()
        if channel is None:
            return None
        return Session(channel, self._limits, self._outbox, self._holdings, takes_attaches=takes_attaches)

    def _lives(self, session: Session) -> bool:
        """Whether a call on a session has an effect; late ones have none."""
        return self._state is _OPENED and (session.state is _MAPPED or session.state is SessionState.BEGIN_SENT)

    def _received(self, kind: Wire) -> None:
        after = CONNECTION_RECEIVED.get((self._state, kind))
        if after is None:
            what = f"{kind.value} on a connection that is at: {self._state.value}"
            raise connection_fault(what, condition=conditions.ILLEGAL_STATE, spec="AMQP 1.0 §2.4.6")
        self._state = after

    def _sent(self, kind: Wire) -> None:
        after = CONNECTION_SENT.get((self._state, kind))
        if after is None:
            raise UsageError(f"{kind.value} on a connection that is at: {self._state.value}")
        self._state = after

    def _send_open(self) -> None:
        self._sent(Wire.OPEN)
        self._outbox.frame(0, self._open_of_ours())

    def _open_with(self, hostname: str | None) -> Open:
        return Open(
            container_id=self._container_id,
            hostname=hostname,
            max_frame_size=self._limits.max_frame,
            channel_max=self._limits.channel_max,
            idle_time_out=int(self._limits.idle_timeout_s * 1_000),
        )

    # The end.

    def _wrong_header(self, header: bytes) -> ProtocolError:
        """Not a header that can come now: answer with the one that could, then close. Spec: AMQP 1.0 §2.2."""
        expected = SASL_HEADER if header[:5] == SASL_HEADER[:5] and self._sasl is None else AMQP_HEADER
        if self._state is ConnectionState.START:
            self._outbox.put(expected)
        self._die()
        return connection_fault(
            f"a connection that begins with {header!r}", condition=conditions.FRAMING_ERROR, spec="AMQP 1.0 §2.2"
        )

    def _fail(self, error: ProtocolError) -> ProtocolError:
        """The peer broke a rule: say so as far as the connection has come, and be dead."""
        self._failure = None
        condition = error.reply if isinstance(error.reply, Symbol) else conditions.FRAMING_ERROR
        if self._state is ConnectionState.START and self._awaits_header():
            self._outbox.put(AMQP_HEADER)  # AMQP 1.0 §2.2: what we speak, for whoever speaks something else
        elif self._state in (ConnectionState.HDR_EXCH, ConnectionState.OPEN_RCVD):
            self._outbox.frame(0, self._open_of_ours())  # AMQP 1.0 §2.4.3: no close without an open
            self._state = _OPENED
        if self._state in (_OPENED, ConnectionState.OPEN_SENT):
            self._outbox.frame(0, Close(Error(condition=condition, description=error.what)))
        self._die()
        return error

    def _die(self) -> None:
        self._state = ConnectionState.END
        self._failure = None
        self._early = False
        self._reader.drop()


def error_of(condition: str | None, description: str, info: Map | None = None) -> Error | None:
    """What an end, a detach or a close gives as its reason."""
    if condition is None:
        return None
    return Error(condition=Symbol(condition), description=description or None, info=info)
