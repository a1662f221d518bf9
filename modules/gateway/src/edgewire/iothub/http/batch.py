"""Many messages in one request: `application/vnd.microsoft.iothub.json`, both ways.

An array of `{"body": …, "base64Encoded": …, "properties": {…}}`; bodies are base64 unless said otherwise, properties go
by the names of headers. Spec: iothub_wire.md §3.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import Bag, Direction
from edgewire.iothub.http.properties import read_headers, write_headers
from edgewire.iothub.limits import MAX_BATCH_MESSAGES

CONTENT_TYPE: Final = "application/vnd.microsoft.iothub.json"
_MEMBERS: Final = frozenset({"body", "base64Encoded", "properties"})


class Content(NamedTuple):
    """What one message says."""

    bag: Bag
    body: bytes


def is_batch(content_type: str | None) -> bool:
    """Whether a request's Content-Type says that its body is a batch."""
    return content_type is not None and content_type.partition(";")[0].strip().lower() == CONTENT_TYPE


def read_batch(payload: bytes) -> list[Content]:
    """The messages of a batch, in their order. Raises ProtocolError (400), for the whole of it, if one is refused."""
    try:
        items = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the batch is not JSON: {error}", reply=400) from None
    if not isinstance(items, list) or not items:
        raise ProtocolError("the batch is no array of messages", reply=400)
    if len(items) > MAX_BATCH_MESSAGES:
        raise ProtocolError(f"the batch has more than {MAX_BATCH_MESSAGES} messages", reply=413)
    return [_read_item(item, number, len(items)) for number, item in enumerate(items, 1)]


def write_batch(contents: Iterable[Content]) -> bytes:
    """The batch that holds these messages."""
    return orjson.dumps([_write_item(content) for content in contents])


def _read_item(item: Any, number: int, count: int) -> Content:
    try:
        return _read_message(item)
    except ProtocolError as error:
        raise ProtocolError(f"message {number} of {count} in the batch: {error.what}", reply=400) from None


def _read_message(item: Any) -> Content:
    if not isinstance(item, dict) or not isinstance(item.get("body"), str):
        raise ProtocolError("it is no object with a text as 'body'")
    unknown = item.keys() - _MEMBERS
    if unknown:
        raise ProtocolError(f"it has '{min(unknown)[:64]}'; known are {', '.join(sorted(_MEMBERS))}")
    return Content(_read_properties(item.get("properties")), _read_body(item))


def _read_properties(said: Any) -> Bag:
    if said is None:
        return Bag({}, {})
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise ProtocolError("its 'properties' are no object of texts")
    return read_headers(said.items())


def _read_body(item: dict[str, Any]) -> bytes:
    text, encoded = item["body"], item.get("base64Encoded", True)
    if not isinstance(encoded, bool):
        raise ProtocolError("its 'base64Encoded' is neither true nor false")
    if not encoded:
        return bytes(text, "utf-8")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("its 'body' is not base64; say \"base64Encoded\": false for a text") from None


def _write_item(content: Content) -> dict[str, object]:
    item: dict[str, object] = {"body": base64.b64encode(content.body).decode("ascii")}
    properties = dict(write_headers(content.bag, Direction.FROM_DEVICE))
    return item | {"properties": properties} if properties else item
