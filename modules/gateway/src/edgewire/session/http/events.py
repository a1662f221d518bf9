"""What an HTTP session reports to its owner."""

from dataclasses import dataclass, field

from edgewire.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Headers:
    """The header fields of a request, in their order, names as sent."""

    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def get(self, name: str) -> str | None:
        """The value of the field, its name compared without case. Raises ProtocolError (400) if it came twice."""
        folded = name.lower()
        values = [value for each, value in self.fields if each.lower() == folded]
        if len(values) > 1:
            raise ProtocolError(f"the header '{name}' came {len(values)} times", reply=400, spec="RFC 9110 §5.3")
        return values[0] if values else None

    def items(self) -> list[tuple[str, str]]:
        """All fields: name as sent, value."""
        return list(self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReceived:
    """The head of a request: ask for the rest with `take_body`, or refuse it with `answer` before any of it is read.

    path: raw, percent-encoded as sent, begins with '/'. query: raw, without the '?'; empty if there is none.
    """

    method: str
    path: str
    query: str
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReceived:
    """A whole request: answer it with `answer`. No other is reported before that.

    path and query: as in its `HeadReceived`. body: all of it, whether it came chunked or not.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The peer was silent, or slower with a request than it may be; close once the output is sent.

    partial: a request had begun; it was answered with 408.
    """

    partial: bool


HttpEvent = HeadReceived | RequestReceived | TimedOut
"""Anything an HttpSession reports."""
