from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.session.http.events import HeadReceived, RequestReceived, TimedOut
from edgewire.session.http.limits import HttpLimits
from edgewire.session.http.server import HttpSession, Response, error_response
from support.http_reading import Answer, drive, read_answers

SMALL = HttpLimits(
    max_target_chars=64,
    max_head_bytes=512,
    max_fields=8,
    max_body_bytes=64,
    max_framing_bytes=64,
    max_early_bytes=256,
    max_requests=3,
    idle_s=20.0,
    request_s=10.0,
)
OK = Response(status=204)

GET = b"GET /devices/d1/messages/devicebound?api-version=2021-04-12 HTTP/1.1\r\nHost: hub\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n"
GET_WITH_BODY = b"GET /r HTTP/1.1\r\nHost: hub\r\nContent-Length: 2\r\n\r\n{}"


def session(limits: HttpLimits = SMALL, now: float = 0.0) -> HttpSession:
    return HttpSession(limits, now)


def one(data: bytes) -> RequestReceived:
    [request] = drive(session(), data)
    assert isinstance(request, RequestReceived)
    return request


def refused(pieces: Sequence[bytes], limits: HttpLimits = SMALL) -> tuple[int | None, ProtocolError]:
    """The status that a session refuses these bytes with, None for no answer."""
    ours = session(limits)
    with pytest.raises(ProtocolError) as error:  # noqa: PT012 — whichever piece it is
        for piece in pieces:
            drive(ours, piece)
    assert ours.ended
    answers = read_answers(ours.take_output())
    if answers:
        assert answers[-1].headers["connection"] == "close"
        assert error.value.reply == answers[-1].status
    return (answers[-1].status if answers else None), error.value


# --- reading ------------------------------------------------------------------------------------------------------


def test_a_request_is_reported_as_it_came() -> None:
    request = one(GET)
    assert (request.method, request.path, request.body) == ("GET", "/devices/d1/messages/devicebound", b"")
    assert request.query == "api-version=2021-04-12"
    assert request.headers.items() == [("Host", "hub")]


@pytest.mark.parametrize(("data", "body"), [(POST, b"hello"), (CHUNKED, b"hello"), (GET_WITH_BODY, b"{}")])
def test_a_body_is_whole_however_it_was_sent(data: bytes, body: bytes) -> None:
    assert one(data).body == body


@pytest.mark.parametrize("data", [GET, POST, CHUNKED, GET_WITH_BODY])
def test_nothing_is_reported_before_the_last_byte_and_everything_with_it(data: bytes) -> None:
    whole = one(data)
    for cut in range(1, len(data)):
        ours = session()
        assert drive(ours, data[:cut]) == []
        assert drive(ours, data[cut:]) == [whole]
    ours = session()
    for at in range(len(data) - 1):
        assert drive(ours, data[at : at + 1]) == []
    assert drive(ours, data[-1:]) == [whole]


@pytest.mark.parametrize("data", [GET, POST, CHUNKED, GET_WITH_BODY])
def test_what_is_left_over_is_the_next_request(data: bytes) -> None:
    ours = session()
    [first] = drive(ours, data + POST + b"GET /re")
    assert drive(ours, b"st HTTP/1.1\r\nHost: x\r\n\r\n") == []
    ours.answer(OK, 0.0)
    assert ours.holds_more
    assert drive(ours, b"") == [one(POST)]
    ours.answer(OK, 0.0)
    [third] = drive(ours, b"")
    assert isinstance(third, RequestReceived)
    assert third.path == "/rest"
    assert first == one(data)


def test_an_empty_line_before_a_request_is_passed_over() -> None:
    assert one(b"\r\n\r\n" + GET) == one(GET)  # RFC 9112 §2.2


def test_the_head_is_reported_before_any_of_the_body() -> None:
    ours = session()
    [head] = ours.receive(POST, 0.0)
    assert isinstance(head, HeadReceived)
    assert (head.method, head.path) == ("POST", "/a")
    assert ours.receive(b"", 0.0) == []
    ours.take_body()
    [request] = ours.receive(b"", 0.0)
    assert isinstance(request, RequestReceived)
    assert request.body == b"hello"


