"""Services beside the device API: each has paths of its own, and `HttpHead` is given those that there are."""

from dataclasses import dataclass
from typing import Protocol

from edgewire.errors import ProtocolError
from edgewire.message import Identity
from edgewire.session.http.events import HeadReceived, RequestReceived
from edgewire.session.http.server import Response
from edgewire.transport.pump import Peer
from gateway.observe.head import HttpAction


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request says it comes from, and the host its credentials are to be for."""

    identity: Identity
    hub: str


@dataclass(frozen=True, slots=True)
class LetIn:
    """Who a request comes from; the service has made sure of it by its head alone."""

    sender: Identity


class NotLetInError(Exception):
    """The service has looked at a request's head and lets its sender not in; it has said why to the log.

    `hold_s`: how long the answer is held back, so that guessing is slow.
    """

    def __init__(self, status: int, what: str, hold_s: float = 0.0) -> None:
        super().__init__(status, what)
        self.status = status
        self.what = what
        self.hold_s = hold_s


class HttpService(Protocol):
    """Takes requests whole, once their caller was let in."""

    @property
    def action(self) -> HttpAction:
        """What its requests are counted as."""
        ...

    @property
    def max_body_bytes(self) -> int:
        """The largest body; a larger one is refused by its length, before any of it is read."""
        ...

    def claims(self, path: str) -> bool:
        """Whether a raw path is one of its own."""
        ...

    def caller(self, head: HeadReceived, peer: Peer) -> Caller | LetIn | None:
        """Who must prove itself by the credentials that came along, or has done so to this service.

        None where the service judges the whole request. Raises ProtocolError with a status, or NotLetInError.
        """
        ...

    def refusal(self, status: int, what: str) -> Response:
        """A refusal in the form of this service."""
        ...

    async def answer(self, request: RequestReceived, peer: Peer, who: Identity | None) -> Response:
        """The answer; `who` is the caller that was let in. Raises ProtocolError with a status."""
        ...


def check_length(head: HeadReceived, max_body_bytes: int) -> None:
    """Raise ProtocolError for a request whose body is too large, or does not say how large it is."""
    length = head.headers.get("Content-Length")
    if length is None:
        if head.headers.get("Transfer-Encoding") is not None:
            raise ProtocolError("the request must say how long its body is (Content-Length)", reply=411)
    elif not length.isdecimal() or int(length) > max_body_bytes:
        raise ProtocolError(f"the body is larger than {max_body_bytes} bytes", reply=413)
