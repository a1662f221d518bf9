"""The store on the event loop: takes batches, hands them to the disk's thread, and tells who waits."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

from edgewire.errors import UsageError
from edgewire.line.envelopes import EnvelopeReader
from edgewire.line.records import Batch, Encoder
from edgewire.message import Delivery, Endpoint, Message
from gateway.observe.events import Event
from gateway.observe.metrics import Histogram
from gateway.observe.store import (
    CheckpointFailed,
    MessagesDropped,
    MessagesExpired,
    MessagesRefused,
    RefusalReason,
    StoreDamageFound,
    StoreFailed,
    StoreFull,
    StoreTakesAgain,
)
from gateway.store.backlog import Backlog
from gateway.store.checkpoint import Positions
from gateway.store.cursor import Cursor, Reading
from gateway.store.errors import Damage, StoreDamaged
from gateway.store.files import DiskFiles, Files
from gateway.store.log import Commit, Committed, Log, Refused, Retired, Verifier
from gateway.store.opening import Opened, open_directory
from gateway.store.queues import Queue, Queues, write_queues
from gateway.store.reader import Reader
from gateway.store.record import BATCH, ROW, rows_of
from gateway.store.runner import Runner, ThreadRunner
from gateway.store.segment import parse_segment_name
from gateway.store.values import (
    MAX_QUEUES,
    AppendResult,
    QueueStatus,
    StoreLimits,
    StoreState,
    StoreStatus,
    WhenFull,
)

Done = Callable[[AppendResult], None]


@dataclass(slots=True)
class _Group:
    """What is committed together, and who is to be told, in order; with a result that is already known."""

    batch: Batch = field(default_factory=Batch)
    waiting: list[tuple[Done, AppendResult | None]] = field(default_factory=list)


class Store:
    """Messages safe on disk until every endpoint they go to has answered for them. See the package."""

    @classmethod
    def open(
        cls,
        directory: Path,
        limits: StoreLimits,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.time,
        *,
        on_damage: Callable[[StoreDamaged], None] | None = None,
        files: Files | None = None,
        runner: Runner | None = None,
    ) -> "Store":
        """The store in `directory`, made if there is none. To be called on the event loop.

        `on_damage` is called at most once, when stored bytes turn out to be unreadable while the gateway runs; the
        next `open` refuses. `files` and `runner` are for tests.

        Raises StoreDamaged, StoreVersion or StoreUnusable with the sentence for the person.
        """
        if runner is None:
            asyncio.get_running_loop()  # fails here, before the directory is locked
        if files is None:
            files = DiskFiles(directory)
        opened = open_directory(directory, files, limits, emit)
        return cls(
            directory=directory,
            limits=limits,
            emit=emit,
            clock=clock,
            on_damage=on_damage,
            files=files,
            runner=runner or ThreadRunner(asyncio.get_running_loop()),
            opened=opened,
        )

    def __init__(
        self,
        *,
        directory: Path,
        limits: StoreLimits,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        on_damage: Callable[[StoreDamaged], None] | None,
        files: Files,
        runner: Runner,
        opened: Opened,
    ) -> None:
        self._directory = directory
        self._limits = limits
        self._emit = emit
        self._clock = clock
        self._on_damage = on_damage
        self._files = files
        self._runner = runner
        self._log: Log = opened.log
        self._backlog: Backlog = opened.backlog
        self._store_id = opened.store_id
        self._damage: Damage | None = None
        self._state = StoreState.READY
        self._closed = False
        self._group = _Group()
        self._groups: deque[_Group] = deque()
        self._committing: _Group | None = None
        self._start_wanted = False
        self._uncommitted_bytes = 0
        self._room = 0
        """Bytes that may be appended before the limits are looked at again: they are asked once per batch."""
        self._untold_refusals: deque[RefusalReason] = deque()
        self._queue_numbers = opened.queue_numbers
        self._queues: dict[tuple[Endpoint, int], Queue] = {}
        self._cursors: dict[int, Cursor] = {}
        self._readers: dict[Endpoint, Reader] = {}
        self._new_queues = 0  # made and not yet on the disk
        self._encoder = Encoder(self._queue_for)
        self._freeing: tuple[list[str], list[Retired]] = ([], [])
        self._cancel_checkpoint: Callable[[], None] | None = None
        self._cancel_sweep: Callable[[], None] | None = None
        self._reclaim_wanted = False
        self._swept_at = 0.0
        self._reading = self._make_reading()
        self._restore(opened)
        self._verifier = Verifier(files, [(s.name, s.base, s.end_offset) for s in self._backlog.segments])
        if not self._verifier.done:
            self._runner.background(self._verify_step)

    def measure(self, commit_times: Histogram) -> None:
        """Write into this from now on how long each commit took."""
        self._log.commit_times = commit_times

    def use(self, *, max_bytes: int, when_full: WhenFull) -> None:
        """Keep to this cap and policy from now on. What is above a lowered cap stays until it is sent or dropped."""
        self._limits = replace(self._limits, max_bytes=max_bytes, when_full=when_full)
        self._room = 0
        self._log.segment_bytes = self._limits.effective_segment_bytes()

    # Taking messages in

    def append(self, batch: Sequence[tuple[Message, Sequence[Delivery]]], done: Done) -> None:
        """Store a batch, all or nothing; `done` is called on the loop once it is safe, or refused.

        Calls of `done` come in the order of the appends. If one batch is refused, or fails on the disk, all that were
        appended behind it until its `done` are refused too, so that no message overtakes one that will be sent again. A
        message without deliveries is not written.
        """
        if self._closed:
            raise UsageError("append to a store that is closed")
        group = self._group
        joined = group.batch
        records, size = len(joined.plans), joined.size
        if not self._encoder.add(joined, batch, int(self._clock() * 1000)):
            self._refuse(done, RefusalReason.TOO_MANY_QUEUES, len(batch))
        elif (added := joined.size - size) == 0:
            group.waiting.append((done, AppendResult.STORED))
        elif added > self._room and (reason := self._reason_to_refuse(added)) is not None:
            refused = joined.records - records
            joined.cut(records, size)
            self._refuse(done, reason, refused)
        else:
            group.waiting.append((done, None))
            self._uncommitted_bytes += added
            self._room -= added
            if joined.size >= self._limits.max_batch_bytes:
                self._groups.append(self._group)
                self._group = _Group()
        if not self._start_wanted:
            self._start_wanted = True
            self._runner.soon(self._start)

    def _reason_to_refuse(self, size: int) -> RefusalReason | None:
        if self._untold_refusals:
            return self._untold_refusals[-1]
        if self._uncommitted_bytes and self._uncommitted_bytes + size > self._limits.max_uncommitted_bytes:
            return RefusalReason.WAITING_FOR_DISK
        if not self._fits(size):
            self._make_room(size)
            if not self._fits(size):
                return RefusalReason.BYTE_CAP
        self._room = max(size, min(self._free_bytes(), self._limits.max_uncommitted_bytes - self._uncommitted_bytes))
        return None

    def _fits(self, size: int) -> bool:
        return size <= self._free_bytes()

    def _free_bytes(self) -> int:
        """Room for records of one more batch, below the cap."""
        around = BATCH.size + ROW.size * len(self._cursors)
        return self._limits.max_bytes - self._backlog.used_bytes - self._uncommitted_bytes - around

    def _make_room(self, size: int) -> None:
        now = self._clock()
        if abs(now - self._swept_at) >= 1:
            self._swept_at = now
            self.sweep()
            self._reclaim()
        match self._limits.when_full:
            case WhenFull.REFUSE:
                return
            case WhenFull.DROP_OLDEST:
                while not self._fits(size) and self._drop_oldest():
                    pass
            case _ as never:
                assert_never(never)

    def _drop_oldest(self) -> bool:
        segment = self._backlog.droppable()
        if segment is None:
            return False
        for queue_id in list(segment.shares):
            count = self._cursors[queue_id].lose(segment)
            if count:
                endpoint = str(self._cursors[queue_id].queue.endpoint)
                self._emit(MessagesDropped(endpoint=endpoint, count=count))
        self._reclaim()
        return True

    def _refuse(self, done: Done, reason: RefusalReason, count: int) -> None:
        self._emit(MessagesRefused(reason=reason, count=count))
        if self._state is StoreState.READY:
            self._state = StoreState.FULL
            self._emit(StoreFull(reason=reason))

        def told(result: AppendResult) -> None:
            self._untold_refusals.popleft()
            done(result)

        self._untold_refusals.append(reason)
        self._room = 0
        self._group.waiting.append((told, AppendResult.FULL))

    # Onto the disk

    def _start(self) -> None:
        """Send the next group to the disk, if none is on its way."""
        self._start_wanted = False
        while self._committing is None and (self._groups or self._group.waiting):
            if self._groups:
                group = self._groups.popleft()
            else:
                group, self._group = self._group, _Group()
            if group.batch.records:
                self._commit(group)
            else:
                _tell(group.waiting, AppendResult.STORED)

    def _commit(self, group: _Group) -> None:
        self._committing = group
        self._room = 0
        batch = group.batch
        new_queues = self._new_queues
        commit = Commit(
            parts=batch.parts,
            records=batch.records,
            rows=rows_of(batch),
            received_at_ms=batch.first_received_at_ms,
            queues=self._queues_bytes() if new_queues else None,
        )

        def committed(result: Committed | Refused) -> None:
            self._committing = None
            self._uncommitted_bytes -= batch.size
            try:
                if isinstance(result, Committed):
                    self._new_queues -= new_queues
                    self._stored(result)
                    _tell(group.waiting, AppendResult.STORED)
                else:
                    self._failed(group, result)
                    if result.bug is not None:
                        raise result.bug  # a bug: the loop's handler shows where
            finally:
                self._start()

        self._runner.submit(lambda: self._log.commit(commit), committed)

    def _stored(self, committed: Committed) -> None:
        segment = self._backlog.add(committed)
        for row in committed.header.rows:
            cursor = self._cursors[row.queue]
            cursor.arrived(segment, committed.offset, committed.header, row.records, row.bytes)
            self._readers[cursor.queue.endpoint].wake()
        if self._state is not StoreState.READY:
            self._state = StoreState.READY
            self._emit(StoreTakesAgain())
        if self._backlog.has_free():  # the segment before may have been settled while it was the last one
            self._changed()
        self._plan_sweep()

    def _failed(self, group: _Group, refused: Refused) -> None:
        """Refuse a group, and all that came behind it: their senders will send all of it again, in order."""
        groups = [group, *self._groups, self._group]
        self._groups.clear()
        self._group = _Group()
        for behind in groups[1:]:
            self._uncommitted_bytes -= behind.batch.size
        full = refused.result is AppendResult.FULL
        reason = RefusalReason.DISK_FULL if full else RefusalReason.FAILED
        state = StoreState.FULL if full else StoreState.FAILED
        if self._state is not state:
            self._state = state
            self._emit(StoreFull(reason, refused.error) if full else StoreFailed(refused.error))
        self._emit(MessagesRefused(reason=reason, count=sum(each.batch.records for each in groups)))
        for each in groups:
            _tell(each.waiting, refused.result)

    # Queues

    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints with a queue; those with a backlog from before the start are among them."""
        return tuple(self._readers)

    def reader(self, endpoint: Endpoint) -> Reader:
        """The reader of `endpoint`; one endpoint has one reader."""
        reader = self._readers.get(endpoint)
        if reader is None:
            reader = self._readers[endpoint] = Reader(endpoint, self._changed)
        return reader

    def _queue_for(self, endpoint: Endpoint, priority: int) -> int | None:
        queue = self._queues.get((endpoint, priority))
        if queue is None:
            free = next((number for number in range(MAX_QUEUES) if number not in self._cursors), None)
            if free is None:
                return None
            since = self._backlog.next_sequence
            queue = Queue(queue_id=free, endpoint=endpoint, priority=priority, since=since)
            self._add_queue(queue, since)
            self._new_queues += 1
        return queue.queue_id

    def _add_queue(self, queue: Queue, position: int) -> None:
        self._room = 0
        self._queues[queue.endpoint, queue.priority] = queue
        cursor = self._cursors[queue.queue_id] = Cursor(queue, self._reading, position)
        self.reader(queue.endpoint).add(cursor)

    def _queues_bytes(self) -> bytes:
        store_id = bytes.fromhex(self._store_id)
        return write_queues(Queues(store_id=store_id, queues=tuple(self._queues.values())))

    def _make_reading(self) -> Reading:
        return Reading(
            files=self._files,
            backlog=self._backlog,
            envelopes=EnvelopeReader(),
            limits=self._limits,
            store_id=str(uuid.UUID(self._store_id)),
            now_ms=lambda: int(self._clock() * 1000),
            expired=self._expired,
            damaged=self._damaged,
            changed=self._changed,
        )

    def _restore(self, opened: Opened) -> None:
        for queue, position in opened.queues:
            self._add_queue(queue, position)
        for segment in self._backlog.segments:
            for queue_id, share in segment.shares.items():
                self._cursors[queue_id].restore(share)
        if self._backlog.has_free():
            self._changed()
        self._plan_sweep()

    # Positions and space

    def checkpoint(self) -> None:
        """Write down how far each queue is settled; done by itself within `checkpoint_s` of a change."""
        self._stop_timers()
        if self._backlog.has_free() or any(self._freeing):
            self._reclaim()
        else:
            positions = self._positions()
            self._runner.submit(lambda: self._log.keep(positions), self._kept)
        self._plan_sweep()

    def sweep(self) -> None:
        """Pass over what is expired to the last message of a segment, so that its space comes back unread."""
        now_ms = int(self._clock() * 1000)
        for segment in self._backlog.segments:
            for queue_id, share in segment.shares.items():
                if share.unread and share.expires_at_ms <= now_ms:
                    cursor = self._cursors[queue_id]
                    self._expired(cursor.queue, cursor.expire_unread(segment))
        if self._backlog.has_free():
            self._changed()

    def _changed(self) -> None:
        """Positions moved: write them soon, and at once if that gives space back."""
        if self._backlog.has_free() and not self._reclaim_wanted:
            self._reclaim_wanted = True
            self._runner.soon(self._reclaim_if_open)
        if self._cancel_checkpoint is None and not self._closed:
            self._cancel_checkpoint = self._runner.later(self._limits.checkpoint_s, self.checkpoint)

    def _reclaim_if_open(self) -> None:
        self._reclaim_wanted = False
        if not self._closed and self._backlog.has_free():
            self._reclaim()

    def _reclaim(self) -> None:
        front, middle = self._backlog.free()
        self._freeing[0].extend(front)
        self._freeing[1].extend(middle)
        if not any(self._freeing):
            return
        (front, middle), self._freeing = self._freeing, ([], [])
        positions = self._positions()

        def freed(error: Exception | None) -> None:
            if error is not None:  # both are asked for again with the next checkpoint
                self._freeing[0].extend(front)
                self._freeing[1].extend(middle)
                self._changed()
            self._kept(error)

        self._runner.submit(lambda: self._log.free(positions, front, middle), freed)

    def _kept(self, error: Exception | None) -> None:
        if error is not None:
            self._emit(CheckpointFailed(error=str(error)))
            self._changed()

    def _positions(self) -> Positions:
        backlog = self._backlog
        numbers = max(self._queue_numbers, max(self._cursors, default=-1) + 1)
        damage = self._damage
        return Positions(
            first_sequence=backlog.first_sequence,
            next_sequence=backlog.next_sequence,
            lowest_unsettled=tuple(
                self._cursors[number].position if number in self._cursors else backlog.next_sequence
                for number in range(numbers)
            ),
            damaged_segment=None if damage is None else parse_segment_name(damage.file),
            damaged_offset=0 if damage is None else damage.offset,
        )

    def _plan_sweep(self) -> None:
        if self._cancel_sweep is None and not self._closed and any(s.pending for s in self._backlog.segments):
            self._cancel_sweep = self._runner.later(self._limits.sweep_s, self._sweep_by_time)

    def _sweep_by_time(self) -> None:
        self._cancel_sweep = None
        self.sweep()
        self._plan_sweep()

    def _stop_timers(self) -> None:
        for cancel in (self._cancel_checkpoint, self._cancel_sweep):
            if cancel is not None:
                cancel()
        self._cancel_checkpoint = self._cancel_sweep = None

    def _expired(self, queue: Queue, count: int) -> None:
        self._emit(MessagesExpired(endpoint=str(queue.endpoint), count=count))

    # Damage

    def _verify_step(self) -> bool:
        """One slice of the background reading; on the thread."""
        damage = self._verifier.step()
        if damage is not None:
            self._runner.submit(lambda: damage, self._damaged)
            return False
        return not self._verifier.done

    def _damaged(self, damage: Damage) -> None:
        if self._damage is not None:
            return
        self._damage = damage
        error = StoreDamaged(self._directory, damage)
        self._emit(StoreDamageFound(what=str(error)))
        if not self._closed:
            self.checkpoint()
        if self._on_damage is not None:
            self._on_damage(error)

    # Status and the end

    def status(self) -> StoreStatus:
        """The store now, by endpoint and priority."""
        cursors = sorted(self._cursors.values(), key=lambda each: (str(each.queue.endpoint), each.queue.priority))
        return StoreStatus(
            state=self._state,
            queues=tuple(_queue_status(cursor) for cursor in cursors),
            segments=len(self._backlog.segments),
            bytes=self._backlog.used_bytes,
            max_bytes=self._limits.max_bytes,
            when_full=self._limits.when_full,
            next_sequence=self._backlog.next_sequence,
        )

    async def flush(self) -> None:
        """Return once all that was appended is safe or refused, and positions are written."""
        await self._all_told()
        if not self._closed:
            self.checkpoint()
            await self._thread_idle()

    async def close(self) -> None:
        """Write what was appended and how far the queues are; give the directory up. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        await self._all_told()
        self._stop_timers()
        for cursor in self._cursors.values():
            cursor.rest()
        positions = self._positions()
        self._runner.submit(lambda: self._log.close(positions), self._kept)
        await self._thread_idle()
        self._runner.close()
        self._verifier.close()
        self._files.unlock()

    async def _all_told(self) -> None:
        told = asyncio.get_running_loop().create_future()
        self._group.waiting.append((lambda _: _resolve(told), AppendResult.STORED))
        self._start()
        await told

    async def _thread_idle(self) -> None:
        idle = asyncio.get_running_loop().create_future()
        self._runner.submit(lambda: None, lambda _: _resolve(idle))
        await idle


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _tell(waiting: Iterable[tuple[Done, AppendResult | None]], result: AppendResult) -> None:
    """Call them all, also if one of them has a bug; that one is raised afterwards."""
    failure: Exception | None = None
    for done, known in waiting:
        try:
            done(result if known is None else known)
        except Exception as error:  # noqa: BLE001 - the others' messages are safe whatever this one does
            failure = error
    if failure is not None:
        raise failure


def _queue_status(cursor: Cursor) -> QueueStatus:
    return QueueStatus(
        endpoint=cursor.queue.endpoint,
        priority=cursor.queue.priority,
        messages=cursor.unread + cursor.taken,
        bytes=cursor.unread_bytes + cursor.taken_bytes,
        oldest_at_ms=cursor.oldest_at_ms(),
    )
