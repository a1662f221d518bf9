"""Sessions that outlive a connection: who subscribed to what, kept on disk.

A change is answered after the disk has it, so that "session present" is never said of subscriptions that a power cut
took away. Changes of many devices share one commit, made by one thread. Where the disk is full, devices are answered
all the same: a subscription that lives only in memory is worth more to them than none. The change is written later.

A file that cannot be understood is set aside, and a new one begun: devices are told "no session present" and subscribe
again, which they must be ready for (MQTT 3.1.1 §3.2.2.2), so it is no reason not to serve them.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from edgewire.message import Identity, identity
from gateway.observe.events import Event
from gateway.observe.head import SessionsNotStored, SessionsSetAside

MAX_SESSIONS: Final = 20_000
"""Sessions kept at most; the one unused for longest goes first. Without a bound, made-up client ids fill the disk."""

Subscriptions = Mapping[str, int]
"""Topic filter to granted quality of service."""

Sessions = dict[Identity, tuple[dict[str, int], float | None]]

Changes = list[tuple[Identity, tuple[dict[str, int], float | None] | None]]

SET_ASIDE: Final = ".damaged"
"""Added to the name of a file that cannot be understood."""
SIDE_FILES: Final = ("-wal", "-shm")
"""What SQLite keeps beside a database; useless without it, and harmful to another one."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS session (
    device TEXT NOT NULL, module TEXT NOT NULL, subscriptions TEXT NOT NULL, expires_at REAL,
    PRIMARY KEY (device, module)
) WITHOUT ROWID
"""


class SessionsError(Exception):
    """The sessions' file cannot be used; the text says why and what to do."""


class SessionStore:
    """The stored sessions; reads come from memory, writes are committed in groups.

    Raises SessionsError if its file can be neither opened nor set aside.

    Use it from the event loop's thread. `saved` callbacks run there too, after the commit. An expiry is in seconds
    since 1970, None for a session that waits for ever.
    """

    def __init__(self, path: Path, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._changed: set[Identity] = set()
        self._waiting: list[Callable[[], None]] = []
        self._commit: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-sessions")
        try:
            self._database, self._sessions, damage = self._thread.submit(_open, path).result()
        except (sqlite3.Error, OSError) as error:
            self._thread.shutdown()
            raise SessionsError(
                f"{path} cannot be used: {error}. Check that the gateway's user may write it and that there is space, "
                "or move it away: devices will subscribe again"
            ) from error
        if damage is not None:
            emit(SessionsSetAside(str(_aside(path)), damage))

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, who: Identity, now: float) -> dict[str, int] | None:
        """The subscriptions of the stored session of `who`; None if there is none or it has expired."""
        subscriptions, expires_at = self._sessions.get(who, (None, None))
        if subscriptions is None or (expires_at is not None and expires_at <= now):
            return None
        return dict(subscriptions)

    def save(
        self, who: Identity, subscriptions: Subscriptions, expires_at: float | None, saved: Callable[[], None]
    ) -> None:
        """Keep this session of `who`; `saved` is called when the disk has it."""
        self._sessions.pop(who, None)
        self._sessions[who] = (dict(subscriptions), expires_at)
        self._changed.add(who)
        while len(self._sessions) > MAX_SESSIONS:
            oldest = next(iter(self._sessions))
            del self._sessions[oldest]
            self._changed.add(oldest)
        self._waiting.append(saved)
        self._commit_soon()

    def forget(self, who: Identity, saved: Callable[[], None]) -> None:
        """Drop the session of `who`; `saved` is called when the disk knows."""
        if self._sessions.pop(who, None) is not None:
            self._changed.add(who)
        self._waiting.append(saved)
        self._commit_soon()

    def close(self) -> None:
        """Write what is not written, and end the thread."""
        if self._commit is not None:
            self._commit.result()
        self._thread.submit(_write, self._database, self._take_changes()).result()
        self._thread.submit(self._database.close).result()
        self._thread.shutdown()

    def _commit_soon(self) -> None:
        if self._commit is None:
            loop = asyncio.get_running_loop()
            waiting, self._waiting = self._waiting, []
            changes = self._take_changes()
            self._commit = self._thread.submit(_write, self._database, changes)
            self._commit.add_done_callback(
                lambda commit: loop.call_soon_threadsafe(self._on_committed, commit, changes, waiting)
            )

    def _take_changes(self) -> Changes:
        changed, self._changed = self._changed, set()
        return [(who, self._sessions.get(who)) for who in changed]

    def _on_committed(self, commit: Future[None], changes: Changes, waiting: list[Callable[[], None]]) -> None:
        self._commit = None
        error = commit.exception()
        if error is not None:
            self._changed.update(who for who, _ in changes)
            self._emit(SessionsNotStored(count=len(changes), error=str(error)))
        if self._waiting:
            self._commit_soon()
        _tell(waiting)


def _tell(waiting: Iterable[Callable[[], None]]) -> None:
    """Call them all, also if one of them has a bug; that one is raised afterwards."""
    failure: Exception | None = None
    for saved in waiting:
        try:
            saved()
        except Exception as error:  # noqa: BLE001 - the others are devices that wait for their answers
            failure = error
    if failure is not None:
        raise failure


def _open(path: Path) -> tuple[sqlite3.Connection, Sessions, str | None]:
    """The database and what it holds; with what was wrong with the one that was set aside for it, if any."""
    try:
        return *_read(path), None
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # the disk or a right, and not the content
        path.replace(_aside(path))
        for ending in SIDE_FILES:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        return *_read(path), str(error)


def _aside(path: Path) -> Path:
    return path.with_name(path.name + SET_ASIDE)


def _read(path: Path) -> tuple[sqlite3.Connection, Sessions]:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # NORMAL loses commits on power loss in WAL mode
        database.execute(SCHEMA)
        rows = database.execute("SELECT device, module, subscriptions, expires_at FROM session")
        return database, dict(map(_session, rows))
    except BaseException:
        database.close()
        raise


def _session(row: tuple[str, str, str, float | None]) -> tuple[Identity, tuple[dict[str, int], float | None]]:
    """One row. Raises ValueError or TypeError for what we would not have written."""
    device, module, text, expires_at = row
    granted = json.loads(text)
    if not isinstance(granted, dict):
        raise TypeError("a session's subscriptions are no JSON object")
    subscriptions = {str(each): int(qos) for each, qos in granted.items()}
    return identity(device, module or None), (subscriptions, expires_at)


def _write(database: sqlite3.Connection, changes: Changes) -> None:
    database.execute("BEGIN")
    try:
        for who, session in changes:
            _write_one(database, (who.device, who.module or ""), session)
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _write_one(
    database: sqlite3.Connection, key: tuple[str, str], session: tuple[dict[str, int], float | None] | None
) -> None:
    if session is None:
        database.execute("DELETE FROM session WHERE device = ? AND module = ?", key)
        return
    subscriptions, expires_at = session
    row = (*key, json.dumps(subscriptions), expires_at)
    database.execute("INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?)", row)
