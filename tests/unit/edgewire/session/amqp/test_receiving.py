"""Messages of the peer: put together, counted, settled; and what ends the link or the session."""

from collections.abc import Callable

import pytest

from edgewire.codec.amqp.frames import write_frame
from edgewire.codec.amqp.performatives import (
    ACCEPTED,
    RECEIVER,
    SENDER,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Rejected,
    Transfer,
)
from edgewire.session.amqp.events import LinkDetached, MessageReceived, SessionEnded
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.serial import MASK
from support.amqp_wire import Wire, linked


def test_one_read_gives_all_its_messages_and_one_answer_settles_them() -> None:
    wire, link = linked()
    data = b"".join(wire.message(b"%d" % i, delivery_id=i, message_format=0x80013700) for i in range(5))
    events = wire.transfer(data)
    assert events == [MessageReceived(link, i, 0x80013700, b"%d" % i, settled=False, tag=b"t") for i in range(5)]
    wire.server.settle(link, [0, 1, 2, 3, 4], ACCEPTED)
    assert wire.inbox() == [Disposition(RECEIVER, 0, 4, True, ACCEPTED)]


def test_answers_are_merged_as_far_as_they_agree() -> None:
    wire, link = linked()
    wire.transfer(b"".join(wire.message(b"", delivery_id=i) for i in range(6)))
    refusal = Rejected(Error(condition="amqp:not-allowed"))
    wire.server.settle(link, [0, 1], ACCEPTED)
    wire.server.settle(link, [2], ACCEPTED)
    wire.server.settle(link, [3], refusal)
    wire.server.settle(link, [5, 4], ACCEPTED)
    assert wire.inbox() == [
        Disposition(RECEIVER, 0, 2, True, ACCEPTED),
        Disposition(RECEIVER, 3, None, True, refusal),
        Disposition(RECEIVER, 5, None, True, ACCEPTED),
        Disposition(RECEIVER, 4, None, True, ACCEPTED),
    ]


def test_what_is_not_waiting_is_not_answered() -> None:
    wire, link = linked()
    wire.transfer(wire.message(b"", delivery_id=3) + wire.message(b"", delivery_id=4, settled=True))
    wire.server.settle(link, [1, 3, 4, 9], ACCEPTED)
    wire.server.settle(link, [3], ACCEPTED)
    wire.server.settle(link, [], ACCEPTED)
    assert wire.inbox() == [Disposition(RECEIVER, 3, None, True, ACCEPTED)]
    assert link.unsettled == set()


def test_a_message_of_many_frames_comes_as_one() -> None:
    wire, link = linked()
    first = wire.message(b"a", delivery_id=7, message_format=5, more=True)
    middle = write_frame(0, Transfer(0, more=True), b"b")
    last = wire.message(b"c", delivery_id=7, settled=True)
    assert wire.transfer(first) == []
    assert wire.transfer(middle) == []
    assert wire.transfer(last) == [MessageReceived(link, 7, 5, b"abc", settled=True, tag=b"t")]
    assert (link.credit, link.delivery_count, link.unsettled) == (99, 1, set())


def test_messages_of_two_links_may_be_mixed_frame_by_frame() -> None:
    wire, one = linked()
    two = wire.attach(1, name="two")
    events = wire.transfer(
        wire.message(b"a", delivery_id=0, more=True)
        + wire.message(b"x", handle=1, delivery_id=1, more=True)
        + wire.message(b"b", delivery_id=0)
        + wire.message(b"y", handle=1, delivery_id=1)
    )
    assert [(e.link, e.payload) for e in events if isinstance(e, MessageReceived)] == [(one, b"ab"), (two, b"xy")]


def test_a_message_that_is_aborted_never_was() -> None:
    wire, link = linked()
    assert wire.transfer(wire.message(b"a", more=True) + wire.message(b"", aborted=True)) == []
    assert wire.transfer(wire.message(b"", delivery_id=1, aborted=True)) == []
    assert link.partial is None
    [event] = wire.transfer(wire.message(b"b", delivery_id=2))
    assert isinstance(event, MessageReceived)
    assert link.credit == 97


def test_ids_may_have_gaps_and_go_round() -> None:
    wire, _ = linked()
    data = b"".join(wire.message(b"", delivery_id=i) for i in (5, 2**31 + 4, MASK, 0, 3))
    assert len(wire.transfer(data)) == 5


def test_a_client_is_told_of_its_window_before_it_is_used_up() -> None:
    wire, _ = linked(AmqpLimits(incoming_window=10))
    for i in range(5):
        wire.transfer(wire.message(b"", delivery_id=i))
    [flow] = wire.inbox()
    assert isinstance(flow, Flow)
    assert (flow.next_incoming_id, flow.incoming_window, flow.handle) == (5, 10, None)
    assert all(len(wire.transfer(wire.message(b"", delivery_id=i))) == 1 for i in range(5, 15))


Frames = Callable[[Wire], bytes]

