"""Composite values: described lists whose fields have names, types and defaults. Spec: AMQP 1.0 §1.4, §2.7, §3.4, §3.5.

A table per class says which fields there are; which one must be there and what an absent one reads as is in the class.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Generic, TypeVar

from edgewire.codec.amqp import performatives as p
from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import NULL, Array, Described, Symbol, Timestamp, UByte, UInt, ULong, UShort, Uuid
from edgewire.codec.amqp.types import malformed, read_value
from edgewire.codec.amqp.writing import (
    FAULTS_OF_WRITING,
    write_array,
    write_binary,
    write_boolean,
    write_list,
    write_map,
    write_string,
    write_symbol,
    write_timestamp,
    write_ubyte,
    write_uint,
    write_ulong,
    write_ushort,
    write_value,
)
from edgewire.errors import ProtocolError, UsageError

T = TypeVar("T")

MAX_TAG_BYTES: Final = 32
"""AMQP 1.0 §2.8.7: a delivery tag has no more."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a field: `read` checks a value of the wire and gives the field's, `write` gives its bytes."""

    read: Callable[[object, str], Any]
    write: Callable[[Any], bytes]


def _wrong(where: str, kind: str, value: object) -> ProtocolError:
    return malformed(f"{where} must be {kind}, not {type(value).__name__.lower()}", "AMQP 1.0 §1.4")


def _plain(name: str, wire: type, field: Callable[[Any], object], write: Callable[[Any], bytes]) -> Kind:
    """A primitive type: exactly `wire` on the wire, `field` in the composite value."""

    def read(value: object, where: str) -> object:
        if type(value) is not wire:
            raise _wrong(where, name, value)
        return field(value)

    return Kind(read, write)


def _as_it_is(value: object) -> object:
    return value


BOOLEAN: Final = _plain("boolean", bool, _as_it_is, write_boolean)
UBYTE: Final = _plain("ubyte", UByte, int, write_ubyte)
USHORT: Final = _plain("ushort", UShort, int, write_ushort)
UINT: Final = _plain("uint", UInt, int, write_uint)
ULONG: Final = _plain("ulong", ULong, int, write_ulong)
TIMESTAMP: Final = _plain("timestamp", Timestamp, int, write_timestamp)
BINARY: Final = _plain("binary", bytes, _as_it_is, write_binary)
STRING: Final = _plain("string", str, _as_it_is, write_string)
SYMBOL: Final = _plain("symbol", Symbol, str, write_symbol)


def _one_of(kind: Kind, allowed: Iterable[object], spec: str) -> Kind:
    """A restricted type: values of `kind`, and of these only some."""
    choices = frozenset(allowed)

    def read(value: object, where: str) -> object:
        found = kind.read(value, where)
        if found not in choices:
            raise ProtocolError(f"{where} may not be {found!r}", reply=INVALID_FIELD, spec=spec)
        return found

    return Kind(read, kind.write)


def _read_tag(value: object, where: str) -> object:
    tag: bytes = BINARY.read(value, where)
    if len(tag) > MAX_TAG_BYTES:
        raise ProtocolError(f"{where} of {len(tag)} bytes", reply=INVALID_FIELD, spec="AMQP 1.0 §2.8.7")
    return tag


def _write_tag(value: bytes) -> bytes:
    if len(value) > MAX_TAG_BYTES:
        raise ValueError(f"{len(value)} bytes, where {MAX_TAG_BYTES} are the most")
    return write_binary(value)


def _read_message_id(value: object, where: str) -> object:
    if type(value) not in (str, ULong, Uuid, bytes):
        raise _wrong(where, "string, ulong, uuid or binary", value)
    return value


def _read_symbols(value: object, where: str) -> tuple[str, ...]:
    """A field with several symbols: one alone stands for an array of one. Spec: AMQP 1.0 §1.4."""
    items = value.items if type(value) is Array else (value,)
    return tuple([SYMBOL.read(item, where) for item in items])


def _write_symbols(values: tuple[str, ...]) -> bytes:
    return write_array(tuple(map(Symbol, values))) if values else NULL


def _map_with(name: str, *keys: type) -> Kind:
    def read(value: object, where: str) -> object:
        if type(value) is not dict:
            raise _wrong(where, name, value)
        for key in value:
            if type(key) not in keys:
                raise _wrong(f"a key of {where}", " or ".join(one.__name__.lower() for one in keys), key)
        return value

    return Kind(read, _write_named if keys else _write_any_map)


def _write_key(key: object) -> bytes:
    if isinstance(key, str):
        return write_symbol(key)
    if isinstance(key, int):
        return write_ulong(key)
    raise TypeError(f"a {type(key).__name__} as the key of a map of symbols")


