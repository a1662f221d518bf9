"""The body of a message as JSON: read whole where that is strict JSON, and the members that routes ask it for."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
"""The limit of edgeHub's JSON library: 64 arrays and objects inside one another are read, 65 are not."""

SELECTED_FROM: Final = 4_096
"""Bytes of a body from which on a Selection is the quicker one; docs/decisions/ has the figures."""

MAX_SELECTED: Final = 16
"""Members that are looked for by name; each name of a body is compared with all of them."""

_BRACE: Final = ord("{")
_BRACKET: Final = ord("[")

_AS_BRACES: Final = bytes.maketrans(b"[]", b"{}")
_NO_MARKS: Final = bytes(set(range(256)) - set(b'[]{}"'))

_TOO_MANY: Final = b"0" * 380
_STRIDE: Final = 11
_EACH_ELEVENTH: Final = b"0" * (380 // 11)
_AS_NOUGHTS: Final = bytes.maketrans(b"123456789", b"000000000")


def read_object(body: bytes) -> dict[str, Any] | None:
    """The object that a body holds as strict JSON in UTF-8; None if it holds none, or nests too deep."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if found.__class__ is dict and _is_shallow(body):
        document: dict[str, Any] = found
        return document
    return None


def _is_shallow(body: bytes) -> bool:
    """True if a body of strict JSON nests no deeper than the limit.

    An array takes 2 bytes at least and an object inside another 5, so a short body needs many arrays to be deep.
    """
    length = len(body)
    if length <= 2 * MAX_DEPTH:
        return True
    arrays = body.count(_BRACKET)
    if length + 3 * arrays < 5 * MAX_DEPTH or arrays + body.count(_BRACE) <= MAX_DEPTH:
        return True
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # What is left of it are quotes and brackets; a pair of quotes side by side can go, as others keep their side.
    marks = body.translate(_AS_BRACES, _NO_MARKS).replace(b'""', b"")
    if b'"' in marks:
        marks = b"".join(marks.split(b'"')[::2])
    for _ in range(MAX_DEPTH):
        if not marks:
            return True
        marks = marks.replace(b"{}", b"")  # those that hold nothing more: one level
    return not marks


class Selection:
    """Reads a few members from the top of a body, and passes over the rest."""

    __slots__ = ("_decode", "_members", "_names", "_refusals", "_tried")

    def __init__(self, names: Sequence[str]) -> None:
        """`names` are those of the members; at most MAX_SELECTED of them, or nothing is gained."""
        self._names = names
        self._tried = False
        self._decode: Callable[[bytes], Any] | None = None
        self._members: Callable[[Any], tuple[Any, ...]] = tuple
        self._refusals: tuple[type[Exception], ...] = ()

    def read(self, body: bytes) -> dict[str, Any] | None:
        """Those members that the object in `body` has, as reading all of it gives them.

        None if that cannot be told without reading all of it: what is no strict JSON, or nests too deep, or may hold a
        number that is too long; and where msgspec is not installed.
        """
        if not self._tried:
            self._prepare()
        if self._decode is None:
            return None
        try:
            found = self._members(self._decode(body))
        except self._refusals:
            return None
        if not _is_shallow(body) or _may_be_too_long(body):
            return None
        members: dict[str, Any] = {}
        try:
            for name, part in zip(self._names, found, strict=True):
                written = bytes(part)
                if written:
                    members[name] = orjson.loads(written)
        except orjson.JSONDecodeError:
            return None
        return members

    def _prepare(self) -> None:
        self._tried = True
        # What is no text in a body is read as U+FFFD, so a name with it is found in ways that are not looked for.
        if any(letter == "\ufffd" or 0xD800 <= ord(letter) <= 0xDFFF for letter in "".join(self._names)):
            return
        try:
            import msgspec  # noqa: PLC0415 - 2.5 MB, loaded with the first large body
        except ImportError:  # no wheel for armv7l
            return
        fields = [(f"member{at}", msgspec.Raw, msgspec.Raw(b"")) for at in range(len(self._names))]
        names = {field[0]: name for field, name in zip(fields, self._names, strict=True)}
        decoder = msgspec.json.Decoder(msgspec.defstruct("Members", fields, rename=names))
        self._decode, self._members = decoder.decode, msgspec.structs.astuple
        self._refusals = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _may_be_too_long(body: bytes) -> bool:
    """True if 380 digits stand side by side: the library refuses such an integer, and with it the body.

    Each eleventh byte is looked at first, which costs next to nothing: numbers in a row, of whatever width, have a
    comma or a point among them sooner.
    """
    if _EACH_ELEVENTH not in body[::_STRIDE].translate(_AS_NOUGHTS):
        return False
    return _TOO_MANY in body.translate(_AS_NOUGHTS)


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
