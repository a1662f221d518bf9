"""The query language of IoT Hub over twins: SELECT … FROM devices | devices.modules [WHERE …] [GROUP BY …].

What is not known here is refused with the column, never read as something else. Not there, as in the cloud: ORDER BY.
Not there, other than in the cloud: `FROM devices.jobs`, arithmetic, and the mathematical functions.

A path that leads nowhere is undefined, and so is what is made of it; a condition holds only where it is true.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from standin.documents import JsonObject
from standin.query_values import (
    AGGREGATES,
    COMPARISONS,
    FUNCTIONS,
    UNDEFINED,
    Evaluate,
    all_hold,
    any_holds,
    follow,
    membership,
    negated,
)

MAX_QUERY_CHARS: Final = 8_192
"""Ours: longer than any query a person writes."""
MAX_QUERY_DEPTH: Final = 32
"""Ours: parentheses, NOT and functions inside each other; the parser goes as deep on its stack."""


class QueryError(Exception):
    """A query that cannot be answered here; the sentence names the place and what is known."""


class Source(Enum):
    """What is looked through."""

    DEVICES = "devices"
    MODULES = "devices.modules"


_NAMES: Final = (
    "deviceId",
    "moduleId",
    "managedBy",
    "etag",
    "deviceEtag",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "modelId",
    "version",
    "tags",
    "properties",
    "capabilities",
    "deviceScope",
    "parentScopes",
    "configurations",
)
_BY_LOWER: Final[Mapping[str, str]] = {name.lower(): name for name in _NAMES}
_TOKEN: Final = re.compile(
    r"""(?P<number>[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,3})?)(?![0-9.])
      | (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
      | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
      | \[\[(?P<bracketed>[^\[\]]+)\]\]
      | (?P<symbol>!=|<>|<=|>=|[=<>()\[\],*.-])""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(.)|''|\"\"", re.DOTALL)
