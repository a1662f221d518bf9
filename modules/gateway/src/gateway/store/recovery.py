"""What a directory holds: read and judged, nothing changed. Opening, `status`, `verify` and `repair` start here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.store.checkpoint import NAME as POSITIONS_NAME
from gateway.store.checkpoint import Positions, load_positions
from gateway.store.errors import Damage
from gateway.store.files import File, Files
from gateway.store.queues import COPY_NAME, Queues, load_queues
from gateway.store.queues import NAME as QUEUES_NAME
from gateway.store.record import count_pending
from gateway.store.segment import (
    ASIDE,
    SEGMENT,
    VERSION,
    Index,
    Source,
    last_used,
    later_batches,
    parse_freed_name,
    parse_segment_name,
    read_index,
    read_segment_header,
    scan,
    segment_name,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFound:
    """A segment that can be read, up to `index.end_offset`."""

    name: str
    base: int
    index: Index
    size: int
    sealed: bool
    cut_bytes: int = 0
    """Bytes of a batch that was never acknowledged, after the last whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreedFound:
    """A range of records that were settled and given back before older ones."""

    name: str
    base: int
    end: int


@dataclass(slots=True)
class Found:
    """A directory as it was found."""

    queues: Queues | None = None
    positions: Positions | None = None
    version: int = VERSION
    segments: list[SegmentFound] = field(default_factory=list)
    freed: list[FreedFound] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    """Files that are of no use any more: settled before a crash, or made and never used."""
    damage: list[Damage] = field(default_factory=list)
    end_sequence: int = 1
    aside: list[str] = field(default_factory=list)

    @property
    def fresh(self) -> bool:
        """Whether there is no store yet; files of a creation that broke off do not count."""
        return self.queues is None and not (self.segments or self.freed or self.damage)


@dataclass(frozen=True, slots=True)
class _Link:
    base: int
    name: str
    freed_end: int | None


def inspect(files: Files) -> Found:
    """Read what the directory holds. Contents of full segments are not read: that takes `verify`."""
    names = files.names()
    links = sorted(_links(names), key=lambda link: (link.base, link.freed_end is not None))
    found = Found(aside=[name for name in names if ASIDE in name])
    if QUEUES_NAME not in names and not links:
        return found
    found.queues = _queues(files, names, found)
    found.positions = _positions(files, names, found)
    for table in (found.queues, found.positions):
        if table is not None and table.version != VERSION:
            found.version = table.version
            return found
    _walk(files, links, found)
    _judge_end(found)
    return found


def inspect_live(files: Files) -> Found:
    """`inspect` beside a gateway that is writing: what looks damaged while files change is looked at again."""
    for _ in range(5):
        try:
            found = inspect(files)
        except FileNotFoundError:
            continue
        if not found.damage:
            return found
    return inspect(files)


def _links(names: Iterable[str]) -> Iterable[_Link]:
    for name in names:
        base = parse_segment_name(name)
        freed = parse_freed_name(name)
        if base is not None:
            yield _Link(base, name, None)
        elif freed is not None:
            yield _Link(freed[0], name, freed[1])


def _queues(files: Files, names: Sequence[str], found: Found) -> Queues | None:
    table = load_queues(files) if QUEUES_NAME in names else None
    if table is None:
        what = "the table of queues is missing or not what was written"
        if COPY_NAME in names:
            what += f" ({COPY_NAME} is the copy that repair uses)"
        found.damage.append(Damage(QUEUES_NAME, 0, what))
    return table


def _positions(files: Files, names: Sequence[str], found: Found) -> Positions | None:
    positions = load_positions(files) if POSITIONS_NAME in names else None
    if positions is None:
        found.damage.append(Damage(POSITIONS_NAME, 0, "neither of the two checkpoints is whole"))
    elif positions.damaged_segment is not None:
        name = segment_name(positions.damaged_segment)
        what = "a batch was found damaged while the gateway ran"
        found.damage.append(Damage(name, positions.damaged_offset, what))
    return positions


def _walk(files: Files, links: Sequence[_Link], found: Found) -> None:
    first = links[0].base if found.positions is None and links else 1
    if found.positions is not None:
        first = found.positions.first_sequence
    found.end_sequence = first
    for position, link in enumerate(links):
        next_base = links[position + 1].base if position + 1 < len(links) else None
        end = link.freed_end if link.freed_end is not None else next_base
        if end is not None and end <= first:
            found.leftovers.append(link.name)
            continue
        _check_gap(link, found)
        if link.freed_end is not None:
            found.freed.append(FreedFound(name=link.name, base=link.base, end=link.freed_end))
            found.end_sequence = max(found.end_sequence, link.freed_end)
        else:
            _look_at(files, link, next_base, first, found)


def _check_gap(link: _Link, found: Found) -> None:
    if link.base > found.end_sequence:
        what = f"the records from sequence {found.end_sequence} to {link.base - 1} are missing before it"
        found.damage.append(Damage(link.name, 0, what))


def _look_at(files: Files, link: _Link, next_base: int | None, first: int, found: Found) -> None:
    file = files.open_to_read(link.name)
    try:
        segment = _segment(file, link, next_base, found)
    finally:
        file.close()
    if segment is None:
        found.end_sequence = link.base if next_base is None else next_base
        return
    if next_base is None and segment.cut_bytes == 0 and segment.index.end_sequence <= max(first, link.base):
        # Nothing that anybody needs: made and never used, or settled whole and its unlink undone by a power cut.
        found.leftovers.append(link.name)
        return
    found.end_sequence = segment.index.end_sequence
    found.segments.append(segment)


