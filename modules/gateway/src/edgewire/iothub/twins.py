"""Twin documents as values: what a patch may hold, how sections merge, and the hub's limits (iothub_wire.md §1.6).

A section holds no null: in a patch null removes a member, and inside an array it is refused. `$version` is no part of
a section here; who writes a document for a device adds it.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from edgewire.iothub.limits import (
    MAX_TWIN_DEPTH,
    MAX_TWIN_INTEGER,
    MAX_TWIN_NAME_BYTES,
    MAX_TWIN_SECTION_BYTES,
    MAX_TWIN_TEXT_BYTES,
)

Document = dict[str, Any]
"""A section of a twin, or a patch of one, as JSON gives it."""

_BAD_KEY: Final = re.compile(r"[.$# \x00-\x1f\x7f-\x9f]")
"""`#` is edgeHub's addition (edgehub.md §4.8); the cloud's list is without it."""


class TwinError(Exception):
    """A twin request that is refused, with the status of its answer: 400 or 413."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


def read_patch(body: bytes) -> Document:
    """The patch a device sent. Raises TwinError if it is not a JSON object within the limits."""
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise TwinError(400, f"the patch is not JSON: {error}") from error
    return checked_patch(patch)


def checked_patch(patch: object) -> Document:
    """The patch, once it is seen to be an object whose names and values a twin may hold. Raises TwinError."""
    if not isinstance(patch, dict):
        raise TwinError(400, f"a patch is a JSON object, not {type(patch).__name__}")
    _check_members(patch, depth=1)
    return patch


def check_size(name: str, section: Document) -> None:
    """Raise TwinError if the section called `name` is larger than a hub keeps."""
    size = section_size(section)
    if size > MAX_TWIN_SECTION_BYTES:
        raise TwinError(413, f"the {name} properties would hold {size} bytes; {MAX_TWIN_SECTION_BYTES} are allowed")


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


def merged(section: Document, patch: Document) -> Document:
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


def difference(old: Document, new: Document) -> Document:
    """The least patch that makes `new` of `old`, for sections, which hold no null: merged(old, patch) == new."""
    patch: Document = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(old[key], dict):
            if below := difference(old[key], value):
                patch[key] = below
        elif not _same(old[key], value):
            patch[key] = value
    return patch


@dataclass(frozen=True, slots=True)
class Patches:
    """What several patches one after the other do to any section: `clearing` first, then `changes`.

    One merge patch cannot say it in general: after {"a": null} and {"a": {"b": 1}} the member "a" holds b and nothing
    else, and {"a": {"b": 1}} alone would keep what else was in it. `clearing` holds nothing but such removals, and is
    empty nearly always.
    """

    clearing: Document = field(default_factory=dict)
    changes: Document = field(default_factory=dict)

    def in_order(self) -> tuple[Document, ...]:
        """The patches to send: one, or two where something must be cleared before."""
        return (self.clearing, self.changes) if self.clearing else (self.changes,)


def composed(first: Patches, second: Document) -> Patches:
    """What `first` and then `second` do, to any section."""
    clearing, changes = dict(first.clearing), dict(first.changes)
    for key, value in second.items():
        old = changes.get(key)
        if not isinstance(value, dict):
            clearing.pop(key, None)
            changes[key] = value
        elif key in changes and (not isinstance(old, dict) or clearing.get(key, old) is None):
            # The member is cleared or replaced first, so all that it holds then is known here.
            clearing[key] = None
            changes[key] = merged(old if isinstance(old, dict) else {}, value)
        else:
            below = composed(Patches(clearing.get(key, {}), changes.get(key, {})), value)
            changes[key] = below.changes
            if below.clearing:
                clearing[key] = below.clearing
            else:
                clearing.pop(key, None)
    return Patches(clearing, changes)


def applied(section: Document, patches: Patches) -> Document:
    """The section after these patches."""
    for patch in patches.in_order():
        section = merged(section, patch)
    return section


def _same(one: object, other: object) -> bool:
    """Whether JSON writes both alike: Python takes true for 1, and 1.0 for 1."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def _check_members(value: Document, *, depth: int) -> None:
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
