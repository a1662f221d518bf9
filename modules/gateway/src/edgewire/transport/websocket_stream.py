"""A WebSocket (RFC 6455) as a stream of bytes, from the upgrade on: frames whose borders mean nothing.

Without I/O: the connection feeds it and sends what it says. Frames are read and written by wsproto.
"""

from collections.abc import Collection
from http import HTTPStatus

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from edgewire.transport.limits import TransportLimits
from edgewire.transport.reports import HandshakeFailure
from edgewire.transport.websocket import Refused, Upgraded, WebSocketError, refused


def accept(head: bytes, rest: bytes, protocols: Collection[str], limits: TransportLimits) -> Upgraded | Refused:
    """Answer a request that asks for WebSocket; `rest` came behind it."""
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        handshake.receive_data(head)
        request = next(handshake.events())
    except RemoteProtocolError as error:
        return _bad_upgrade(error)
    except (UnicodeError, StopIteration) as error:  # wsproto decodes header values without a guard
        return refused(HandshakeFailure.BAD_UPGRADE, HTTPStatus.BAD_REQUEST, f"Bad header field: {error}.")
    assert isinstance(request, Request)
    offered = _first_known(request.subprotocols, protocols)
    if offered is None:
        return refused(
            HandshakeFailure.NO_SUBPROTOCOL,
            HTTPStatus.BAD_REQUEST,
            f"Sec-WebSocket-Protocol names none of: {', '.join(protocols)}.",
        )
    client_name, protocol = offered
    # No extension is accepted: permessage-deflate would let 10 kB open to 10 GB.
    response = handshake.send(AcceptConnection(subprotocol=client_name))
    connection = handshake.connection
    assert connection is not None
    return Upgraded(protocol, WebSocketStream(connection, limits), response, rest)


def _first_known(offered: Collection[str], known: Collection[str]) -> tuple[str, str] | None:
    """The first offered sub-protocol that is served: as the client wrote it, and as the service does."""
    by_folded = {name.lower(): name for name in known}
    return next(((name, by_folded[name.lower()]) for name in offered if name.lower() in by_folded), None)


def _bad_upgrade(error: RemoteProtocolError) -> Refused:
    hint = error.event_hint
    status = HTTPStatus(hint.status_code) if isinstance(hint, RejectConnection) else HTTPStatus.BAD_REQUEST
    fields = ("Sec-WebSocket-Version: 13",) if status is HTTPStatus.UPGRADE_REQUIRED else ()
    return refused(HandshakeFailure.BAD_UPGRADE, status, f"Bad WebSocket request: {error}.", *fields)


class WebSocketStream:
    """An established WebSocket as a stream of bytes. Pings and Close are answered into `take_output`."""

    __slots__ = ("_connection", "_idle_frames", "_limits", "_message_bytes", "_output", "ended")

    def __init__(self, connection: Connection, limits: TransportLimits) -> None:
        self._connection = connection
        self._limits = limits
        self._message_bytes = 0
        self._idle_frames = 0
        self._output: list[bytes] = []
        self.ended = False
        """The peer has said Close, and so have we."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the peer; gives the payload in them, whatever the frames. Raises WebSocketError."""
        if self.ended:
            return b""
        payload: list[bytes] = []
        self._idle_frames = 0
        self._connection.receive_data(data)
        for event in self._connection.events():
            piece = self._take(event)
            if piece:
                payload.append(piece)
        return b"".join(payload)

    def frame(self, data: bytes) -> bytes:
        """One binary message."""
        return self._connection.send(BytesMessage(data=data))

    def close(self) -> None:
        """Say Close; the peer's answer sets `ended`."""
        self._say_close(CloseReason.NORMAL_CLOSURE)

    def take_output(self) -> bytes:
        """Control frames to send; given once."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def _take(self, event: Event) -> bytes:
        match event:
            case BytesMessage():
                return self._take_binary(event)
            case TextMessage():
                self._give_up(CloseReason.UNSUPPORTED_DATA, "text message; only binary ones are served")
            case Ping():
                self._count_idle_frame()
                if self._connection.state is ConnectionState.OPEN:
                    self._output.append(self._connection.send(event.response()))
            case CloseConnection():
                self._take_close(event)
            case _:
                self._count_idle_frame()
        return b""

    def _take_close(self, event: CloseConnection) -> None:
        state = self._connection.state
        if state in {ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING}:
            # wsproto tells a broken rule as a Close that the peer never sent; its state shows the difference.
            self._give_up(event.code, event.reason or "broken frame")
        if state is ConnectionState.REMOTE_CLOSING:
            self._output.append(self._connection.send(event.response()))
        self.ended = True

    def _take_binary(self, event: BytesMessage) -> bytes:
        self._message_bytes += len(event.data)
        if self._message_bytes > self._limits.max_websocket_message_bytes:
            limit = self._limits.max_websocket_message_bytes
            self._give_up(CloseReason.MESSAGE_TOO_BIG, f"message larger than {limit} bytes")
        if event.message_finished:
            self._message_bytes = 0
        if event.data:
            self._idle_frames = 0
        else:
            self._count_idle_frame()
        return bytes(event.data)

    def _count_idle_frame(self) -> None:
        self._idle_frames += 1
        if self._idle_frames > self._limits.max_idle_frames:
            self._give_up(CloseReason.POLICY_VIOLATION, f"more than {self._limits.max_idle_frames} frames without data")

    def _give_up(self, code: int, detail: str) -> None:
        self._say_close(code)
        self.ended = True
        raise WebSocketError(detail)

    def _say_close(self, code: int) -> None:
        if self._connection.state is ConnectionState.OPEN:
            self._output.append(self._connection.send(CloseConnection(code=code)))
