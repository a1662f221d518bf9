"""What a message says by name where there are only names and texts: in events of an Event Hub, in records of Kafka."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from gateway.upstream.proxy import Entry

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


def application_properties(entry: Entry) -> Iterator[tuple[str, str]]:
    """What it carries by name: the device's own properties first, then what only the gateway may say."""
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


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
