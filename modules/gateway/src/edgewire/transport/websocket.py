"""The server's side of WebSocket (RFC 6455) until it is one: what a port serves, and who asks for an upgrade.

Without I/O: the connection feeds it and sends what it says. What comes then is `websocket_stream`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from edgewire.transport.limits import TransportLimits
from edgewire.transport.pump import Accept
from edgewire.transport.reports import HandshakeFailure

if TYPE_CHECKING:
    from edgewire.transport.websocket_stream import WebSocketStream

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
            return refused(
                HandshakeFailure.HEAD_TOO_LARGE,
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The head of the request is larger than {self._limits.max_http_head_bytes} bytes.",
            )
        if end < 0:
            return None
        return self._decide(bytes(self._head[:head_bytes]), bytes(self._head[head_bytes:]))

    def _decide(self, head: bytes, rest: bytes) -> Upgraded | Refused | PlainHttp:
        if REQUEST_LINE.match(head) is None:
            return refused(HandshakeFailure.NOT_HTTP, HTTPStatus.BAD_REQUEST, "This is not an HTTP/1.1 request.")
        if UPGRADE_FIELD.search(head):
            from edgewire.transport.websocket_stream import accept  # noqa: PLC0415 — wsproto, 0.8 MB: many sites have none

            return accept(head, rest, self._protocols, self._limits)
        if self._with_http:
            return PlainHttp(head + rest)
        names = ", ".join(self._protocols)
        return refused(
            HandshakeFailure.NOT_AN_UPGRADE,
            HTTPStatus.UPGRADE_REQUIRED,
            f"Only WebSocket is served here, sub-protocols: {names}.",
            "Upgrade: websocket",
            "Connection: Upgrade, close",
        )


def refused(reason: HandshakeFailure, status: HTTPStatus, text: str, *fields: str) -> Refused:
    """An answer that a person can read."""
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
