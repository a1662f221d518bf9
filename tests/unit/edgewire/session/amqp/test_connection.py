"""Connections: headers, open, idle, close, channels; and what ends them."""

import pytest

from edgewire.codec.amqp.frames import AMQP_HEADER, EMPTY_FRAME, SASL_HEADER, TLS_HEADER, write_frame
from edgewire.codec.amqp.performatives import (
    RECEIVER,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Open,
    Performative,
    SaslInit,
)
from edgewire.codec.amqp.types import Symbol
from edgewire.errors import ProtocolError
from edgewire.session.amqp.connection import error_of
from edgewire.session.amqp.events import ConnectionClosed, OpenReceived
from edgewire.session.amqp.limits import AmqpLimits
from support.amqp_wire import Wire, attach_of, linked

BEGIN = Begin(next_outgoing_id=0, incoming_window=9, outgoing_window=9)


def test_a_connection_may_begin_without_sasl() -> None:
    wire = Wire()
    [event] = wire.transfer(AMQP_HEADER + write_frame(0, Open(container_id="c", hostname="h", idle_time_out=60_000)))
    assert event == OpenReceived(
        container_id="c",
        hostname="h",
        properties=None,
        idle_timeout_ms=60_000,
        max_frame_size=4_294_967_295,
        channel_max=65_535,
    )
    assert wire.server.take_output() == AMQP_HEADER
    wire.server.open()
    assert wire.inbox() == [Open(container_id="gw", max_frame_size=65_536, channel_max=1_023, idle_time_out=240_000)]


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (TLS_HEADER, AMQP_HEADER),
        (b"AMQP\x00\x00\x09\x01", AMQP_HEADER),
        (b"AMQP\x00\x01\x01\x00", AMQP_HEADER),
        (b"AMQP\x03\x02\x00\x00", SASL_HEADER),
        (b"GET / HTTP/1.1\r\n", AMQP_HEADER),
        (b"\x16\x03", AMQP_HEADER),
    ],
)
def test_a_wrong_header_is_answered_with_ours(header: bytes, answer: bytes) -> None:
    wire = Wire()
    with pytest.raises(ProtocolError) as caught:
        wire.transfer(header)
    assert caught.value.reply == "amqp:connection:framing-error"
    assert wire.server.take_output() == answer
    assert wire.server.dead
    assert wire.transfer(AMQP_HEADER) == []


def test_the_sasl_layer_comes_once() -> None:
    wire = Wire()
    wire.sasl()
    wire.server.accept_sasl()
    wire.due()
    wire.server.take_output()
    with pytest.raises(ProtocolError):
        wire.transfer(SASL_HEADER)
    assert wire.server.take_output() == AMQP_HEADER


def test_what_comes_behind_an_open_waits_for_its_answer_and_is_bounded() -> None:
    wire = Wire(AmqpLimits(max_early_bytes=100))
    wire.transfer(AMQP_HEADER + write_frame(0, Open(container_id="c")) + write_frame(0, BEGIN))
    assert wire.server.deadline() is None
    wire.server.open()
    assert [type(event).__name__ for event in wire.due()] == ["SessionBegun"]
    wire = Wire(AmqpLimits(max_early_bytes=100))
    wire.transfer(AMQP_HEADER + write_frame(0, Open(container_id="c")))
    wire.inbox(headers=1)
    assert wire.transfer(b"x" * 100) == []
    with pytest.raises(ProtocolError) as caught:
        wire.transfer(b"x")
    assert caught.value.reply == "amqp:resource-limit-exceeded"
    assert [type(one).__name__ for one in wire.inbox()] == ["Open", "Close"]


def test_whole_frames_before_a_bad_one_count() -> None:
    wire, _ = linked()
    data = wire.message(b"x", delivery_id=0) + write_frame(9, End())
    assert [type(event).__name__ for event in wire.server.receive(data, wire.now)] == ["MessageReceived"]
    assert wire.server.deadline() == wire.now
    with pytest.raises(ProtocolError):
        wire.server.on_deadline(wire.now)
    [close] = wire.inbox()
    assert isinstance(close, Close)
    wire, _ = linked()
    wire.server.receive(data, wire.now)
    with pytest.raises(ProtocolError):
        wire.transfer(b"")
    assert wire.server.dead