def _segment(file: File, link: _Link, next_base: int | None, found: Found) -> SegmentFound | None:
    size = file.size()
    source = Source(file, size)
    if not _header_fits(file, source, link, next_base, found):
        return None
    index = read_index(file, size)
    if index is not None and (next_base is None or index.end_sequence <= next_base):
        return SegmentFound(name=link.name, base=link.base, index=index, size=size, sealed=True)
    result = scan(source, link.base, next_base)
    index = result.index
    cut_bytes = 0
    if next_base is not None and index.end_sequence < next_base:
        problem = result.problem or "the file ends early"
        what = f"{problem}; the records from sequence {index.end_sequence} to {next_base - 1} cannot be read"
        found.damage.append(Damage(link.name, index.end_offset, what))
        index.end_sequence = next_base
    elif next_base is None and result.problem is not None:
        if was_durable(source, index):
            what = f"{result.problem}, though later ones are whole: it was safe once"
            found.damage.append(Damage(link.name, index.end_offset, what))
        cut_bytes = last_used(source, index.end_offset) - index.end_offset
    return SegmentFound(name=link.name, base=link.base, index=index, size=size, sealed=False, cut_bytes=cut_bytes)


def _header_fits(file: File, source: Source, link: _Link, next_base: int | None, found: Found) -> bool:
    header = read_segment_header(file.read_at(0, SEGMENT.size))
    if header is None:
        batches = next(iter(later_batches(source, 0, 0)), None)
        if next_base is None and batches is None:
            found.leftovers.append(link.name)  # the crash came while it was made; nothing was ever in it
        else:
            found.damage.append(Damage(link.name, 0, "the segment's header is not what was written"))
        return False
    if header.version != VERSION:
        found.version = header.version
        return False
    if header.base != link.base:
        what = f"its first sequence is {header.base}, its name says {link.base}"
        found.damage.append(Damage(link.name, 0, what))
        return False
    if found.queues is not None and header.store_id != found.queues.store_id:
        found.damage.append(Damage(link.name, 0, "it belongs to another store"))
        return False
    return True


def was_durable(source: Source, index: Index) -> bool:
    """Whether the bad batch at the end of `index` had been synced: each is, before the next one is written.

    The bad one's own length is believed where it can be read, so that a body which looks like a batch proves nothing.
    """
    at = index.end_offset + 1
    header = source.header_at(index.end_offset)
    if header is not None and header.first_sequence == index.end_sequence:
        at = min(index.end_offset + header.length, source.end)
    return next(iter(later_batches(source, at, index.end_sequence + 1)), None) is not None


def _judge_end(found: Found) -> None:
    positions = found.positions
    if positions is None or positions.next_sequence <= found.end_sequence:
        return
    name = found.segments[-1].name if found.segments else POSITIONS_NAME
    offset = found.segments[-1].index.end_offset if found.segments else 0
    last = positions.next_sequence - 1
    what = f"the records from sequence {found.end_sequence} to {last} were safe once and are missing"
    found.damage.append(Damage(name, offset, what))


@dataclass(slots=True)
class Share:
    """What one queue still has in one segment."""

    unread: int
    unread_bytes: int
    received_at_ms: int
    expires_at_ms: int
    taken: int = 0
    read_from: int = SEGMENT.size
    """The offset of the first batch that may hold what is unread; all before it was passed over."""


def shares(files: Files, segment: SegmentFound, lowest_unsettled: dict[int, int]) -> dict[int, Share]:
    """What each queue has in a segment from its position on."""
    whole: dict[int, Share] = {}
    partly: dict[int, int] = {}
    for queue, row in segment.index.rows.items():
        position = lowest_unsettled.get(queue, segment.index.end_sequence)
        if position <= segment.base:
            whole[queue] = Share(row.records, row.bytes, row.received_at_ms, row.expires_at_ms)
        elif position < segment.index.end_sequence:
            partly[queue] = position
    if partly:
        _count_partly(files, segment, partly, whole)
    return {queue: share for queue, share in whole.items() if share.unread}


def _count_partly(files: Files, segment: SegmentFound, partly: dict[int, int], out: dict[int, Share]) -> None:
    source = Source(files.open_to_read(segment.name), segment.index.end_offset)
    try:
        at = SEGMENT.size
        while at < source.end and (header := source.header_at(at)) is not None:
            for row in header.rows:
                if row.queue not in partly or header.end_sequence <= partly[row.queue]:
                    continue
                count, size = row.records, row.bytes
                if header.first_sequence < partly[row.queue]:
                    data = source.batch_at(at, header.length)
                    # A damaged batch is found again by whoever reads it; here it only must not break the count.
                    if data is not None:
                        count, size = count_pending(data, header, partly[row.queue], row.queue)
                share = out.setdefault(row.queue, Share(0, 0, header.received_at_ms, 0))
                share.unread += count
                share.unread_bytes += size
                share.expires_at_ms = max(share.expires_at_ms, row.expires_at_ms)
            at += header.length
    finally:
        source.close()
