"""JSON objects of small requests: boards' first contact, wishes for tokens."""

import json
from collections.abc import Sequence
from typing import Any

from edgewire.errors import ProtocolError


def read_object(body: bytes) -> dict[str, Any]:
    """The members of the object that a body is. Raises ProtocolError (400), also for one that has a member twice."""
    try:
        document = json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):  # a UnicodeDecodeError, and a number of thousands of digits, are ValueErrors
        raise ProtocolError("the body is not JSON, or has a member twice", reply=400) from None
    if not isinstance(document, dict):
        raise ProtocolError("the body is no JSON object", reply=400)
    return document


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member twice")
    return members
