"""A client and a server engine talk in memory: opening, messages both ways, ends, and what either bears."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.codec.amqp.performatives import ACCEPTED, RELEASED, SECOND
from edgewire.session.amqp.events import (
    AmqpEvent,
    AttachReceived,
    ConnectionClosed,
    CreditReceived,
    DeliveryStateChanged,
    LinkDetached,
    LinkDrained,
    MessageReceived,
    SaslInitReceived,
    SaslOutcomeReceived,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from support.amqp_pair import Pair


def payloads(events: list[AmqpEvent]) -> list[bytes]:
    return [event.payload for event in events if isinstance(event, MessageReceived)]


def ids(events: list[AmqpEvent]) -> list[int]:
    return [event.delivery_id for event in events if isinstance(event, MessageReceived)]


@pytest.mark.parametrize("sasl", [None, "ANONYMOUS", "MSSBCBS", "PLAIN"])
@pytest.mark.parametrize("piece", [None, 1, 7])
def test_both_ends_open_and_close(sasl: str | None, piece: int | None) -> None:
    pair = Pair(sasl=sasl, response=b"\0u\0p", piece=piece)
    pair.open()
    pair.begin()
    pair.client.close()
    pair.transfer()
    assert pair.client_events == pair.server_events == [ConnectionClosed(None)]
    assert (pair.client.dead, pair.server.dead) == (True, True)


def test_a_client_with_wrong_credentials_is_told_so() -> None:
    pair = Pair(sasl="PLAIN", response=b"\0u\0wrong")
    pair.transfer()
    assert pair.server_events == [SaslInitReceived(mechanism="PLAIN", response=b"\0u\0wrong", hostname="hub.example")]
    pair.server.refuse_sasl(2)
    pair.transfer()
    assert pair.client_events == [SaslOutcomeReceived(ok=False, code=2)]
    assert (pair.client.dead, pair.server.dead) == (True, True)


def test_messages_go_up_and_are_answered_in_ranges() -> None:
    pair = Pair()
    pair.open()
    ours, theirs = pair.sender(pair.begin(), credit=10)
    deliveries = [pair.client.send(ours, b"%d" % i) for i in range(12)]
    assert [one is None for one in deliveries] == [False] * 10 + [True] * 2
    pair.transfer()
    assert payloads(pair.server_events) == [b"%d" % i for i in range(10)]
    got = ids(pair.server_events)
    pair.server.settle(theirs, got[:4], ACCEPTED)
    pair.server.settle(theirs, got[4:6], RELEASED)
    pair.server.grant(theirs, 10)
    pair.transfer()
    changed = [event for event in pair.client_events if isinstance(event, DeliveryStateChanged)]
    assert [(event.delivery, event.state, event.settled) for event in changed] == [
        *[(delivery, ACCEPTED, True) for delivery in deliveries[:4]],
        *[(delivery, RELEASED, True) for delivery in deliveries[4:6]],
    ]
    assert pair.client_events[-1] == CreditReceived(link=ours, credit=10, drain=False)
    assert [*ours.deliveries.values()] == deliveries[6:10]


def test_messages_go_down_and_may_be_settled_second() -> None:
    pair = Pair()
    pair.open()
    session = pair.begin()
    ours = pair.client.attach_receiver(session, "n", "a", rcv_settle_mode=SECOND, credit=3)
    pair.transfer()
    [theirs] = [event.link for event in pair.server_events if isinstance(event, AttachReceived)]
    pair.server.accept_link(theirs)
    pair.transfer()
    assert theirs.rcv_settle_mode == ours.rcv_settle_mode == SECOND
    sent = [pair.server.send(theirs, b"%d" % i) for i in range(3)]
    pair.transfer()
    pair.client.settle(ours, ids(pair.client_events), ACCEPTED)
    assert ours.unsettled == {0, 1, 2}
    pair.forget()
    pair.transfer()
    changed = [event for event in pair.server_events if isinstance(event, DeliveryStateChanged)]
    assert [(event.delivery, event.settled) for event in changed] == [(one, False) for one in sent]
    for event in changed:
        pair.server.settle_sent(theirs, event.delivery, event.state)
    pair.transfer()
    assert ours.unsettled == set()
    assert theirs.deliveries == {}


def test_a_megabyte_goes_both_ways_through_small_windows_and_frames() -> None:
    small = AmqpLimits(max_frame=512, incoming_window=4)
    pair = Pair(client_limits=small, server_limits=small)
    pair.open()
    session = pair.begin()
    up, got_up = pair.sender(session)
    down, got_down = pair.receiver(session, "b")
    payload = bytes(range(256)) * 400
    assert pair.client.send(up, payload) is not None
    assert pair.server.send(got_down, payload) is not None
    pair.transfer()
    assert payloads(pair.server_events) == payloads(pair.client_events) == [payload]
    assert pair.client.send(up, b"next") is not None
    pair.transfer()
    assert payloads(pair.server_events)[-1] == b"next"
    assert (got_up.attached, down.attached) == (True, True)


def test_who_found_no_window_is_told_when_there_is_one() -> None:
    small = AmqpLimits(incoming_window=4)
    pair = Pair(server_limits=small)
    pair.open()
    ours, _ = pair.sender(pair.begin(), credit=100)
    sent = 0
    while sent < 50:
        if pair.client.send(ours, b"x") is not None:
            sent += 1
            continue
        pair.forget()
        pair.transfer()
        assert [event.link for event in pair.client_events if isinstance(event, CreditReceived)] == [ours]


def test_a_drain_gives_all_credit_back() -> None:
    pair = Pair()
    pair.open()
    ours, theirs = pair.sender(pair.begin(), credit=10)
    pair.server.drain(theirs)
    pair.transfer()
    assert pair.client_events == [CreditReceived(link=ours, credit=10, drain=True)]
    assert pair.client.send(ours, b"last") is not None
    pair.client.drained(ours)
    pair.transfer()
    assert payloads(pair.server_events) == [b"last"]
    assert pair.server_events[-1] == LinkDrained(theirs)
    assert (ours.credit, theirs.credit) == (0, 0)
    pair.server.grant(theirs, 5)
    pair.transfer()
    assert pair.client_events[-1] == CreditReceived(link=ours, credit=5, drain=False)


def test_a_refused_link_leaves_the_others_alone() -> None:
    pair = Pair()
    pair.open()
    session = pair.begin()
    good, theirs = pair.sender(session)
    bad = pair.client.attach_receiver(session, "n", "b")
    pair.transfer()
    [asked] = [event.link for event in pair.server_events if isinstance(event, AttachReceived)]
    pair.server.refuse_link(asked, "amqp:not-found", "no such node")
    pair.transfer()
    detached = pair.client_events[-1]
    assert isinstance(detached, LinkDetached)
    assert detached.link is bad
    assert detached.error is not None
    assert detached.error.condition == "amqp:not-found"
    pair.forget()
    pair.client.send(good, b"still here")
    pair.transfer()
    assert pair.server_events == [MessageReceived(theirs, 0, 0, b"still here", settled=False, tag=b"\0\0\0\0")]


def test_ends_that_cross_on_the_wire_are_fine() -> None:
    pair = Pair()
    pair.open()
    session = pair.begin()
    ours, theirs = pair.sender(session)
    pair.client.detach(ours)
    pair.server.detach(theirs)
    pair.transfer()
    assert (
        [type(event) for event in pair.client_events] == [type(event) for event in pair.server_events] == [LinkDetached]
    )
    pair.forget()
    pair.client.end(session)
    pair.server.end(theirs.session)
    pair.transfer()
    assert (
        [type(event) for event in pair.client_events] == [type(event) for event in pair.server_events] == [SessionEnded]
    )
    pair.forget()
    pair.client.close()
    pair.server.close()
    pair.transfer()
    assert pair.client_events == pair.server_events == [ConnectionClosed(None)]


def test_a_thousand_sessions_with_the_same_link_name_are_apart() -> None:
    pair = Pair()
    pair.open()
    links = {}
    for number in range(1_000):
        session = pair.client.begin()
        links[pair.client.attach_sender(session, "TelemetrySenderLink", f"/devices/{number}")] = number
    pair.transfer()
    for event in pair.server_events:
        if isinstance(event, AttachReceived):
            pair.server.accept_link(event.link, credit=1)
    pair.transfer()
    pair.forget()
    for link, number in links.items():
        assert pair.client.send(link, b"%d" % number) is not None
    pair.transfer()
    got = [event for event in pair.server_events if isinstance(event, MessageReceived)]
    assert [event.link.address for event in got] == [f"/devices/{number}" for number in range(1_000)]
    for event in got:
        pair.server.settle(event.link, [event.delivery_id], ACCEPTED)
    pair.transfer()
    answered = [event for event in pair.client_events if isinstance(event, DeliveryStateChanged)]
    assert [links[event.link] for event in answered] == [*range(1_000)]


def test_an_idle_connection_stays_for_a_day() -> None:
    pair = Pair()
    pair.open()
    pair.advance(86_400)
    assert (pair.client.opened, pair.server.opened) == (True, True)


def test_a_client_whose_server_is_gone_notices() -> None:
    pair = Pair()
    pair.open()
    pair.server.connection_lost()
    pair.advance(481)
    [closed] = pair.client_events
    assert isinstance(closed, ConnectionClosed)
    assert closed.error is not None


def story(cuts: list[int]) -> tuple[list[str], list[str]]:
    """A conversation with everything in it, its bytes cut into pieces of these sizes; what either end reported."""
    pair = Pair(sasl="PLAIN", response=b"x")
    pair.cut(cuts)
    reports: tuple[list[str], list[str]] = ([], [])

    def note() -> None:
        reports[0].extend(map(repr, pair.client_events))
        reports[1].extend(map(repr, pair.server_events))
        pair.forget()

    pair.open()
    session = pair.begin()
    up, got_up = pair.sender(session)
    _, got_down = pair.receiver(session, "b")
    for size in (0, 1, 300, 70_000, 200_000):
        pair.client.send(up, bytes(size), message_format=size)
        pair.server.send(got_down, bytes(size))
    pair.transfer()
    pair.server.settle(got_up, ids(pair.server_events), ACCEPTED)
    pair.transfer()
    note()
    pair.client.detach(up, "amqp:link:detach-forced", "x")
    pair.transfer()
    pair.client.end(session)
    pair.transfer()
    pair.server.close("amqp:connection:forced", "bye")
    pair.transfer()
    note()
    sessions = [report.replace(f"{id(session):#x}", "") for report in reports[0]]
    return [one.split(" object")[0] for one in sessions], [one.split(" object")[0] for one in reports[1]]


WHOLE = story([])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=90_000), min_size=1, max_size=8))
def test_how_the_bytes_are_cut_changes_nothing(cuts: list[int]) -> None:
    assert story(cuts) == WHOLE
