"""One accepted connection: handshakes, then its pump, then an orderly end. All layers and time limits meet here.

Phases go forward only. Whatever is raised below the event loop's calls ends here, with this connection.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, assert_never, cast

from edgewire.transport.cutting import Cutter, CutWire
from edgewire.transport.limits import TransportLimits
from edgewire.transport.pump import Accept, Peer, Pump
from edgewire.transport.reports import ConnectionCut, CutReason, HandshakeFailed, HandshakeFailure, Report
from edgewire.transport.timer import LazyTimer
from edgewire.transport.tls import Profile, Security
from edgewire.transport.tls_engine import HANDSHAKE_RECORD, HandshakeError, TlsEngine, TlsError
from edgewire.transport.websocket import (
    PlainHttp,
    Refused,
    Upgrade,
    Upgraded,
    WebSocketError,
    WebSocketService,
)

if TYPE_CHECKING:
    from edgewire.transport.websocket_stream import WebSocketStream  # loaded with the first WebSocket


class Phase(IntEnum):
    """How far a connection has come; all below OPEN are handshakes."""

    SILENT = 1
    """TLS is expected and nothing has come yet."""
    SECURING = 2
    UPGRADING = 3
    OPEN = 4
    PARTING = 5
    """Our WebSocket Close is sent, the peer's is awaited."""
    CLOSING = 6
    """All is sent, also the end of our side; the peer's end is awaited."""
    CLOSED = 7


_OPEN = Phase.OPEN
"""For the calls of each read and write: found by name alone, at a sixth of the cost."""


class Host(Protocol):
    """What a connection needs of its listener."""

    loop: asyncio.AbstractEventLoop
    limits: TransportLimits
    security: Security | None
    serve: Accept | WebSocketService
    cut: Cutter | None
    """How the session's output is taken apart before TLS; None to leave it as it is."""
    piece_bytes: int
    """The most input of one connection to handle in one turn of the loop."""

    def report(self, report: Report) -> None:
        """Tell the listener's caller."""
        ...

    def crashed(self, error: Exception, address: str) -> None:
        """Tell the listener's caller of a fault of ours."""
        ...

    def on_handshaken(self, connection: "Connection") -> None:
        """The connection is past its handshakes."""
        ...

    def on_gone(self, connection: "Connection") -> None:
        """The connection is closed; called once."""
        ...


