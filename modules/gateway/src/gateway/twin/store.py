"""The mirrors on disk: read when somebody asks, written in groups, each answered after its commit.

Nothing but names and sizes is held in memory. Where there are too many, the mirror unchanged for longest in which no
report waits goes first; one in which a report waits never does, and a report for which there is no room is refused.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from edgewire.message import Identity
from gateway.observe.events import Event
from gateway.observe.twin import TwinDamaged
from gateway.twin import file as files
from gateway.twin.file import Changes, Held, Row, TwinFile
from gateway.twin.mirror import Mirror
from gateway.twin.record import BadRecordError, decode, encode
from gateway.twin.sealing import Seal, SealError

MAX_TWINS: Final = 20_000
"""Mirrors kept at most, as many as sessions; beyond it those go that nobody needs to lose anything by."""
MAX_TWINS_BYTES: Final = 268_435_456
"""All mirrors together: four thousand of the largest the hub allows, or all of a usual site many times over."""

T = TypeVar("T")


class TwinStoreError(Exception):
    """A mirror could not be read or written; the text says why."""


class TwinStore:
    """The mirrors of all identities. Use it on the loop; calls for one identity come one after the other."""

    def __init__(self, thread: ThreadPoolExecutor, file: TwinFile, seal: Seal, emit: Callable[[Event], None]) -> None:
        self._thread = thread
        self._database = file.database
        self._held = dict(file.held)
        self._bytes = sum(held.size for held in self._held.values())
        self._seal = seal
        self._emit = emit
        self._changes: Changes = {}
        self._commit: asyncio.Future[None] | None = None
        """Of the changes that are collected now; begins when the one before has ended."""
        self._running: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def waiting(self) -> Collection[Identity]:
        """Those in whose mirrors reports wait."""
        return [who for who, held in self._held.items() if held.waiting]

    def identities(self) -> Collection[Identity]:
        """All of whom there is a mirror."""
        return tuple(self._held)

    async def load(self, who: Identity) -> Mirror:
        """The mirror of `who`; an empty one if there is none. Raises TwinStoreError."""
        if who not in self._held:
            return Mirror()
        sealed = await self._in_thread(lambda: files.read_row(self._database, who))
        if sealed is None:
            return Mirror()
        try:
            return decode(self._seal.open(who, sealed))
        except (SealError, BadRecordError) as error:
            self._emit(TwinDamaged(str(who), str(error)))
            await self.delete(who)
            return Mirror()

    async def save(self, who: Identity, mirror: Mirror) -> None:
        """Keep a mirror; it is on disk when this returns. Raises TwinStoreError, and then the one before is there."""
        row = Row(self._seal.close(who, encode(mirror)), mirror.waiting is not None)
        self._make_room(who, len(row.sealed))
        self._note(who, Held(len(row.sealed), row.waiting))
        await self._write(who, row)

    async def delete(self, who: Identity) -> None:
        """Keep no mirror of `who`. Raises TwinStoreError."""
        if who in self._held:
            self._note(who, None)
            await self._write(who, None)

    async def close(self) -> None:
        """Write what is not written, and end the thread."""
        while self._running is not None or self._commit is not None:
            await asyncio.wait([commit for commit in (self._running, self._commit) if commit is not None])
        await self._in_thread(self._database.close)
        self._thread.shutdown()

    def _make_room(self, who: Identity, size: int) -> None:
        """Let mirrors go that nobody needs, until there is room for this one. Raises TwinStoreError."""
        ours = self._held.get(who)
        others = len(self._held) - (ours is not None)
        rest = self._bytes - (0 if ours is None else ours.size)
        go: list[Identity] = []
        candidates = (each for each, held in self._held.items() if not held.waiting and each != who)
        while others >= MAX_TWINS or rest + size > MAX_TWINS_BYTES:
            oldest = next(candidates, None)
            if oldest is None:
                raise TwinStoreError("there is no room for another twin until reports that wait are sent")
            go.append(oldest)
            others -= 1
            rest -= self._held[oldest].size
        for each in go:
            self._note(each, None)
            self._changes[each] = None

    def _note(self, who: Identity, held: Held | None) -> None:
        before = self._held.pop(who, None)
        self._bytes -= 0 if before is None else before.size
        if held is not None:
            self._held[who] = held
            self._bytes += held.size

    async def _write(self, who: Identity, row: Row | None) -> None:
        """Take part in the next commit, and wait for it."""
        self._changes[who] = row
        commit = self._commit
        if commit is None:
            commit = self._commit = asyncio.get_running_loop().create_future()
            self._begin()
        try:
            await asyncio.shield(commit)
        except (sqlite3.Error, OSError) as error:
            raise TwinStoreError(f"twins cannot be written: {error}. Check the space in the data folder") from error

    def _begin(self) -> None:
        """Begin the next commit, unless one is under way."""
        if self._running is not None or self._commit is None:
            return
        changes, self._changes = self._changes, {}
        self._running, self._commit = self._commit, None
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, files.write_rows, self._database, changes)
        done.add_done_callback(lambda done: self._on_committed(done, self._running))

    def _on_committed(self, done: "asyncio.Future[None]", commit: "asyncio.Future[None] | None") -> None:
        assert commit is not None
        error = done.exception()
        if error is None:
            self._end(commit, None)
            return
        # What was noted is not so: what is on disk is looked up again, before anybody hears of it.
        loop = asyncio.get_running_loop()
        held = loop.run_in_executor(self._thread, files.read_held, self._database)
        held.add_done_callback(lambda held: self._on_held(held, commit, error))

    def _on_held(
        self, held: "asyncio.Future[dict[Identity, Held]]", commit: "asyncio.Future[None]", error: BaseException
    ) -> None:
        if held.exception() is None:
            self._held = held.result()
            for who, row in self._changes.items():
                self._held.pop(who, None)
                if row is not None:
                    self._held[who] = Held(len(row.sealed), row.waiting)
            self._bytes = sum(each.size for each in self._held.values())
        self._end(commit, error)

    def _end(self, commit: "asyncio.Future[None]", error: BaseException | None) -> None:
        self._running = None
        if error is None:
            commit.set_result(None)
        else:
            commit.set_exception(error)
            commit.exception()  # looked at, should nobody wait any more
        self._begin()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise TwinStoreError(f"twins cannot be read: {error}. Check the disk of the data folder") from error
