"""One thread that commits: what is handed over together is kept together, and many callers share one transaction."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from standin.documents import open_database

Statement = tuple[str, Sequence[object]]
Done = Callable[[bool], None]

_MAX_BATCH: Final = 500
"""Callers that share a commit: enough to make its cost vanish, few enough that nobody waits long."""


class Journal:
    """Writes to one SQLite file in the order of the calls; `done(kept)` is called on the event loop afterwards.

    Whoever writes bounds what it has not heard of yet: the heads stop reading from a client (`mqtt.MAX_UNANSWERED`).
    """

    def __init__(self, path: Path, schema: Sequence[str]) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[tuple[Sequence[Statement], Done] | None] = SimpleQueue()
        connection = open_database(path)
        for statement in schema:
            connection.execute(statement)
        connection.close()
        self._thread = threading.Thread(target=self._run, name="standin-journal")
        self._thread.start()

    def write(self, statements: Sequence[Statement], done: Done) -> None:
        """Commit these together, soon."""
        self._work.put((statements, done))

    def close(self) -> None:
        """Commit what was handed over, and end the thread. Their `done` is still called if the loop runs on."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = open_database(self._path)
        open_for_work = True
        while open_for_work:
            batch, open_for_work = self._next_batch()
            kept = _commit(connection, [statements for statements, _ in batch])
            self._loop.call_soon_threadsafe(_tell, [done for _, done in batch], kept)
        connection.close()

    def _next_batch(self) -> tuple[list[tuple[Sequence[Statement], Done]], bool]:
        """What waits, at least one piece; and whether more may come."""
        first = self._work.get()
        if first is None:
            return [], False
        batch = [first]
        while len(batch) < _MAX_BATCH:
            try:
                more = self._work.get_nowait()
            except Empty:
                break
            if more is None:
                return batch, False
            batch.append(more)
        return batch, True


def _commit(connection: sqlite3.Connection, pieces: Sequence[Sequence[Statement]]) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statements in pieces:
            for sql, values in statements:
                connection.execute(sql, values)
        connection.execute("COMMIT")
    except sqlite3.Error:
        # A full disk, mostly: nobody is acknowledged, and each caller says so to its client by closing.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return False
    return True


def _tell(callbacks: Sequence[Done], kept: bool) -> None:  # noqa: FBT001 - the one value all callbacks get
    for done in callbacks:
        done(kept)
