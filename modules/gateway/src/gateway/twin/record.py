"""A mirror as bytes on disk: JSON, version 1, before it is sealed.

{"version": 1, "document": null or {"desired", "desiredVersion", "reported", "reportedVersion"},
 "waiting": null or [clearing, changes]}
"""

from typing import Any, Final

import orjson

from edgewire.iothub.twins import Document, Patches
from gateway.twin.mirror import Mirror, TwinDocument

VERSION: Final = 1


class BadRecordError(Exception):
    """Bytes that are no mirror of ours."""


def encode(mirror: Mirror) -> bytes:
    """The bytes of a mirror."""
    known, waiting = mirror.document, mirror.waiting
    document = None
    if known is not None:
        document = {
            "desired": known.desired,
            "desiredVersion": known.desired_version,
            "reported": known.reported,
            "reportedVersion": known.reported_version,
        }
    patches = None if waiting is None else [waiting.clearing, waiting.changes]
    return orjson.dumps({"version": VERSION, "document": document, "waiting": patches})


def decode(record: bytes) -> Mirror:
    """The mirror of these bytes. Raises BadRecordError for what `encode` did not write."""
    try:
        value = orjson.loads(record)
        if value["version"] != VERSION:
            raise BadRecordError(f"version {value['version']!r} is not known")
        return Mirror(_document(value["document"]), _waiting(value["waiting"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise BadRecordError(f"{type(error).__name__}: {error}") from error


def _document(value: Any) -> TwinDocument | None:
    if value is None:
        return None
    return TwinDocument(
        desired=_object(value["desired"]),
        desired_version=int(value["desiredVersion"]),
        reported=_object(value["reported"]),
        reported_version=int(value["reportedVersion"]),
    )


def _waiting(value: Any) -> Patches | None:
    if value is None:
        return None
    clearing, changes = value
    return Patches(_object(clearing), _object(changes))


def _object(value: Any) -> Document:
    if not isinstance(value, dict):
        raise TypeError("a section or patch is no JSON object")
    return value
