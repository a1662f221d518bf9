"""Addresses below the Event Hub-compatible endpoint, and those of the hub's own that lead there.

`{entity}/ConsumerGroups/{group}/Partitions/{n}` and `$management`, with `amqps://host[:port]` or a slash in front or
not; fixed parts count whatever their case, and so do the names, as in an Event Hub. Spec: iothub_wire.md §4.4.
"""

import re
from typing import Final, NamedTuple

from edgewire.errors import ProtocolError
from edgewire.iothub.limits import MAX_ADDRESS_CHARS
from edgewire.line.escapes import percent_decode

MANAGEMENT: Final = "$management"
DEFAULT_GROUP: Final = "$Default"
OLD_ENTITY: Final = "messages/events"
"""What readers of the first years call the entity, on the hub's own host."""

_START: Final = re.compile(r"(?:amqps?://[^/]+)?/?", re.IGNORECASE)
_PARTITION: Final = re.compile(
    r"(?P<entity>.+)/ConsumerGroups/(?P<group>[^/]+)/Partitions/(?P<partition>[^/]+)", re.IGNORECASE
)


class PartitionAddress(NamedTuple):
    """A partition as one consumer group reads it; `partition` is what the reader wrote, a number or not."""

    entity: str
    group: str
    partition: str

    def path(self, entity: str) -> str:
        """The same below another entity."""
        return f"{entity}/ConsumerGroups/{self.group}/Partitions/{self.partition}"


def parse_partition(text: str) -> PartitionAddress | None:
    """The parts of a partition's address; None for any other."""
    found = _PARTITION.fullmatch(path_of(text))
    if found is None:
        return None
    try:
        group = percent_decode(found["group"], "the consumer group")
    except ProtocolError:
        return None
    return PartitionAddress(found["entity"], group, found["partition"])


def is_management(text: str) -> bool:
    """Whether this is the node that tells what there is to read."""
    return path_of(text).lower() == MANAGEMENT


def is_old_management(text: str) -> bool:
    """Whether this is that node as the hub's own host had it."""
    return path_of(text).lower() == f"{OLD_ENTITY}/{MANAGEMENT}"


def path_of(text: str) -> str:
    """The address without host and first slash; empty if it is longer than any."""
    if len(text) > MAX_ADDRESS_CHARS:
        return ""
    start = _START.match(text)
    return text if start is None else text[start.end() :]
