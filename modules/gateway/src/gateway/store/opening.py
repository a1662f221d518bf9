"""Opening a store: lock, judge what is there, make it whole again where nothing acknowledged is concerned."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.observe.events import Event
from gateway.observe.store import StoreOpened, StoreTailCut
from gateway.store.backlog import Backlog, Segment
from gateway.store.checkpoint import NAME as POSITIONS_NAME
from gateway.store.checkpoint import Positions, PositionsFile, create_positions
from gateway.store.errors import StoreDamaged, StoreLocked, StoreUnusable, StoreVersion
from gateway.store.files import Files
from gateway.store.log import Log, empty, seal
from gateway.store.queues import Queue, Queues, save_queues, write_queues
from gateway.store.recovery import Found, SegmentFound, inspect, shares
from gateway.store.segment import VERSION
from gateway.store.values import StoreLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open directory: all the running store starts from."""

    store_id: str
    log: Log
    backlog: Backlog
    queues: tuple[tuple[Queue, int], ...]
    """The queues with something pending, and their lowest unsettled sequence."""
    queue_numbers: int
    """Numbers in the table on disk: a checkpoint must speak of each, also of those that stand for nothing now."""


def open_directory(directory: Path, files: Files, limits: StoreLimits, emit: Callable[[Event], None]) -> Opened:
    """Lock the directory and open what is in it. Raises StoreDamaged, StoreVersion, StoreUnusable."""
    try:
        files.lock()
    except BlockingIOError as error:
        raise StoreLocked(directory) from error
    except OSError as error:
        raise StoreUnusable(directory, error) from error
    try:
        return _open(directory, files, limits, emit)
    except OSError as error:
        files.unlock()
        raise StoreUnusable(directory, error) from error
    except BaseException:
        files.unlock()
        raise


def _open(directory: Path, files: Files, limits: StoreLimits, emit: Callable[[Event], None]) -> Opened:
    found = inspect(files)
    if found.fresh:
        _create(files)
        found = inspect(files)
    if found.version != VERSION:
        raise StoreVersion(directory, found.version, VERSION)
    if found.damage:
        raise StoreDamaged(directory, found.damage[0])
    _clean(files, found, emit)
    opened = _restore(files, found, limits)
    waiting = sum(share.unread for each in opened.backlog.segments for share in each.shares.values())
    segments = opened.backlog.segments
    emit(StoreOpened(messages=waiting, bytes=opened.backlog.used_bytes, segments=len(segments)))
    return opened


def _create(files: Files) -> None:
    create_positions(files, Positions(first_sequence=1, next_sequence=1))
    save_queues(files, write_queues(Queues(store_id=uuid.uuid4().bytes, queues=())))


def _clean(files: Files, found: Found, emit: Callable[[Event], None]) -> None:
    assert found.positions is not None
    _make_safe(files, found.positions)
    for name in found.leftovers:
        files.unlink(name)
    for freed in found.freed:
        empty(files, freed.name)
    for segment in list(found.segments):
        if segment.cut_bytes:
            emit(StoreTailCut(file=segment.name, count=segment.cut_bytes))
        if segment.index.end_sequence == segment.base:
            files.unlink(segment.name)
            found.segments.remove(segment)
        elif not segment.sealed:
            _finish(files, segment)
    files.sync_names()


def _make_safe(files: Files, positions: Positions) -> None:
    """Bring to the disk what a killed process may have left unsynced, before anything is removed because of it.

    Positions are written again: if their sync failed, they can be read here, and no later sync would keep them.
    """
    file = PositionsFile.opened(files.open(POSITIONS_NAME))
    try:
        file.write(positions)
    finally:
        file.close()
    files.sync_names()


def _finish(files: Files, segment: SegmentFound) -> None:
    """Make a segment that was being written safe and full; a new one takes what comes."""
    file = files.open(segment.name)
    try:
        file.truncate(segment.index.end_offset)
        # What a killed process had written may not be on the disk yet. Nobody may rely on it before this.
        file.sync()
        seal(file, segment.index)
    finally:
        file.close()


def _restore(files: Files, found: Found, limits: StoreLimits) -> Opened:
    assert found.queues is not None
    assert found.positions is not None
    lowest = {queue.queue_id: found.positions.of(queue.queue_id, queue.since) for queue in found.queues.queues}
    backlog = Backlog(found.end_sequence, ((freed.base, freed.end) for freed in found.freed))
    for segment in found.segments:
        backlog.restore(
            Segment(
                base=segment.base,
                end_sequence=segment.index.end_sequence,
                end_offset=segment.index.end_offset,
                size=segment.size if segment.sealed else segment.index.end_offset,
                sealed=True,
                shares=shares(files, segment, lowest),
            )
        )
    pending = {queue for segment in backlog.segments for queue in segment.shares}
    store_id = found.queues.store_id
    log = Log(
        files,
        PositionsFile.opened(files.open(POSITIONS_NAME)),
        store_id=store_id,
        next_sequence=found.end_sequence,
        segment_bytes=limits.effective_segment_bytes(),
    )
    return Opened(
        store_id=store_id.hex(),
        log=log,
        backlog=backlog,
        queue_numbers=max(lowest, default=-1) + 1,
        queues=tuple((queue, lowest[queue.queue_id]) for queue in found.queues.queues if queue.queue_id in pending),
    )
