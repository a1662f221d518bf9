"""A message's body as conditions see it: read at most once, by the fast JSON reader where that is safe."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, final

from edgewire.line.bodies import MAX_SELECTED, Selection, members_at, read_object
from gateway.routing import lenient_json
from gateway.routing.bodypath import BodyPath
from gateway.routing.lenient_json import NotReadable
from gateway.routing.values import BODY_NAN, MISSING, NULL, UNDEFINED, Undefined, Value

_CODECS: Final = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
"""The content encodings a body is read in; anything else makes it unreadable."""


@final
class Unreadable(dict[str, Any]):
    """Stands for a body that cannot be read: whatever is asked of it is undefined. `why` is for `explain`."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why

    def get(self, _key: object, _default: object = None) -> Undefined:
        """Undefined, for every key."""
        return UNDEFINED


Document: TypeAlias = dict[str, Any]


def codec_of(content_type: str | None, content_encoding: str | None) -> str | None:
    """The codec in which conditions read a body that says this of itself; None if they do not read it."""
    if content_type is None or content_encoding is None or content_type.lower() != "application/json":
        return None
    return _CODECS.get(content_encoding.lower())


def why_no_codec(content_type: str | None, content_encoding: str | None) -> str:
    """Why `codec_of` found none, and what to do about it."""
    if content_type is None or content_encoding is None:
        missing = [] if content_type is not None else ["contentType"]
        missing += [] if content_encoding is not None else ["contentEncoding"]
        return (
            f"the message has no {' and no '.join(missing)}, so its body is not read: "
            "put $.ct=application%2Fjson&$.ce=utf-8 on the topic, or contentType and contentEncoding into the rule "
            "that maps it"
        )
    if content_type.lower() != "application/json":
        return f"its contentType is '{content_type}'; a body is read only as application/json, without parameters"
    return f"its contentEncoding is '{content_encoding}'; a body is read only as utf-8, utf-16 or utf-32"


def read_body(body: bytes, codec: str | None) -> Document:
    """The body as an object, or an `Unreadable`. Never raises, whatever a device sends.

    orjson takes only strict JSON, and of what it takes, the lenient reader reads the same, except for deep nesting.
    """
    if codec == "utf-8":
        document = read_object(body)
        if document is not None:
            return document
    return _read_leniently(body, codec)


def members_reader(names: Sequence[str]) -> Callable[[bytes, str | None], Document]:
    """A `read_body` for large bodies of which only the members of these names, at the top, are asked for.

    What it gives has these members as `read_body` has them; others may be missing.
    """
    if not 0 < len(names) <= MAX_SELECTED:
        return read_body
    selection = Selection(names)

    def read_members(body: bytes, codec: str | None) -> Document:
        document = selection.read(body) if codec == "utf-8" else None
        return read_body(body, codec) if document is None else document

    return read_members


def _read_leniently(body: bytes, codec: str | None) -> Document:
    if codec is None:
        return Unreadable("the body is not read")
    try:
        return lenient_json.read(body.decode(codec, "replace"))
    except NotReadable as refusal:
        return Unreadable(f"the body is no readable JSON: {refusal.why}")


def as_value(found: Any) -> Value:
    """A JSON value as a condition sees it: objects, arrays and dates are undefined."""
    value: Value = found
    kind = found.__class__
    if kind is str:
        return UNDEFINED if len(found) > 8 and _may_be_date(found) and lenient_json.is_date(found) else value
    if kind is float:
        return value if found == found else BODY_NAN  # noqa: PLR0124 - the quickest test for NaN
    if kind is int:
        return float(found)
    if kind is bool:
        return value
    if found is None:
        return NULL
    return MISSING if found is MISSING else UNDEFINED


def _may_be_date(text: str) -> bool:
    return text[0] == "/" or (len(text) > 18 and text[10] == "T")


def value_at(document: Document, path: BodyPath) -> Value:
    """What `path` finds: the missing value if nothing, undefined if `*` finds several things."""
    if isinstance(document, Unreadable) or path.impossible:
        return UNDEFINED
    found = members_at(document, path.steps)
    if not found:
        return MISSING
    return as_value(found[0]) if len(found) == 1 else UNDEFINED
