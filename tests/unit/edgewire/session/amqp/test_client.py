"""The client's own calls: hello at once, sessions and links asked for, what the server may not do."""

import pytest

from edgewire.codec.amqp.frames import AMQP_HEADER, EMPTY_FRAME, SASL_HEADER, FrameReader, write_frame
from edgewire.codec.amqp.performatives import (
    FIRST,
    MIXED,
    RECEIVER,
    SECOND,
    SENDER,
    UNSETTLED,
    Attach,
    Begin,
    Close,
    Detach,
    End,
    Error,
    Flow,
    Open,
    Performative,
    Source,
    Target,
    Transfer,
)
from edgewire.errors import ProtocolError, UsageError
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import (
    AmqpEvent,
    CreditReceived,
    LinkAttached,
    LinkDetached,
    MessageReceived,
    Opened,
    SessionBegun,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.session import Session
from support.amqp_wire import attach_of

OPEN = Open(container_id="hub", max_frame_size=65_536, channel_max=3, idle_time_out=240_000)
BEGUN = Begin(remote_channel=0, next_outgoing_id=5, incoming_window=100, outgoing_window=100, handle_max=1)
CREDIT = Flow(
    next_incoming_id=0,
    incoming_window=100,
    next_outgoing_id=5,
    outgoing_window=100,
    handle=9,
    delivery_count=0,
    link_credit=3,
)


def client(limits: AmqpLimits | None = None) -> AmqpClient:
    made = AmqpClient(limits or AmqpLimits(), 0.0, container_id="gw", hostname="hub.example", sasl=None)
    assert made.take_output() == AMQP_HEADER
    assert made.receive(AMQP_HEADER, 0.0) == []
    assert frames(made) == [
        Open(
            container_id="gw",
            hostname="hub.example",
            max_frame_size=65_536,
            channel_max=1_023,
            idle_time_out=240_000,
        )
    ]
    return made


def frames(made: AmqpClient) -> list[Performative | None]:
    reader = FrameReader(65_536)
    reader.push(made.take_output())
    found = []
    while (frame := reader.next()) is not None:
        found.append(frame.performative)
    return found


def send(made: AmqpClient, *performatives: Performative, channel: int = 4) -> list[AmqpEvent]:
    return made.receive(b"".join(write_frame(channel, one) for one in performatives), 0.0)


def begun() -> tuple[AmqpClient, Session]:
    made = client()
    assert send(made, OPEN) == [Opened(OPEN)]
    session = made.begin()
    assert send(made, BEGUN) == [SessionBegun(session)]
    frames(made)
    return made, session


def test_the_idle_time_out_can_be_its_own() -> None:
    made = AmqpClient(AmqpLimits(), 0.0, container_id="c", hostname="h", sasl=None, idle_timeout_s=30)
    made.receive(AMQP_HEADER, 0.0)
    made.take_output()
    send(made, OPEN)
    assert made.deadline() == 60
    assert made.on_deadline(59.0) == []


def test_nothing_begins_before_the_server_has_opened() -> None:
    with pytest.raises(UsageError):
        client().begin()


def test_a_sender_is_asked_for_and_waits_for_credit() -> None:
    made, session = begun()
    link = made.attach_sender(session, "n", "/devices/dev/messages/events", source_address="dev", properties={"a": 1})
    assert (link.role, link.address, link.attached) == ("sender", "/devices/dev/messages/events", False)
    assert frames(made) == [
        Attach(
            name="n",
            handle=0,
            role=SENDER,
            snd_settle_mode=UNSETTLED,
            rcv_settle_mode=FIRST,
            source=Source(address="dev"),
            target=Target(address="/devices/dev/messages/events"),
            initial_delivery_count=0,
            max_message_size=1_048_576,
            properties={"a": 1},
        )
    ]
    assert made.send(link, b"x") is None
    answer = Attach(name="n", handle=9, role=RECEIVER, source=Source(), target=Target(address="t"), max_message_size=7)
    assert send(made, answer, CREDIT) == [LinkAttached(link), CreditReceived(link=link, credit=3, drain=False)]
    assert (link.peer_handle, link.peer_max_message_size, link.target) == (9, 7, Target(address="t"))
    assert made.send(link, b"x") is not None
    assert frames(made) == [Transfer(0, 0, b"\0\0\0\0", 0)]


def test_a_receiver_gives_credit_when_it_is_attached_and_settles_second_if_it_asked_to() -> None:
    made, session = begun()
    link = made.attach_receiver(session, "n", "a", rcv_settle_mode=SECOND, credit=5)
    [attach] = frames(made)
    assert isinstance(attach, Attach)
    assert (attach.role, attach.snd_settle_mode, attach.rcv_settle_mode) == (RECEIVER, MIXED, SECOND)
    answer = Attach(
        name="n", handle=2, role=SENDER, source=Source(address="a"), target=Target(), initial_delivery_count=8
    )
    assert send(made, answer) == [LinkAttached(link)]
    [flow] = frames(made)
    assert isinstance(flow, Flow)
    assert (flow.next_incoming_id, flow.handle, flow.delivery_count, flow.link_credit) == (5, 0, 8, 5)
    [message] = made.receive(write_frame(4, Transfer(2, 0, b"t"), b"x"), 0.0)
    assert message == MessageReceived(link, 0, 0, b"x", settled=False, tag=b"t")


def test_a_refusal_is_an_attach_that_leads_to_nothing_and_a_detach() -> None:
    made, session = begun()
    link = made.attach_receiver(session, "n", "a")
    frames(made)
    error = Error(condition="amqp:not-allowed", description="no")
    answer = Attach(name="n", handle=2, role=SENDER, target=Target(), initial_delivery_count=0)
    events = send(made, answer, Detach(handle=2, closed=True, error=error))
    assert events == [LinkAttached(link), LinkDetached(link=link, error=error, closed=True)]
    assert link.source is None
    assert frames(made) == [Detach(handle=0, closed=True)]
    assert session.links == ()


def test_links_may_be_asked_for_with_the_session() -> None:
    made = client()
    send(made, OPEN)
    session = made.begin()
    link = made.attach_sender(session, "n", "a")
    assert [type(one).__name__ for one in frames(made)] == ["Begin", "Attach"]
    answer = Attach(name="n", handle=9, role=RECEIVER, source=Source(), target=Target())
    assert send(made, BEGUN, answer) == [SessionBegun(session), LinkAttached(link)]


def test_a_link_that_is_given_up_before_its_answer_is_over_with_the_detach_behind_it() -> None:
    made, session = begun()
    link = made.attach_sender(session, "n", "a")
    made.detach(link)
    assert [type(one).__name__ for one in frames(made)] == ["Attach", "Detach"]
    answer = Attach(name="n", handle=9, role=RECEIVER, source=Source(), target=Target())
    assert send(made, answer, CREDIT) == []
    assert send(made, Detach(handle=9, closed=True)) == [LinkDetached(link=link, error=None, closed=True)]


def test_a_session_that_is_given_up_before_its_answer_is_over_with_the_end_behind_it() -> None:
    made = client()
    send(made, OPEN)
    session = made.begin()
    made.end(session)
    assert [type(one).__name__ for one in frames(made)] == ["Begin", "End"]
    assert send(made, BEGUN, End()) == [SessionEnded(session, None)]
    assert made.sessions == ()
    assert made.begin().channel == 0


def test_names_may_be_used_again_but_not_wait_twice() -> None:
    made, session = begun()
    made.attach_sender(session, "n", "a")
    with pytest.raises(UsageError):
        made.attach_sender(session, "n", "b")
    made.attach_receiver(session, "n", "a")
    with pytest.raises(UsageError):
        made.attach_receiver(session, "third", "a")  # the server takes handles 0 and 1


def test_no_more_sessions_than_the_server_takes() -> None:
    made = client()
    send(made, OPEN)
    assert [made.begin().channel for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(UsageError):
        made.begin()


def test_what_is_asked_for_too_late_never_comes() -> None:
    made, session = begun()
    send(made, End())
    frames(made)
    link = made.attach_sender(session, "n", "a")
    receiver = made.attach_receiver(session, "n", "a", credit=5)
    assert (link.attached, receiver.attached, session.links) == (False, False, ())
    assert made.send(link, b"x") is None
    made.grant(receiver, 3)
    made.detach(link)
    made.close("amqp:connection:forced")
    late = made.begin()
    assert not late.mapped
    made.attach_sender(late, "n", "a")
    made.end(late)
    assert frames(made) == [Close(Error(condition="amqp:connection:forced"))]


def test_what_is_left_can_be_asked() -> None:
    made, session = begun()
    assert (made.sessions_left, session.links_left) == (3, 2)
    made.attach_sender(session, "n", "a")
    assert session.links_left == 1


@pytest.mark.parametrize(
    "begin",
    [
        Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1),
        Begin(remote_channel=7, next_outgoing_id=0, incoming_window=1, outgoing_window=1),
    ],
)
def test_a_server_begins_no_session(begin: Begin) -> None:
    made, _ = begun()
    with pytest.raises(ProtocolError) as caught:
        send(made, begin, channel=5)
    assert caught.value.reply == "amqp:not-allowed"
    [close] = frames(made)
    assert isinstance(close, Close)


def test_a_server_attaches_no_link() -> None:
    made, session = begun()
    assert send(made, attach_of(0)) == []
    attach, detach = frames(made)
    assert isinstance(attach, Attach)
    assert attach.target is None
    assert isinstance(detach, Detach)
    assert detach.error is not None
    assert detach.error.condition == "amqp:not-allowed"
    assert session.mapped


def test_a_close_before_the_servers_open_waits_for_it() -> None:
    made = client()
    made.close()
    assert frames(made) == [Close()]
    assert send(made, OPEN) == []
    assert [type(one).__name__ for one in send(made, Close())] == ["ConnectionClosed"]


@pytest.mark.parametrize("answer", [SASL_HEADER, b"HTTP/1.1 400"])
def test_a_server_of_something_else_is_left(answer: bytes) -> None:
    made = AmqpClient(AmqpLimits(), 0.0, container_id="c", hostname="h", sasl=None)
    made.take_output()
    with pytest.raises(ProtocolError):
        made.receive(answer, 0.0)
    assert made.take_output() == b""
    assert made.dead


def test_the_server_hears_from_us_as_often_as_it_asked() -> None:
    made, _ = begun()
    assert made.deadline() == 120
    assert made.on_deadline(120.0) == []
    assert made.take_output() == EMPTY_FRAME
