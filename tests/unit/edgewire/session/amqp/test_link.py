"""Links and deliveries as values: what they show of themselves."""

from dataclasses import replace

from edgewire.codec.amqp.performatives import Source, Target
from edgewire.codec.amqp.types import Symbol
from edgewire.session.amqp.events import AttachReceived
from edgewire.session.amqp.link import Delivery, Partial, Role
from support.amqp_wire import attach_of, linked


def test_a_link_is_known_by_itself_and_says_what_it_is() -> None:
    _, link = linked()
    assert repr(link) == "Link('link', receiver, 'a', attached)"
    assert (link.role, link.role == "receiver", link.attached) == (Role.RECEIVER, True, True)
    assert {link: 1}[link] == 1


def test_what_only_an_attach_needs_is_let_go_of_once_it_is_answered() -> None:
    """Its maps may weigh a megabyte, and a peer may have thousands of links."""
    wire, _ = linked()
    big = {Symbol("k"): "v" * 1_000}
    attach = replace(attach_of(1, name="two"), properties=big, source=Source(dynamic_node_properties=big))
    [asked] = wire.send(attach)
    assert isinstance(asked, AttachReceived)
    link = asked.link
    assert link.properties == big
    wire.server.accept_link(link)
    assert link.attached
    assert (link.address, link.source, link.target) == ("a", Source(), Target(address="a"))
    assert [link.attach.properties, link.attach.source] == [None, None]


def test_a_delivery_says_how_far_it_has_come() -> None:
    _, link = linked()
    delivery = Delivery(link, 3, b"t", settled=False)
    assert repr(delivery) == "Delivery(3, settled=False, state=None)"
    assert (delivery.link, delivery.tag, delivery.owner) == (link, b"t", None)


def test_an_unfinished_message_begins_empty() -> None:
    partial = Partial(1, b"t", 7)
    assert (partial.delivery_id, partial.tag, partial.message_format) == (1, b"t", 7)
    assert (partial.settled, bytes(partial.payload)) == (False, b"")
