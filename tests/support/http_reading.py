"""HTTP as a test sees it: a session driven to whole requests, and answers read by h11's other end."""

from dataclasses import dataclass
from typing import Any

import h11

from edgewire.session.http.events import HeadReceived, HttpEvent
from edgewire.session.http.server import HttpSession


def drive(session: HttpSession, data: bytes, now: float = 0.0) -> list[HttpEvent]:
    """What a session reports of `data` to an owner that lets every head pass; without the heads."""
    events: list[HttpEvent] = session.receive(data, now)
    while events and isinstance(events[-1], HeadReceived):
        session.take_body()
        events = session.receive(b"", now)
    return events


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as a client has read it; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def read_answers(data: bytes, *methods: str) -> list[Answer]:
    """The answers in `data`, all of it, to requests with these methods (GET where none is named)."""
    answers: list[Answer] = []
    names = list(methods)
    while data:
        reader: Any = h11.Connection(h11.CLIENT)
        request = h11.Request(method=names.pop(0) if names else "GET", target="/", headers=[("Host", "x")])
        reader.send(request)
        reader.send(h11.EndOfMessage())
        reader.receive_data(data)
        answers.append(_read_one(reader))
        data = reader.trailing_data[0]
    return answers


def _read_one(reader: Any) -> Answer:
    body = b""
    while True:
        event = reader.next_event()
        match event:
            case h11.Response():
                head = event
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                return Answer(head.status_code, headers, body)
            case h11.InformationalResponse():
                pass
            case _:
                raise AssertionError(f"the answer is not whole: {event}")
