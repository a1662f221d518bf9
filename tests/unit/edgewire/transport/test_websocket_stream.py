import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from edgewire.transport.limits import TransportLimits
from edgewire.transport.pump import Owner, Peer, Session
from edgewire.transport.websocket import Upgrade, Upgraded, WebSocketError, WebSocketService
from edgewire.transport.websocket_stream import WebSocketStream
from support.echo import EchoSession, RecordingOwner
from support.websocket_client import MemoryWebSocket

LIMITS = TransportLimits(max_http_head_bytes=1000, max_websocket_message_bytes=70_000, max_idle_frames=10)


def nobody(_peer: Peer) -> tuple[Session[bytes], Owner[bytes]]:
    return EchoSession(), RecordingOwner()


def upgraded(data: bytes) -> Upgraded:
    outcome = Upgrade(WebSocketService(protocols={"mqtt": nobody}), LIMITS).receive(data)
    assert isinstance(outcome, Upgraded)
    return outcome


@pytest.fixture
def client() -> MemoryWebSocket:
    return MemoryWebSocket()


@pytest.fixture
def stream(client: MemoryWebSocket) -> WebSocketStream:
    outcome = upgraded(client.request)
    client.read(outcome.response)
    assert client.accepted is not None
    return outcome.stream


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A client's frame by RFC 6455 §5.2, with a mask of zeros."""
    size = len(payload)
    first = bytes([final << 7 | reserved << 4 | opcode])
    if size < 126:
        second = struct.pack("!B", masked << 7 | size)
    elif size < 65_536:
        second = struct.pack("!BH", masked << 7 | 126, size)
    else:
        second = struct.pack("!BQ", masked << 7 | 127, size)
    return first + second + (bytes(4) if masked else b"") + payload


def close_code(output: bytes) -> int:
    """The code of the Close frame at the end of an output (server frames have no mask)."""
    at = output.rindex(b"\x88")
    return int(struct.unpack_from("!H", output, at + 2)[0])


def given_up(stream: WebSocketStream, data: bytes) -> int:
    with pytest.raises(WebSocketError):
        stream.receive(data)
    assert stream.ended
    return close_code(stream.take_output())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_payload_goes_both_ways(client: MemoryWebSocket, stream: WebSocketStream, size: int) -> None:
    data = bytes(size)
    assert stream.receive(client.message(data)) == data
    assert client.read(stream.frame(data)) == data
    assert stream.take_output() == b""


def test_borders_of_frames_and_messages_mean_nothing(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    data = client.message(b"one ") + client.message(b"two, ", finished=False) + client.message(b"halves")
    assert stream.receive(data) == b"one two, halves"


def test_frames_may_be_cut_anywhere(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    data = client.message(b"first", finished=False) + client.message(b" second")
    assert b"".join(stream.receive(data[at : at + 1]) for at in range(len(data))) == b"first second"


def test_a_ping_is_answered_with_its_payload(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    assert stream.receive(client.send(Ping(payload=b"42")) + client.message(b"data")) == b"data"
    assert stream.take_output() == b"\x8a\x0242"


def test_a_pong_that_nobody_asked_for_is_fine(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    assert stream.receive(client.send(Pong(payload=b"42"))) == b""
    assert stream.take_output() == b""


def test_the_peers_close_is_answered_after_its_data(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    data = client.message(b"last words") + client.send(CloseConnection(code=1001))
    assert stream.receive(data) == b"last words"
    assert stream.ended
    assert close_code(stream.take_output()) == 1001
    assert stream.receive(client.request) == b""


def test_our_close_ends_with_the_peers(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    stream.close()
    stream.close()
    client.read(stream.take_output())
    assert client.closed is not None
    assert client.closed.code == 1000
    assert [stream.ended, stream.receive(client.send(client.closed.response())), stream.ended] == [False, b"", True]
    assert stream.take_output() == b""


def test_a_ping_after_our_close_is_not_answered(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    stream.close()
    stream.take_output()
    assert stream.receive(client.send(Ping())) == b""
    assert stream.take_output() == b""


def test_a_broken_frame_after_our_close_ends_it_without_a_second_close(stream: WebSocketStream) -> None:
    stream.close()
    stream.take_output()
    with pytest.raises(WebSocketError):
        stream.receive(frame(3, b"x"))
    assert (stream.ended, stream.take_output()) == (True, b"")


def test_text_is_refused(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    assert given_up(stream, client.send(TextMessage(data="hello"))) == 1003


@pytest.mark.parametrize(
    ("what", "data", "code"),
    [
        ("no mask, §5.1", frame(2, b"x", masked=False), 1002),
        ("reserved bit without an extension, §5.2", frame(2, b"x", reserved=4), 1002),
        ("reserved opcode, §5.2", frame(3, b"x"), 1002),
        ("reserved control opcode, §5.2", frame(11, b"x"), 1002),
        ("control frame in fragments, §5.5", frame(9, b"x", final=False), 1002),
        ("control frame of 126 bytes, §5.5", frame(9, bytes(126)), 1002),
        ("continuation of nothing, §5.4", frame(0, b"x"), 1002),
        ("new message within a message, §5.4", frame(2, b"x", final=False) + frame(2, b"y"), 1002),
        ("Close of one byte, §5.5.1", frame(8, b"x"), 1002),
        ("Close with a code nobody may send, §7.4.1", frame(8, b"\x03\xed"), 1002),
        ("Close with a reason that is not UTF-8, §5.5.1", frame(8, b"\x03\xe8\xff"), 1007),
        ("text that is not UTF-8, §5.6", frame(1, b"\xff"), 1007),
        ("message over the limit in one frame", frame(2, bytes(70_001)), 1009),
        ("message over the limit in many frames", frame(2, bytes(40_000), final=False) + frame(0, bytes(40_000)), 1009),
        ("many pings and no data", 11 * frame(9, b""), 1008),
        ("many empty messages", 11 * frame(2, b""), 1008),
    ],
)
def test_what_the_rfc_or_our_limits_forbid_is_closed_with_its_code(
    stream: WebSocketStream, what: str, data: bytes, code: int
) -> None:
    assert given_up(stream, data) == code, what


def test_a_frame_that_claims_to_be_huge_costs_nothing_until_it_comes(stream: WebSocketStream) -> None:
    assert stream.receive(b"\x82\xff" + struct.pack("!Q", 2**62) + bytes(4) + b"x") == b"x"


def test_the_limit_is_on_one_message_and_not_on_all(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    for _ in range(3):
        assert len(stream.receive(client.message(bytes(60_000)))) == 60_000


def test_pings_between_data_are_not_counted_together(client: MemoryWebSocket, stream: WebSocketStream) -> None:
    ping = client.send(Ping())
    assert stream.receive((8 * ping + client.message(b"x")) * 5) == b"xxxxx"
    stream.take_output()
    for _ in range(3):
        assert stream.receive(8 * ping) == b""


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mangled_frames_cause_a_websocket_error_and_nothing_else(data: st.DataObject) -> None:
    client = MemoryWebSocket()
    outcome = upgraded(client.request)
    client.read(outcome.response)
    events = [
        BytesMessage(data=b"hello"),
        Ping(payload=b"x"),
        BytesMessage(data=bytes(200)),
        CloseConnection(code=1000),
    ]
    mangled = bytearray(b"".join(client.send(event) for event in events))
    for _ in range(data.draw(st.integers(1, 6))):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    try:
        for at in range(0, len(mangled), 50):
            outcome.stream.receive(bytes(mangled[at : at + 50]))
    except WebSocketError:
        assert outcome.stream.ended
