"""What arrived in the cloud: events with a sequence number, kept in the order of arrival.

Each event belongs to the partition of its device, and has a number there: what an Event Hub calls its sequence number,
counted from 0. The number over all partitions is its offset, which readers take for a text that only grows.
"""

import asyncio
import base64
import codecs
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Final
from zlib import crc32

import orjson

from edgewire.message import Envelope, Identity, Message
from standin.documents import JsonObject, open_database
from standin.journal import Statement

PARTITIONS: Final = 4
"""How many partitions a hub gets that nobody says anything else of; IoT Hub's own default."""
MAX_PARTITIONS: Final = 32
"""IoT Hub's own limit in its standard tiers."""
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY, enqueued_at REAL NOT NULL, device TEXT NOT NULL, module TEXT,
    properties BLOB NOT NULL, system BLOB NOT NULL, body BLOB NOT NULL,
    partition INTEGER, number INTEGER, proof TEXT
)
"""
_ADDED: Final = (("partition", "INTEGER"), ("number", "INTEGER"), ("proof", "TEXT"))
"""Columns that the files of older versions have not."""
_PARTITIONING: Final = "CREATE TABLE IF NOT EXISTS partitioning (partitions INTEGER NOT NULL, created_at REAL NOT NULL)"
_INDEX: Final = "CREATE UNIQUE INDEX IF NOT EXISTS events_by_number ON events (partition, number)"
_NUMBER_OLDER: Final = """
UPDATE events SET number = counted.number
FROM (SELECT sequence, ROW_NUMBER() OVER (PARTITION BY partition ORDER BY sequence) - 1 AS number FROM events) counted
WHERE counted.sequence = events.sequence
"""
_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS: Final = (256, 32, 4, 1)
"""How many rows one statement appends. SQLite takes the interpreter's lock anew for each statement, so a row in each
would have the thread that commits wait for the event loop at every message."""
_APPEND: Final = {
    rows: f"INSERT INTO events VALUES {', '.join([_ROW] * rows)}"  # noqa: S608 - made of question marks
    for rows in _ROWS
}
_COLUMNS: Final = 10
_READ: Final = "SELECT * FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?"
_READ_PARTITION: Final = (
    "SELECT * FROM events WHERE partition = ? AND number >= ? AND number <= ? ORDER BY number LIMIT ?"
)
_ENDS: Final = "SELECT MIN(number), MAX(number) FROM events WHERE partition = ?"

Proof = Callable[[Identity], str | None]
"""How an identity has proven itself, as `proof_text` writes it."""


class EventLogError(Exception):
    """The file of events is not for this hub; the sentence says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One message as the cloud keeps it. `enqueued_at`: seconds since 1970, UTC."""

    sequence: int
    enqueued_at: float
    device: str
    module: str | None
    properties: Mapping[str, str | None]
    system: Mapping[str, str]
    body: bytes

    @property
    def output(self) -> str | None:
        """The module output it came from, if any."""
        return self.system.get("outputName")

    def to_json(self) -> JsonObject:
        """For programs: the body as text if it is UTF-8, in base64 otherwise."""
        return {
            "sequence": self.sequence,
            "enqueuedTime": datetime.fromtimestamp(self.enqueued_at, UTC).isoformat(timespec="milliseconds"),
            "device": self.device,
            "module": self.module,
            "output": self.output,
            "properties": dict(self.properties),
            "systemProperties": dict(self.system),
            **_body_json(self.body),
        }

    def shown(self, most: int) -> JsonObject:
        """The same for a page, which may list hundreds: no more than so many bytes of the body, and how many it has."""
        beginning = self.body[:most]
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(beginning, final=beginning == self.body)
        except UnicodeDecodeError:
            text = None
        event = replace(self, body=beginning if text is None else text.encode())
        return {**event.to_json(), "bytes": len(self.body), "bodyCut": beginning != self.body}


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """An event as a reader of its partition sees it. `proof`: how its sender was known, None for old events."""

    partition: int
    number: int
    proof: str | None
    event: Event

    @property
    def offset(self) -> str:
        """Where it stands, in the words of an Event Hub."""
        return str(self.event.sequence)

    @property
    def enqueued_at_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return _milliseconds(self.event.enqueued_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a partition ends: its newest event, or what stands for it where there is none."""

    number: int
    offset: str
    enqueued_at_ms: int


_NEVER: Final = (-1, -1, -62_135_596_800.0)
"""Where a partition without events ends; the time is the first of the year 1, as .NET writes "never"."""


_Last = tuple[int, int, float]
"""The newest event of a partition: its number, its sequence, when it was enqueued."""


def event_for(sequence: int, enqueued_at: float, message: Message) -> Event:
    """The event this message becomes."""
    envelope = message.envelope
    return Event(
        sequence=sequence,
        enqueued_at=enqueued_at,
        device=envelope.sender.device,
        module=envelope.sender.module,
        properties=envelope.properties,
        system=envelope.system,
        body=message.body,
    )


