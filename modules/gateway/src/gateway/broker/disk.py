"""What the broker keeps on disk: one SQLite database, written by one thread in groups of changes.

session:  the filters of clients that want to be remembered, from the moment they are told so.
retained: the retained message of each topic; a publisher is answered when the disk has it. One with quality 0
          has nobody who waits, and may be lost within `COLLECT_S`.
queued:   messages that waited for clients when the gateway was told to stop. They are written then, and then alone: a
          power cut or a kill loses what waited for clients that were away or slow. What must not be lost is mapped to a
          device and goes by a route, whose store is on disk before it is acknowledged.

A file that cannot be understood is set aside and a new one begun: clients subscribe again.
"""

import asyncio
import base64
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.broker.messages import PLAIN, Extras, LocalMessage, Subscription
from gateway.broker.sessions import Owner
from gateway.observe.broker import BrokerFileSetAside, BrokerNotStored
from gateway.observe.events import Event

BROKER_FILE: Final = "broker.db"
COLLECT_S: Final = 1.0
"""How long changes that nobody waits for are collected before they are written: many devices retain every value that
they send, and flash wears out."""
SET_ASIDE: Final = ".damaged"
SIDE_FILES: Final = ("-wal", "-shm")
"""What SQLite keeps beside a database; useless without it, and harmful to another one."""