CONNECTION_ENDS: list[tuple[str, bytes]] = [
    ("amqp:illegal-state", write_frame(0, Open(container_id="again"))),
    ("amqp:illegal-state", write_frame(0, BEGIN)),
    ("amqp:illegal-state", write_frame(3, End())),
    ("amqp:illegal-state", write_frame(3, attach_of())),
    ("amqp:connection:framing-error", write_frame(1_024, BEGIN)),
    (
        "amqp:not-allowed",
        write_frame(3, Begin(remote_channel=0, next_outgoing_id=0, incoming_window=1, outgoing_window=1)),
    ),
    ("amqp:connection:framing-error", write_frame(0, SaslInit(mechanism=Symbol("PLAIN")))),
    ("amqp:connection:framing-error", b"\x00\x00\x00\x07\x02\x00\x00\x00"),
    ("amqp:connection:framing-error", b"\x00\x00\x00\x08\x01\x00\x00\x00"),
    ("amqp:connection:framing-error", b"\x00\x00\x00\x08\x02\x07\x00\x00"),
    ("amqp:connection:framing-error", b"\x00\x01\x00\x01\x02\x00\x00\x00"),
    ("amqp:decode-error", b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x77\x40"),
    ("amqp:decode-error", b"\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x53\x12"),
]


@pytest.mark.parametrize(("condition", "data"), CONNECTION_ENDS)
def test_what_ends_a_connection_is_told_in_its_close(condition: str, data: bytes) -> None:
    wire, _ = linked()
    with pytest.raises(ProtocolError) as caught:
        wire.transfer(data)
    assert caught.value.reply == condition
    [close] = wire.inbox()
    assert isinstance(close, Close)
    assert close.error is not None
    assert (close.error.condition, close.error.description) == (condition, caught.value.what)
    assert wire.server.dead
    assert wire.transfer(data) == []
    assert wire.server.deadline() is None


@pytest.mark.parametrize(
    ("opened", "condition"),
    [
        (Open(container_id="c", max_frame_size=511), "amqp:invalid-field"),
        (Open(container_id="c", idle_time_out=4_999), "amqp:not-allowed"),
    ],
)
def test_an_open_that_asks_for_too_much_is_answered_and_closed(opened: Open, condition: str) -> None:
    wire = Wire()
    with pytest.raises(ProtocolError) as caught:
        wire.transfer(AMQP_HEADER + write_frame(0, opened))
    assert caught.value.reply == condition
    assert [type(one).__name__ for one in wire.inbox(headers=1)] == ["Open", "Close"]


@pytest.mark.parametrize("performative", [BEGIN, Close(), End(), attach_of()])
def test_nothing_comes_before_an_open(performative: Performative) -> None:
    wire = Wire()
    with pytest.raises(ProtocolError):
        wire.transfer(AMQP_HEADER + write_frame(0, performative))
    assert [type(one).__name__ for one in wire.inbox(headers=1)] == ["Open", "Close"]


def test_late_frames_on_a_channel_that_had_a_session_are_left_out() -> None:
    wire, _ = linked()
    wire.send(End())
    wire.inbox()
    late: list[Performative] = [
        Detach(handle=0),
        Flow(incoming_window=1, next_outgoing_id=0, outgoing_window=1),
        Disposition(RECEIVER, 0),
        End(),
    ]
    assert wire.send(*late) == []
    assert wire.inbox() == []
    with pytest.raises(ProtocolError):
        wire.send(attach_of())


def test_a_clients_close_is_answered() -> None:
    wire, link = linked()
    error = Error(condition="amqp:connection:forced")
    assert wire.send(Close(error)) == [ConnectionClosed(error)]
    assert wire.inbox() == [Close()]
    assert wire.server.dead
    assert wire.server.send(link, b"x") is None
    wire.server.close()
    wire.server.open()
    assert wire.server.take_output() == b""


def test_our_close_is_over_with_the_clients_and_nothing_else_counts_in_between() -> None:
    wire, _ = linked()
    wire.server.close("amqp:connection:forced", "bye")
    wire.server.close()
    assert wire.inbox() == [Close(Error(condition="amqp:connection:forced", description="bye"))]
    assert wire.transfer(wire.message(b"x")) == []
    assert wire.send(Close(), Close()) == [ConnectionClosed(None)]
    assert wire.inbox() == []
    assert wire.server.dead


def test_a_client_that_does_not_answer_a_close_is_not_waited_for() -> None:
    wire, _ = linked()
    wire.server.close()
    assert wire.advance(4.9) == []
    assert wire.advance(0.2) == [ConnectionClosed(None)]


def test_an_open_may_be_answered_with_a_close() -> None:
    wire = Wire()
    wire.transfer(AMQP_HEADER + write_frame(0, Open(container_id="c")) + write_frame(0, Close()))
    wire.server.close("amqp:unauthorized-access", "no")
    assert [type(one).__name__ for one in wire.inbox(headers=1)] == ["Open", "Close"]
    assert wire.due() == [ConnectionClosed(None)]


def test_a_connection_that_is_closed_before_it_began_just_ends() -> None:
    wire = Wire()
    wire.server.close("amqp:connection:forced")
    assert wire.server.dead
    assert wire.server.take_output() == b""


def test_who_does_not_open_in_time_is_cut_whatever_trickles_in() -> None:
    wire = Wire(AmqpLimits(connect_timeout_s=20))
    wire.advance(19)
    wire.transfer(AMQP_HEADER)
    assert wire.advance(1.1) == [ConnectionClosed(None)]
    assert wire.server.dead


def test_a_decision_of_the_owner_takes_the_time_it_takes() -> None:
    wire = Wire(AmqpLimits(connect_timeout_s=20))
    wire.sasl()
    assert wire.advance(100) == []
    wire.server.accept_sasl()
    assert wire.advance(19) == []
    assert wire.advance(2) == [ConnectionClosed(None)]
    wire = Wire(AmqpLimits(connect_timeout_s=20))
    wire.sasl()
    wire.advance(100)
    wire.server.accept_sasl()
    assert wire.transfer(AMQP_HEADER) == []
    assert wire.advance(19) == []
    assert wire.advance(2) == [ConnectionClosed(None)]


def test_a_peer_that_wants_to_hear_from_us_does() -> None:
    wire = Wire()
    wire.open(Open(container_id="c", idle_time_out=10_000))
    assert wire.server.deadline() == wire.now + 5
    for _ in range(3):
        wire.advance(5)
        assert wire.server.take_output() == EMPTY_FRAME
    wire.advance(3)
    wire.send(BEGIN)
    assert wire.server.take_output() != b""
    assert wire.server.deadline() == wire.now + 5


def test_a_peer_that_is_silent_for_twice_what_we_announced_is_closed() -> None:
    wire, _ = linked(AmqpLimits(idle_timeout_s=100))
    assert wire.advance(199) == []
    wire.transfer(EMPTY_FRAME)
    assert wire.advance(199) == []
    [closed] = wire.advance(1)
    assert isinstance(closed, ConnectionClosed)
    assert closed.error is not None
    assert closed.error.condition == "amqp:resource-limit-exceeded"
    assert wire.inbox() == [Close(closed.error)]
    assert wire.server.dead


def test_calls_after_the_connection_is_lost_do_nothing() -> None:
    wire, link = linked()
    wire.server.connection_lost()
    wire.server.accept_link(link)
    wire.server.grant(link, 1)
    wire.server.drain(link)
    wire.server.drained(link)
    wire.server.end(link.session)
    wire.server.close("x")
    assert wire.server.take_output() == b""
    assert (wire.server.dead, wire.server.opened) == (True, False)


def test_channels_are_reused_and_bounded_by_the_clients_own_limit() -> None:
    wire = Wire()
    wire.open(Open(container_id="c", channel_max=0))
    for _ in range(3):
        wire.begin(7)
        wire.send(End(), channel=7)
        assert wire.frames() == [(0, End(), b"")]
    wire.begin(7)
    with pytest.raises(ProtocolError) as caught:
        wire.send(BEGIN, channel=8)
    assert caught.value.reply == "amqp:resource-limit-exceeded"


def test_an_error_needs_a_condition() -> None:
    assert error_of(None, "x") is None
    assert error_of("c", "") == Error(condition="c")
    error = error_of("c", "d")
    assert error is not None
    assert isinstance(error.condition, Symbol)
