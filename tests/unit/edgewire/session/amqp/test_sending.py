"""Our messages: credit and windows, frames as small as the peer wants, and what the peer makes of them."""

from dataclasses import replace

import pytest

from edgewire.codec.amqp.performatives import (
    ACCEPTED,
    RECEIVER,
    RELEASED,
    SENDER,
    SETTLED,
    Detach,
    Disposition,
    Flow,
    Open,
    Rejected,
    Transfer,
)
from edgewire.errors import UsageError
from edgewire.session.amqp.events import CreditReceived, DeliveryStateChanged
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery, Link
from edgewire.session.amqp.serial import MASK
from support.amqp_wire import Wire, attach_of, linked


def credit(count: int, *, seen: int = 0, handle: int | None = 0, window: int = 1_000, drain: bool = False) -> Flow:
    return Flow(
        next_incoming_id=seen,
        incoming_window=window,
        next_outgoing_id=0,
        outgoing_window=1_000,
        handle=handle,
        delivery_count=None if handle is None else seen,
        link_credit=None if handle is None else count,
        drain=drain,
    )


def sending(count: int = 10, limits: AmqpLimits | None = None) -> tuple[Wire, Link]:
    wire, link = linked(limits, sends=False)
    [event] = wire.send(credit(count))
    assert event == CreditReceived(link=link, credit=count, drain=False)
    return wire, link


def sent(wire: Wire, link: Link, payload: bytes = b"x") -> Delivery:
    delivery = wire.server.send(link, payload)
    assert delivery is not None
    return delivery


def test_nothing_is_sent_without_credit() -> None:
    wire, link = linked(sends=False)
    assert wire.server.send(link, b"x") is None
    wire.send(credit(1))
    assert wire.server.send(link, b"x", message_format=7) is not None
    assert wire.server.send(link, b"x") is None
    assert wire.frames() == [(0, Transfer(0, 0, b"\0\0\0\0", 7), b"x")]


def test_ids_and_tags_count_and_a_tag_may_be_given() -> None:
    wire, link = sending()
    sent(wire, link)
    assert wire.server.send(link, b"y", tag=b"lock", settled=True) is not None
    sent(wire, link)
    assert [performative for _, performative, _ in wire.frames()] == [
        Transfer(0, 0, b"\0\0\0\0", 0),
        Transfer(0, 1, b"lock", 0, settled=True),
        Transfer(0, 2, b"\0\0\0\1", 0),
    ]
    assert [*link.deliveries] == [0, 2]
    with pytest.raises(UsageError):
        wire.server.send(link, b"y", tag=b"x" * 33)


@pytest.mark.parametrize("size", [0, 460, 475, 476, 477, 480, 500, 960, 5_000])
def test_a_message_is_cut_into_frames_that_the_peer_takes(size: int) -> None:
    wire = Wire()
    wire.open(Open(container_id="c", max_frame_size=512))
    wire.begin()
    link = wire.attach(sends=False)
    wire.send(credit(2))
    payload = bytes(at % 251 for at in range(size))
    sent(wire, link, payload)
    data = wire.server.take_output()
    wire.server._outbox.put(data)
    parts = wire.frames()
    assert b"".join(part for _, _, part in parts) == payload
    assert len(data) <= 512 * len(parts)
    assert all(len(part) for _, _, part in parts) == bool(size)
    more = [performative.more for _, performative, _ in parts if isinstance(performative, Transfer)]
    assert more == [True] * (len(parts) - 1) + [False]
    assert all(len(wire.message(part)) <= 512 for _, _, part in parts)


def test_a_message_waits_in_the_middle_for_the_window_and_goes_on() -> None:
    wire = Wire()
    wire.open(Open(container_id="c", max_frame_size=512))
    wire.begin(window=2)
    link = wire.attach(sends=False)
    wire.send(credit(5, window=2))
    sent(wire, link, b"x" * 1_500)
    assert wire.server.send(link, b"y") is None
    assert len(wire.frames()) == 2
    assert wire.send(credit(0, seen=2, handle=None, window=1)) == []
    assert len(wire.frames()) == 1
    [again] = wire.send(credit(0, seen=3, handle=None, window=9))
    assert again == CreditReceived(link=link, credit=4, drain=False)
    assert len(wire.frames()) == 1
    sent(wire, link, b"y")


@pytest.mark.parametrize("by_us", [True, False])
def test_the_rest_of_a_message_does_not_come_behind_its_links_detach(*, by_us: bool) -> None:
    wire = Wire()
    wire.open(Open(container_id="c", max_frame_size=512))
    wire.begin(window=2)
    link = wire.attach(sends=False)
    wire.send(credit(5, window=2))
    sent(wire, link, b"x" * 1_500)
    wire.inbox()
    if by_us:
        wire.server.detach(link)
    wire.send(Detach(handle=0, closed=True))
    assert [type(one).__name__ for one in wire.inbox()] == ["Detach"]
    again = wire.attach(sends=False)
    wire.send(credit(0, seen=2, handle=None, window=9), replace(credit(5, seen=2, window=9), delivery_count=0))
    assert wire.inbox() == []
    sent(wire, again, b"y")
    [(_, transfer, payload)] = wire.frames()
    assert (transfer, payload) == (Transfer(0, 1, b"\0\0\0\0", 0), b"y")


