"""The server's end of one HTTP/1.1 connection (RFC 9110, RFC 9112), without I/O."""

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Final, NoReturn

import h11

from edgewire.errors import ProtocolError
from edgewire.session.http.events import Headers, HeadReceived, HttpEvent, RequestReceived, TimedOut
from edgewire.session.http.limits import HttpLimits

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are handed on; any other is answered 501 (RFC 9110 §9.1)."""
JSON: Final = "application/json; charset=utf-8"

_HEAD_END: Final = b"\r\n\r\n"
_BARE_END: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
"""RFC 9112 §2.2 lets a reader take a bare LF as the end of a line; two readers that differ on it can be played
against each other."""
_FOLDED: Final = re.compile(rb"\r\n[ \t]")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([!-~]+) HTTP/1\.[01]")
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "host", "expect", "content-encoding"})
"""Fields that may come once only, whatever their values."""
_NO_BODY: Final = frozenset({204, 304})
_LONGEST_LINE_END: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer. Content-Length is added; 204 and 304 have no body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    content_type: str | None = None


class Phase(Enum):
    """What a session does."""

    HEAD = "reading a head"
    DECIDING = "the owner looks at a head"
    BODY = "reading a body"
    ANSWERING = "the owner works on an answer"
    ENDED = "ended"


def error_response(status: int, message: str, *headers: tuple[str, str]) -> Response:
    """An answer whose body is {"Message": …}."""
    body = json.dumps({"Message": message}).encode("ascii")
    return Response(status=status, headers=headers, body=body, content_type=JSON)


class HttpSession:
    """One connection: first the head of a request, then the whole, then its answer."""

    __slots__ = (
        "_begun",
        "_body",
        "_deadline",
        "_early",
        "_fed",
        "_h11",
        "_head",
        "_last",
        "_limits",
        "_output",
        "_phase",
        "_served",
    )

    def __init__(self, limits: HttpLimits, now: float) -> None:
        self._limits = limits
        self._phase = Phase.HEAD
        self._early = bytearray()
        """Bytes of the peer that nothing has taken yet."""
        self._h11: h11.Connection | None = None
        """Reads the request at hand, and writes its answer; there is a new one for each."""
        self._head: HeadReceived | None = None
        self._begun = False
        """A byte of the next request has come."""
        self._body = bytearray()
        self._fed = 0
        self._last = b""
        self._output: list[bytes] = []
        self._served = 0
        self._deadline: float | None = now + limits.idle_s

    @property
    def ended(self) -> bool:
        """No further request is read: close once the output is sent."""
        return self._phase is Phase.ENDED

    @property
    def holds_more(self) -> bool:
        """Something has come that is not read yet: call `receive`, after an answer."""
        return bool(self._early)

    def receive(self, data: bytes, now: float) -> list[HttpEvent]:
        """Take bytes of the peer; or none, after `take_body` or an answer, to read what had come before it.

        Raises ProtocolError, with the status in `reply`, once the refusal is in the output.
        """
        if self._phase is Phase.ENDED:
            return []
        self._early += data
        match self._phase:
            case Phase.HEAD:
                head = self._read_head(now)
                return [] if head is None else [head]
            case Phase.BODY:
                self._feed()
                request = self._read_body()
                return [] if request is None else [request]
            case _:
                if len(self._early) > self._limits.max_early_bytes:
                    self._die()
                    raise ProtocolError(f"more than {self._limits.max_early_bytes} bytes sent ahead of an answer")
                return []

    def take_output(self) -> bytes:
        """What is to be sent now; given once."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def deadline(self) -> float | None:
        """When the peer has been silent or slow for too long; None while it waits for us."""
        return None if self._phase in {Phase.DECIDING, Phase.ANSWERING} else self._deadline

    def on_deadline(self, now: float) -> list[HttpEvent]:
        """The deadline has passed."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        partial = self._begun
        if partial:
            self._refuse(408, f"the request was not whole after {self._limits.request_s:g} s")
        self._die()
        return [TimedOut(partial)]

    def take_body(self) -> None:
        """Let the request whose head was reported come whole; `receive` reads on. Nothing happens if all is over."""
        if self._phase is Phase.DECIDING:
            self._phase = Phase.BODY

    def answer(self, response: Response, now: float) -> None:
        """Answer the request that was reported; `receive` reads on. Nothing happens if all is over.

        An answer to a head alone is the last one: nobody knows where the next request would begin.
        """
        if self._phase is Phase.DECIDING:
            self._send(response, last=True)
        elif self._phase is Phase.ANSWERING:
            self._served += 1
            self._deadline = now + self._limits.idle_s
            self._send(response, last=self._served >= self._limits.max_requests)

    def close_after_answer(self) -> None:
        """Let the answer to come be the last."""
        self._served = self._limits.max_requests

    # Reading.

    def _read_head(self, now: float) -> HeadReceived | None:
        """The head of the next request, None if it is not whole yet."""
        early = self._early
        while early[:2] == b"\r\n":  # RFC 9112 §2.2: an empty line before a request is passed over
            del early[:2]
        if not early:
            return None
        if not self._begun:
            self._begun = True
            self._deadline = now + self._limits.request_s
        end = early.find(_HEAD_END)
        size = len(early) if end < 0 else end + len(_HEAD_END)
        self._check_line(bytes(early[: min(size, self._limits.max_head_bytes)]))
        if size > self._limits.max_head_bytes:
            self._fail(431, f"the head of the request is larger than {self._limits.max_head_bytes} bytes")
        if end < 0:
            return None
        head = bytes(early[:size])
        del early[:size]
        self._head = self._take_head(head)
        self._phase = Phase.DECIDING
        return self._head

    def _check_line(self, head: bytes) -> None:
        """Refuse what is no request as early as it can be told."""
        line, found, _ = head.partition(b"\r\n")
        if _BARE_END.search(head):
            self._fail(400, "a line of the head does not end with CR LF", "RFC 9112 §2.2")
        if len(line) > self._limits.max_target_chars + 64:
            self._fail(414, f"the target of the request is longer than {self._limits.max_target_chars}")
        if found and _REQUEST_LINE.fullmatch(line) is None:
            self._fail(400, "this is not an HTTP/1.1 request", "RFC 9112 §3")

    def _take_head(self, head: bytes) -> HeadReceived:
        if _FOLDED.search(head):
            self._fail(400, "a header is folded over several lines", "RFC 9112 §5.2")
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.max_framing_bytes)
        self._body.clear()
        self._fed = 0
        self._last = b""
        try:
            self._h11.receive_data(head)
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            self._fail(error.error_status_hint, f"{error}")
        assert isinstance(event, h11.Request)
        return self._judge(event, _read_fields(head))

    def _judge(self, event: h11.Request, fields: tuple[tuple[str, str], ...]) -> HeadReceived:
        method, target = event.method.decode("ascii"), event.target.decode("ascii")
        self._check_fields(fields, event.http_version)
        if method not in METHODS:
            self._fail(501, f"the method {method} is not served", "RFC 9110 §9.1")
        if len(target) > self._limits.max_target_chars:
            self._fail(414, f"the target of the request is longer than {self._limits.max_target_chars}")
        if not target.startswith("/") or "#" in target:
            self._fail(400, "the target of the request is no path", "RFC 9112 §3.2.1")
        path, _, query = target.partition("?")
        return HeadReceived(method=method, path=path, query=query, headers=Headers(fields))

    def _check_fields(self, fields: tuple[tuple[str, str], ...], version: bytes) -> None:
        if len(fields) > self._limits.max_fields:
            self._fail(431, f"the request has more than {self._limits.max_fields} headers")
        said: dict[str, str] = {}
        for name, value in fields:
            folded = name.lower()
            if folded in _FRAMING:
                if folded in said:
                    self._fail(400, f"the header '{name}' came twice", "RFC 9112 §6.3")
                said[folded] = value.strip().lower()
        if "transfer-encoding" in said and ("content-length" in said or version != b"1.1"):
            self._fail(400, "Transfer-Encoding with Content-Length, or before HTTP/1.1", "RFC 9112 §6.1")
        self._check_said(said)

    def _check_said(self, said: dict[str, str]) -> None:
        length = said.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            self._fail(400, "Content-Length is no number", "RFC 9110 §8.6")
        if len(length) > 16 or int(length) > self._limits.max_body_bytes:
            self._fail(413, f"the body is larger than {self._limits.max_body_bytes} bytes")
        if said.get("content-encoding", "identity") != "identity":
            self._fail(415, "no Content-Encoding is taken: a small body could open to a large one")
        if said.get("expect", "100-continue") != "100-continue":
            self._fail(417, "the expectation is none that can be met", "RFC 9110 §10.1.1")

    def _feed(self) -> None:
        """Hand all that has come to the reader of the request at hand."""
        data = bytes(self._early)
        self._early.clear()
        if not data or self._h11 is None:
            return
        self._fed += len(data)
        self._last = self._last[-_LONGEST_LINE_END:] + data
        self._h11.receive_data(data)

    def _read_body(self) -> RequestReceived | None:
        """What has come of the body; the request once it is whole."""
        reader = self._h11
        assert reader is not None
        while True:
            try:
                event = reader.next_event()
            except h11.RemoteProtocolError as error:
                self._fail(error.error_status_hint, f"the body of the request: {error}")
            if isinstance(event, h11.EndOfMessage):
                return self._finish(reader, event)
            if not isinstance(event, h11.Data):
                self._check_size()
                self._say_continue(reader)
                return None
            self._body += event.data
            self._check_size()

    def _check_size(self) -> None:
        if len(self._body) > self._limits.max_body_bytes:
            self._fail(413, f"the body is larger than {self._limits.max_body_bytes} bytes")
        if self._fed > self._limits.max_body_bytes + self._limits.max_framing_bytes:
            self._fail(413, "the chunks of the body cost more than the body")

    def _say_continue(self, reader: h11.Connection) -> None:
        if reader.they_are_waiting_for_100_continue:
            self._write(reader.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")))

    def _finish(self, reader: h11.Connection, end: h11.EndOfMessage) -> RequestReceived:
        """The request is whole: what came behind it waits."""
        behind = reader.trailing_data[0]
        taken = self._last[: len(self._last) - len(behind)]
        head = self._head
        assert head is not None
        if head.headers.get("transfer-encoding") is not None and (list(end.headers) or not taken.endswith(_HEAD_END)):
            self._fail(400, "the last chunk is followed by more than CR LF", "RFC 9112 §7.1")
        self._early += behind
        self._phase = Phase.ANSWERING
        body, self._body = bytes(self._body), bytearray()
        self._last = b""
        return RequestReceived(method=head.method, path=head.path, query=head.query, headers=head.headers, body=body)

    # Writing.

    def _send(self, response: Response, *, last: bool) -> None:
        reader = self._h11
        assert reader is not None
        has_body = response.status not in _NO_BODY
        headers = list(response.headers)
        if response.content_type is not None and has_body:
            headers.append(("Content-Type", response.content_type))
        if has_body:
            headers.append(("Content-Length", str(len(response.body))))
        if last:
            headers.append(("Connection", "close"))
        reason = _reason(response.status)
        self._write(reader.send(h11.Response(status_code=response.status, headers=headers, reason=reason)))
        if has_body and response.body and self._head is not None and self._head.method != "HEAD":
            self._write(reader.send(h11.Data(data=response.body)))
        self._write(reader.send(h11.EndOfMessage()))
        if last or reader.our_state is not h11.DONE:
            self._die()
            return
        self._phase = Phase.HEAD
        self._begun = False
        self._h11 = None
        self._head = None

    def _write(self, data: bytes | None) -> None:
        if data:
            self._output.append(data)

    def _fail(self, status: int, what: str, spec: str = "") -> NoReturn:
        self._refuse(status, what)
        raise ProtocolError(what, reply=status, spec=spec)

    def _refuse(self, status: int, what: str) -> None:
        """Answer by ourselves, whatever state the reader is in, and be done."""
        response = error_response(status, what)
        head = (
            f"HTTP/1.1 {status} {_reason(status).decode('ascii')}\r\nContent-Type: {JSON}\r\n"
            f"Content-Length: {len(response.body)}\r\nConnection: close\r\n\r\n"
        )
        self._output.append(head.encode("ascii") + response.body)
        self._die()

    def _die(self) -> None:
        self._phase = Phase.ENDED
        self._deadline = None
        self._h11 = None
        self._head = None
        self._early.clear()
        self._body = bytearray()


def _read_fields(head: bytes) -> tuple[tuple[str, str], ...]:
    """The header fields of a head that h11 has taken: all of them, where h11 makes one of two that say the same."""
    lines = head[: -len(_HEAD_END)].decode("latin-1").split("\r\n")[1:]
    return tuple((name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines))


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""
