"""Events as the messages that a reader of the Event Hub-compatible endpoint gets (iothub_wire.md §4.4)."""

from typing import Final

import orjson

from edgewire.codec.amqp.kinds import Symbol, Timestamp
from edgewire.codec.amqp.message import AmqpMessage, write_message
from edgewire.iothub.amqp.messages import write_body, write_sections
from edgewire.iothub.bag import Bag, Direction
from standin.events import End, Numbered
from standin.namespace_log import KeptEvent

TELEMETRY: Final = "Telemetry"
_SAS: Final = "sas"
_CERTIFICATE: Final = "x509"


def write_event(numbered: Numbered | KeptEvent) -> bytes:
    """An event, encoded: what the hub knows of it in annotations, what its sender said where a device says it."""
    if isinstance(numbered, KeptEvent):
        return numbered.write()
    event = numbered.event
    bag = Bag(event.properties, event.system)
    return write_sections(bag, Direction.FROM_DEVICE, annotations_of(numbered)) + write_body(event.body)


def annotations_of(numbered: Numbered) -> dict[str, object]:
    """What the hub notes on an event."""
    event = numbered.event
    enqueued_at = Timestamp(numbered.enqueued_at_ms)
    annotations: dict[str, object] = {
        "x-opt-sequence-number": numbered.number,
        "x-opt-offset": numbered.offset,
        "x-opt-enqueued-time": enqueued_at,
        "x-opt-partition-key": event.device,
        "iothub-connection-device-id": event.device,
    }
    if event.module is not None:
        annotations["iothub-connection-module-id"] = event.module
    if numbered.proof is not None:
        authentication, _, generation = numbered.proof.partition(" ")
        annotations["iothub-connection-auth-method"] = _auth_method(authentication)
        annotations["iothub-connection-auth-generation-id"] = generation
    annotations["iothub-enqueuedtime"] = enqueued_at
    annotations["iothub-message-source"] = TELEMETRY
    return annotations


def write_runtime_metric(end: End, now_ms: int) -> bytes:
    """The delivery annotations that tell a reader where its partition ends; they stand before the event's sections."""
    said = {
        Symbol("last_enqueued_sequence_number"): end.number,
        Symbol("last_enqueued_offset"): end.offset,
        Symbol("last_enqueued_time_utc"): Timestamp(end.enqueued_at_ms),
        Symbol("runtime_info_retrieval_time_utc"): Timestamp(now_ms),
    }
    return write_message(AmqpMessage(delivery_annotations=said))


def _auth_method(authentication: str) -> str:
    kind = _SAS if authentication == _SAS else _CERTIFICATE
    said = {"scope": "device", "type": kind, "issuer": "iothub", "acceptingIpFilterRule": None}
    return orjson.dumps(said).decode()
