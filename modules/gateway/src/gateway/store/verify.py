"""Reads all that a store holds and says what is not right; works beside a running gateway, changes nothing."""

from dataclasses import dataclass
from pathlib import Path

from gateway.store.errors import Damage, StoreVersion
from gateway.store.files import Files
from gateway.store.recovery import SegmentFound, inspect_live
from gateway.store.segment import VERSION, Source, scan


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What reading everything came to."""

    segments: int
    records: int
    bytes: int
    cut_bytes: int
    """At the end of the last segment: being written now, or cut at the next start. Not damage."""
    damage: tuple[Damage, ...]


def verify(directory: Path, files: Files) -> Verification | None:
    """Read and check everything; None if there is no store. Raises StoreVersion."""
    found = inspect_live(files)
    if found.fresh:
        return None
    if found.version != VERSION:
        raise StoreVersion(directory, found.version, VERSION)
    damage = list(found.damage)
    for segment in found.segments:
        wrong = _check(files, segment)
        if wrong is not None and all(known.file != wrong.file for known in damage):
            damage.append(wrong)
    return Verification(
        segments=len(found.segments),
        records=sum(segment.index.end_sequence - segment.base for segment in found.segments),
        bytes=sum(segment.index.end_offset for segment in found.segments),
        cut_bytes=sum(segment.cut_bytes for segment in found.segments),
        damage=tuple(damage),
    )


def _check(files: Files, segment: SegmentFound) -> Damage | None:
    try:
        source = Source(files.open_to_read(segment.name), segment.index.end_offset)
        try:
            result = scan(source, segment.base, None)
        finally:
            source.close()
        if result.index.end_sequence >= segment.index.end_sequence:
            return None
        # Given back, and emptied, while it was read: then the name is gone.
        files.open_to_read(segment.name).close()
    except FileNotFoundError:
        return None
    return Damage(segment.name, result.index.end_offset, result.problem or "the file ends early")
