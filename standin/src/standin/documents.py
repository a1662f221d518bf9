"""JSON documents by kind and key, in one SQLite file: what the registry, the twins and the sessions are kept in."""

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

JsonObject = dict[str, Any]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""


def open_database(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode.

    WAL with `synchronous=NORMAL`: a commit survives the end of this process, not the loss of power. That is enough for
    a stand-in, and a commit costs no fsync.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    path.chmod(0o600)  # keys and messages
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


class Documents:
    """The documents of one run directory; a write is committed when the call returns."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path)
        self._connection.execute(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, kind: str, key: str, body: JsonObject) -> None:
        """Write the document, over an older one of the same kind and key."""
        self._connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, orjson.dumps(body)))

    def delete(self, kind: str, key: str) -> None:
        """Forget the document, if there is one."""
        self._connection.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))

    def all(self, kind: str) -> dict[str, JsonObject]:
        """Every document of this kind by its key, in the order of the keys."""
        rows = self._connection.execute("SELECT key, body FROM documents WHERE kind = ? ORDER BY key", (kind,))
        return {key: orjson.loads(body) for key, body in rows}

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._connection.close()