LINK_ENDS: list[tuple[str, Frames]] = [
    ("amqp:link:message-size-exceeded", lambda wire: wire.message(b"x" * 101)),
    (
        "amqp:link:message-size-exceeded",
        lambda wire: wire.message(b"x" * 60, more=True) + wire.message(b"x" * 60, more=True),
    ),
    ("amqp:resource-limit-exceeded", lambda wire: wire.message(b"x" * 91, more=True)),
    ("amqp:not-implemented", lambda wire: wire.message(b"", resume=True)),
    ("amqp:not-implemented", lambda wire: wire.message(b"", more=True) + wire.message(b"", resume=True)),
    ("amqp:invalid-field", lambda wire: wire.message(b"", delivery_tag=None)),
    ("amqp:invalid-field", lambda wire: wire.message(b"", more=True) + wire.message(b"", delivery_id=1)),
    ("amqp:invalid-field", lambda wire: wire.message(b"", more=True) + wire.message(b"", delivery_tag=b"u")),
    (
        "amqp:link:transfer-limit-exceeded",
        lambda wire: b"".join(wire.message(b"", delivery_id=i) for i in range(4)),
    ),
]


@pytest.mark.parametrize(("condition", "frames"), LINK_ENDS)
def test_what_ends_a_link_leaves_its_neighbours_alone(condition: str, frames: Frames) -> None:
    limits = AmqpLimits(max_message_size=100, max_partial_bytes=90)
    wire, link = linked(limits, credit=3)
    neighbour = wire.attach(1, name="two")
    ended = [event for event in wire.transfer(frames(wire)) if isinstance(event, LinkDetached)]
    assert [(event.link, event.closed) for event in ended] == [(link, True)]
    assert ended[0].error is not None
    assert ended[0].error.condition == condition
    detaches = [one for one in wire.inbox() if isinstance(one, Detach)]
    assert [(one.handle, one.closed, one.error) for one in detaches] == [(0, True, ended[0].error)]
    # What was on its way means nothing any more, and the link's own answer ends it without another event.
    assert wire.transfer(wire.message(b"", delivery_id=50)) == []
    assert wire.send(Detach(handle=0, closed=True)) == []
    [event] = wire.transfer(wire.message(b"y", handle=1, delivery_id=51))
    assert event == MessageReceived(neighbour, 51, 0, b"y", settled=False, tag=b"t")
    assert wire.attach(0, name="again").attached


SESSION_ENDS: list[tuple[str, Frames]] = [
    ("amqp:session:unattached-handle", lambda wire: wire.message(b"", handle=9)),
    ("amqp:invalid-field", lambda wire: wire.message(b"", delivery_id=None)),
    ("amqp:invalid-field", lambda wire: wire.message(b"", delivery_id=4) + wire.message(b"", delivery_id=4)),
    ("amqp:invalid-field", lambda wire: wire.message(b"", delivery_id=4) + wire.message(b"", delivery_id=3)),
    ("amqp:invalid-field", lambda wire: write_frame(0, Disposition(SENDER, 4, 3, True))),
    ("amqp:invalid-field", lambda wire: write_frame(0, Disposition(RECEIVER, 4, 3, True))),
]


@pytest.mark.parametrize(("condition", "frames"), SESSION_ENDS)
def test_what_ends_a_session_leaves_its_neighbours_alone(condition: str, frames: Frames) -> None:
    wire, link = linked()
    wire.begin(1)
    neighbour = wire.attach(0, channel=1)
    ended = wire.transfer(frames(wire))[-1]
    assert isinstance(ended, SessionEnded)
    assert ended.session is link.session
    assert ended.error is not None
    assert ended.error.condition == condition
    assert wire.inbox() == [End(ended.error)]
    assert wire.transfer(wire.message(b"", delivery_id=60)) == []
    assert wire.send(End()) == []
    [event] = wire.transfer(wire.message(b"y", channel=1))
    assert event == MessageReceived(neighbour, 0, 0, b"y", settled=False, tag=b"t")


def test_a_transfer_beyond_the_window_ends_the_session() -> None:
    # A client that never gets our flow could only be one that does not care for windows: it is made of no window.
    wire, link = linked(AmqpLimits(incoming_window=10))
    link.session.incoming.window = 0
    [ended] = wire.transfer(wire.message(b""))
    assert isinstance(ended, SessionEnded)
    assert ended.error is not None
    assert ended.error.condition == "amqp:session:window-violation"


def test_a_message_on_a_link_of_the_other_direction_ends_the_link() -> None:
    wire, link = linked(sends=False)
    [ended] = wire.transfer(wire.message(b""))
    assert isinstance(ended, LinkDetached)
    assert (ended.link, ended.error and ended.error.condition) == (link, "amqp:not-allowed")


def test_unfinished_messages_are_counted_no_longer_than_they_are_held() -> None:
    wire, link = linked(AmqpLimits(max_partial_bytes=10))
    neighbour = wire.attach(1, name="two")
    for at in range(0, 30, 3):
        wire.transfer(wire.message(b"12345", delivery_id=at, more=True))
        wire.transfer(wire.message(b"12345", delivery_id=at))
        wire.transfer(wire.message(b"1234567890", delivery_id=at + 1, more=True))
        wire.transfer(wire.message(b"", delivery_id=at + 1, aborted=True))
    assert (link.attached, neighbour.attached) == (True, True)
    wire.transfer(wire.message(b"1234567890", delivery_id=90, more=True))
    wire.send(Detach(handle=0, closed=True))
    assert len(wire.transfer(wire.message(b"12345", handle=1, delivery_id=91, more=True))) == 0
    assert neighbour.attached