_KEYWORDS: Final = frozenset(
    ("SELECT", "TOP", "FROM", "WHERE", "GROUP", "BY", "ORDER", "AS", "AND", "OR", "NOT", "IN", "NIN")
)
_CONSTANTS: Final[Mapping[str, Any]] = {"TRUE": True, "FALSE": False, "NULL": None}


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind` is the group of the expression that matched, or "end"; `value` what it stands for."""

    kind: str
    value: Any
    at: int

    @property
    def keyword(self) -> str | None:
        """The keyword it is, in capitals, or None."""
        upper = self.value.upper() if self.kind == "name" else None
        return upper if upper in _KEYWORDS else None


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of the answer: an attribute, or an aggregate over the rows of a group."""

    name: str
    read: Evaluate
    aggregate: Callable[[list[Any]], Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query that has been understood."""

    source: Source
    columns: tuple[_Column, ...] | None
    """None for the whole twin."""
    condition: Evaluate | None
    groups: tuple[_Column, ...]
    top: int | None

    @property
    def item_type(self) -> str:
        """What `x-ms-item-type` says of the answer."""
        return "twin" if self.columns is None else "raw"

    def holds(self, twin: JsonObject) -> bool:
        """Whether the condition is true for this twin."""
        return self.condition is None or self.condition(twin) is True

    def run(self, twins: Iterable[JsonObject]) -> list[JsonObject]:
        """The rows of the answer, in the order of the twins."""
        rows = [twin for twin in twins if self.holds(twin)]
        if self.columns is not None:
            rows = self._table(self.columns, rows)
        return rows if self.top is None else rows[: self.top]

    def _table(self, columns: Sequence[_Column], rows: list[JsonObject]) -> list[JsonObject]:
        if not self.groups and all(column.aggregate is None for column in columns):
            return [_defined({column.name: column.read(row) for column in columns}) for row in rows]
        grouped: dict[str, list[JsonObject]] = {} if self.groups else {"": rows}
        for row in rows if self.groups else ():
            grouped.setdefault(repr([group.read(row) for group in self.groups]), []).append(row)
        return [_defined({column.name: _cell(column, members) for column in columns}) for members in grouped.values()]


def parse_query(text: str) -> Query:
    """The query. Raises QueryError if it is not understood."""
    if len(text) > MAX_QUERY_CHARS:
        raise QueryError(f"the query has {len(text)} characters; {MAX_QUERY_CHARS} are allowed")
    return _Parser(text).query()


def parse_condition(text: str, source: Source) -> Evaluate:
    """A condition alone, as configurations target by. Raises QueryError if it is not understood."""
    if len(text) > MAX_QUERY_CHARS:
        raise QueryError(f"the condition has {len(text)} characters; {MAX_QUERY_CHARS} are allowed")
    return _Parser(text, source).whole_condition()


class _Parser:
    """Reads one query, left to right."""

    def __init__(self, text: str, source: Source | None = None) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._source = source
        self._paths: list[tuple[str, int]] = []
        """First names of the paths with their places: the source that decides on them comes after SELECT."""

    def query(self) -> Query:
        self._expect("SELECT")
        top = self._top()
        columns = self._columns()
        self._expect("FROM")
        self._source = self._from()
        condition = self._disjunction() if self._take("WHERE") else None
        groups = self._group_by() if self._take("GROUP") else ()
        self._end()
        _check_groups(columns, groups)
        return Query(source=self._source, columns=columns, condition=condition, groups=groups, top=top)

    def whole_condition(self) -> Evaluate:
        condition = self._disjunction()
        self._end()
        return condition

    # Clauses

    def _top(self) -> int | None:
        if not self._take("TOP"):
            return None
        token = self._next()
        if token.kind != "number" or not isinstance(token.value, int):
            raise _wrong(token, "a whole number after TOP")
        return token.value

    def _columns(self) -> tuple[_Column, ...] | None:
        if self._take_symbol("*"):
            return None
        columns = [self._column(1)]
        while self._take_symbol(","):
            columns.append(self._column(len(columns) + 1))
        return tuple(columns)

    def _column(self, number: int) -> _Column:
        token = self._peek()
        if token.kind == "name" and self._peek(1).value == "(":
            column = self._aggregate(number)
        else:
            name, read = self._path()
            column = _Column(name, read)
        return _Column(self._alias(), column.read, column.aggregate) if self._take("AS") else column

    def _aggregate(self, number: int) -> _Column:
        token = self._next()
        aggregate = AGGREGATES.get(token.value.upper())
        if aggregate is None:
            raise _wrong(token, f"one of {', '.join(AGGREGATES)}", token.value, AGGREGATES)
        self._expect_symbol("(")
        read: Evaluate = _anything
        if token.value.upper() != "COUNT":
            read = self._path()[1]
        self._expect_symbol(")")
        return _Column(f"${number}", read, aggregate)

    def _alias(self) -> str:
        token = self._next()
        if token.kind not in {"name", "bracketed"}:
            raise _wrong(token, "a name after AS")
        return str(token.value)

    def _from(self) -> Source:
        token = self._next()
        name = str(token.value)
        while self._take_symbol("."):
            name += "." + str(self._next().value)
        source = next((each for each in Source if each.value == name.lower()), None)
        if source is None:
            raise _wrong(token, "devices or devices.modules after FROM", name)
        for first, at in self._paths:
            _check_name(first, at, source)
        return source

    def _group_by(self) -> tuple[_Column, ...]:
        self._expect("BY")
        groups = [_Column(*self._path())]
        while self._take_symbol(","):
            groups.append(_Column(*self._path()))
        return tuple(groups)

    # Conditions

    def _disjunction(self) -> Evaluate:
        parts = [self._conjunction()]
        while self._take("OR"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else lambda twin: any_holds(part(twin) for part in parts)

    def _conjunction(self) -> Evaluate:
        parts = [self._negation()]
        while self._take("AND"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else lambda twin: all_hold(part(twin) for part in parts)

    def _negation(self) -> Evaluate:
        if not self._take("NOT"):
            return self._comparison()
        self._deeper()
        part = self._negation()
        self._depth -= 1
        return lambda twin: negated(part(twin))

    def _comparison(self) -> Evaluate:
        left = self._operand()
        token = self._peek()
        if token.kind == "symbol" and token.value in COMPARISONS:
            compare = COMPARISONS[self._next().value]
            right = self._operand()
            return lambda twin: compare(left(twin), right(twin))
        if self._take("IN"):
            return membership(left, self._list())
        if self._take("NIN"):
            inside = membership(left, self._list())
            return lambda twin: negated(inside(twin))
        return left

    def _list(self) -> tuple[Evaluate, ...]:
        self._expect_symbol("[")
        items = [self._operand()]
        while self._take_symbol(","):
            items.append(self._operand())
        self._expect_symbol("]")
        return tuple(items)

    def _operand(self) -> Evaluate:
        token = self._peek()
        if token.value == "(" and token.kind == "symbol":
            return self._parenthesis()
        if token.kind in {"number", "text"} or token.value == "-":
            return self._literal()
        if token.kind == "name" and token.value.upper() in _CONSTANTS and self._peek(1).value != ".":
            constant = _CONSTANTS[self._next().value.upper()]
            return lambda _: constant
        if token.kind == "name" and self._peek(1).value == "(" and token.keyword is None:
            return self._function()
        return self._path()[1]

    def _parenthesis(self) -> Evaluate:
        self._next()
        self._deeper()
        inner = self._disjunction()
        self._expect_symbol(")")
        self._depth -= 1
        return inner

    def _literal(self) -> Evaluate:
        negative = self._take_symbol("-")
        token = self._next()
        if negative and token.kind != "number":
            raise _wrong(token, "a number after '-'")
        value = -token.value if negative else token.value
        return lambda _: value

    def _function(self) -> Evaluate:
        token = self._next()
        found = FUNCTIONS.get(token.value.upper())
        if found is None:
            raise _wrong(token, f"a function that is known here ({', '.join(FUNCTIONS)})", token.value, FUNCTIONS)
        self._next()
        self._deeper()
        count, call = found
        arguments = [self._disjunction()]
        while self._take_symbol(","):
            arguments.append(self._disjunction())
        self._expect_symbol(")")
        self._depth -= 1
        if len(arguments) != count:
            raise QueryError(f"column {token.at}: {token.value} takes {count} argument(s), not {len(arguments)}")
        return lambda twin: call(*(argument(twin) for argument in arguments))

    def _path(self) -> tuple[str, Evaluate]:
        """A path below the twin: its last name, and what reads it."""
        token = self._next()
        if token.kind not in {"name", "bracketed"} or token.keyword is not None:
            raise _wrong(token, "an attribute such as deviceId or tags.site")
        if self._source is None:
            self._paths.append((token.value, token.at))
        else:
            _check_name(token.value, token.at, self._source)
        names: list[str | int] = [_canonical(token.value)]
        while (name := self._further()) is not None:
            names.append(name)
        last = next((name for name in reversed(names[1:]) if isinstance(name, str)), token.value)
        return last, lambda twin: follow(twin, names)

    def _further(self) -> str | int | None:
        """The next name or index of a path, or None at its end."""
        if self._take_symbol("."):
            token = self._next()
            if token.kind not in {"name", "bracketed"}:
                raise _wrong(token, "a name after '.'; put one with other characters into [[ ]]")
            return str(token.value)
        if self._peek().kind == "symbol" and self._peek().value == "[":
            self._next()
            token = self._next()
            if token.kind not in {"text", "number"} or isinstance(token.value, float):
                raise _wrong(token, "a quoted name or an index inside [ ]")
            self._expect_symbol("]")
            index: str | int = token.value
            return index
        return None

    # Tokens

    def _peek(self, ahead: int = 0) -> _Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, keyword: str) -> bool:
        found = self._peek().keyword == keyword
        self._at += found
        return found

    def _take_symbol(self, symbol: str) -> bool:
        token = self._peek()
        found = token.kind == "symbol" and token.value == symbol
        self._at += found
        return found

    def _expect(self, keyword: str) -> None:
        if not self._take(keyword):
            raise _wrong(self._peek(), keyword)

    def _expect_symbol(self, symbol: str) -> None:
        if not self._take_symbol(symbol):
            raise _wrong(self._peek(), repr(symbol))

    def _end(self) -> None:
        token = self._peek()
        if token.keyword == "ORDER":
            raise QueryError(f"column {token.at}: IoT Hub's query language has no ORDER BY; sort what comes")
        if token.kind != "end":
            raise _wrong(token, "the end, AND, OR, a comparison, or GROUP BY")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_QUERY_DEPTH:
            raise QueryError(f"the condition is nested deeper than {MAX_QUERY_DEPTH}")


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise QueryError(f"column {at + 1}: {text[at]!r} is not understood")
        tokens.append(_Token(found.lastgroup, _value(found.lastgroup, found[found.lastgroup]), at + 1))
        at = found.end()
    return [*tokens, _Token("end", "", len(text) + 1)]


def _value(kind: str, text: str) -> Any:
    if kind == "number":
        return int(text) if text.isdecimal() else float(text)
    if kind == "text":
        return _ESCAPE.sub(lambda found: found[1] or found[0][0], text[1:-1])
    return text


def _wrong(token: _Token, wanted: str, text: str = "", known: Iterable[str] = ()) -> QueryError:
    near = difflib.get_close_matches(text.upper(), list(known), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    found = "the end" if token.kind == "end" else repr(text or token.value)
    return QueryError(f"column {token.at}: expected {wanted}, found {found}{hint}")


def _check_name(name: str, at: int, source: Source) -> None:
    known = [each for each in _NAMES if each != "moduleId" or source is Source.MODULES]
    if _canonical(name) in known:
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise QueryError(f"column {at}: the twins of {source.value} have no attribute {name!r}{hint}")


def _canonical(name: str) -> str:
    """An attribute of the twin itself as it is written there: the documentation writes DeviceId and deviceId."""
    return _BY_LOWER.get(name.lower(), name)


def _check_groups(columns: Sequence[_Column] | None, groups: Sequence[_Column]) -> None:
    if columns is None:
        if groups:
            raise QueryError("GROUP BY needs columns, not SELECT *")
        return
    plain = sum(column.aggregate is None for column in columns)
    if not groups and 0 < plain < len(columns):
        raise QueryError("an attribute beside an aggregate needs a GROUP BY with that attribute")


def _anything(_: JsonObject) -> Any:
    return True


def _defined(row: JsonObject) -> JsonObject:
    return {name: value for name, value in row.items() if value is not UNDEFINED}


def _cell(column: _Column, rows: list[JsonObject]) -> Any:
    values = [column.read(row) for row in rows]
    if column.aggregate is not None:
        return column.aggregate(values)
    return values[0] if values else UNDEFINED
