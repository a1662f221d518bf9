"""Where a reader begins: the filter on its link, as a position in a partition (iothub_wire.md §4.4)."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgewire.codec.amqp.conditions import ARGUMENT_ERROR, ARGUMENT_OUT_OF_RANGE, NOT_IMPLEMENTED
from edgewire.codec.amqp.kinds import Described
from edgewire.codec.amqp.performatives import Map
from edgewire.errors import ProtocolError
from standin.events import EventLog
from standin.namespace_log import NamespaceLog

FILTER: Final = "apache.org:selector-filter:string"
LATEST: Final = "@latest"
START: Final = "-1"
MAX_SELECTOR_CHARS: Final = 256
"""The longest that a client writes has some sixty."""
_SELECTOR: Final = re.compile(
    r"\s*amqp\.annotation\.(x-opt-offset|x-opt-sequence-number|x-opt-enqueued-time)\s*"
    r"(>=?)\s*(?:'([^']*)'|(-?[0-9]+))\s*"
)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")


class Field(Enum):
    """What a selector compares; the values are the annotations of an event."""

    OFFSET = "x-opt-offset"
    SEQUENCE_NUMBER = "x-opt-sequence-number"
    ENQUEUED_TIME = "x-opt-enqueued-time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """All events whose `field` is larger than `value`, or as large if `inclusive`."""

    field: Field
    inclusive: bool
    value: str


FROM_START: Final = Selector(field=Field.OFFSET, inclusive=False, value=START)
"""What a link without a filter reads."""


def read_filter(filters: Map | None) -> Selector:
    """The selector among a source's filters. Raises ProtocolError for a filter of another kind or with another text."""
    if not filters:
        return FROM_START
    if set(filters) != {FILTER}:
        raise ProtocolError(f"filters other than {FILTER} are not supported", reply=NOT_IMPLEMENTED)
    said = filters[FILTER]
    text = said.value if isinstance(said, Described) else said
    if not isinstance(text, str):
        raise ProtocolError("the selector is no text", reply=ARGUMENT_ERROR)
    return parse_selector(text)


def parse_selector(text: str) -> Selector:
    """The parts of a selector such as `amqp.annotation.x-opt-offset > '-1'`. Raises ProtocolError."""
    found = None if len(text) > MAX_SELECTOR_CHARS else _SELECTOR.fullmatch(text)
    if found is None:
        known = ", ".join(field.value for field in Field)
        what = f"the selector {text[:80]!r} is none: one of {known}, '>' or '>=', a value in quotes"
        raise ProtocolError(what, reply=ARGUMENT_ERROR)
    name, operator, quoted, bare = found.groups()
    return Selector(field=Field(name), inclusive=operator == ">=", value=quoted if bare is None else bare)


def start_of(selector: Selector, log: EventLog | NamespaceLog, partition: int) -> int:
    """The number of the first event that a reader with this selector gets.

    Raises ProtocolError for a value that is none, or that lies behind the end: it is from another hub, or from a run
    directory that is no more.
    """
    end = log.end(partition)
    if selector.field is Field.OFFSET and selector.value == LATEST:
        return end.number + 1
    if _NUMBER.fullmatch(selector.value) is None:
        what = f"{selector.value[:40]!r} is no value for {selector.field.value}"
        raise ProtocolError(what, reply=ARGUMENT_ERROR)
    value = int(selector.value)
    match selector.field:
        case Field.OFFSET:
            _check(value, int(end.offset), "offset")
            return log.behind_offset(partition, value, inclusive=selector.inclusive)
        case Field.SEQUENCE_NUMBER:
            # The number that comes next is a place to wait at.
            _check(value - selector.inclusive, end.number, "sequence number")
            return max(value + (not selector.inclusive), log.begin(partition))
        case Field.ENQUEUED_TIME:
            return log.behind_time(partition, value, inclusive=selector.inclusive)


def _check(value: int, last: int, what: str) -> None:
    if value > last:
        raise ProtocolError(
            f"the supplied {what} '{value}' is invalid; the last {what} in the system is '{last}'",
            reply=ARGUMENT_OUT_OF_RANGE,
        )
