"""What waits in a store, read from its files; works beside a running gateway, changes nothing."""

from pathlib import Path

from gateway.store.checkpoint import Positions
from gateway.store.errors import StoreDamaged, StoreVersion
from gateway.store.files import Files
from gateway.store.queues import Queue
from gateway.store.recovery import Found, Share, inspect_live, shares
from gateway.store.segment import VERSION
from gateway.store.values import QueueStatus, StoreStatus

ATTEMPTS = 5


def read_status(directory: Path, files: Files) -> StoreStatus | None:
    """The store by endpoint and priority; None if there is none. Raises StoreDamaged, StoreVersion."""
    for attempt in range(ATTEMPTS):
        found = inspect_live(files)
        if found.fresh:
            return None
        if found.version != VERSION:
            raise StoreVersion(directory, found.version, VERSION)
        if found.queues is None or found.positions is None or found.damage:
            raise StoreDamaged(directory, found.damage[0])
        try:
            return _summary(files, found, found.queues.queues, found.positions)
        except FileNotFoundError:
            # A segment was given back while it was counted.
            if attempt == ATTEMPTS - 1:
                raise
    return None


def _summary(files: Files, found: Found, queues: tuple[Queue, ...], positions: Positions) -> StoreStatus:
    lowest = {queue.queue_id: positions.of(queue.queue_id, queue.since) for queue in queues}
    held: dict[int, list[Share]] = {queue.queue_id: [] for queue in queues}
    for segment in found.segments:
        for queue_id, share in shares(files, segment, lowest).items():
            held[queue_id].append(share)
    ordered = sorted(queues, key=lambda queue: (str(queue.endpoint), queue.priority))
    return StoreStatus(
        state=None,
        queues=tuple(_queue_status(queue, held[queue.queue_id]) for queue in ordered),
        segments=len(found.segments),
        bytes=sum(segment.index.end_offset for segment in found.segments),
        max_bytes=None,
        when_full=None,
        next_sequence=found.end_sequence,
        set_aside_files=len(found.aside),
        set_aside_bytes=sum(_size(files, name) for name in found.aside),
    )


def _queue_status(queue: Queue, held: list[Share]) -> QueueStatus:
    return QueueStatus(
        endpoint=queue.endpoint,
        priority=queue.priority,
        messages=sum(share.unread for share in held),
        bytes=sum(share.unread_bytes for share in held),
        oldest_at_ms=held[0].received_at_ms if held else None,
    )


def _size(files: Files, name: str) -> int:
    file = files.open_to_read(name)
    try:
        return file.size()
    finally:
        file.close()
