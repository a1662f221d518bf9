"""Properties of a message as HTTP headers, both ways.

`iothub-app-{name}` is an application property; system properties have names of their own. The rules on names (twice,
reserved, empty) are the bag's. Header names count whatever their case; an application property keeps the case in which
its name was sent. Values are ASCII: what else a header may hold has no agreed meaning (RFC 9110 §5.5).
Spec: iothub_wire.md §3.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.values import format_time
from edgewire.iothub.bag import WIRE_NAMES, Bag, Direction, read_pairs
from edgewire.line.escapes import percent_encode
from edgewire.message import SystemProperties

APPLICATION: Final = "iothub-app-"
"""What the name of an application property follows."""
ENQUEUED_TIME: Final = "iothub-enqueuedtime"
SEQUENCE_NUMBER: Final = "iothub-sequencenumber"
DELIVERY_COUNT: Final = "iothub-deliverycount"
ETAG: Final = "ETag"

_BAG_NAMES: Final[Mapping[str, str]] = {
    "iothub-messageid": "$.mid",
    "iothub-correlationid": "$.cid",
    "iothub-userid": "$.uid",
    "iothub-to": "$.to",
    "iothub-expiry": "$.exp",
    "iothub-ack": "ack",
    "iothub-contenttype": "$.ct",
    "iothub-contentencoding": "$.ce",
    "iothub-creation-time-utc": "$.ctime",
    "iothub-message-schema": "$.schema",
    "iothub-interface-id": "$.ifid",
    "dt-subject": "$.sub",
}
"""Header, in lower case, to the name that a bag has for it."""
_HEADERS: Final[Mapping[Direction, Mapping[str, str]]] = {
    direction: {names[wire]: header for header, wire in _BAG_NAMES.items() if wire in names}
    for direction, names in WIRE_NAMES.items()
}
"""The same from the names that routes use."""

_SAYABLE: Final = re.compile(r"[ -~]*")
_NOT_IN_NAME: Final = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_NOT_IN_VALUE: Final = re.compile(r"[^ -~]|\A +|(?<! ) +\Z")
"""Blanks at the end are looked for where a run of them begins: from each blank of a long run it would be quadratic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What the hub notes on a message to a device; None for what it does not say."""

    lock_token: str | None = None
    sequence_number: int | None = None
    enqueued_at_ms: int | None = None
    delivery_count: int | None = None


def read_headers(fields: Iterable[tuple[str, str]], direction: Direction = Direction.FROM_DEVICE) -> Bag:
    """The properties that headers, or the `properties` of a batch's message, hold; others are passed over.

    Raises ProtocolError (400) for values that are not ASCII and for whatever a bag may not hold.
    """
    wire_names = WIRE_NAMES[direction]
    pairs: list[tuple[str, str | None]] = []
    for name, value in fields:
        folded = name.lower()
        wire = _BAG_NAMES.get(folded)
        if wire is not None and wire in wire_names:
            if value:  # an empty text counts as absent, as in AMQP
                pairs.append((wire, _checked(value, name)))
        elif folded.startswith(APPLICATION):
            pairs.append((_application_name(name, wire_names), _checked(value, name)))
    try:
        return read_pairs(pairs, direction)
    except ProtocolError as error:
        raise ProtocolError(error.what, reply=400, spec=error.spec) from None


def write_headers(bag: Bag, direction: Direction = Direction.TO_DEVICE) -> list[tuple[str, str]]:
    """The headers that hold these properties; system properties without a header in this direction stay behind.

    A character that a header cannot have is percent-encoded, in names and in values.
    """
    fields = _system_headers(bag.system, direction)
    fields += [
        (APPLICATION + _escaped(_NOT_IN_NAME, name), _escaped(_NOT_IN_VALUE, value or ""))
        for name, value in bag.properties.items()
    ]
    return fields


def write_notes(notes: Notes) -> list[tuple[str, str]]:
    """The headers for what the hub notes. The lock token is the ETag, in quotes: clients cut both ends off."""
    fields: list[tuple[str, str]] = []
    if notes.lock_token is not None:
        fields.append((ETAG, f'"{notes.lock_token}"'))
    if notes.sequence_number is not None:
        fields.append((SEQUENCE_NUMBER, str(notes.sequence_number)))
    if notes.enqueued_at_ms is not None:
        fields.append((ENQUEUED_TIME, format_time(notes.enqueued_at_ms, ENQUEUED_TIME)))
    if notes.delivery_count is not None:
        fields.append((DELIVERY_COUNT, str(notes.delivery_count)))
    return fields


def _system_headers(system: SystemProperties, direction: Direction) -> list[tuple[str, str]]:
    known = _HEADERS[direction]
    return [(known[name], _escaped(_NOT_IN_VALUE, value)) for name, value in system.items() if name in known]


def _application_name(header: str, wire_names: Mapping[str, str]) -> str:
    name = header[len(APPLICATION) :]
    if name.startswith("$.") and name.lower() in wire_names:
        # It is no system property here, but behind MQTT it would turn into one.
        raise ProtocolError(f"the property '{name}' has a header of its own", reply=400)
    return name


def _checked(value: str, name: str) -> str:
    if _SAYABLE.fullmatch(value) is None:
        raise ProtocolError(f"the value of '{name[:64]}' has a character that is not printable ASCII", reply=400)
    return value


def _escaped(unfit: re.Pattern[str], text: str) -> str:
    return unfit.sub(lambda found: "%20" * len(found[0]) if found[0][0] == " " else percent_encode(found[0]), text)