def test_what_is_on_its_way_counts_against_a_credit_and_a_window_that_were_told_before() -> None:
    wire, link = sending(10)
    for _ in range(4):
        sent(wire, link)
    wire.send(credit(10, seen=1, window=20))
    assert link.credit == 7
    assert link.session.outgoing.window == 17
    wire.send(credit(2, seen=1, window=2))
    assert (link.credit, link.session.outgoing.window) == (0, 0)


def test_counts_go_round_at_2_to_the_32() -> None:
    wire, link = sending(10)
    outgoing = link.session.outgoing
    outgoing.next_id = link.delivery_count = outgoing._next_delivery_id = MASK
    wire.send(replace(credit(5), next_incoming_id=MASK, delivery_count=MASK))
    deliveries = [sent(wire, link) for _ in range(3)]
    assert [one.delivery_id for one in deliveries] == [MASK, 0, 1]
    assert (outgoing.next_id, link.delivery_count) == (2, 2)
    wire.send(replace(credit(5), next_incoming_id=0, delivery_count=0))
    assert link.credit == 3
    events = wire.send(Disposition(RECEIVER, MASK, 1, True, ACCEPTED))
    assert [event.delivery for event in events if isinstance(event, DeliveryStateChanged)] == deliveries


def test_a_range_settles_all_that_is_in_it_and_what_is_not_known_is_left_out() -> None:
    wire, link = sending()
    deliveries = [sent(wire, link) for _ in range(6)]
    events = wire.send(Disposition(RECEIVER, 1, 2, True, ACCEPTED))
    assert events == [DeliveryStateChanged(link, one, ACCEPTED, settled=True) for one in deliveries[1:3]]
    refusal = Rejected()
    events = wire.send(Disposition(RECEIVER, 0, 900, True, refusal))
    assert [event.delivery.delivery_id for event in events if isinstance(event, DeliveryStateChanged)] == [0, 3, 4, 5]
    assert deliveries[5].state is not None
    assert wire.send(Disposition(RECEIVER, 0, 5, True, ACCEPTED)) == []
    assert wire.send(Disposition(RECEIVER, 77, None, True, ACCEPTED)) == []
    assert link.deliveries == {}


def test_a_message_that_was_sent_settled_is_not_answered() -> None:
    wire, link = sending()
    delivery = wire.server.send(link, b"x", settled=True)
    assert delivery is not None
    assert delivery.settled
    assert wire.send(Disposition(RECEIVER, 0, None, True, ACCEPTED)) == []


def test_mode_second_is_settled_by_us_after_the_peers_state() -> None:
    wire, link = sending()
    first, second, third = (sent(wire, link) for _ in range(3))
    wire.inbox()
    events = wire.send(Disposition(RECEIVER, 0, 1, False, ACCEPTED))
    assert events == [DeliveryStateChanged(link, one, ACCEPTED, settled=False) for one in (first, second)]
    assert wire.send(Disposition(RECEIVER, 0, 1, False, ACCEPTED)) == []
    wire.server.settle_sent(link, first, ACCEPTED)
    wire.server.settle_sent(link, second, ACCEPTED)
    wire.server.settle_sent(link, second, ACCEPTED)
    assert wire.inbox() == [Disposition(SENDER, 0, 1, True, ACCEPTED)]
    assert [*link.deliveries] == [2]
    assert wire.send(Disposition(RECEIVER, 2, None, True, RELEASED)) == [
        DeliveryStateChanged(link, third, RELEASED, settled=True)
    ]
    wire.server.settle_sent(link, third, RELEASED)
    assert wire.inbox() == []


def test_so_much_may_be_unsettled_and_no_more() -> None:
    wire, link = sending(10, AmqpLimits(max_unsettled=2))
    sent(wire, link)
    sent(wire, link)
    assert wire.server.send(link, b"x") is None
    events = wire.send(Disposition(RECEIVER, 0, None, True, ACCEPTED))
    assert events[-1] == CreditReceived(link=link, credit=8, drain=False)
    sent(wire, link)


def test_a_message_that_is_larger_than_the_peer_takes_is_a_mistake_of_ours() -> None:
    wire = Wire()
    wire.open()
    wire.begin()
    wire.send(replace(attach_of(sends=False), max_message_size=3, snd_settle_mode=SETTLED))
    [link] = wire.server.sessions[0].links
    wire.server.accept_link(link)
    wire.send(credit(2))
    assert link.peer_max_message_size == 3
    sent(wire, link, b"abc")
    with pytest.raises(UsageError):
        wire.server.send(link, b"abcd")


def test_a_drain_is_answered_when_there_is_nothing_left() -> None:
    wire, link = sending(10)
    [asked] = wire.send(credit(10, drain=True))
    assert asked == CreditReceived(link=link, credit=10, drain=True)
    sent(wire, link)
    wire.inbox()
    wire.server.drained(link)
    [flow] = wire.inbox()
    assert isinstance(flow, Flow)
    assert (flow.delivery_count, flow.link_credit, flow.drain) == (10, 0, True)
    assert wire.server.send(link, b"x") is None
    wire.send(replace(credit(0, seen=1, drain=True), delivery_count=10))
    [flow] = wire.inbox()
    assert isinstance(flow, Flow)
    assert (flow.delivery_count, flow.link_credit) == (10, 0)
