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

from typing import Final

from azure.eventhub.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from edgewire.iothub.amqp.values import parse_time
from edgewire.message import Envelope
from gateway.upstream.carried import application_properties
from gateway.upstream.proxy import Entry

PARTITION_KEY: Final = "x-opt-partition-key"


def event_of(entry: Entry) -> AmqpAnnotatedMessage:
    """The event of a stored message."""
    envelope = entry.message.envelope
    return AmqpAnnotatedMessage(
        data_body=entry.message.body,
        properties=_properties(envelope, entry.entry_id),
        application_properties=dict(application_properties(entry)),
        annotations={PARTITION_KEY: str(envelope.sender.device)},
    )


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
