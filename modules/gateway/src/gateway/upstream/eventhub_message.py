"""A device's message as an event of an Event Hub.

| of the device's message | in the event |
|---|---|
| body | body, the bytes as they came |
| application properties | the same; a property without a value becomes an empty one |
| messageId | message-id; without one the store's entry id, so that a duplicate is recognisable |
| cid, userId, to, contentType, contentEncoding, absolute-expiry-time | the AMQP properties of these names |
| creationTime, messageSchema | application properties `iothub-creation-time-utc`, `iothub-message-schema` |
| operation, outputName | application properties `iothub-operation`, `iothub-outputname` |
| dt-subject, iothub-interface-id, ack | application properties of these names |
| sender | application properties `iothub-connection-device-id`, `iothub-connection-module-id` |
| when the gateway took it | application property `iothub-enqueuedtime`, as text in UTC |

IoT Hub itself puts the sender and the time into annotations, which are the service's; a client has application
properties. No device can set these names: its message would be refused (`edgewire.iothub.bag`). The partition key is
the device id, so that a reader finds all events of a device in one partition and in their order.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from azure.eventhub.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from edgewire.iothub.amqp.values import parse_time
from edgewire.message import Envelope
from gateway.upstream.proxy import Entry

PARTITION_KEY: Final = "x-opt-partition-key"
DEVICE: Final = "iothub-connection-device-id"
MODULE: Final = "iothub-connection-module-id"
ENQUEUED: Final = "iothub-enqueuedtime"
_OTHERS: Final = {
    "creationTime": "iothub-creation-time-utc",
    "messageSchema": "iothub-message-schema",
    "operation": "iothub-operation",
    "outputName": "iothub-outputname",
    "dt-subject": "dt-subject",
    "iothub-interface-id": "iothub-interface-id",
    "ack": "ack",
}
"""System properties that AMQP has no place for, and the application properties they become."""


def event_of(entry: Entry) -> AmqpAnnotatedMessage:
    """The event of a stored message."""
    envelope = entry.message.envelope
    return AmqpAnnotatedMessage(
        data_body=entry.message.body,
        properties=_properties(envelope, entry.entry_id),
        application_properties=dict(application_properties(entry)),
        annotations={PARTITION_KEY: str(envelope.sender.device)},
    )


def application_properties(entry: Entry) -> Iterator[tuple[str, str]]:
    """What the event carries by name: the device's own properties first, then what only the gateway may say."""
    envelope = entry.message.envelope
    for name, value in envelope.properties.items():
        yield name, value or ""
    for name, carried in _OTHERS.items():
        if name in envelope.system:
            yield carried, envelope.system[name]
    yield DEVICE, envelope.sender.device
    if envelope.sender.module is not None:
        yield MODULE, envelope.sender.module
    yield ENQUEUED, _text(entry.received_at_ms)


def _properties(envelope: Envelope, entry_id: str) -> AmqpMessageProperties:
    system = envelope.system
    user = system.get("userId")
    return AmqpMessageProperties(
        message_id=system.get("messageId") or entry_id,
        correlation_id=system.get("cid"),
        user_id=None if user is None else user.encode(),
        to=system.get("to"),
        content_type=system.get("contentType"),
        content_encoding=system.get("contentEncoding"),
        absolute_expiry_time=parse_time(system.get("absolute-expiry-time", "")),
    )


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
