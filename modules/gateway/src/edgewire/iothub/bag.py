"""The property bag at the end of a topic: `name=value&name`, percent-encoded, both ways.

Differences from edgeHub (docs/deviations.md): one leading `?` is dropped, as IoT Hub does; a name that only the
gateway may give is refused, or dropped where honest modules send it on.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple

from edgewire.errors import ProtocolError
from edgewire.iothub.limits import MAX_PROPERTIES
from edgewire.line.escapes import percent_encode, percent_encoded_size
from edgewire.line.names import BagNames, sort_pairs, split_bag
from edgewire.message import Properties, SystemProperties


class Direction(Enum):
    """Which way a bag travels; each way has its own system properties."""

    FROM_DEVICE = "from device"
    """Telemetry: written by a device or module, read by the hub."""
    TO_DEVICE = "to device"
    """C2D and module inputs: written by the hub, read by a device or module."""


class Bag(NamedTuple):
    """Application properties by their names; system properties by the names that routes use."""

    properties: Properties
    system: SystemProperties


_BOTH_WAYS: Final = {
    "$.mid": "messageId",
    "$.cid": "cid",
    "$.uid": "userId",
    "$.to": "to",
    "$.ct": "contentType",
    "$.ce": "contentEncoding",
    "$.exp": "absolute-expiry-time",
    "$.ctime": "creationTime",
    "$.schema": "messageSchema",
    "$.sub": "dt-subject",
    "ack": "ack",
    "iothub-operation": "operation",
}
WIRE_NAMES: Final[Mapping[Direction, Mapping[str, str]]] = {
    Direction.FROM_DEVICE: _BOTH_WAYS | {"$.ifid": "iothub-interface-id", "$.on": "outputName"},
    Direction.TO_DEVICE: _BOTH_WAYS | {"$.cdid": "connectionDeviceId", "$.cmid": "connectionModuleId"},
}
"""Name on the wire to name in routes, compared with case."""

_WIRE_OF: Final = {direction: {name: wire for wire, name in names.items()} for direction, names in WIRE_NAMES.items()}

_NAMES: Final = {
    Direction.FROM_DEVICE: BagNames(
        most=MAX_PROPERTIES,
        system=WIRE_NAMES[Direction.FROM_DEVICE],
        # In a route an application property called '$connectionDeviceId' would hide the real one (edgehub.md §2.4).
        reserved=frozenset(
            {
                "iothub-enqueuedtime",
                "iothub-message-source",
                "$enqueuedtime",
                "$edgemessageid",
                "$edgehuborigininterface",
                "$rpsenderdeviceid",
                "$rpsendermoduleid",
            }
        ),
        reserved_starts=("iothub-connection-", "$connection"),
        # A module that passes on a message it got at its input sends these too: the SDKs keep them as properties.
        dropped=frozenset({"$.cdid", "$.cmid"}),
    ),
    Direction.TO_DEVICE: BagNames(most=MAX_PROPERTIES, system=WIRE_NAMES[Direction.TO_DEVICE]),
}


def read_bag(text: str, direction: Direction = Direction.FROM_DEVICE) -> Bag:
    """The properties that a bag holds; a name without `=` has the value None.

    Raises ProtocolError for an empty name, a second `=`, a broken escape, a name given twice (in any case), a name
    that only the gateway may give, or too many of them.
    """
    return Bag(*split_bag(text, _NAMES[direction]))


def write_bag(properties: Properties, system: SystemProperties, direction: Direction = Direction.TO_DEVICE) -> str:
    """The bag that holds these properties, system properties first and spelt `%24.`, as C clients compare them.

    System properties that have no name on the wire in this direction stay behind.
    """
    wire_names = WIRE_NAMES[direction]
    pairs = [_write_pair(wire, system[name]) for wire, name in wire_names.items() if name in system]
    pairs += [_write_pair(name, value) for name, value in properties.items() if name not in wire_names]
    return "&".join(pairs)


def bag_size(properties: Properties, system: SystemProperties, direction: Direction = Direction.TO_DEVICE) -> int:
    """How long `write_bag` of the same would be, without writing it: this is asked once per message."""
    known, wire_names = _WIRE_OF[direction], WIRE_NAMES[direction]
    texts: list[str] = []
    for name, value in system.items():
        wire = known.get(name)
        if wire is not None:
            texts += (wire, value)
    separators = len(texts)
    for name, said in properties.items():
        if name in wire_names:
            continue
        texts.append(name)
        separators += 1
        if said is not None:
            texts.append(said)
            separators += 1
    return percent_encoded_size("".join(texts)) + max(0, separators - 1)


def merge_user_properties(bag: Bag, user_properties: Iterable[tuple[str, str]], content_type: str | None) -> Bag:
    """The topic's bag, with the user properties and the content type of an MQTT 5 PUBLISH.

    User properties carry the same names as a decoded bag (`$.mid`, `$.ce`, …) and need no escapes. Both may say the
    same content type: a bridge's topic says what its publishers may say, too.
    Raises ProtocolError if another name comes twice, wherever it comes from, or for what `read_bag` refuses.
    """
    wire_of = {name: wire for wire, name in WIRE_NAMES[Direction.FROM_DEVICE].items()}
    pairs: list[tuple[str, str | None]] = [(wire_of[name], value) for name, value in bag.system.items()]
    pairs += bag.properties.items()
    pairs += user_properties
    if content_type is not None and content_type != bag.system.get("contentType"):
        pairs.append(("$.ct", content_type))
    return read_pairs(pairs, Direction.FROM_DEVICE)


def read_pairs(pairs: Collection[tuple[str, str | None]], direction: Direction) -> Bag:
    """The bag of names and values that came apart, under the names that a bag gives them (`$.mid`, …).

    Raises ProtocolError for a name or a number of them that `read_bag` refuses.
    """
    if len(pairs) > MAX_PROPERTIES:
        raise ProtocolError(f"the message has more than {MAX_PROPERTIES} properties")
    return Bag(*sort_pairs(pairs, _NAMES[direction]))


def _write_pair(name: str, value: str | None) -> str:
    return percent_encode(name) if value is None else f"{percent_encode(name)}={percent_encode(value)}"
