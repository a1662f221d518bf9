"""What was sent to the Event Hubs of the namespace: events as they came, by partition, in one SQLite file.

An event keeps its number in its partition, and the number over all of them as its offset, as those of the hub do.
"""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edgewire.codec.amqp.kinds import Timestamp
from edgewire.codec.amqp.message import read_message, write_message
from standin.documents import open_database
from standin.events import End

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sent (
    offset INTEGER PRIMARY KEY, hub TEXT NOT NULL, partition INTEGER NOT NULL, number INTEGER NOT NULL,
    enqueued_at_ms INTEGER NOT NULL, payload BLOB NOT NULL
)
"""
_INDEX: Final = "CREATE UNIQUE INDEX IF NOT EXISTS sent_by_number ON sent (hub, partition, number)"
_READ: Final = """
SELECT offset, number, enqueued_at_ms, payload FROM sent
WHERE hub = ? AND partition = ? AND number >= ? ORDER BY number LIMIT ?
"""
_LAST: Final = """
SELECT number, offset, enqueued_at_ms FROM sent WHERE hub = ? AND partition = ? ORDER BY number DESC LIMIT 1
"""
_NEVER_MS: Final = -62_135_596_800_000
"""The first of the year 1, as .NET writes "never"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    """An event as it was sent, and where it stands."""

    partition: int
    number: int
    offset: str
    enqueued_at_ms: int
    payload: bytes

    def write(self) -> bytes:
        """What a reader gets: the event as it came, with what the service notes on it."""
        message = read_message(self.payload)
        noted = {
            **(message.message_annotations or {}),
            "x-opt-sequence-number": self.number,
            "x-opt-offset": self.offset,
            "x-opt-enqueued-time": Timestamp(self.enqueued_at_ms),
        }
        return write_message(replace(message, header=None, delivery_annotations=None, message_annotations=noted))


class NamespaceFile:
    """The file. A write is committed when the call returns."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.connection = open_database(path)
        self.connection.execute(_SCHEMA)
        self.connection.execute(_INDEX)
        self.clock = clock

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self.connection.close()

    def log(self, hub: str, partitions: int, created_at: float) -> "NamespaceLog":
        """The events of one Event Hub."""
        return NamespaceLog(self, hub, partitions, created_at)


class NamespaceLog:
    """The events of one Event Hub. Has what readers ask of an `EventLog`."""

    def __init__(self, file: NamespaceFile, hub: str, partitions: int, created_at: float) -> None:
        self._file = file
        self._hub = hub
        self.partitions = partitions
        self.created_at = created_at
        self._ends = [self._find_end(partition) for partition in range(partitions)]
        self._followers: dict[Callable[[], None], int] = {}

    def append(self, partition: int, payloads: Sequence[bytes]) -> None:
        """Keep these, together or not at all, behind what the partition has."""
        at_ms = int(self._file.clock() * 1000)
        first = self._ends[partition].number + 1
        rows = [(self._hub, partition, number, at_ms, payload) for number, payload in enumerate(payloads, first)]
        connection = self._file.connection
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO sent VALUES (NULL, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        self._ends[partition] = self._find_end(partition)
        for follower in [each for each, followed in self._followers.items() if followed == partition]:
            follower()

    def count(self) -> int:
        """How many events there are."""
        (count,) = self._file.connection.execute("SELECT COUNT(*) FROM sent WHERE hub = ?", (self._hub,)).fetchone()
        return int(count)

    def end(self, partition: int) -> End:
        """Where this partition ends."""
        return self._ends[partition]

    def begin(self, partition: int) -> int:  # noqa: ARG002 — as an EventLog, where events may be missing
        """The number of the oldest event of this partition, or of the first that will come."""
        return 0

    def read_partition(self, partition: int, start: int, limit: int) -> list[KeptEvent]:
        """Up to `limit` events of this partition from this number on, oldest first."""
        rows = self._file.connection.execute(_READ, (self._hub, partition, start, limit))
        return [
            KeptEvent(partition=partition, number=number, offset=str(offset), enqueued_at_ms=at_ms, payload=payload)
            for offset, number, at_ms, payload in rows
        ]

    def behind_offset(self, partition: int, offset: int, *, inclusive: bool = False) -> int:
        """The number of the first event behind an offset, or at it; one beyond the last if there is none."""
        return self._search(
            partition, offset, lambda event: int(event.offset), bisect_left if inclusive else bisect_right
        )

    def behind_time(self, partition: int, at_ms: int, *, inclusive: bool = False) -> int:
        """The number of the first event enqueued after this time, or at it, as `behind_offset`."""
        return self._search(
            partition, at_ms, lambda event: event.enqueued_at_ms, bisect_left if inclusive else bisect_right
        )

    def follow(self, partition: int, grown: Callable[[], None]) -> None:
        """Call this whenever events of this partition were kept."""
        self._followers[grown] = partition

    def unfollow(self, grown: Callable[[], None]) -> None:
        """Call it no more; a second call does nothing."""
        self._followers.pop(grown, None)

    def _search(self, partition: int, wanted: int, key: Callable[[KeptEvent], int], bisect: Callable[..., int]) -> int:
        numbers = range(self._ends[partition].number + 1)
        return bisect(numbers, wanted, key=lambda number: key(self.read_partition(partition, number, 1)[0]))

    def _find_end(self, partition: int) -> End:
        row = self._file.connection.execute(_LAST, (self._hub, partition)).fetchone()
        number, offset, at_ms = row or (-1, -1, _NEVER_MS)
        return End(number=number, offset=str(offset), enqueued_at_ms=at_ms)
