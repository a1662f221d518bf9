"""A mirror of one twin: the document as the cloud told it last, and the reports that wait for the cloud.

what happens                         the document                      the waiting reports
the cloud is read                    replaced                          kept
a report, the cloud takes it         merged, if there is one           there are none
a report, the cloud is away          kept                              composed with it
the waiting reports were sent        merged, if there is one           gone
a change, version known + 1          merged                            kept
a change, an older or equal version  kept                              kept
a change, any other version          read again                        kept
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

import orjson

from edgewire.iothub.limits import MAX_TWIN_SECTION_BYTES
from edgewire.iothub.twins import (
    Document,
    Patches,
    TwinError,
    applied,
    check_size,
    composed,
    difference,
    merged,
    section_size,
)

MAX_DOCUMENT_BYTES: Final = 262_144
"""A twin as JSON, of two sections. The hub counts neither brackets nor escapes, so 32 KiB of it may be longer."""
MAX_WAITING_REPORT_BYTES: Final = 131_072
"""The waiting reports of one identity as JSON: what a section may hold, with brackets, escapes and removals."""
FIRST_VERSION: Final = 1
"""Of each section of a new twin."""
_VERSION: Final = "$version"


class BadDocumentError(Exception):
    """The cloud sent what is no twin, or no change of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinDocument:
    """Both sections, each with its version; neither holds `$version` itself."""

    desired: Document
    desired_version: int
    reported: Document
    reported_version: int


@dataclass(frozen=True, slots=True)
class DesiredPatch:
    """A change of the desired properties; the patch without `$version`."""

    patch: Document
    version: int


@dataclass(frozen=True, slots=True)
class Mirror:
    """One twin as it is kept here. `document`: None if the cloud was never read. `waiting`: None for no reports."""

    document: TwinDocument | None = None
    waiting: Patches | None = None


class Step(Enum):
    """What a change of a certain version is, to a mirror."""

    NEXT = "next"
    OLD = "old"
    GAP = "gap"
    """Something between was missed, or nothing is known."""


def read_document(body: bytes) -> TwinDocument:
    """The twin as the cloud tells it. Raises BadDocumentError."""
    if len(body) > MAX_DOCUMENT_BYTES:
        raise BadDocumentError(f"the twin has {len(body)} bytes; {MAX_DOCUMENT_BYTES} are allowed")
    document = _object(body)
    desired, desired_version = _section(document.get("desired"))
    reported, reported_version = _section(document.get("reported"))
    return TwinDocument(
        desired=desired, desired_version=desired_version, reported=reported, reported_version=reported_version
    )


def read_desired(body: bytes) -> DesiredPatch:
    """A change as the cloud tells it. Raises BadDocumentError."""
    if len(body) > MAX_DOCUMENT_BYTES:
        raise BadDocumentError(f"the change has {len(body)} bytes; {MAX_DOCUMENT_BYTES} are allowed")
    return DesiredPatch(*_section(_object(body)))


def write_desired(change: DesiredPatch) -> bytes:
    """A change as a device reads it: `$version` stands in it."""
    return orjson.dumps({**change.patch, _VERSION: change.version})


def write_shown(mirror: Mirror) -> bytes | None:
    """The twin as its device reads it, with the reports that wait; None if the cloud was never read."""
    known = mirror.document
    if known is None:
        return None
    reported = known.reported if mirror.waiting is None else applied(known.reported, mirror.waiting)
    version = known.reported_version if mirror.waiting is None else expected_version(mirror)
    return orjson.dumps(
        {
            "desired": {**known.desired, _VERSION: known.desired_version},
            "reported": {**reported, _VERSION: version},
        }
    )


def expected_version(mirror: Mirror) -> int:
    """The version of the reported properties when all that waits is sent: one more for each patch to send."""
    known = FIRST_VERSION if mirror.document is None else mirror.document.reported_version
    return known if mirror.waiting is None else known + len(mirror.waiting.in_order())


def with_read(mirror: Mirror, document: TwinDocument) -> Mirror:
    """The cloud was read."""
    return replace(mirror, document=document)


def with_report(mirror: Mirror, patch: Document) -> Mirror:
    """A report waits for the cloud. Raises TwinError (413) if the hub could not take it, or too much waits already."""
    waiting = composed(mirror.waiting or Patches(), patch)
    size = section_size(waiting.changes)
    if size > MAX_TWIN_SECTION_BYTES or len(write_patches(waiting)) > MAX_WAITING_REPORT_BYTES:
        what = f"the reports that wait for the cloud would hold {size} bytes; {MAX_TWIN_SECTION_BYTES} are allowed"
        raise TwinError(413, what)
    if mirror.document is not None:
        check_size("reported", applied(mirror.document.reported, waiting))
    return replace(mirror, waiting=waiting)


def with_sent(mirror: Mirror, patch: Document, version: int | None) -> Mirror:
    """The cloud has taken a report, and counts `version` now, if it said so."""
    known = mirror.document
    if known is None:
        return mirror
    reported_version = known.reported_version + 1 if version is None else version
    document = replace(known, reported=merged(known.reported, patch), reported_version=reported_version)
    return replace(mirror, document=document)


def without_waiting(mirror: Mirror) -> Mirror:
    """Nothing waits any more."""
    return replace(mirror, waiting=None)


def step_of(mirror: Mirror, version: int) -> Step:
    """What a change with this version is."""
    if mirror.document is None:
        return Step.GAP
    ahead = version - mirror.document.desired_version
    if ahead <= 0:
        return Step.OLD
    return Step.NEXT if ahead == 1 else Step.GAP


def with_desired(mirror: Mirror, change: DesiredPatch) -> Mirror:
    """The desired properties have changed by one step."""
    known = mirror.document
    if known is None:
        return mirror
    desired = merged(known.desired, change.patch)
    return replace(mirror, document=replace(known, desired=desired, desired_version=change.version))


def missed(mirror: Mirror, document: TwinDocument) -> DesiredPatch | None:
    """What makes the desired properties of `document` of those of the mirror; None if the version is the same."""
    known = mirror.document
    if known is not None and known.desired_version == document.desired_version:
        return None
    before = {} if known is None else known.desired
    return DesiredPatch(difference(before, document.desired), document.desired_version)


def write_patches(patches: Patches) -> bytes:
    """Reports as they are kept."""
    return orjson.dumps([patches.clearing, patches.changes])


def _object(body: bytes) -> Document:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadDocumentError(f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadDocumentError(f"a JSON object is wanted, not {type(value).__name__}")
    return value


def _section(value: Any) -> tuple[Document, int]:
    """A section without what begins with '$' (`$metadata`, of a service's reading), and its version."""
    version = value.get(_VERSION) if isinstance(value, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadDocumentError("a section is no JSON object, or has no whole number as its $version")
    return {key: member for key, member in value.items() if not key.startswith("$")}, version
