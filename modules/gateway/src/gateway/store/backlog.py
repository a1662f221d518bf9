"""What waits on disk, by segment: the event loop's view, kept exact as batches come and entries are settled."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.store.log import Committed, Retired
from gateway.store.record import Row
from gateway.store.recovery import Share
from gateway.store.segment import freed_name, segment_name


@dataclass(slots=True, eq=False)
class Segment:
    """A segment that still holds something, or is being written."""

    base: int
    end_sequence: int
    end_offset: int
    size: int
    sealed: bool
    shares: dict[int, Share] = field(default_factory=dict)
    pending: int = 0
    """Deliveries not settled: unread and taken."""

    @property
    def name(self) -> str:
        """Its file name."""
        return segment_name(self.base)


class Backlog:
    """The live segments, oldest first."""

    def __init__(self, next_sequence: int, freed: Iterable[tuple[int, int]] = ()) -> None:
        self.segments: list[Segment] = []
        self.next_sequence = next_sequence
        self.used_bytes = 0
        self._freed = list(freed)
        self._free = 0  # sealed segments where nothing is pending

    @property
    def first_sequence(self) -> int:
        """The lowest sequence whose segment must be there."""
        return self.segments[0].base if self.segments else self.next_sequence

    def restore(self, segment: Segment) -> None:
        """Add a segment found at the start."""
        segment.pending = sum(share.unread for share in segment.shares.values())
        self.segments.append(segment)
        self.used_bytes += segment.size
        self._free += not segment.pending

    def settle(self, segment: Segment, count: int) -> None:
        """So many deliveries of a segment are not pending any more."""
        segment.pending -= count
        if count and not segment.pending and segment.sealed:
            self._free += 1

    def add(self, committed: Committed) -> Segment:
        """Count a batch that is on the disk; its segment."""
        header = committed.header
        segment = self._segment_of(committed)
        segment.end_offset = committed.offset + header.length
        segment.end_sequence = header.end_sequence
        self.used_bytes += segment.end_offset - segment.size
        segment.size = segment.end_offset
        self.next_sequence = header.end_sequence
        for row in header.rows:
            _add_row(segment, row, header.received_at_ms)
        return segment

    def unread_from(self, base: int, queue: int) -> Segment | None:
        """The first segment from `base` on that holds something unread for `queue`."""
        for segment in self.segments:
            if segment.base >= base and (share := segment.shares.get(queue)) is not None and share.unread:
                return segment
        return None

    def droppable(self) -> Segment | None:
        """The oldest segment, if it is not the one being written."""
        return self.segments[0] if self.segments and self.segments[0].sealed else None

    def free(self) -> tuple[list[str], list[Retired]]:
        """Take out the segments where nothing is pending: names to unlink, and ranges in the middle to retire."""
        front: list[str] = []
        while self.segments and self.segments[0].sealed and not self.segments[0].pending:
            front.append(self._take_out(self.segments[0]))
        middle = [
            Retired(base=segment.base, end=segment.end_sequence)
            for segment in self.segments
            if segment.sealed and not segment.pending
        ]
        for segment in [segment for segment in self.segments if segment.sealed and not segment.pending]:
            self._take_out(segment)
        self._free = 0
        self._freed += [(retired.base, retired.end) for retired in middle]
        first = self.first_sequence
        front += [freed_name(base, end) for base, end in self._freed if end <= first]
        self._freed = [(base, end) for base, end in self._freed if end > first]
        return front, middle

    def has_free(self) -> bool:
        """Whether `free` would give something back."""
        return self._free > 0

    def shares_of(self, queue: int) -> Iterator[tuple[Segment, Share]]:
        """What `queue` has, oldest first."""
        for segment in self.segments:
            share = segment.shares.get(queue)
            if share is not None:
                yield segment, share

    def seal_last(self) -> None:
        """The last segment will not be written again."""
        if self.segments and not self.segments[-1].sealed:
            self.segments[-1].sealed = True
            self._free += not self.segments[-1].pending

    def _segment_of(self, committed: Committed) -> Segment:
        if self.segments and not self.segments[-1].sealed and self.segments[-1].base == committed.base:
            return self.segments[-1]
        self.seal_last()
        segment = Segment(committed.base, committed.base, committed.offset, 0, sealed=False)
        self.segments.append(segment)
        return segment

    def _take_out(self, segment: Segment) -> str:
        self.segments.remove(segment)
        self.used_bytes -= segment.size
        return segment.name


def _add_row(segment: Segment, row: Row, received_at_ms: int) -> None:
    share = segment.shares.get(row.queue)
    if share is None:
        share = segment.shares[row.queue] = Share(0, 0, received_at_ms, 0)
    if not share.unread:
        share.received_at_ms, share.expires_at_ms = received_at_ms, 0
    share.unread += row.records
    share.unread_bytes += row.bytes
    share.expires_at_ms = max(share.expires_at_ms, row.expires_at_ms)
    segment.pending += row.records
