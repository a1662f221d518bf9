"""One call over a connection of its own, by who dials: a request, and the whole of its answer."""

from dataclasses import dataclass, field
from typing import Final, NoReturn

import h11

from edgewire.errors import ProtocolError, UsageError

_ENDS: Final = (h11.EndOfMessage, h11.ConnectionClosed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """What is asked. `target` is the path with its query, escaped; Host and Content-Length are added."""

    method: str
    target: str
    host: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered:
    """The whole of the answer; the connection has done its work. Names of headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The first value of a header, None if it did not come."""
        return next((value for each, value in self.headers if each == name), None)


class HttpCall:
    """The client's side of one call. Implements `transport.pump.Session`; the caller keeps the deadline.

    Raises UsageError for a request that cannot be written.
    """

    __slots__ = ("_answer", "_body", "_h11", "_max_body_bytes", "_output", "_over")

    def __init__(self, request: CallRequest, *, max_body_bytes: int, max_head_bytes: int) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=max_head_bytes)
        self._max_body_bytes = max_body_bytes
        self._answer: h11.Response | None = None
        self._body = bytearray()
        self._over = False
        """There was an answer, or something that is none: what comes behind it is nobody's."""
        self._output = self._written(request)

    def receive(self, data: bytes, now: float) -> list[CallAnswered]:  # noqa: ARG002 - the interface's; it has no clock
        """Take bytes of the server; gives the answer once it is whole. Raises ProtocolError for what is none."""
        return self._take(data) if data else []

    def receive_end(self) -> list[CallAnswered]:
        """The server sends no more; some say by that where an answer ends. As `receive`."""
        return self._take(b"")

    def take_output(self) -> bytes:
        """The request; given once."""
        output, self._output = self._output, b""
        return output

    def deadline(self) -> float | None:
        """There is none of its own."""
        return None

    def on_deadline(self, now: float) -> list[CallAnswered]:  # noqa: ARG002 - see deadline
        """See `deadline`."""
        return []

    def _written(self, request: CallRequest) -> bytes:
        headers = [("Host", request.host), *request.headers, ("Connection", "close")]
        if request.body:
            headers.append(("Content-Length", str(len(request.body))))
        try:
            parts = [self._h11.send(h11.Request(method=request.method, target=request.target, headers=headers))]
            if request.body:
                parts.append(self._h11.send(h11.Data(data=request.body)))
            parts.append(self._h11.send(h11.EndOfMessage()))
        except h11.LocalProtocolError as error:
            raise UsageError(f"the request cannot be written: {error}") from error
        return b"".join(filter(None, parts))

    def _take(self, data: bytes) -> list[CallAnswered]:
        if self._over:
            return []
        try:
            self._h11.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            self._fail(f"what it sent is no HTTP answer ({error})")

    def _read(self) -> list[CallAnswered]:
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return []
            if isinstance(event, h11.Response):
                self._answer = event
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._max_body_bytes:
                    self._fail(f"its answer is larger than {self._max_body_bytes} bytes")
            elif isinstance(event, _ENDS):
                return [self._whole()]

    def _whole(self) -> CallAnswered:
        if self._answer is None:
            self._fail("it ended without an answer")
        self._over = True
        headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in self._answer.headers)
        return CallAnswered(status=self._answer.status_code, headers=headers, body=bytes(self._body))

    def _fail(self, what: str) -> NoReturn:
        self._over = True
        raise ProtocolError(what, spec="RFC 9112")