def test_a_client_that_waits_for_it_is_told_to_go_on_once_its_head_is_let_in() -> None:
    ours = session()
    ours.receive(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", 0.0)
    assert ours.take_output() == b""
    ours.take_body()
    assert ours.receive(b"", 0.0) == []
    assert ours.take_output().startswith(b"HTTP/1.1 100 ")
    assert len(ours.receive(b"hi", 0.0)) == 1


HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\n"
REFUSED = {
    "not HTTP": (400, b"\x16\x03\x01\x02\x00\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/2 by prior knowledge": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "another version": (400, b"GET / HTTP/1.2\r\nHost: h\r\n\r\n"),
    "two blanks in the request line": (400, b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
    "no Host (RFC 9112 §3.2)": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, b"GET / HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n"),
    "a blank before the colon (RFC 9112 §5.1)": (400, b"GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
    "a folded header (RFC 9112 §5.2)": (400, b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n"),
    "a line that ends with LF": (400, b"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n"),
    "a head that ends with LF": (400, b"GET / HTTP/1.1\nHost: h\n\n"),
    "CR within a line": (400, b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n"),
    "NUL in a header": (400, b"GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n"),
    "the form for proxies": (400, b"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    "the form for servers": (400, b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a fragment": (400, b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a method nobody knows": (501, b"BREW /a HTTP/1.1\r\nHost: h\r\n\r\n"),
    "CONNECT": (501, b"CONNECT /a HTTP/1.1\r\nHost: h\r\n\r\n"),
    "length and chunks (RFC 9112 §6.1)": (400, HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello"),
    "chunks and length": (400, HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"),
    "two lengths": (400, HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    "two lengths in one": (400, HEAD + b"Content-Length: 5, 5\r\n\r\nhello"),
    "a negative length": (400, HEAD + b"Content-Length: -1\r\n\r\n"),
    "a length with a sign": (400, HEAD + b"Content-Length: +5\r\n\r\nhello"),
    "a length in hexadecimal": (400, HEAD + b"Content-Length: 0x5\r\n\r\nhello"),
    "chunks and a blank": (501, HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n"),
    "chunks twice": (501, HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "an encoding nobody asked for": (501, HEAD + b"Transfer-Encoding: gzip\r\n\r\n"),
    "chunks before HTTP/1.1": (400, b"POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a chunk without a size": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello"),
    "a negative chunk": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
    "a chunk that ends with LF": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\n0\r\n\r\n"),
    "a last chunk that ends with LF": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\n"),
    "trailers": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n"),
    "a body to be unpacked": (415, HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"),
    "an expectation": (417, HEAD + b"Expect: a-miracle\r\nContent-Length: 1\r\n\r\nx"),
    "too long a target": (414, b"GET /" + b"a" * 64 + b" HTTP/1.1\r\nHost: h\r\n\r\n"),
    "too long a first line": (414, b"GET /" + b"a" * 200),
    "too large a head": (431, HEAD + b"A: " + b"a" * 512),
    "too many headers": (431, HEAD + b"A: b\r\n" * 8 + b"\r\n"),
    "too large a body by its length": (413, HEAD + b"Content-Length: 65\r\n\r\n"),
    "a length of twenty digits": (413, HEAD + b"Content-Length: 18446744073709551616\r\n\r\n"),
    "too large a body by its chunks": (413, HEAD + b"Transfer-Encoding: chunked\r\n\r\n41\r\n" + b"a" * 65),
    "chunks of one byte": (413, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 30),
}


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused_with_its_status_however_it_is_cut(status: int, data: bytes) -> None:
    assert refused([data])[0] == status
    assert refused([data[at : at + 1] for at in range(len(data))])[0] == status


def test_nothing_is_read_after_a_refusal() -> None:
    ours = session()
    with pytest.raises(ProtocolError):
        drive(ours, REFUSED["two lengths"][1])
    ours.take_output()
    assert ours.receive(GET, 0.0) == []
    ours.answer(OK, 0.0)
    ours.take_body()
    assert ours.take_output() == b""
    assert ours.deadline() is None


def test_too_much_behind_a_request_that_is_being_answered_ends_the_connection_without_a_word() -> None:
    assert refused([GET, b"x" * 257])[0] is None


@given(st.data())
def test_mangled_requests_cause_nothing_but_protocol_errors(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from([GET, POST, CHUNKED, GET_WITH_BODY])) * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    ours = session()
    try:
        for _ in range(3):
            if drive(ours, bytes(raw)):
                ours.answer(OK, 0.0)
            raw.clear()
    except ProtocolError:
        assert ours.ended


# --- answering ----------------------------------------------------------------------------------------------------


def answered(response: Response, data: bytes = GET, method: str = "GET") -> tuple[Answer, HttpSession]:
    ours = session()
    assert drive(ours, data)
    ours.answer(response, 0.0)
    [answer] = read_answers(ours.take_output(), method)
    return answer, ours


def test_an_answer_has_its_length_and_the_connection_goes_on() -> None:
    answer, ours = answered(Response(status=200, headers=(("ETag", '"x"'),), body=b"hi", content_type="text/plain"))
    assert (answer.status, answer.body) == (200, b"hi")
    assert answer.headers == {"etag": '"x"', "content-type": "text/plain", "content-length": "2"}
    assert not ours.ended


def test_an_answer_without_a_body_says_so() -> None:
    assert answered(Response(status=200))[0].headers == {"content-length": "0"}


def test_204_has_neither_body_nor_length() -> None:
    answer, _ = answered(Response(status=204, body=b"dropped", content_type="text/plain"))
    assert (answer.headers, answer.body) == ({}, b"")


def test_the_answer_to_head_has_the_length_of_what_it_leaves_out() -> None:
    answer, ours = answered(Response(status=200, body=b"hi"), b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD")
    assert (answer.headers, answer.body) == ({"content-length": "2"}, b"")
    assert not ours.ended


def test_an_error_is_a_message_in_json() -> None:
    answer, _ = answered(error_response(404, 'no "d1"', ("Retry-After", "5")))
    assert (answer.status, answer.body) == (404, b'{"Message": "no \\"d1\\""}')
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_who_wants_to_close_is_closed_after_the_answer(data: bytes) -> None:
    answer, ours = answered(OK, data)
    assert answer.headers["connection"] == "close"
    assert ours.ended
    assert ours.receive(GET, 0.0) == []


def test_we_may_close_after_the_answer_too() -> None:
    ours = session()
    drive(ours, GET)
    ours.close_after_answer()
    ours.answer(OK, 0.0)
    assert ours.ended
    assert b"connection: close" in ours.take_output().lower()


def test_a_connection_serves_so_many_requests_and_no_more() -> None:
    ours = session()
    for _ in range(SMALL.max_requests):
        assert not ours.ended
        drive(ours, GET)
        ours.answer(OK, 0.0)
    assert ours.ended
    assert len(read_answers(ours.take_output())) == SMALL.max_requests


def test_a_refusal_by_the_head_is_the_last_answer() -> None:
    ours = session()
    ours.receive(POST, 0.0)
    ours.answer(error_response(401, "no"), 0.0)
    [answer] = read_answers(ours.take_output(), "POST")
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    assert ours.ended


def test_an_answer_to_nothing_is_none() -> None:
    ours = session()
    ours.answer(OK, 0.0)
    drive(ours, GET[:10])
    ours.answer(OK, 0.0)
    assert ours.take_output() == b""


def test_a_status_without_a_phrase_is_sent_all_the_same() -> None:
    assert answered(Response(status=299))[0].status == 299


# --- time ---------------------------------------------------------------------------------------------------------


def test_silence_between_requests_ends_without_a_word() -> None:
    ours = session(now=100.0)
    assert ours.deadline() == 120.0
    assert ours.on_deadline(119.0) == []
    assert ours.on_deadline(120.0) == [TimedOut(partial=False)]
    assert ours.take_output() == b""
    assert ours.ended


@pytest.mark.parametrize("begun", [GET[:1], GET[:30], POST[:-1], CHUNKED[:-1]])
def test_a_request_that_does_not_come_to_its_end_is_told_so(begun: bytes) -> None:
    ours = session()
    drive(ours, begun, 15.0)
    drive(ours, b"", 16.0)
    assert ours.deadline() == 25.0
    assert ours.on_deadline(25.0) == [TimedOut(partial=True)]
    [answer] = read_answers(ours.take_output())
    assert answer.status == 408


def test_there_is_no_deadline_while_the_peer_waits_for_us() -> None:
    ours = session()
    ours.receive(GET, 0.0)
    assert ours.deadline() is None
    assert ours.on_deadline(1000.0) == []
    ours.take_body()
    ours.receive(b"", 0.0)
    assert ours.deadline() is None
    ours.answer(OK, 50.0)
    assert ours.deadline() == 70.0
