import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError, UsageError
from edgewire.session.http.client import CallAnswered, CallRequest, HttpCall

ASKED = CallRequest(method="PUT", target="/a/b?c=d", host="dps.test", headers=(("Accept", "x/y"),), body=b"{}")
ANSWER = b"HTTP/1.1 202 Accepted\r\nRetry-After: 3\r\nContent-Length: 5\r\n\r\nhello"


def call(*, max_body_bytes: int = 100) -> HttpCall:
    return HttpCall(ASKED, max_body_bytes=max_body_bytes, max_head_bytes=1_024)


def test_the_request_is_written_once() -> None:
    session = call()
    assert session.take_output() == (
        b"PUT /a/b?c=d HTTP/1.1\r\nHost: dps.test\r\nAccept: x/y\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert session.take_output() == b""
    assert session.deadline() is None
    assert session.on_deadline(0.0) == []


def test_without_a_body_none_is_announced() -> None:
    session = HttpCall(CallRequest(method="GET", target="/", host="h"), max_body_bytes=1, max_head_bytes=100)
    assert session.take_output() == b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/ä"])
def test_what_is_no_target_is_not_written(target: str) -> None:
    with pytest.raises((UsageError, UnicodeError)):
        HttpCall(CallRequest(method="GET", target=target, host="h"), max_body_bytes=1, max_head_bytes=100)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0"])
def test_a_header_cannot_begin_another(value: str) -> None:
    asked = CallRequest(method="GET", target="/", host="h", headers=(("Authorization", value),))
    with pytest.raises(UsageError):
        HttpCall(asked, max_body_bytes=1, max_head_bytes=100)


@given(st.integers(0, len(ANSWER)))
def test_an_answer_is_read_however_it_is_cut(at: int) -> None:
    session = call()
    events = session.receive(ANSWER[:at], 0.0) + session.receive(ANSWER[at:], 0.0)
    [answered] = events
    assert (answered.status, answered.body, answered.header("retry-after")) == (202, b"hello", "3")
    assert answered.header("location") is None


def test_chunks_are_joined_and_what_comes_behind_is_nobodys() -> None:
    session = call()
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    [answered] = session.receive(chunked, 0.0)
    assert answered.body == b"hello"
    assert session.receive(b"HTTP/1.1 500 Again\r\n\r\n", 0.0) == []


def test_an_answer_may_end_with_its_connection() -> None:
    session = call()
    assert session.receive(b"HTTP/1.0 200 OK\r\n\r\nhello", 0.0) == []
    assert session.receive_end() == [CallAnswered(status=200, body=b"hello")]


def test_news_before_the_answer_are_passed_over() -> None:
    [answered] = call().receive(b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER, 0.0)
    assert answered.status == 202


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101,
        b"HTTP/1.1 200 OK\r\n" + b"x" * 2_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000,
    ],
)
def test_what_is_no_answer_or_too_much_of_one_is_told(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        call().receive(data, 0.0)


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"])
def test_an_end_before_the_answer_is_told(cut: bytes) -> None:
    session = call()
    if cut:
        session.receive(cut, 0.0)
    with pytest.raises(ProtocolError):
        session.receive_end()
