"""From a bag to an envelope, and how large a message counts."""

from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import Bag, Direction, bag_size
from edgewire.iothub.limits import (
    MAX_MESSAGE_BYTES,
    MAX_TOPIC_BYTES,
    SENDER_ROOM_BYTES,
    SENDER_ROOM_TOPIC_BYTES,
)
from edgewire.message import Envelope, Identity, Message, MessageSource, Properties

RETAINED: Final[Properties] = {"mqtt-retain": "true"}
"""The mark of a PUBLISH with RETAIN set: nothing is retained, the message says so instead."""
DUPLICATE: Final[Properties] = {"mqtt-dup": "true"}
"""The mark of a PUBLISH with DUP set."""
WILL: Final[Properties] = {"MessageType": "Will"}
"""The mark of a will, by edgeHub's name for it (IoT Hub itself calls it iothub-MessageType)."""
NO_MARKS: Final[Properties] = {}


def envelope_for(sender: Identity, bag: Bag, *, marks: Properties = NO_MARKS) -> Envelope:
    """The envelope of telemetry from `sender`, which the caller has authenticated.

    `marks` are application properties that the head adds; they win over the sender's own of the same name.
    """
    system = dict(bag.system)
    system["connectionDeviceId"] = sender.device
    if sender.module is not None:
        system["connectionModuleId"] = sender.module
    return Envelope(
        sender=sender, properties=_marked(bag.properties, marks), system=system, source=MessageSource.TELEMETRY
    )


def envelope_size(envelope: Envelope) -> int:
    """What an envelope adds to the size of its messages: the characters of all names and values. edgehub.md §3.1."""
    size = sum(map(len, envelope.properties)) + sum(map(len, envelope.system))
    size += sum(len(value) for value in envelope.properties.values() if value is not None)
    return size + sum(map(len, envelope.system.values()))


def message_size(message: Message) -> int:
    """What a message counts against MAX_MESSAGE_BYTES: its body's bytes and its envelope's size."""
    return len(message.body) + envelope_size(message.envelope)


def passing_size(envelope: Envelope) -> int:
    """What an envelope takes of MAX_MESSAGE_BYTES where its messages are passed on with their sender's names.

    As properties are counted, or as a topic holds them escaped, whichever is more: both are bounded by the same figure.
    Raises ProtocolError if no topic can hold it.
    """
    topic_bytes = bag_size(envelope.properties, envelope.system, Direction.FROM_DEVICE) + SENDER_ROOM_TOPIC_BYTES
    if topic_bytes > MAX_TOPIC_BYTES:
        raise ProtocolError(
            f"its properties take {topic_bytes} bytes escaped, with room for the names of the sender; a topic holds "
            f"{MAX_TOPIC_BYTES}"
        )
    return max(envelope_size(envelope) + SENDER_ROOM_BYTES, topic_bytes)


def check_size(message: Message) -> None:
    """Raise ProtocolError if the message is larger than IoT Hub takes."""
    size = message_size(message)
    if size > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"the message counts {size} bytes with its properties; the limit is {MAX_MESSAGE_BYTES}")


def _marked(properties: Properties, marks: Properties) -> Properties:
    if not marks:
        return properties
    names = {name.lower() for name in marks}
    return {name: value for name, value in properties.items() if name.lower() not in names} | dict(marks)