def from_json(document: JsonObject) -> Event:
    """The event a `to_json` document describes."""
    body = document.get("body")
    return Event(
        sequence=document["sequence"],
        enqueued_at=datetime.fromisoformat(document["enqueuedTime"]).timestamp(),
        device=document["device"],
        module=document["module"],
        properties=document["properties"],
        system=document["systemProperties"],
        body=base64.b64decode(document["bodyBase64"]) if body is None else body.encode(),
    )


class EventLog:
    """The events of one run directory; what is listed is committed.

    `partitions`: as many as the file has, if nothing is said, and PARTITIONS in a new one. `proof` is asked once for
    the messages of an envelope that are numbered together. Raises EventLogError if the file has another number.
    """

    def __init__(self, path: Path, *, partitions: int | None = None, proof: Proof | None = None) -> None:
        self._connection = open_database(path)
        try:
            self.partitions, self.created_at = _prepare(self._connection, partitions)
        except BaseException:
            self._connection.close()
            raise
        (last,) = self._connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM events").fetchone()
        self._numbered = int(last)
        self.last_sequence = int(last)
        """The newest committed event; 0 if there is none."""
        self._proof = proof
        self._grown = asyncio.Event()
        self._ends = [self._find_end(partition) for partition in range(self.partitions)]
        self._next = [number + 1 for number, _, _ in self._ends]
        self._tails: dict[int, dict[int, _Last]] = {}
        """What batches on their way to the disk add to their partitions, by their last sequence number."""
        self._followers: dict[Callable[[], None], int] = {}

    def number(self, enqueued_at: float, messages: Sequence[Message]) -> tuple[int, list[Statement]]:
        """The number of the first of these events, and the statements that keep them all."""
        first = self._numbered + 1
        self._numbered += len(messages)
        values = self._values(first, enqueued_at, messages)
        statements: list[Statement] = []
        at = 0
        for rows in _ROWS:
            taken = rows * _COLUMNS
            while len(values) - at >= taken:
                statements.append((_APPEND[rows], values[at : at + taken]))
                at += taken
        return first, statements

    def committed(self, last: int) -> None:
        """The events up to this one, numbered together, are on disk: they may be listed."""
        self.last_sequence = last
        self._grown.set()
        self._grown = asyncio.Event()
        tail = self._tails.pop(last)
        for partition, end in tail.items():
            self._ends[partition] = end
        if self._followers:
            for follower in [each for each, partition in self._followers.items() if partition in tail]:
                follower()

    def lost(self, last: int) -> None:
        """The events up to this one, numbered together, could not be kept; their numbers are not given again."""
        del self._tails[last]

    def read(self, after: int = 0, limit: int = 1000) -> list[Event]:
        """Up to `limit` events behind the sequence number `after`, oldest first."""
        rows = self._connection.execute(_READ, (after, limit))
        return [_from_row(row) for row in rows]

    def count(self) -> int:
        """How many events there are."""
        (count,) = self._connection.execute("SELECT COUNT(*) FROM events").fetchone()
        return int(count)

    async def wait(self, after: int, count: int = 1, *, timeout_s: float) -> list[Event]:
        """The events behind `after`, at the latest when there are `count` of them, or when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.last_sequence < after + count:
                    await self._grown.wait()
        except TimeoutError:
            pass  # fewer are the answer then
        return self.read(after, max(count, 1000))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._connection.close()

    # What readers of partitions ask

    def partition_of(self, device: str) -> int:
        """The partition of this device's events, the same at every start."""
        return partition_of(device, self.partitions)

    def end(self, partition: int) -> End:
        """Where this partition ends."""
        number, sequence, enqueued_at = self._ends[partition]
        return End(number=number, offset=str(sequence), enqueued_at_ms=_milliseconds(enqueued_at))

    def begin(self, partition: int) -> int:
        """The number of the oldest event of this partition, or of the first that will come."""
        (number, _) = self._connection.execute(_ENDS, (partition,)).fetchone()
        return 0 if number is None else int(number)

    def read_partition(self, partition: int, start: int, limit: int) -> list[Numbered]:
        """Up to `limit` events of this partition from this number on, oldest first, none behind its end."""
        # A row may be there before `committed` has told of it.
        last = self._ends[partition][0]
        return self._read_numbers(partition, start, last, limit) if start <= last else []

    def behind_offset(self, partition: int, offset: int, *, inclusive: bool = False) -> int:
        """The number of the first event behind an offset, or at it; one beyond the last if there is none."""
        return self._search(partition, offset, _sequence_of, bisect_left if inclusive else bisect_right)

    def behind_time(self, partition: int, at_ms: int, *, inclusive: bool = False) -> int:
        """The number of the first event enqueued after this time, or at it, as `behind_offset`.

        By halving, so that a clock that was set back makes it one of several.
        """
        return self._search(partition, at_ms, _time_of, bisect_left if inclusive else bisect_right)

    def follow(self, partition: int, grown: Callable[[], None]) -> None:
        """Call this whenever events of this partition were committed."""
        self._followers[grown] = partition

    def unfollow(self, grown: Callable[[], None]) -> None:
        """Call it no more; a second call does nothing."""
        self._followers.pop(grown, None)

    def _search(self, partition: int, wanted: int, key: "_Key", bisect: Callable[..., int]) -> int:
        numbers = range(self.begin(partition), self._ends[partition][0] + 1)

        def value(number: int) -> int:
            # The next one, where a number is missing since its event could not be kept.
            [found] = self.read_partition(partition, number, 1)
            return key(found)

        return numbers.start + bisect(numbers, wanted, key=value)

    def _read_numbers(self, partition: int, start: int, last: int, limit: int) -> list[Numbered]:
        rows = self._connection.execute(_READ_PARTITION, (partition, start, last, limit))
        return [_numbered(row) for row in rows]

    def _find_end(self, partition: int) -> _Last:
        (_, last) = self._connection.execute(_ENDS, (partition,)).fetchone()
        if last is None:
            return _NEVER
        [found] = self._read_numbers(partition, last, last, 1)
        return found.number, found.event.sequence, found.event.enqueued_at

    def _values(self, first: int, enqueued_at: float, messages: Sequence[Message]) -> list[object]:
        """The rows of these messages, one behind the other; what an envelope says is written once for all it serves."""
        values: list[object] = []
        numbers = self._next
        tail: dict[int, _Last] = {}
        envelope: Envelope | None = None
        device, module, properties, system, partition, proof = "", None, b"", b"", 0, None
        for sequence, message in enumerate(messages, first):
            if message.envelope is not envelope:
                if envelope is None or message.envelope.properties != envelope.properties:
                    properties = orjson.dumps(dict(message.envelope.properties))
                envelope = message.envelope
                sender = envelope.sender
                device, module = sender.device, sender.module
                system = orjson.dumps(dict(envelope.system))
                partition = partition_of(device, self.partitions)
                proof = None if self._proof is None else self._proof(sender)
            number = numbers[partition]
            numbers[partition] = number + 1
            tail[partition] = (number, sequence, enqueued_at)
            row = (sequence, enqueued_at, device, module, properties, system, message.body, partition, number, proof)
            values += row
        if tail:
            self._tails[self._numbered] = tail
        return values


