"""The server's own calls: SASL and open answered, links accepted and refused, each once."""

from dataclasses import replace

import pytest

from edgewire.codec.amqp.frames import AMQP_HEADER, write_frame
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.performatives import SETTLED, UNSETTLED, Attach, Detach, Flow, Open
from edgewire.errors import UsageError
from edgewire.session.amqp.events import AttachReceived
from edgewire.session.amqp.limits import AmqpLimits
from support.amqp_wire import Wire, attach_of, linked


def test_an_open_is_answered_once() -> None:
    wire = Wire()
    with pytest.raises(UsageError):
        wire.server.open()
    wire.transfer(AMQP_HEADER + write_frame(0, Open(container_id="c")))
    wire.server.open()
    assert wire.server.opened
    with pytest.raises(UsageError):
        wire.server.open()


def test_a_link_that_is_accepted_without_figures_gets_those_of_the_limits() -> None:
    wire = Wire(AmqpLimits(link_credit=7, max_message_size=99))
    wire.open()
    wire.begin()
    [asked] = wire.send(attach_of())
    assert isinstance(asked, AttachReceived)
    wire.server.accept_link(asked.link)
    attach, flow = wire.inbox()
    assert isinstance(attach, Attach)
    assert attach.max_message_size == 99
    assert isinstance(flow, Flow)
    assert flow.link_credit == 7


def test_a_link_is_answered_once_and_may_get_no_credit() -> None:
    wire = Wire()
    wire.open()
    wire.begin()
    [asked] = wire.send(attach_of())
    assert isinstance(asked, AttachReceived)
    wire.server.accept_link(asked.link, credit=0)
    assert [type(one).__name__ for one in wire.inbox()] == ["Attach"]
    wire.server.accept_link(asked.link)
    wire.server.refuse_link(asked.link, "amqp:not-allowed", "")
    assert wire.inbox() == []
    assert asked.link.attached


def test_a_sender_says_how_it_settles_whatever_was_wished_for() -> None:
    wire = Wire()
    wire.open()
    wire.begin()
    [asked] = wire.send(replace(attach_of(sends=False), snd_settle_mode=UNSETTLED))
    assert isinstance(asked, AttachReceived)
    wire.server.accept_link(asked.link, snd_settle_mode=SETTLED)
    [attach] = wire.inbox()
    assert isinstance(attach, Attach)
    assert attach.snd_settle_mode == SETTLED


def test_a_refusal_says_where_the_link_leads_instead() -> None:
    wire = Wire()
    wire.open()
    wire.begin()
    [asked] = wire.send(attach_of(sends=False))
    assert isinstance(asked, AttachReceived)
    wire.server.refuse_link(asked.link, "amqp:link:redirect", "", {Symbol("address"): "there"})
    _, detach = wire.inbox()
    assert isinstance(detach, Detach)
    assert detach.error is not None
    assert detach.error.info == {"address": "there"}


def test_the_owner_may_keep_what_it_likes_with_a_link_and_a_session() -> None:
    _, link = linked()
    link.owner = link.session.owner = "mine"
    assert (link.owner, link.session.owner) == ("mine", "mine")