class Connection(asyncio.Protocol):
    """The asyncio protocol of one connection; it is the `Wire` of its pump."""

    __slots__ = (
        "_held",
        "_host",
        "_owner_paused",
        "_phase",
        "_port",
        "_pump",
        "_sending_paused",
        "_stream",
        "_timer",
        "_tls",
        "_transport",
        "_upgrade",
        "accepted_at",
        "address",
    )

    def __init__(self, host: Host, address: str, port: int) -> None:
        self._host = host
        self._port = port
        self._timer = LazyTimer(host.loop, self._on_time)
        self._transport: asyncio.Transport | None = None
        self._tls: TlsEngine | None = None
        self._upgrade: Upgrade | None = None
        self._stream: WebSocketStream | None = None
        self._pump: Pump[Any] | None = None
        self._held = b""
        self._owner_paused = False
        self._sending_paused = False
        self._phase = Phase.SILENT
        self.accepted_at = host.loop.time()
        self.address = address

    # What the event loop calls. Nothing is raised from here.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast("asyncio.Transport", transport)
        if self._phase is Phase.CLOSED:  # the listener closed while the socket was being attached
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=self._host.limits.sending_high_water)
        self._timer.set(self.accepted_at + self._host.limits.handshake_timeout_s)
        self._guarded(self._begin)

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer, in pieces of bounded size: what is over waits, and so does the socket."""
        if self._held or self._owner_paused or len(data) > self._host.piece_bytes:
            self._hold(data)
            return
        try:
            if self._phase is _OPEN and self._tls is None and self._stream is None and self._pump is not None:
                self._pump.receive(data)  # no layer in between: four calls less per read
            else:
                self._receive(data)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost this connection only
            self.crash(error)

    def eof_received(self) -> bool:
        """The peer has closed its side; what we have buffered still goes out, within the time for closing."""
        self._guarded(self._peer_left)
        return True

    def pause_writing(self) -> None:
        """The peer reads slower than we send."""
        self._sending_paused = True
        if self._pump is not None:
            self._pump.sending_paused()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._sending_paused = False
        if self._pump is not None:
            self._pump.sending_resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        handshaking = self._phase < Phase.OPEN
        self._phase = Phase.CLOSED
        self._timer.stop()
        self._held = b""
        pump, self._pump = self._pump, None
        self._transport = None
        self._tls = self._stream = self._upgrade = None
        self._host.on_gone(self)
        if pump is not None:
            pump.lost()
        if handshaking:
            self._report_failure(HandshakeFailure.LOST, str(exc or "closed by the peer"))

    # The wire, as the pump sees it.

    @property
    def buffered(self) -> int:
        """Bytes not yet taken by the socket."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send, in the layers the connection has."""
        if self._phase is not _OPEN:
            return
        if self._tls is None and self._stream is None and self._transport is not None:
            self._transport.write(data)  # no layer in between: two calls less per write
            if self._sending_paused:
                self._check_buffered()
            return
        if self._stream is not None:
            if self._stream.ended:
                return  # RFC 6455 §5.5.1: no data behind a Close, which may come in one piece with what is answered
            data = self._stream.frame(data)
        self._send(data)

    def close(self) -> None:
        """Send what is buffered, say goodbye in each layer, close."""
        self._guarded(self._close)

    def _close(self) -> None:
        if self._phase is Phase.OPEN and self._stream is not None and not self._stream.ended:
            self._stream.close()
            self._send(self._stream.take_output())
            self._leave(Phase.PARTING)
        elif self._phase < Phase.PARTING:
            self._finish()

    def abort(self) -> None:
        """Close at once."""
        self._phase = Phase.CLOSED
        self._held = b""
        self._timer.stop()
        if self._transport is not None:
            self._transport.abort()

    def crash(self, error: Exception) -> None:
        """Report a fault of ours and close at once."""
        self._host.crashed(error, self.address)
        self.abort()

    def pause_reading(self) -> None:
        """Take no more from the peer: not from the socket, and not out of TLS."""
        self._owner_paused = True
        self._steer_reading()

    def resume_reading(self) -> None:
        """Take from the peer again, first what is held."""
        if not self._owner_paused:
            return
        self._owner_paused = False
        if self._held:
            self._host.loop.call_soon(self._go_on)
        self._steer_reading()

    def wake_at(self, when: float) -> None:
        """Call `Pump.wake` at this time."""
        if self._phase is _OPEN:
            self._timer.set(when)

    # What the listener calls.

    def stop(self) -> None:
        """The listener closes: let the owner say goodbye, and close."""
        if self._pump is not None:
            self._pump.stop()
        elif self._phase < Phase.OPEN:
            self.abort()

    # Inwards.

    def _begin(self) -> None:
        if self._host.security is None:
            self._after_tls()
        else:
            self._tls = self._host.security.engine()

    def _receive(self, data: bytes) -> None:
        if self._phase < Phase.UPGRADING:
            self._secure(data)
        elif self._phase < Phase.CLOSING:
            self._receive_secured(data)

    def _secure(self, data: bytes) -> None:
        tls = self._tls
        assert tls is not None
        if self._phase is Phase.SILENT and data[0] != HANDSHAKE_RECORD:
            self._drop_handshake(HandshakeFailure.NOT_TLS, f"first byte 0x{data[0]:02x}")
            return
        self._phase = Phase.SECURING
        try:
            done = tls.handshake(data)
        except HandshakeError as error:
            self._send_raw(tls.take_output())
            self._fail_handshake(error.reason, str(error))
            return
        self._send_raw(tls.take_output())
        if done:
            self._after_tls()
            self._receive_secured(b"")

    def _receive_secured(self, data: bytes) -> None:
        tls = self._tls
        if tls is None:
            self._receive_clear(data)
            return
        try:
            clear = tls.decrypt(data)
        except TlsError as error:
            self._send_raw(tls.take_output())
            self._cut(CutReason.TLS_BROKEN, str(error))
            return
        if tls.may_have_output:
            self._send_raw(tls.take_output())
        if clear:
            self._receive_clear(clear)
        if tls.ended:
            self._peer_left()

    def _receive_clear(self, data: bytes) -> None:
        if self._phase is Phase.UPGRADING:
            self._receive_upgrade(data)
        elif self._stream is not None:
            self._receive_frames(self._stream, data)
        elif self._phase is Phase.OPEN and self._pump is not None:
            self._pump.receive(data)

    def _receive_upgrade(self, data: bytes) -> None:
        service = self._host.serve
        assert self._upgrade is not None
        assert isinstance(service, WebSocketService)
        match self._upgrade.receive(data):
            case None:
                pass
            case Refused(response=b"") as refused:
                self._drop_handshake(refused.reason, refused.detail)
            case Refused() as refused:
                self._send(refused.response)
                self._fail_handshake(refused.reason, refused.detail)
            case PlainHttp() as request:
                assert service.http is not None
                self._open(service.http)
                self._receive_clear(request.data)
            case Upgraded() as upgraded:
                self._send(upgraded.response)
                self._stream = upgraded.stream
                self._open(service.protocols[upgraded.protocol])
                if upgraded.rest:
                    self._receive_clear(upgraded.rest)
            case never:
                assert_never(never)

    def _receive_frames(self, stream: "WebSocketStream", data: bytes) -> None:
        try:
            payload = stream.receive(data)
        except WebSocketError as error:
            self._send(stream.take_output())
            self._cut(CutReason.WEBSOCKET_BROKEN, str(error))
            return
        self._send(stream.take_output())
        if payload and self._phase is Phase.OPEN and self._pump is not None:
            self._pump.receive(payload)
        if stream.ended:
            self._peer_left()

    def _after_tls(self) -> None:
        if isinstance(self._host.serve, WebSocketService):
            self._phase = Phase.UPGRADING
            self._upgrade = Upgrade(self._host.serve, self._host.limits)
        else:
            self._open(self._host.serve)

    def _open(self, accept: Accept) -> None:
        """All handshakes are done: from here on the connection belongs to its owner."""
        peer = Peer(
            address=self.address,
            port=self._port,
            certificates=() if self._tls is None else self._tls.certificates,
            tls="" if self._tls is None else self._tls.version,
            websocket=self._stream is not None,
            constrained=_is_constrained(self._host.security),
        )
        session, owner = accept(peer)
        cut = self._host.cut
        wire = self if cut is None else CutWire(self, cut)
        self._pump = Pump(wire, session, owner, peer=peer, clock=self._host.loop.time)
        self._phase = Phase.OPEN
        self._upgrade = None
        self._timer.set(None)
        self._host.on_handshaken(self)
        self._pump.begin()

    # Outwards.

    def _send(self, clear: bytes) -> None:
        """Send in TLS, if there is any."""
        if not clear:
            return
        if self._tls is None:
            self._send_raw(clear)
            return
        try:
            self._send_raw(self._tls.encrypt(clear))
        except TlsError as error:
            self._cut(CutReason.TLS_BROKEN, str(error))

    def _send_raw(self, data: bytes) -> None:
        if not data or self._transport is None or self._phase is Phase.CLOSED:
            return
        self._transport.write(data)
        if self._sending_paused:
            self._check_buffered()

    def _check_buffered(self) -> None:
        if self.buffered > self._host.limits.max_buffered:
            detail = f"{self.buffered} bytes wait for the peer to read"
            self._host.report(ConnectionCut(self.address, CutReason.NOT_READING, detail))
            self.abort()

    # The end.

    def _finish(self) -> None:
        """Say close_notify, end our side, and wait for the peer's end.

        Closing with input unread sends a reset, which may overtake what the peer has still to read (RFC 1122
        §4.2.2.13).
        """
        if self._tls is not None and self._phase >= Phase.UPGRADING:
            self._tls.shutdown()
            self._send_raw(self._tls.take_output())
        transport = self._transport
        if self._phase is Phase.CLOSED or transport is None or transport.is_closing():
            return
        self._leave(Phase.CLOSING)
        try:
            transport.write_eof()
        except OSError:
            # The peer has reset the connection, which the loop has yet to tell us: nothing is left to end.
            self.abort()

    def _leave(self, phase: Phase) -> None:
        """Give the end its time, and read on to see the peer's end."""
        if self._phase is not Phase.PARTING:
            self._timer.set(self._host.loop.time() + self._host.limits.close_timeout_s)
        self._phase = phase
        if phase is Phase.CLOSING:
            self._held = b""
        self.resume_reading()
        self._steer_reading()

    def _peer_left(self) -> None:
        """The peer has ended its side, in whatever layer."""
        if self._phase < Phase.OPEN:
            self._drop_handshake(HandshakeFailure.LOST, "closed by the peer")
            return
        if self._phase < Phase.CLOSING:
            self._finish()
        if self._transport is not None and self._phase is not Phase.CLOSED:
            self._transport.close()

    def _fail_handshake(self, reason: HandshakeFailure, detail: str) -> None:
        """The peer has been told why; close so that it can read that."""
        self._report_failure(reason, detail)
        self._finish()

    def _drop_handshake(self, reason: HandshakeFailure, detail: str) -> None:
        """The peer would not understand us; close at once."""
        self._report_failure(reason, detail)
        self.abort()

    def _report_failure(self, reason: HandshakeFailure, detail: str) -> None:
        self._host.report(HandshakeFailed(self.address, reason, detail))

    def _cut(self, reason: CutReason, detail: str) -> None:
        if self._phase < Phase.OPEN:
            self._report_failure(HandshakeFailure.TLS_MALFORMED, detail)
        else:
            self._host.report(ConnectionCut(self.address, reason, detail))
        self._finish()

    def _on_time(self, now: float) -> None:
        if self._phase < Phase.OPEN:
            self._drop_handshake(HandshakeFailure.TIMEOUT, f"not done after {now - self.accepted_at:.0f} s")
        elif self._phase is Phase.OPEN and self._pump is not None:
            self._pump.wake(now)
        else:
            self.abort()

    # Reading in pieces.

    def _hold(self, data: bytes) -> None:
        """Keep input for later turns of the loop; the socket waits meanwhile."""
        if not self._held and not self._owner_paused:
            self._host.loop.call_soon(self._go_on)
        self._held += data
        self._steer_reading()

    def _go_on(self) -> None:
        """Take the next piece of what is held."""
        if not self._held or self._owner_paused or self._phase is Phase.CLOSED:
            return
        size = self._host.piece_bytes
        piece, self._held = self._held[:size], self._held[size:]
        if self._held:
            self._host.loop.call_soon(self._go_on)
        self._steer_reading()
        self._guarded(lambda: self._receive(piece))

    def _steer_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._held or self._owner_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost this connection only
            self.crash(error)


def _is_constrained(security: Security | None) -> bool:
    return security is not None and security.profile is Profile.CONSTRAINED
