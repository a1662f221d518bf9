"""The server's side of WebSocket (RFC 6455) for byte streams: HTTP upgrade, then frames whose borders mean nothing.

Without I/O: the connection feeds it and sends what it says. Frames are read and written by wsproto.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

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
from edgewire.transport.pump import Accept
from edgewire.transport.reports import HandshakeFailure

REQUEST_LINE: Final = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.[01]\r\n")
UPGRADE_FIELD: Final = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
HEAD_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class WebSocketService:
    """What a WebSocket port serves, on any path."""

    protocols: Mapping[str, Accept]
    """Sub-protocol → who serves it. Names are compared in any letter case and echoed as the client wrote them."""
    http: Accept | None = None
    """Gets the raw bytes, from the first on, of a connection whose first request is not a WebSocket upgrade."""


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The client is now a WebSocket."""

    protocol: str
    """The sub-protocol by the name the service has for it."""
    stream: "WebSocketStream"
    response: bytes
    rest: bytes
    """Frames that came with the request."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was answered with an error; close after sending it."""

    reason: HandshakeFailure
    detail: str
    response: bytes


@dataclass(frozen=True, slots=True)
class PlainHttp:
    """The request is HTTP but no upgrade; all bytes so far, for the HTTP service of the port."""

    data: bytes


class Upgrade:
    """Reads the HTTP request that asks for WebSocket."""

    __slots__ = ("_head", "_limits", "_protocols", "_with_http")

    def __init__(self, service: WebSocketService, limits: TransportLimits) -> None:
        self._protocols = tuple(service.protocols)
        self._with_http = service.http is not None
        self._limits = limits
        self._head = bytearray()

    def receive(self, data: bytes) -> Upgraded | Refused | PlainHttp | None:
        """Take bytes of the client; None until the head of the request is complete."""
        self._head += data
        if not 0x41 <= self._head[0] <= 0x5A:  # a method is capital letters: RFC 9110 §9.1, and all we serve
            return Refused(HandshakeFailure.NOT_HTTP, f"first byte 0x{self._head[0]:02x}", b"")
        end = self._head.find(HEAD_END)
        head_bytes = len(self._head) if end < 0 else end + len(HEAD_END)
        if head_bytes > self._limits.max_http_head_bytes:
            return _refused(
                HandshakeFailure.HEAD_TOO_LARGE,
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The head of the request is larger than {self._limits.max_http_head_bytes} bytes.",
            )
        if end < 0:
            return None
        return self._decide(bytes(self._head[:head_bytes]), bytes(self._head[head_bytes:]))

    def _decide(self, head: bytes, rest: bytes) -> Upgraded | Refused | PlainHttp:
        if REQUEST_LINE.match(head) is None:
            return _refused(HandshakeFailure.NOT_HTTP, HTTPStatus.BAD_REQUEST, "This is not an HTTP/1.1 request.")
        if UPGRADE_FIELD.search(head):
            return self._upgrade(head, rest)
        if self._with_http:
            return PlainHttp(head + rest)
        names = ", ".join(self._protocols)
        return _refused(
            HandshakeFailure.NOT_AN_UPGRADE,
            HTTPStatus.UPGRADE_REQUIRED,
            f"Only WebSocket is served here, sub-protocols: {names}.",
            "Upgrade: websocket",
            "Connection: Upgrade, close",
        )

    def _upgrade(self, head: bytes, rest: bytes) -> Upgraded | Refused:
        handshake = H11Handshake(ConnectionType.SERVER)
        try:
            handshake.receive_data(head)
            request = next(handshake.events())
        except RemoteProtocolError as error:
            return _bad_upgrade(error)
        except (UnicodeError, StopIteration) as error:  # wsproto decodes header values without a guard
            return _refused(HandshakeFailure.BAD_UPGRADE, HTTPStatus.BAD_REQUEST, f"Bad header field: {error}.")
        assert isinstance(request, Request)
        offered = _first_known(request.subprotocols, self._protocols)
        if offered is None:
            return _refused(
                HandshakeFailure.NO_SUBPROTOCOL,
                HTTPStatus.BAD_REQUEST,
                f"Sec-WebSocket-Protocol names none of: {', '.join(self._protocols)}.",
            )
        client_name, protocol = offered
        # No extension is accepted: permessage-deflate would let 10 kB open to 10 GB.
        response = handshake.send(AcceptConnection(subprotocol=client_name))
        connection = handshake.connection
        assert connection is not None
        return Upgraded(protocol, WebSocketStream(connection, self._limits), response, rest)


def _first_known(offered: Collection[str], known: Collection[str]) -> tuple[str, str] | None:
    """The first offered sub-protocol that is served: as the client wrote it, and as the service does."""
    by_folded = {name.lower(): name for name in known}
    return next(((name, by_folded[name.lower()]) for name in offered if name.lower() in by_folded), None)


def _bad_upgrade(error: RemoteProtocolError) -> Refused:
    hint = error.event_hint
    status = HTTPStatus(hint.status_code) if isinstance(hint, RejectConnection) else HTTPStatus.BAD_REQUEST
    fields = ("Sec-WebSocket-Version: 13",) if status is HTTPStatus.UPGRADE_REQUIRED else ()
    return _refused(HandshakeFailure.BAD_UPGRADE, status, f"Bad WebSocket request: {error}.", *fields)


def _refused(reason: HandshakeFailure, status: HTTPStatus, text: str, *fields: str) -> Refused:
    body = f"{text}\n".encode("ascii", "backslashreplace")
    if not any(field.startswith("Connection:") for field in fields):
        fields += ("Connection: close",)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        *fields,
    )
    return Refused(reason, text, "\r\n".join(head).encode("ascii") + HEAD_END + body)


class WebSocketError(Exception):
    """The peer broke RFC 6455 or our limits; a Close frame with the code is in the output."""


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
