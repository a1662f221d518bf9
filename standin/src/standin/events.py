"""What arrived in the cloud: events with a sequence number, kept in the order of arrival."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from edgewire.message import Message
from standin.documents import JsonObject, open_database
from standin.journal import Statement

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY, enqueued_at REAL NOT NULL, device TEXT NOT NULL, module TEXT,
    properties BLOB NOT NULL, system BLOB NOT NULL, body BLOB NOT NULL
)
"""
_APPEND: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
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

    def number(self, enqueued_at: float, message: Message) -> tuple[Event, Statement]:
        """The next event, and the statement that keeps it."""
        self._numbered += 1
        event = event_for(self._numbered, enqueued_at, message)
        row = (
            event.sequence,
            event.enqueued_at,
            event.device,
            event.module,
            orjson.dumps(dict(event.properties)),
            orjson.dumps(dict(event.system)),
            event.body,
        )
        return event, (_APPEND, row)

    def committed(self, event: Event) -> None:
        """The statement of this event is on disk: it may be listed."""
        self.last_sequence = event.sequence
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
