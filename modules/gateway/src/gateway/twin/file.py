"""The file of twins: one SQLite database. Everything here runs in the store's own thread.

twin:    one row per identity: names, whether reports wait, the sealed mirror; `place` grows with each write, so the
         least is the one unchanged for longest.
sealing: nothing, while twins lie there as they are; else one row: the key as the workload API has wrapped it, the
         vector it was wrapped with, and a proof by which the key is known again.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from edgewire.message import Identity, identity

SET_ASIDE: Final = ".damaged"
"""Added to the name of a file that cannot be understood."""
SIDE_FILES: Final = ("-wal", "-shm")
"""What SQLite keeps beside a database; useless without it, and harmful to another one."""
_TWINS: Final = """
CREATE TABLE IF NOT EXISTS twin (
    place INTEGER PRIMARY KEY AUTOINCREMENT, device TEXT NOT NULL, module TEXT NOT NULL, waiting INTEGER NOT NULL,
    sealed BLOB NOT NULL, UNIQUE (device, module)
)
"""
_SEALING: Final = """
CREATE TABLE IF NOT EXISTS sealing (
    one INTEGER PRIMARY KEY CHECK (one = 1), wrapped BLOB NOT NULL, vector BLOB NOT NULL, proof BLOB NOT NULL
)
"""


class Row(NamedTuple):
    """A mirror as it lies on disk."""

    sealed: bytes
    waiting: bool
    """Whether reports wait in it."""


class Held(NamedTuple):
    """What is known of a row without reading it."""

    size: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The key as it lies on disk."""

    wrapped: bytes
    vector: bytes
    proof: bytes


Changes = dict[Identity, Row | None]
"""What to write; None to delete."""


@dataclass(slots=True)
class TwinFile:
    """An open file. `damage`: what was wrong with the one that was set aside for it, if any."""

    database: sqlite3.Connection
    held: dict[Identity, Held]
    key: WrappedKey | None
    damage: str | None = None


def open_file(path: Path) -> TwinFile:
    """Open the file, or set it aside and begin another. Raises sqlite3.OperationalError, OSError."""
    try:
        return _open(path)
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # the disk or a right, and not the content
        path.replace(aside(path))
        for ending in SIDE_FILES:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        file = _open(path)
        file.damage = str(error)
        return file


def aside(path: Path) -> Path:
    """Where a damaged file goes."""
    return path.with_name(path.name + SET_ASIDE)


def _open(path: Path) -> TwinFile:
    path.touch(mode=0o600)
    path.chmod(0o600)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # NORMAL loses commits on power loss in WAL mode
        database.execute("PRAGMA secure_delete = ON")  # what is deleted or encrypted anew is not left in free pages
        database.execute(_TWINS)
        database.execute(_SEALING)
        _check(database)
        return TwinFile(database, read_held(database), _read_key(database))
    except BaseException:
        database.close()
        raise


def _check(database: sqlite3.Connection) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise sqlite3.DatabaseError(str(found[0]))


def read_held(database: sqlite3.Connection) -> dict[Identity, Held]:
    """What is there, the one unchanged for longest first."""
    rows = database.execute("SELECT device, module, length(sealed), waiting FROM twin ORDER BY place")
    return {
        identity(str(device), str(module) or None): Held(int(size), bool(waiting))
        for device, module, size, waiting in rows
    }


def _read_key(database: sqlite3.Connection) -> WrappedKey | None:
    row = database.execute("SELECT wrapped, vector, proof FROM sealing").fetchone()
    return None if row is None else WrappedKey(*map(bytes, row))


def read_row(database: sqlite3.Connection, who: Identity) -> bytes | None:
    """The sealed mirror of `who`."""
    row = database.execute("SELECT sealed FROM twin WHERE device = ? AND module = ?", _key(who)).fetchone()
    return None if row is None else bytes(row[0])


def write_rows(database: sqlite3.Connection, changes: Changes) -> None:
    """Write all of it, or nothing."""
    with _transaction(database):
        for who, row in changes.items():
            _write_row(database, who, row)


def encrypt_all(
    database: sqlite3.Connection,
    key: WrappedKey,
    who_of: Iterable[Identity],
    again: Callable[[Identity, bytes], bytes],
) -> None:
    """Keep a key, and write every row anew by it: all, or nothing. Nothing of the old rows stays in the file."""
    with _transaction(database):
        for who in who_of:
            sealed = read_row(database, who)
            if sealed is not None:
                statement = "UPDATE twin SET sealed = ? WHERE device = ? AND module = ?"
                database.execute(statement, (again(who, sealed), *_key(who)))
        database.execute("INSERT INTO sealing VALUES (1, ?, ?, ?)", (key.wrapped, key.vector, key.proof))
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write_row(database: sqlite3.Connection, who: Identity, row: Row | None) -> None:
    database.execute("DELETE FROM twin WHERE device = ? AND module = ?", _key(who))
    if row is not None:
        statement = "INSERT INTO twin (device, module, waiting, sealed) VALUES (?, ?, ?, ?)"
        database.execute(statement, (*_key(who), int(row.waiting), row.sealed))


def _key(who: Identity) -> tuple[str, str]:
    return who.device, who.module or ""


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of what is done inside it, or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