def _write_named(value: Mapping[object, object]) -> bytes:
    return write_map([part for key, item in value.items() for part in (_write_key(key), write_value(item))])


def _write_any_map(value: Mapping[object, object]) -> bytes:
    return write_value(dict(value))


def _read_any_map(value: object, where: str) -> object:
    if type(value) is not dict:
        raise _wrong(where, "map", value)
    return value


TAG: Final = Kind(_read_tag, _write_tag)
MESSAGE_ID: Final = Kind(_read_message_id, write_value)
SYMBOLS: Final = Kind(_read_symbols, _write_symbols)
FIELDS: Final = _map_with("a map of fields", Symbol)
ANNOTATIONS: Final = _map_with("a map of annotations", Symbol, ULong)
ANY_MAP: Final = Kind(_read_any_map, _write_any_map)

_SND_MODE: Final = _one_of(UBYTE, range(3), "AMQP 1.0 §2.8.2")
_RCV_MODE: Final = _one_of(UBYTE, range(2), "AMQP 1.0 §2.8.3")
_DURABILITY: Final = _one_of(UINT, range(3), "AMQP 1.0 §3.5.5")
_EXPIRY: Final = _one_of(SYMBOL, ("link-detach", "session-end", "connection-close", "never"), "AMQP 1.0 §3.5.6")
_DISTRIBUTION: Final = _one_of(SYMBOL, ("move", "copy"), "AMQP 1.0 §3.5.7")
_SASL_CODE: Final = _one_of(UBYTE, range(5), "AMQP 1.0 §5.3.3.6")


@dataclass(frozen=True, slots=True)
class Row:
    """A field: its name, its type, whether it must be there."""

    name: str
    kind: Kind
    mandatory: bool


class Table(Generic[T]):
    """A class of composite values: its descriptor and its fields in order."""

    def __init__(self, made: type[T], code: int, name: str, *kinds: Kind) -> None:
        """`kinds` are those of the fields of `made`, one for one."""
        columns = fields(made)  # type: ignore[arg-type]  # each class in a table is a dataclass
        self.made = made
        self.code = code
        self.name = name
        self.rows = tuple(
            Row(column.name, kind, column.default is MISSING) for column, kind in zip(columns, kinds, strict=True)
        )
        self._head = b"\x00" + write_ulong(code)

    def read(self, values: object) -> T:
        """The composite value of a described list's elements."""
        if type(values) is not list:
            raise _wrong(self.name, "list", values)
        if len(values) > len(self.rows):
            raise malformed(f"{self.name} with {len(values)} fields, where {len(self.rows)} are", "AMQP 1.0 §1.4")
        found = {}
        for row, value in zip(self.rows, values, strict=False):
            if value is not None:
                found[row.name] = row.kind.read(value, f"{self.name}.{row.name}")
        for row in self.rows:
            if row.mandatory and found.get(row.name, ()) == ():
                raise malformed(f"{self.name} without {row.name}", "AMQP 1.0 §1.4")
        return self.made(**found)

    def write(self, value: T) -> bytes:
        """The bytes of a composite value, all fields of it."""
        return self._head + write_list([self._field(row, getattr(value, row.name)) for row in self.rows])

    def _field(self, row: Row, value: object) -> bytes:
        if value is not None:
            try:
                return row.kind.write(value)
            except FAULTS_OF_WRITING as error:
                raise UsageError(f"{self.name}.{row.name} cannot hold {value!r:.80}: {error}") from error
        if row.mandatory:
            raise UsageError(f"{self.name} without {row.name}")
        return NULL


class Group:
    """Composite values that can stand in one place, found by their descriptors."""

    def __init__(self, what: str, *tables: Table[Any]) -> None:
        """`what` names the place in the text of an error."""
        self.what = what
        self._by_code = {table.code: table for table in tables}
        self._by_name = {f"amqp:{table.name}:list": table for table in tables}
        self._by_class = {table.made: table for table in tables}

    def table(self, descriptor: object) -> Table[Any] | None:
        """The table that a descriptor names, by number or by symbol."""
        if type(descriptor) is ULong:
            return self._by_code.get(descriptor)
        return self._by_name.get(descriptor) if type(descriptor) is Symbol else None

    def read(self, value: object, where: str) -> Any:
        """The composite value of a described list. Raises ProtocolError if it is none of these."""
        table = self.table(value.descriptor) if type(value) is Described else None
        if table is None or type(value) is not Described:
            raise _wrong(where, self.what, value)
        return table.read(value.value)

    def read_open(self, value: object, where: str) -> Any:
        """As `read`, but what another standard describes is left as it is."""
        if type(value) is Described and self.table(value.descriptor) is None:
            return value
        return self.read(value, where)

    def write(self, value: Any) -> bytes:
        """The bytes of one of these, or of a described value."""
        if type(value) is Described:
            return write_value(value)
        table = self._by_class.get(type(value))
        if table is None:
            raise TypeError(f"a {type(value).__name__} is no {self.what}")
        return table.write(value)

    def kind(self) -> Kind:
        """A field that holds one of these."""
        return Kind(self.read, self.write)

    def open_kind(self) -> Kind:
        """A field that holds one of these or what another standard describes."""
        return Kind(self.read_open, self.write)


