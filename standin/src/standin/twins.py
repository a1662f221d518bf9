"""Twin documents: desired and reported sections, their versions, and the limits of iothub_wire.md §1.6."""

from dataclasses import dataclass, field, replace
from typing import Final

from edgewire.iothub.twins import TwinError, check_size, checked_patch, merged, read_patch
from edgewire.message import Identity
from standin.documents import Documents, JsonObject

__all__ = ["Twin", "TwinError", "Twins", "read_patch"]

_KIND: Final = "twin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """Both sections of a twin, each with its version; neither holds `$version` itself."""

    desired: JsonObject = field(default_factory=dict)
    desired_version: int = 1
    reported: JsonObject = field(default_factory=dict)
    reported_version: int = 1

    def for_device(self) -> JsonObject:
        """The document as a device reads it: no `properties` wrapper, no `$metadata`."""
        return {
            "desired": {**self.desired, "$version": self.desired_version},
            "reported": {**self.reported, "$version": self.reported_version},
        }


class Twins:
    """The twins of all identities; every change is on disk when the call returns."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._twins = {key: _from_json(body) for key, body in documents.all(_KIND).items()}

    def get(self, who: Identity) -> Twin:
        """The twin; an identity without one has an empty twin of version 1."""
        return self._twins.get(str(who)) or Twin()

    def patch_desired(self, who: Identity, patch: JsonObject) -> int:
        """Merge into desired. Returns its new version; raises TwinError, and changes nothing, if it grows too big."""
        old = self.get(who)
        desired = merged(old.desired, checked_patch(patch))
        check_size("desired", desired)
        self._keep(who, replace(old, desired=desired, desired_version=old.desired_version + 1))
        return old.desired_version + 1

    def patch_reported(self, who: Identity, patch: JsonObject) -> int:
        """Merge into reported. Returns its new version; raises TwinError, and changes nothing, if it grows too big."""
        old = self.get(who)
        reported = merged(old.reported, checked_patch(patch))
        check_size("reported", reported)
        self._keep(who, replace(old, reported=reported, reported_version=old.reported_version + 1))
        return old.reported_version + 1

    def remove(self, who: Identity) -> None:
        """Forget the twin."""
        self._twins.pop(str(who), None)
        self._documents.delete(_KIND, str(who))

    def _keep(self, who: Identity, twin: Twin) -> None:
        self._twins[str(who)] = twin
        self._documents.put(_KIND, str(who), _to_json(twin))


def _to_json(twin: Twin) -> JsonObject:
    return {
        "desired": twin.desired,
        "desiredVersion": twin.desired_version,
        "reported": twin.reported,
        "reportedVersion": twin.reported_version,
    }


def _from_json(body: JsonObject) -> Twin:
    return Twin(
        desired=body["desired"],
        desired_version=body["desiredVersion"],
        reported=body["reported"],
        reported_version=body["reportedVersion"],
    )
