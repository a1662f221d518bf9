"""Twins: tags, desired and reported sections, their versions and times, and the limits of iothub_wire.md §1.6."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from edgewire.iothub.twins import TwinError, check_size, checked_patch, difference, merged, read_patch, section_size
from edgewire.message import Identity
from standin.documents import Documents, JsonObject

__all__ = ["Twin", "TwinError", "Twins", "read_patch"]

_KIND: Final = "twin"
MAX_TAGS_BYTES: Final = 8_192
"""iothub_wire.md §1.6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A twin: no section holds `$version` or `$metadata` itself."""

    tags: JsonObject = field(default_factory=dict)
    desired: JsonObject = field(default_factory=dict)
    desired_version: int = 1
    desired_metadata: JsonObject = field(default_factory=dict)
    reported: JsonObject = field(default_factory=dict)
    reported_version: int = 1
    reported_metadata: JsonObject = field(default_factory=dict)
    version: int = 1
    """Of the whole document: one more after each change, whoever made it."""
    service_version: int = 1
    """Changes from the service side, tags and desired: what the etag stands for."""

    @property
    def etag(self) -> str:
        """As the cloud writes it: base64 of eight bytes. A device that reports does not change it."""
        return base64.b64encode(self.service_version.to_bytes(8, "big")).decode()

    def for_device(self) -> JsonObject:
        """The document as a device reads it: no `properties` wrapper, no `$metadata`."""
        return {
            "desired": {**self.desired, "$version": self.desired_version},
            "reported": {**self.reported, "$version": self.reported_version},
        }

    def for_service(self) -> JsonObject:
        """The sections as the service reads them, below `properties`."""
        sections = self.for_device()
        sections["desired"]["$metadata"] = self.desired_metadata
        sections["reported"]["$metadata"] = self.reported_metadata
        return sections


class Twins:
    """The twins of all identities; every change is on disk when the call returns.

    Each method that changes something raises TwinError, and then has changed nothing.
    """

    def __init__(self, documents: Documents, clock: Callable[[], float] = time.time) -> None:
        self._documents = documents
        self._clock = clock
        self._twins = {key: _from_json(body) for key, body in documents.all(_KIND).items()}

    def get(self, who: Identity) -> Twin:
        """The twin; an identity without one has an empty twin of version 1."""
        return self._twins.get(str(who)) or Twin()

    def patch_desired(self, who: Identity, patch: JsonObject) -> int:
        """Merge into desired. Returns its new version."""
        return self.update(who, desired=patch).desired_version

    def patch_reported(self, who: Identity, patch: JsonObject) -> int:
        """Merge into reported. Returns its new version."""
        old = self.get(who)
        reported = merged(old.reported, checked_patch(patch))
        check_size("reported", reported)
        twin = replace(
            old,
            reported=reported,
            reported_version=old.reported_version + 1,
            reported_metadata=stamped(old.reported_metadata, patch, {"$lastUpdated": self._now()}),
            version=old.version + 1,
        )
        return self._keep(who, twin).reported_version

    def update(self, who: Identity, *, tags: JsonObject | None = None, desired: JsonObject | None = None) -> Twin:
        """Merge what the service wants, None where nothing of a section changes."""
        old = self.get(who)
        new_tags = old.tags if tags is None else _checked_tags(merged(old.tags, checked_patch(tags)))
        twin = old if desired is None else self._with_desired(old, old.desired_metadata, old.desired, desired)
        return self._keep_change(who, old, replace(twin, tags=new_tags))

    def replace(
        self, who: Identity, *, tags: JsonObject | None = None, desired: JsonObject | None = None
    ) -> tuple[Twin, JsonObject]:
        """Put these sections in place of the old ones, None keeps one. Returns the twin and what changed in desired."""
        old = self.get(who)
        new_tags = old.tags if tags is None else _checked_tags(checked_patch(tags))
        if desired is None:
            return self._keep_change(who, old, replace(old, tags=new_tags)), {}
        twin = self._with_desired(old, {}, {}, desired)
        return self._keep_change(who, old, replace(twin, tags=new_tags)), difference(old.desired, twin.desired)

    def remove(self, who: Identity) -> None:
        """Forget the twin."""
        self._twins.pop(str(who), None)
        self._documents.delete(_KIND, str(who))

    def _with_desired(self, old: Twin, metadata: JsonObject, section: JsonObject, patch: JsonObject) -> Twin:
        desired = merged(section, checked_patch(patch))
        check_size("desired", desired)
        version = old.desired_version + 1
        stamp = {"$lastUpdated": self._now(), "$lastUpdatedVersion": version}
        return replace(old, desired=desired, desired_version=version, desired_metadata=stamped(metadata, patch, stamp))

    def _keep_change(self, who: Identity, old: Twin, twin: Twin) -> Twin:
        return self._keep(who, replace(twin, version=old.version + 1, service_version=old.service_version + 1))

    def _keep(self, who: Identity, twin: Twin) -> Twin:
        self._twins[str(who)] = twin
        self._documents.put(_KIND, str(who), _to_json(twin))
        return twin

    def _now(self) -> str:
        return time_text(self._clock())


def time_text(at: float | None) -> str:
    """A time as the cloud writes it; an unknown one is the year 1, not null (iothub_wire.md §4.1)."""
    if at is None:
        return "0001-01-01T00:00:00Z"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def stamped(metadata: JsonObject, patch: JsonObject, stamp: JsonObject) -> JsonObject:
    """The `$metadata` of a section after a patch: each name that the patch touches bears the stamp."""
    result = {**metadata, **stamp}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = stamped(result.get(key, {}), value, stamp)
        else:
            result[key] = dict(stamp)
    return result


def _checked_tags(tags: JsonObject) -> JsonObject:
    size = section_size(tags)
    if size > MAX_TAGS_BYTES:
        raise TwinError(413, f"the tags would hold {size} bytes; {MAX_TAGS_BYTES} are allowed")
    return tags


def _to_json(twin: Twin) -> JsonObject:
    return {
        "tags": twin.tags,
        "desired": twin.desired,
        "desiredVersion": twin.desired_version,
        "desiredMetadata": twin.desired_metadata,
        "reported": twin.reported,
        "reportedVersion": twin.reported_version,
        "reportedMetadata": twin.reported_metadata,
        "version": twin.version,
        "serviceVersion": twin.service_version,
    }


def _from_json(body: JsonObject) -> Twin:
    """The twin; what is read by `get` has no place in documents of older stand-ins."""
    changes = "serviceVersion" if "serviceVersion" in body else "desiredVersion"
    return Twin(
        tags=body.get("tags", {}),
        desired=body["desired"],
        desired_version=body["desiredVersion"],
        desired_metadata=body.get("desiredMetadata", {}),
        reported=body["reported"],
        reported_version=body["reportedVersion"],
        reported_metadata=body.get("reportedMetadata", {}),
        version=body.get("version", body["desiredVersion"] + body["reportedVersion"] - 1),
        service_version=body[changes],
    )