_MESSAGE: Final = "topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL, extras TEXT, expires_at REAL"
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS session (user TEXT NOT NULL, client TEXT NOT NULL, filters TEXT NOT NULL, expires_at REAL,
    PRIMARY KEY (user, client)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retained ({_MESSAGE}, PRIMARY KEY (topic));
CREATE TABLE IF NOT EXISTS queued (place INTEGER PRIMARY KEY, user TEXT NOT NULL, client TEXT NOT NULL, {_MESSAGE});
"""


class BrokerFileError(Exception):
    """The broker's file cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """The filters of a client, and until when they are kept; None for as long as there is room."""

    filters: Mapping[str, Subscription]
    expires_at: float | None


@dataclass(slots=True)
class Found:
    """What was on disk at the start."""

    sessions: dict[Owner, StoredSession] = field(default_factory=dict)
    retained: list[LocalMessage] = field(default_factory=list)
    queued: list[tuple[Owner, LocalMessage]] = field(default_factory=list)
    damage: str | None = None


Changes = dict[Owner | str, StoredSession | LocalMessage | None]
"""By client, its session; by topic, its retained message; None to delete."""


class BrokerDisk:
    """The open file. `saved` callbacks run on the event loop, after the commit.

    Where the disk does not take a change, it holds in memory, is said once and written with the next one; whoever
    waits is answered all the same: a site's clients must be able to talk while a disk is full.

    Raises BrokerFileError.
    """

    def __init__(self, path: Path, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._changed: Changes = {}
        self._writing: Changes = {}
        self._written: set[int] = set()
        """Hashes of the keys that have a row: what was never written need not be deleted, nor wait for that."""
        self._waiting: list[Callable[[], None]] = []
        self._commit: Future[None] | None = None
        self._collecting: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-broker")
        try:
            self._database, self.found = self._thread.submit(_open, path).result()
        except (sqlite3.Error, OSError) as error:
            self._thread.shutdown()
            raise BrokerFileError(
                f"{path} cannot be used: {error}. Check that the gateway's user may write it and that there is space, "
                "or move it away: clients subscribe again, and retained messages are gone"
            ) from error
        self._written.update(map(hash, self.found.sessions))
        self._written.update(hash(message.topic) for message in self.found.retained)
        if self.found.damage is not None:
            emit(BrokerFileSetAside(str(_aside(path)), self.found.damage))

    def save_session(self, owner: Owner, session: StoredSession | None, saved: Callable[[], None] | None) -> None:
        """Keep or forget the filters of a client."""
        self._save(owner, session, saved)

    def save_retained(self, topic: str, message: LocalMessage | None, saved: Callable[[], None] | None) -> None:
        """Keep or forget the retained message of a topic."""
        self._save(topic, message, saved)

    def close(self, queued: Iterable[tuple[Owner, LocalMessage]]) -> None:
        """Write what is not written and what waits for clients, and end the thread."""
        if self._collecting is not None:
            self._collecting.cancel()
        if self._commit is not None:
            self._commit.exception()
        try:
            self._thread.submit(_write, self._database, self._changed, tuple(queued)).result()
        except sqlite3.Error as error:
            self._emit(BrokerNotStored(count=len(self._changed), error=str(error)))
        finally:
            self._thread.submit(self._database.close).result()
            self._thread.shutdown()

    def _save(
        self,
        key: Owner | str,
        row: StoredSession | LocalMessage | None,
        saved: Callable[[], None] | None,
    ) -> None:
        if row is None and key not in self._writing and hash(key) not in self._written:
            self._changed.pop(key, None)
        else:
            self._changed[key] = row
        if saved is not None:
            self._waiting.append(saved)
            if self._commit is None:
                self._commit_now()
        elif self._commit is None:
            self._commit_soon()

    def _commit_soon(self) -> None:
        if self._collecting is None:
            self._collecting = asyncio.get_running_loop().call_later(COLLECT_S, self._commit_collected)

    def _commit_collected(self) -> None:
        self._collecting = None
        if self._commit is None and self._changed:
            self._commit_now()

    def _commit_now(self) -> None:
        loop = asyncio.get_running_loop()
        if self._collecting is not None:
            self._collecting.cancel()
            self._collecting = None
        changed, self._changed = self._changed, {}
        self._writing = changed
        waiting, self._waiting = self._waiting, []
        self._commit = self._thread.submit(_write, self._database, changed)
        self._commit.add_done_callback(
            lambda commit: loop.call_soon_threadsafe(self._on_committed, commit, changed, waiting)
        )

    def _on_committed(self, commit: Future[None], changed: Changes, waiting: list[Callable[[], None]]) -> None:
        self._commit = None
        self._writing = {}
        error = commit.exception()
        if error is None:
            self._written.update(hash(key) for key, row in changed.items() if row is not None)
            self._written.difference_update(hash(key) for key, row in changed.items() if row is None)
        else:
            self._changed = {**changed, **self._changed}
            self._emit(BrokerNotStored(count=len(changed), error=str(error)))
        if self._waiting:
            self._commit_now()
        elif self._changed and error is None:
            self._commit_soon()
        for saved in waiting:
            saved()


# --- in the thread --------------------------------------------------------------------------------------------------


def _aside(path: Path) -> Path:
    return path.with_name(path.name + SET_ASIDE)


def _open(path: Path) -> tuple[sqlite3.Connection, Found]:
    try:
        return _read(path)
    except (sqlite3.DatabaseError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # the disk or a right, and not the content
        path.replace(_aside(path))
        for ending in SIDE_FILES:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        database, found = _read(path)
        found.damage = str(error)
        return database, found


def _read(path: Path) -> tuple[sqlite3.Connection, Found]:
    path.touch(mode=0o600)
    path.chmod(0o600)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # NORMAL loses commits on power loss in WAL mode
        database.executescript(_SCHEMA)
        columns = "topic, payload, qos, extras, expires_at"
        found = Found(
            sessions=dict(map(_session, database.execute("SELECT user, client, filters, expires_at FROM session"))),
            retained=[
                _message(row, retain=True)
                for row in database.execute(f"SELECT {columns} FROM retained ORDER BY rowid")  # noqa: S608 — a list of columns
            ],
            queued=[
                ((str(row[0]), str(row[1])), _message(row[2:], retain=False))
                for row in database.execute(f"SELECT user, client, {columns} FROM queued ORDER BY place")  # noqa: S608 — as above
            ],
        )
        # They are in memory again; a kill from here on loses them, as it loses all that waits.
        database.execute("DELETE FROM queued")
    except BaseException:
        database.close()
        raise
    return database, found


def _session(row: tuple[str, str, str, float | None]) -> tuple[Owner, StoredSession]:
    user, client, text, expires_at = row
    filters = {str(each): Subscription(**how) for each, how in json.loads(text).items()}
    return (user, client), StoredSession(filters, expires_at)


def _message(row: tuple[Any, ...], *, retain: bool) -> LocalMessage:
    topic, payload, qos, extras, expires_at = row
    return LocalMessage(
        topic=str(topic),
        payload=bytes(payload),
        qos=int(qos),
        retain=retain,
        extras=PLAIN if extras is None else _read_extras(json.loads(extras)),
        expires_at=expires_at,
    )


def _read_extras(written: dict[str, Any]) -> Extras:
    data = written.pop("correlation_data")
    users = tuple((str(name), str(value)) for name, value in written.pop("user_properties"))
    return Extras(correlation_data=None if data is None else base64.b64decode(data), user_properties=users, **written)


def _write_extras(extras: Extras) -> str | None:
    if extras == PLAIN:
        return None
    data = extras.correlation_data
    written = {**asdict(extras), "correlation_data": None if data is None else base64.b64encode(data).decode()}
    return json.dumps(written)


def _write(database: sqlite3.Connection, changes: Changes, queued: tuple[tuple[Owner, LocalMessage], ...] = ()) -> None:
    """All of it, or nothing."""
    database.execute("BEGIN")
    try:
        for key, row in changes.items():
            _write_one(database, key, row)
        for owner, message in queued:
            database.execute("INSERT INTO queued VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", (*owner, *_columns(message)))
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _write_one(database: sqlite3.Connection, key: Owner | str, row: StoredSession | LocalMessage | None) -> None:
    if isinstance(row, LocalMessage):
        database.execute("INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?)", _columns(row))
    elif isinstance(row, StoredSession):
        filters = json.dumps({each: asdict(how) for each, how in row.filters.items()})
        database.execute("INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?)", (*key, filters, row.expires_at))
    elif isinstance(key, str):
        database.execute("DELETE FROM retained WHERE topic = ?", (key,))
    else:
        database.execute("DELETE FROM session WHERE user = ? AND client = ?", key)


def _columns(message: LocalMessage) -> tuple[object, ...]:
    return message.topic, message.payload, message.qos, _write_extras(message.extras), message.expires_at
