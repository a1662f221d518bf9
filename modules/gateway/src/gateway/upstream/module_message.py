"""A device's message as this module sends it on: what azure-iot-device carries, and how.

| of the device's message | upstream |
|---|---|
| body | body |
| application properties | the same; a property without a value becomes an empty one (the SDK has no other) |
| messageId | message id; without one the store's entry id, so that a duplicate is recognisable |
| cid, userId, contentType, contentEncoding, absolute-expiry-time | the SDK's fields |
| creationTime, messageSchema, dt-subject, iothub-interface-id, to, ack, operation | by their names on the wire |
| sender | application properties `leafDeviceId`, `leafModuleId`; the sender cannot set them itself |
| outputName | application property `leafOutputName`: the message leaves by an output of the gateway |
| sender that is a gateway below this one | these three as it wrote them; itself as the last of `leafGatewayId` |

Not carried: RETAIN, DUP and will marks are ordinary properties already; enqueued time, delivery count and lock token
are the hub's own. The hub sees the gateway's module as the sender (connectionDeviceId, connectionModuleId); the three
names follow Azure's identity translation samples, which write `leafdeviceid` (names compare without case). A gateway
below lets no device set them, as this one does not; so what it says is handed on, and nobody else is believed.
"""

from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import quote

from azure.iot.device import Message as SdkMessage

from edgewire.iothub.bag import WIRE_NAMES, Direction
from edgewire.iothub.limits import MAX_ID_CHARS, MAX_MESSAGE_BYTES, MAX_PACKET_BYTES, MAX_TOPIC_BYTES
from edgewire.message import Envelope, Identity
from gateway.upstream.proxy import Entry

LEAF_DEVICE: Final = "leafDeviceId"
LEAF_MODULE: Final = "leafModuleId"
LEAF_OUTPUT: Final = "leafOutputName"
LEAF_GATEWAY: Final = "leafGatewayId"
_LEAF: Final = (LEAF_DEVICE, LEAF_MODULE, LEAF_OUTPUT, LEAF_GATEWAY)
LEAF_NAMES: Final = frozenset(map(str.lower, _LEAF))

_FIELDS: Final = {
    "messageId": "message_id",
    "cid": "correlation_id",
    "userId": "user_id",
    "contentType": "content_type",
    "contentEncoding": "content_encoding",
    "absolute-expiry-time": "expiry_time_utc",
}
"""System property to attribute of the SDK's message."""
_OWN_PLACE: Final = frozenset(_FIELDS) | {"outputName"}
_WIRE: Final = {name: wire for wire, name in WIRE_NAMES[Direction.FROM_DEVICE].items() if name not in _OWN_PLACE}
"""System property to name on the wire, for those the SDK has no attribute for: it sends such a name as it is."""
_NOT_PROPERTIES: Final = frozenset(WIRE_NAMES[Direction.FROM_DEVICE]) | frozenset(WIRE_NAMES[Direction.TO_DEVICE])

_EDGEHUB_ADDS: Final = 512
"""What edgeHub puts into a message before it measures: its id, its origin, the gateway's two ids. edgehub.md §3.1."""
_TOPIC_START: Final = 64 + 2 * 3 * MAX_ID_CHARS
"""`devices/…/modules/…/messages/events/`, ids fully escaped, and the packet's header."""
_MOST_BYTES_PER_CHAR: Final = 12
"""Four bytes of UTF-8, each escaped with three."""


class NotCarriedError(Exception):
    """The message cannot go upstream as this module, ever; the text says why."""


def carry(entry: Entry, output: str, below: Collection[Identity] = ()) -> SdkMessage:
    """The SDK's message for `entry`, to leave by `output`; `below` are the modules of gateways below this one.

    Raises NotCarriedError if edgeHub would not take it: it acknowledges and loses a message above its limit, and
    closes the connection on a larger packet (edgehub.md §4.6), so neither may leave here.
    """
    envelope = entry.message.envelope
    sdk = SdkMessage(entry.message.body, message_id=entry.entry_id, output_name=output)
    for name, attribute in _FIELDS.items():
        value = envelope.system.get(name)
        if value:
            setattr(sdk, attribute, value)
    sdk.custom_properties = dict(_properties(envelope, below))
    _check_size(sdk, len(entry.message.body))
    return sdk


def _properties(envelope: Envelope, below: Collection[Identity]) -> Iterator[tuple[str, str]]:
    for name, value in envelope.properties.items():
        if name not in _NOT_PROPERTIES and name.lower() not in LEAF_NAMES:
            yield name, value or ""
    for name, wire in _WIRE.items():
        if name in envelope.system:
            yield wire, envelope.system[name]
    yield from _origin(envelope, is_gateway=envelope.sender in below)


def _origin(envelope: Envelope, *, is_gateway: bool) -> Iterator[tuple[str, str]]:
    """Who has sent it: the sender, or whom the sender names, if that is a gateway which hands on."""
    if is_gateway and envelope.properties.get(LEAF_DEVICE):
        named = {name: envelope.properties.get(name) or "" for name in _LEAF}
        # The way it came, the nearest last: that one has logged in here, those before are its word.
        named[LEAF_GATEWAY] = ",".join(filter(None, (named[LEAF_GATEWAY], str(envelope.sender))))
        yield from ((name, value) for name, value in named.items() if value)
        return
    yield LEAF_DEVICE, envelope.sender.device
    if envelope.sender.module is not None:
        yield LEAF_MODULE, envelope.sender.module
    if "outputName" in envelope.system:
        yield LEAF_OUTPUT, envelope.system["outputName"]


def _check_size(sdk: SdkMessage, body_bytes: int) -> None:
    pairs = [(attribute, getattr(sdk, attribute)) for attribute in ("output_name", *_FIELDS.values())]
    pairs = [(name, value) for name, value in pairs if value] + list(sdk.custom_properties.items())
    chars = sum(len(name) + len(value) for name, value in pairs)
    if body_bytes + chars + _EDGEHUB_ADDS > MAX_MESSAGE_BYTES:
        raise NotCarriedError(
            f"it counts {body_bytes + chars} bytes with the properties that name its sender; edgeHub takes at most "
            f"{MAX_MESSAGE_BYTES - _EDGEHUB_ADDS}"
        )
    most_topic_bytes = _TOPIC_START + _MOST_BYTES_PER_CHAR * chars
    if most_topic_bytes <= MAX_TOPIC_BYTES and body_bytes + most_topic_bytes <= MAX_PACKET_BYTES:
        return
    topic_bytes = _TOPIC_START + sum(len(quote(name)) + len(quote(value)) + 2 for name, value in pairs)
    if topic_bytes > MAX_TOPIC_BYTES or body_bytes + topic_bytes > MAX_PACKET_BYTES:
        raise NotCarriedError(
            f"its topic with all properties escaped takes {topic_bytes} bytes and its body {body_bytes}; an MQTT "
            f"topic takes at most {MAX_TOPIC_BYTES}, a packet to edgeHub {MAX_PACKET_BYTES}"
        )