_ERROR: Final = Group("error", Table(p.Error, 0x1D, "error", SYMBOL, STRING, FIELDS)).kind()

_REJECTED: Final = Table(p.Rejected, 0x25, "rejected", _ERROR)
_MODIFIED: Final = Table(p.Modified, 0x27, "modified", BOOLEAN, BOOLEAN, ANNOTATIONS)
_ACCEPTED: Final = Table(p.Accepted, 0x24, "accepted")
_RELEASED: Final = Table(p.Released, 0x26, "released")
_RECEIVED: Final = Table(p.Received, 0x23, "received", UINT, ULONG)

DELIVERY_STATES: Final = Group("delivery state", _RECEIVED, _ACCEPTED, _REJECTED, _RELEASED, _MODIFIED)
_STATE: Final = DELIVERY_STATES.open_kind()
_OUTCOME: Final = Group("outcome", _ACCEPTED, _REJECTED, _RELEASED, _MODIFIED).open_kind()

_TERMINUS: Final = (STRING, _DURABILITY, _EXPIRY, UINT, BOOLEAN, FIELDS)
_SOURCE: Final = Group(
    "source", Table(p.Source, 0x28, "source", *_TERMINUS, _DISTRIBUTION, FIELDS, _OUTCOME, SYMBOLS, SYMBOLS)
).open_kind()
_TARGET: Final = Group(
    "target",
    Table(p.Target, 0x29, "target", *_TERMINUS, SYMBOLS),
    Table(p.Coordinator, 0x30, "coordinator", SYMBOLS),
).open_kind()

_LAST: Final = (SYMBOLS, SYMBOLS, FIELDS)
"""Most performatives end so: offered and desired capabilities, properties."""

TRANSFER: Final = Table(
    p.Transfer, 0x14, "transfer", UINT, UINT, TAG, UINT, BOOLEAN, BOOLEAN, _RCV_MODE, _STATE, BOOLEAN, BOOLEAN, BOOLEAN
)
DISPOSITION: Final = Table(p.Disposition, 0x15, "disposition", BOOLEAN, UINT, UINT, BOOLEAN, _STATE, BOOLEAN)

AMQP: Final = Group(
    "performative",
    Table(p.Open, 0x10, "open", STRING, STRING, UINT, USHORT, UINT, SYMBOLS, SYMBOLS, *_LAST),
    Table(p.Begin, 0x11, "begin", USHORT, UINT, UINT, UINT, UINT, *_LAST),
    Table(
        p.Attach,
        0x12,
        "attach",
        *(STRING, UINT, BOOLEAN, _SND_MODE, _RCV_MODE, _SOURCE, _TARGET, ANY_MAP, BOOLEAN, UINT, ULONG),
        *_LAST,
    ),
    Table(p.Flow, 0x13, "flow", *(UINT,) * 8, BOOLEAN, BOOLEAN, FIELDS),
    TRANSFER,
    DISPOSITION,
    Table(p.Detach, 0x16, "detach", UINT, BOOLEAN, _ERROR),
    Table(p.End, 0x17, "end", _ERROR),
    Table(p.Close, 0x18, "close", _ERROR),
)

SASL: Final = Group(
    "SASL performative",
    Table(p.SaslMechanisms, 0x40, "sasl-mechanisms", SYMBOLS),
    Table(p.SaslInit, 0x41, "sasl-init", SYMBOL, BINARY, STRING),
    Table(p.SaslChallenge, 0x42, "sasl-challenge", BINARY),
    Table(p.SaslResponse, 0x43, "sasl-response", BINARY),
    Table(p.SaslOutcome, 0x44, "sasl-outcome", _SASL_CODE, BINARY),
)


def read_performative(body: bytes, group: Group) -> tuple[Any, int]:
    """The performative that a frame's body begins with, and the index after it."""
    value, at = read_value(body)
    return group.read(value, "a frame's body"), at
