"""Twin documents: desired and reported sections, their versions, and the limits of iothub_wire.md §1.6."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from edgewire.iothub.limits import (
    MAX_TWIN_DEPTH,
    MAX_TWIN_INTEGER,
    MAX_TWIN_NAME_BYTES,
    MAX_TWIN_SECTION_BYTES,
    MAX_TWIN_TEXT_BYTES,
)
from edgewire.message import Identity
from standin.documents import Documents, JsonObject

_KIND: Final = "twin"
_BAD_KEY: Final = re.compile(r"[.$# \x00-\x1f\x7f-\x9f]")
"""`#` is edgeHub's addition (edgehub.md §4.8); the cloud's list is without it."""


class TwinError(Exception):
    """A twin request that is refused, with the status of its answer: 400 or 413."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


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


def read_patch(body: bytes) -> JsonObject:
    """The patch a device sent. Raises TwinError if it is not a JSON object within the limits."""
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise TwinError(400, f"the patch is not JSON: {error}") from error
    return checked_patch(patch)


def checked_patch(patch: object) -> JsonObject:
    """The patch, once it is seen to be an object whose names and values a twin may hold."""
    if not isinstance(patch, dict):
        raise TwinError(400, f"a patch is a JSON object, not {type(patch).__name__}")
    _check_members(patch, depth=1)
    return patch


def merged(section: JsonObject, patch: JsonObject) -> JsonObject:
    """The section after a merge patch: null removes, an object merges, anything else replaces (RFC 7396)."""
    result = dict(section)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old = result.get(key)
            result[key] = merged(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result


def section_size(value: object) -> int:
    """Bytes as the hub counts them: names and strings in UTF-8, a number 8, a boolean 4."""
    if isinstance(value, dict):
        return sum(len(key.encode()) + section_size(member) for key, member in value.items())
    if isinstance(value, list):
        return sum(section_size(item) for item in value)
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bool):
        return 4
    return 0 if value is None else 8


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
        _check_size("desired", desired)
        self._keep(who, replace(old, desired=desired, desired_version=old.desired_version + 1))
        return old.desired_version + 1

    def patch_reported(self, who: Identity, patch: JsonObject) -> int:
        """Merge into reported. Returns its new version; raises TwinError, and changes nothing, if it grows too big."""
        old = self.get(who)
        reported = merged(old.reported, checked_patch(patch))
        _check_size("reported", reported)
        self._keep(who, replace(old, reported=reported, reported_version=old.reported_version + 1))
        return old.reported_version + 1

    def remove(self, who: Identity) -> None:
        """Forget the twin."""
        self._twins.pop(str(who), None)
        self._documents.delete(_KIND, str(who))

    def _keep(self, who: Identity, twin: Twin) -> None:
        self._twins[str(who)] = twin
        self._documents.put(_KIND, str(who), _to_json(twin))


def _check_members(value: JsonObject, *, depth: int) -> None:
    if depth > MAX_TWIN_DEPTH:
        raise TwinError(400, f"objects may be nested {MAX_TWIN_DEPTH} deep, this one goes deeper")
    for key, member in value.items():
        if not key or _BAD_KEY.search(key) is not None:
            raise TwinError(400, f"the name {key!r} is empty or holds '.', '$', '#', a space or a control character")
        if len(key.encode()) > MAX_TWIN_NAME_BYTES:
            raise TwinError(400, f"a name of {len(key.encode())} bytes; {MAX_TWIN_NAME_BYTES} are allowed")
        _check_value(key, member, depth=depth)


def _check_value(key: str, value: Any, *, depth: int) -> None:
    if isinstance(value, dict):
        _check_members(value, depth=depth + 1)
    elif isinstance(value, list):
        _check_items(key, value, depth=depth + 1)
    elif isinstance(value, str) and len(value.encode()) > MAX_TWIN_TEXT_BYTES:
        raise TwinError(400, f"{key!r} holds a text of {len(value.encode())} bytes; {MAX_TWIN_TEXT_BYTES} are allowed")
    elif isinstance(value, int) and not -MAX_TWIN_INTEGER <= value <= MAX_TWIN_INTEGER:
        raise TwinError(400, f"{key!r} is {value}; whole numbers end at 2^52")


def _check_items(key: str, items: list[Any], *, depth: int) -> None:
    if depth > MAX_TWIN_DEPTH:
        raise TwinError(400, f"{key!r} is nested deeper than {MAX_TWIN_DEPTH}")
    for item in items:
        if item is None:
            raise TwinError(400, f"{key!r} holds null inside an array")
        _check_value(key, item, depth=depth)


def _check_size(name: str, section: JsonObject) -> None:
    size = section_size(section)
    if size > MAX_TWIN_SECTION_BYTES:
        raise TwinError(413, f"the {name} properties would hold {size} bytes; {MAX_TWIN_SECTION_BYTES} are allowed")


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
