"""A device's message as it leaves on behalf of the device: with an id by which a repetition is known."""

from edgewire.iothub.amqp.messages import write_body, write_sections
from edgewire.iothub.bag import Bag, Direction
from gateway.upstream.proxy import Entry


def carry(entry: Entry) -> bytes:
    """The encoded message of `entry`; one without a message id gets the store's entry id, as on the way as the module.

    Whether it is too large is the other end's to say: it counts by its own rules, not by what the encoding takes.
    """
    envelope = entry.message.envelope
    system = envelope.system
    if not system.get("messageId"):
        system = {**system, "messageId": entry.entry_id}
    return write_sections(Bag(envelope.properties, system), Direction.FROM_DEVICE) + write_body(entry.message.body)
