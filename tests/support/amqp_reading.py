"""Vector rows of AMQP, values that keep their types when compared, and strategies for values."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from edgewire.codec.amqp import kinds as k
from edgewire.codec.amqp.frames import Frame, FrameReader
from edgewire.errors import ProtocolError
from support.mqtt_vectors import VECTORS, wire

TRACES = sorted((VECTORS / "amqp_traces").glob("*.client.hex"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `says` is part of the refusal's sentence, so that a row is not refused for another reason."""

    rule: str
    what: str
    wire: bytes
    refused: bool = False
    says: str = ""
    reply: str = "amqp:decode-error"
    value: Any = None
    made: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    longer: bool = False
    """Right, but not the form that we write."""

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


def rows(name: str) -> list[Row]:
    """All rows of a file."""
    found = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [Row(**{**row, "wire": wire(row["wire"])}) for row in found]


_OF_HEX: dict[str, Callable[[bytes], Any]] = {
    "binary": bytes,
    "decimal32": k.Decimal32,
    "decimal64": k.Decimal64,
    "decimal128": k.Decimal128,
}
_OF_JSON: dict[str, Callable[[Any], Any]] = {
    "ubyte": k.UByte,
    "ushort": k.UShort,
    "uint": k.UInt,
    "ulong": k.ULong,
    "byte": k.Byte,
    "short": k.Short,
    "int": k.Int,
    "float": k.Float,
    "timestamp": k.Timestamp,
    "char": k.Char,
    "symbol": k.Symbol,
    "uuid": uuid.UUID,
}


def value_of(row: Any) -> Any:
    """The value that a row means: JSON for what JSON has, an object of one type name for the rest."""
    if isinstance(row, list):
        return [value_of(one) for one in row]
    if not isinstance(row, dict):
        return row
    [(name, inner)] = row.items()
    match name:
        case "map":
            return {value_of(key): value_of(value) for key, value in inner}
        case "array":
            return k.Array(tuple(value_of(one) for one in inner))
        case "described":
            return k.Described(value_of(inner[0]), value_of(inner[1]))
        case _ if name in _OF_HEX:
            return _OF_HEX[name](bytes.fromhex(inner))
        case _:
            return _OF_JSON[name](inner)


def typed(value: Any) -> Any:
    """A value with its types, so that a uint is not equal to a ulong."""
    match value:
        case list():
            return ["list", *map(typed, value)]
        case dict():
            return {"map": [(typed(key), typed(inner)) for key, inner in value.items()]}
        case k.Array():
            return ["array", *map(typed, value.items)]
        case k.Described():
            return ["described", typed(value.descriptor), typed(value.value)]
        case float():
            return type(value).__name__, repr(value)
        case _:
            return type(value).__name__, value


def refusal_of(call: Callable[[], object]) -> ProtocolError | None:
    """The ProtocolError that a call ends in, or None; any other exception is the test's failure."""
    try:
        call()
    except ProtocolError as error:
        refused = error
    else:
        return None
    assert type(refused.reply) is k.Symbol
    return refused


def frames_of(data: bytes, max_frame_bytes: int = 1_000_000) -> list[Frame]:
    """All frames that `data` is."""
    reader = FrameReader(max_frame_bytes)
    reader.push(data)
    found = list(iter(reader.next, None))
    assert reader.held == 0, "the bytes end inside a frame"
    return found


def _int(kind: Any, bits: int, *, signed: bool) -> st.SearchStrategy[Any]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(low, high).map(kind)


SYMBOLS = st.text(st.characters(max_codepoint=127), max_size=12).map(k.Symbol)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEYS = st.one_of(TEXTS, SYMBOLS, st.binary(max_size=4), _int(k.ULong, 64, signed=False))
SIMPLE: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    TEXTS,
    SYMBOLS,
    st.text(min_size=250, max_size=260),
    st.binary(max_size=300),
    st.uuids(),
    st.floats(allow_nan=False),
    st.floats(width=32, allow_nan=False).map(k.Float),
    st.characters(exclude_categories=["Cs"]).map(k.Char),
    st.binary(min_size=4, max_size=4).map(k.Decimal32),
    st.binary(min_size=8, max_size=8).map(k.Decimal64),
    st.binary(min_size=16, max_size=16).map(k.Decimal128),
    _int(k.UByte, 8, signed=False),
    _int(k.UShort, 16, signed=False),
    _int(k.UInt, 32, signed=False),
    _int(k.ULong, 64, signed=False),
    _int(k.Byte, 8, signed=True),
    _int(k.Short, 16, signed=True),
    _int(k.Int, 32, signed=True),
    _int(int, 64, signed=True),
    _int(k.Timestamp, 64, signed=True),
)


def _for_an_array(value: object) -> bool:
    return not (isinstance(value, k.Described) and isinstance(value.value, k.Described))


VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(k.Described, _int(k.ULong, 64, signed=False) | SYMBOLS, inner),
        inner.filter(_for_an_array).flatmap(lambda one: st.integers(0, 4).map(lambda count: k.Array((one,) * count))),
    ),
    max_leaves=12,
)
MAPS = st.dictionaries(SYMBOLS, SIMPLE, max_size=3)


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with one to three of them changed, some cut out or put in."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        found[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(found)
