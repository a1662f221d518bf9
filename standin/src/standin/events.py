"""What arrived in the cloud: events with a sequence number, kept in the order of arrival."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from edgewire.message import Envelope, Message
from standin.documents import JsonObject, open_database
from standin.journal import Statement

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY, enqueued_at REAL NOT NULL, device TEXT NOT NULL, module TEXT,
    properties BLOB NOT NULL, system BLOB NOT NULL, body BLOB NOT NULL
)
"""
_ROW: Final = "(?, ?, ?, ?, ?, ?, ?)"
_ROWS: Final = (256, 32, 4, 1)
"""How many rows one statement appends. SQLite takes the interpreter's lock anew for each statement, so a row in each
would have the thread that commits wait for the event loop at every message."""
_APPEND: Final = {
    rows: f"INSERT INTO events VALUES {', '.join([_ROW] * rows)}"  # noqa: S608 - made of question marks
    for rows in _ROWS
}
_COLUMNS: Final = 7
_READ: Final = "SELECT * FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?"


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
    """The events of one run directory; what is listed is committed."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path)
        self._connection.execute(SCHEMA)
        (last,) = self._connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM events").fetchone()
        self._numbered = int(last)
        self.last_sequence = int(last)
        """The newest committed event; 0 if there is none."""
        self._grown = asyncio.Event()

    def number(self, enqueued_at: float, messages: Sequence[Message]) -> tuple[int, list[Statement]]:
        """The number of the first of these events, and the statements that keep them all."""
        first = self._numbered + 1
        self._numbered += len(messages)
        values = _values(first, enqueued_at, messages)
        statements: list[Statement] = []
        at = 0
        for rows in _ROWS:
            taken = rows * _COLUMNS
            while len(values) - at >= taken:
                statements.append((_APPEND[rows], values[at : at + taken]))
                at += taken
        return first, statements

    def committed(self, last: int) -> None:
        """The events up to this one are on disk: they may be listed."""
        self.last_sequence = last
        self._grown.set()
        self._grown = asyncio.Event()

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


def _values(first: int, enqueued_at: float, messages: Sequence[Message]) -> list[object]:
    """The rows of these messages, one behind the other; what an envelope says is written once for all it serves."""
    values: list[object] = []
    envelope: Envelope | None = None
    device, module, properties, system = "", None, b"", b""
    for sequence, message in enumerate(messages, first):
        if message.envelope is not envelope:
            if envelope is None or message.envelope.properties != envelope.properties:
                properties = orjson.dumps(dict(message.envelope.properties))
            envelope = message.envelope
            device, module = envelope.sender.device, envelope.sender.module
            system = orjson.dumps(dict(envelope.system))
        values += (sequence, enqueued_at, device, module, properties, system, message.body)
    return values


def _from_row(row: tuple[int, float, str, str | None, bytes, bytes, bytes]) -> Event:
    sequence, enqueued_at, device, module, properties, system, body = row
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
