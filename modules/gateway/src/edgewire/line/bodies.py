"""The body of a message as JSON: read whole where that is strict JSON, and the members that routes ask it for."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
"""The limit of edgeHub's JSON library: 64 arrays and objects inside one another are read, 65 are not."""

_BRACE: Final = ord("{")
_BRACKET: Final = ord("[")


def read_object(body: bytes) -> dict[str, Any] | None:
    """The object that a body holds as strict JSON in UTF-8; None if it holds none, or may nest too deep."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if found.__class__ is dict and _is_shallow(body):
        document: dict[str, Any] = found
        return document
    return None


def _is_shallow(body: bytes) -> bool:
    """True if the body cannot nest deeper than the limit, judged by its brackets alone.

    An array takes 2 bytes at least and an object inside another 5, so a short body needs many arrays to be deep.
    """
    length = len(body)
    if length <= 2 * MAX_DEPTH:
        return True
    arrays = body.count(_BRACKET)
    if length + 3 * arrays < 5 * MAX_DEPTH:
        return True
    return arrays + body.count(_BRACE) <= MAX_DEPTH


def members_at(document: dict[str, Any], steps: Sequence[str | int | None]) -> list[Any]:
    """All that a path finds, step by step: the member of a name, the element of a number, every member for None."""
    found: list[Any] = [document]
    for step in steps:
        found = [inner for outer in found for inner in _step(outer, step)]
    return found


def _step(outer: Any, step: str | int | None) -> list[Any]:
    if isinstance(step, int):
        return [outer[step]] if isinstance(outer, list) and step < len(outer) else []
    if not isinstance(outer, dict):
        return []
    if step is None:
        return list(outer.values())
    return [outer[step]] if step in outer else []
