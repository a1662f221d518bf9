"""Links and deliveries as values: what they show of themselves."""

from edgewire.session.amqp.link import Delivery, Partial, Role
from support.amqp_wire import linked


def test_a_link_is_known_by_itself_and_says_what_it_is() -> None:
    _, link = linked()
    assert repr(link) == "Link('link', receiver, 'a', attached)"
    assert (link.role, link.role == "receiver", link.attached) == (Role.RECEIVER, True, True)
    assert {link: 1}[link] == 1


def test_a_delivery_says_how_far_it_has_come() -> None:
    _, link = linked()
    delivery = Delivery(link, 3, b"t", settled=False)
    assert repr(delivery) == "Delivery(3, settled=False, state=None)"
    assert (delivery.link, delivery.tag, delivery.owner) == (link, b"t", None)


def test_an_unfinished_message_begins_empty() -> None:
    partial = Partial(1, b"t", 7)
    assert (partial.delivery_id, partial.tag, partial.message_format) == (1, b"t", 7)
    assert (partial.settled, bytes(partial.payload)) == (False, b"")
