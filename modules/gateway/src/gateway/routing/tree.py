"""The syntax tree of a route, as written: every node knows the span of text it came from."""

from dataclasses import dataclass
from typing import TypeAlias

from edgewire.message import Endpoint


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of indexes into the route text."""

    start: int
    end: int

    def to(self, other: "Span") -> "Span":
        """From where this begins to where `other` ends."""
        return Span(self.start, other.end)


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number or constant. `text` is what stands in the route, quotes included."""

    span: Span
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Name:
    """An application property."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class DollarName:
    """`$name`, or `{$name}` when `braced`: a system property, a body value, or a property of that very name."""

    span: Span
    name: str
    braced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`function(argument, …)`."""

    span: Span
    name: str
    name_span: Span
    arguments: "tuple[Node, ...]"
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """`-x` or `NOT x`; `operator` is `-` or `NOT`."""

    span: Span
    operator: str
    operator_span: Span
    operand: "Node"
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Operands joined from the left by operators of one level: `a + b - c`. One operator fewer than operands."""

    span: Span
    operators: tuple[str, ...]
    operator_spans: tuple[Span, ...]
    operands: "tuple[Node, ...]"
    height: int


Node: TypeAlias = Literal | Name | DollarName | Call | Prefix | Chain


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSyntax:
    """A whole route. `source` is the path after FROM without its blanks; no `condition` stands for true.

    `rest` is the text after the sink, which edgeHub ignores.
    """

    source: str
    source_span: Span
    condition: Node | None
    endpoint: Endpoint
    sink_span: Span
    rest: Span | None = None
