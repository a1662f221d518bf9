"""Sessions and links: attach and detach in every order, echoed ends, credit given, flows answered."""

from dataclasses import replace

import pytest

from edgewire.codec.amqp.frames import write_frame
from edgewire.codec.amqp.performatives import (
    ACCEPTED,
    FIRST,
    RECEIVER,
    SECOND,
    SENDER,
    Attach,
    Begin,
    Coordinator,
    Detach,
    End,
    Error,
    Flow,
    Open,
    Performative,
    Source,
    Target,
)
from edgewire.codec.amqp.types import Symbol
from edgewire.errors import ProtocolError
from edgewire.session.amqp.events import (
    AttachReceived,
    CreditReceived,
    LinkDetached,
    LinkDrained,
    MessageReceived,
    SessionBegun,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Role
from support.amqp_wire import Wire, attach_of, linked

FLOW = Flow(next_incoming_id=0, incoming_window=100, next_outgoing_id=0, outgoing_window=100)


def begun(limits: AmqpLimits | None = None) -> Wire:
    wire = Wire(limits)
    wire.open()
    wire.begin()
    return wire


def test_a_session_begins_by_itself_on_a_channel_of_ours() -> None:
    wire = Wire()
    wire.open()
    [event] = wire.send(Begin(next_outgoing_id=7, incoming_window=9, outgoing_window=1, handle_max=3), channel=5)
    assert isinstance(event, SessionBegun)
    assert (event.session.channel, event.session.peer_channel) == (0, 5)
    answer = Begin(
        remote_channel=5, next_outgoing_id=0, incoming_window=5_000, outgoing_window=5_000, handle_max=262_143
    )
    assert wire.frames() == [(0, answer, b"")]


def test_a_link_is_echoed_and_gets_credit() -> None:
    wire = begun()
    source = Source(address="here", outcomes=(Symbol("amqp:accepted:list"),), capabilities=(Symbol("c"),))
    target = Target(address="/devices/dev/messages/events", dynamic_node_properties={Symbol("x"): 1})
    asked = Attach(
        name="n",
        handle=7,
        role=SENDER,
        rcv_settle_mode=SECOND,
        source=source,
        target=target,
        initial_delivery_count=4,
        max_message_size=2**64 - 1,
        properties={Symbol("com.microsoft:client-version"): "v"},
    )
    [event] = wire.send(asked)
    assert isinstance(event, AttachReceived)
    link = event.link
    assert (link.name, link.role, link.address, link.peer_handle) == ("n", "receiver", target.address, 7)
    assert link.properties == {"com.microsoft:client-version": "v"}
    assert wire.inbox() == []
    wire.server.accept_link(link, credit=50, max_message_size=1_000)
    [attach, flow] = wire.inbox()
    assert attach == Attach(
        name="n",
        handle=0,
        role=RECEIVER,
        rcv_settle_mode=FIRST,
        source=source,
        target=target,
        max_message_size=1_000,
    )
    assert isinstance(flow, Flow)
    assert (flow.handle, flow.delivery_count, flow.link_credit) == (0, 4, 50)


def test_ends_that_are_null_or_empty_are_answered_filled_in() -> None:
    wire = begun()
    [event] = wire.send(replace(attach_of(sends=False), target=None))
    assert isinstance(event, AttachReceived)
    assert event.link.role is Role.SENDER
    wire.server.accept_link(event.link)
    [attach] = wire.inbox()
    assert isinstance(attach, Attach)
    assert (attach.source, attach.target) == (Source(address="a"), Target())
    assert (attach.initial_delivery_count, attach.max_message_size) == (0, 1_048_576)


@pytest.mark.parametrize(
    ("attach", "address"),
    [
        (replace(attach_of(), target=None), None),
        (replace(attach_of(), target=Coordinator()), None),
        (replace(attach_of(), target=Target()), None),
        (attach_of(address="x"), "x"),
        (attach_of(address="y", sends=False), "y"),
    ],
)
def test_the_address_is_that_of_the_node(attach: Attach, address: str | None) -> None:
    [event] = begun().send(attach)
    assert isinstance(event, AttachReceived)
    assert event.link.address == address


@pytest.mark.parametrize("sends", [True, False])
def test_a_link_is_refused_by_a_null_end_and_a_detach(*, sends: bool) -> None:
    wire = begun()
    [event] = wire.send(attach_of(3, sends=sends))
    assert isinstance(event, AttachReceived)
    wire.server.refuse_link(event.link, "amqp:not-allowed", "no such address")
    [attach, detach] = wire.inbox()
    assert isinstance(attach, Attach)
    assert (attach.target if sends else attach.source) is None
    assert (attach.source if sends else attach.target) is not None
    assert detach == Detach(
        handle=0, closed=True, error=Error(condition="amqp:not-allowed", description="no such address")
    )
    wire.server.accept_link(event.link)
    assert wire.send(Detach(handle=3, closed=True)) == []
    assert wire.inbox() == []
    assert wire.attach(3).attached


def test_handles_are_the_clients_and_names_are_nobodys() -> None:
    wire = begun()
    links = [wire.attach(handle, name="same") for handle in (7, 6, 262_143, 0)]
    assert [link.handle for link in links] == [0, 1, 2, 3]
    [event] = wire.transfer(wire.message(b"x", handle=6))
    assert isinstance(event, MessageReceived)
    assert event.link is links[1]


@pytest.mark.parametrize("closed", [True, False])
def test_a_detach_is_answered_in_kind_and_the_handle_is_free(*, closed: bool) -> None:
    wire, link = linked()
    error = Error(condition="amqp:link:detach-forced")
    events = wire.send(Detach(handle=0, closed=closed, error=error))
    assert events == [LinkDetached(link=link, error=error, closed=closed)]
    assert wire.inbox() == [Detach(handle=0, closed=closed)]
    assert link.session.links == ()
    again = wire.attach(0)
    assert again is not link
    assert (again.handle, link.attached, again.attached) == (0, False, True)


def test_a_link_that_is_detached_before_it_was_answered_is_answered_first() -> None:
    wire = begun()
    [asked] = wire.send(attach_of())
    assert isinstance(asked, AttachReceived)
    assert wire.send(Detach(handle=0, closed=True)) == [LinkDetached(link=asked.link, error=None, closed=True)]
    assert [type(one).__name__ for one in wire.inbox()] == ["Attach", "Detach"]
    wire.server.accept_link(asked.link)
    wire.server.refuse_link(asked.link, "amqp:not-allowed", "")
    assert wire.inbox() == []


def test_our_detach_is_over_with_the_clients() -> None:
    wire, link = linked()
    wire.server.detach(link, "amqp:link:detach-forced", "bye")
    wire.server.detach(link)
    assert wire.inbox() == [
        Detach(handle=0, closed=True, error=Error(condition="amqp:link:detach-forced", description="bye"))
    ]
    assert wire.transfer(wire.message(b"x")) == []
    assert wire.send(replace(FLOW, handle=0, delivery_count=0, link_credit=1, echo=True)) == []
    wire.server.settle(link, [0], ACCEPTED)
    wire.server.grant(link, 5)
    assert wire.inbox() == []
    assert wire.send(Detach(handle=0, closed=True)) == [LinkDetached(link=link, error=None, closed=True)]
    assert wire.inbox() == []


def test_credit_is_topped_up_when_half_of_it_is_used() -> None:
    wire, link = linked(credit=10)
    for i in range(4):
        wire.transfer(wire.message(b"", delivery_id=i))
        wire.server.grant(link, 10)
    assert wire.inbox() == []
    wire.transfer(wire.message(b"", delivery_id=4) + wire.message(b"", delivery_id=5))
    wire.server.grant(link, 10)
    [flow] = wire.inbox()
    assert isinstance(flow, Flow)
    assert (flow.delivery_count, flow.link_credit, flow.next_incoming_id) == (6, 10, 6)


def test_credit_that_is_taken_back_is_still_good_for_what_was_on_its_way() -> None:
    wire, link = linked(credit=3)
    wire.server.grant(link, 0)
    [flow] = wire.inbox()
    assert isinstance(flow, Flow)
    assert flow.link_credit == 0
    assert len(wire.transfer(wire.message(b"", delivery_id=0))) == 1
    wire.server.grant(link, 1)
    assert (link.credit, link.slack) == (1, 1)
    events = wire.transfer(b"".join(wire.message(b"", delivery_id=i) for i in (1, 2, 3)))
    assert [type(event).__name__ for event in events] == ["MessageReceived", "MessageReceived", "LinkDetached"]


def test_a_sender_that_gives_its_credit_back_has_drained() -> None:
    wire, link = linked(credit=10)
    wire.server.drain(link)
    [asked] = wire.inbox()
    assert isinstance(asked, Flow)
    assert (asked.drain, asked.link_credit) == (True, 10)
    wire.transfer(wire.message(b""))
    assert wire.send(replace(FLOW, handle=0, delivery_count=10, link_credit=0, drain=True)) == [LinkDrained(link)]
    assert (link.credit, link.delivery_count, link.drain) == (0, 10, False)


def test_what_a_sender_says_of_its_own_credit_is_left_out() -> None:
    wire, link = linked(credit=10)
    assert wire.send(replace(FLOW, handle=0, delivery_count=0, link_credit=10_000, available=3)) == []
    assert (link.credit, link.available) == (10, 3)


def test_a_flow_may_come_before_its_link_is_answered() -> None:
    wire = begun()
    data = write_frame(0, attach_of(sends=False)) + write_frame(
        0, replace(FLOW, handle=0, delivery_count=None, link_credit=9)
    )
    asked, credit = wire.transfer(data)
    assert isinstance(asked, AttachReceived)
    assert credit == CreditReceived(link=asked.link, credit=9, drain=False)
    assert wire.server.send(asked.link, b"x") is None
    wire.server.accept_link(asked.link)
    assert wire.server.send(asked.link, b"x") is not None


def test_an_echo_is_answered_with_what_it_asks_for() -> None:
    wire, _ = linked(credit=10)
    wire.send(replace(FLOW, echo=True))
    wire.send(replace(FLOW, handle=0, delivery_count=0, echo=True))
    session, of_link = wire.inbox()
    assert isinstance(session, Flow)
    assert (session.handle, session.incoming_window, session.echo) == (None, 5_000, False)
    assert isinstance(of_link, Flow)
    assert (of_link.handle, of_link.link_credit, of_link.echo) == (0, 10, False)


def test_an_end_takes_its_links_along() -> None:
    wire, link = linked()
    session = link.session
    assert wire.send(End(Error(condition="x"))) == [SessionEnded(session, Error(condition="x"))]
    assert wire.inbox() == [End()]
    assert (session.links, wire.server.sessions, link.attached) == ((link,), (), False)
    wire.server.settle(link, [0], ACCEPTED)
    wire.server.end(session)
    wire.server.detach(link)
    assert wire.inbox() == []
    wire.begin()
    assert wire.attach().session is not session


def test_our_end_is_over_with_the_clients() -> None:
    wire, link = linked()
    wire.server.end(link.session, "amqp:resource-limit-exceeded", "bye")
    assert wire.inbox() == [End(Error(condition="amqp:resource-limit-exceeded", description="bye"))]
    assert wire.transfer(wire.message(b"x")) == []
    assert wire.send(End()) == [SessionEnded(link.session, None)]


SESSION_ENDS: list[tuple[str, list[Performative]]] = [
    ("amqp:session:handle-in-use", [attach_of(0, name="other")]),
    ("amqp:session:unattached-handle", [Detach(handle=9)]),
    ("amqp:session:unattached-handle", [replace(FLOW, handle=9, link_credit=1)]),
    ("amqp:invalid-field", [replace(attach_of(1), initial_delivery_count=None)]),
    ("amqp:resource-limit-exceeded", [attach_of(1, name="x" * 257)]),
    ("amqp:resource-limit-exceeded", [attach_of(1), attach_of(2), attach_of(3)]),
]


@pytest.mark.parametrize(("condition", "sent"), SESSION_ENDS)
def test_what_ends_a_session(condition: str, sent: list[Performative]) -> None:
    wire, link = linked(AmqpLimits(max_links=3))
    ended = wire.send(*sent)[-1]
    assert isinstance(ended, SessionEnded)
    assert ended.session is link.session
    assert ended.error is not None
    assert ended.error.condition == condition
    assert wire.inbox()[-1] == End(ended.error)


def test_a_client_whose_handles_are_used_up_loses_its_session() -> None:
    wire = Wire()
    wire.open()
    wire.send(Begin(next_outgoing_id=0, incoming_window=9, outgoing_window=9, handle_max=0))
    wire.attach(0)
    [ended] = wire.send(attach_of(1))
    assert isinstance(ended, SessionEnded)
    assert ended.error is not None
    assert ended.error.condition == "amqp:resource-limit-exceeded"


def test_a_handle_above_ours_ends_the_connection() -> None:
    wire = begun(AmqpLimits(handle_max=7))
    with pytest.raises(ProtocolError) as caught:
        wire.send(attach_of(8))
    assert caught.value.reply == "amqp:connection:framing-error"


def test_an_answer_that_the_client_has_no_room_for_ends_the_session() -> None:
    wire = Wire()
    wire.open(Open(container_id="c", max_frame_size=512))
    wire.begin()
    [asked] = wire.send(attach_of(address="x" * 600))
    assert isinstance(asked, AttachReceived)
    wire.server.accept_link(asked.link)
    [end] = wire.inbox()
    assert isinstance(end, End)
    assert end.error is not None
    assert end.error.condition == "amqp:frame-size-too-small"
    assert wire.send(End()) == [SessionEnded(asked.link.session, None)]