_Key = Callable[[Numbered], int]


def proof_text(authentication: str, generation_id: str) -> str:
    """How a sender is known: the registry's word for its kind of credentials, and its generation."""
    return f"{authentication} {generation_id}"


def partition_of(device: str, partitions: int) -> int:
    """Which of so many partitions keeps the events of this device."""
    return crc32(device.encode()) % partitions


def _sequence_of(numbered: Numbered) -> int:
    return numbered.event.sequence


def _time_of(numbered: Numbered) -> int:
    return numbered.enqueued_at_ms


def _milliseconds(time_s: float) -> int:
    return int(time_s * 1000)


def _prepare(connection: Connection, partitions: int | None) -> tuple[int, float]:
    """Make the tables, or bring those of an older version up to date. Returns how many partitions, since when."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(SCHEMA)
        connection.execute(_PARTITIONING)
        count, created_at = _partitions(connection, partitions)
        _add_columns(connection, count)
        connection.execute(_INDEX)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return count, created_at


def _partitions(connection: Connection, wanted: int | None) -> tuple[int, float]:
    """How many partitions the file has, and since when: from now on at the latest."""
    found = connection.execute("SELECT partitions, created_at FROM partitioning").fetchone()
    if found is None:
        count = PARTITIONS if wanted is None else wanted
        if not 1 <= count <= MAX_PARTITIONS:
            raise EventLogError(f"a hub has 1 to {MAX_PARTITIONS} partitions, not {count}; change --partitions.")
        created_at = time.time()
        connection.execute("INSERT INTO partitioning VALUES (?, ?)", (count, created_at))
        return count, created_at
    count = int(found[0])
    if wanted not in (None, count):
        raise EventLogError(
            f"the events here have {count} partitions, not {wanted}, and keep them: leave --partitions out, or choose "
            "another --dir."
        )
    return count, float(found[1])


def _add_columns(connection: Connection, partitions: int) -> None:
    """Give the events of an older version their partitions and numbers, in the order of their arrival."""
    there = {row[1] for row in connection.execute("PRAGMA table_info(events)")}
    added = [(name, kind) for name, kind in _ADDED if name not in there]
    for name, kind in added:
        connection.execute(f"ALTER TABLE events ADD COLUMN {name} {kind}")
    if added:
        connection.create_function("partition_of", 1, lambda device: partition_of(device, partitions))
        connection.execute("UPDATE events SET partition = partition_of(device)")
        connection.execute(_NUMBER_OLDER)


_Row = tuple[int, float, str, str | None, bytes, bytes, bytes, int, int, str | None]


def _numbered(row: _Row) -> Numbered:
    return Numbered(partition=row[7], number=row[8], proof=row[9], event=_from_row(row))


def _from_row(row: _Row) -> Event:
    sequence, enqueued_at, device, module, properties, system, body = row[:7]
    return Event(
        sequence=sequence,
        enqueued_at=enqueued_at,
        device=device,
        module=module,
        properties=orjson.loads(properties),
        system=orjson.loads(system),
        body=body,
    )


def _body_json(body: bytes) -> JsonObject:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(body).decode()}
