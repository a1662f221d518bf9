"""The static rules (edgehub.md §2.4 to §2.9): gives every part of a condition its type, or says why it has none.

One error does not cause another: what holds an error is skipped by the checks above it.
"""

import re
from typing import Final

from gateway.routing import functions, hints
from gateway.routing.bodypath import BadPath, parse_body_path
from gateway.routing.expression import (
    Apply,
    AppProperty,
    BodyValue,
    Compare,
    Constant,
    Expression,
    Logic,
    Not,
    SystemProperty,
    Type,
)
from gateway.routing.names import system_name
from gateway.routing.problems import Finding
from gateway.routing.text import folded
from gateway.routing.tree import Call, Chain, DollarName, Literal, Name, Node, Prefix, Span
from gateway.routing.values import NULL, UNDEFINED, Value, coalesced, joined

BODY_PREFIX: Final = "$body."

_UNICODE_ESCAPE: Final = re.compile(r"\\[Uu]([0-9A-Fa-f]{4})")
_PLAIN_ESCAPE: Final = re.compile(r"""\\(["'\\])""")
_TRUTHLIKE: Final = (Type.BOOL, Type.NULL, Type.UNDEFINED, Type.BODY)
_CONSTANTS: Final[dict[str, tuple[Type, Value]]] = {
    "true": (Type.BOOL, True),
    "false": (Type.BOOL, False),
    "null": (Type.NULL, NULL),
    "undefined": (Type.UNDEFINED, UNDEFINED),
}


def unescaped(inside: str) -> str:
    r"""The text that stands between quotes. As in edgeHub, \uXXXX goes first, then the plain escapes."""
    once = _UNICODE_ESCAPE.sub(lambda found: chr(int(found[1], 16)), inside)
    return joined(_PLAIN_ESCAPE.sub(lambda found: found[1], once))


def _literal(node: Literal) -> Constant:
    if node.kind == "string":
        return Constant(node.span, Type.STRING, unescaped(node.text[1:-1]))
    if node.kind == "number":
        return _number(node)
    if node.kind == "hex":
        return _hex(node)
    kind, value = _CONSTANTS[node.kind]
    return Constant(node.span, kind, value)


def _number(node: Literal) -> Constant:
    """A decimal literal; an exponent without digits before it (`e5`) lexes as a number but is none."""
    try:
        return Constant(node.span, Type.NUMBER, float(node.text))
    except ValueError:
        return Constant(node.span, Type.UNDEFINED, UNDEFINED)


def _hex(node: Literal) -> Constant:
    """A hexadecimal literal: 64 bits in two's complement; a wider one is no number."""
    value = int(node.text, 0)
    if value >= 2**64:
        return Constant(node.span, Type.UNDEFINED, UNDEFINED)
    return Constant(node.span, Type.NUMBER, float(value - 2**64 if value >= 2**63 else value))


class Checker:
    """Checks one condition and collects what is wrong with it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.findings: list[Finding] = []

    def check(self, node: Node) -> Expression | None:
        """The typed form of `node`, None if it holds an error."""
        match node:
            case Literal():
                return _literal(node)
            case Name():
                return AppProperty(node.span, Type.STRING, folded(node.name))
            case DollarName():
                return self._dollar_name(node)
            case Call():
                return self._call(node)
            case Prefix():
                return self._prefix(node, "")
            case Chain():
                return self._chain(node)

    def _refuse(self, span: Span, message: str, fix: str) -> None:
        self.findings.append(Finding(span, message, fix))

    def _source(self, span: Span) -> str:
        return self._text[span.start : span.end]

    def _dollar_name(self, node: DollarName) -> Expression | None:
        indexed = "[" in node.name or "]" in node.name
        shadow = None if node.braced or indexed else folded(node.name)
        if node.name[: len(BODY_PREFIX)].lower() == BODY_PREFIX:
            return self._body_value(node, shadow)
        if indexed:
            return Constant(node.span, Type.UNDEFINED, UNDEFINED)
        return SystemProperty(node.span, Type.STRING, system_name(node.name[1:]), shadow)

    def _body_value(self, node: DollarName, shadow: str | None) -> Expression | None:
        path = parse_body_path(node.name[len(BODY_PREFIX) :])
        if isinstance(path, BadPath):
            start = self._text.index("$", node.span.start) + len(BODY_PREFIX)
            span = Span(start + path.span.start, max(start + path.span.end, start + path.span.start + 1))
            self._refuse(span, path.message, path.fix)
            return None
        return BodyValue(node.span, Type.BODY, path, shadow)

    def _call(self, node: Call) -> Expression | None:
        name = node.name.lower()
        if name not in functions.FUNCTIONS:
            message, fix = hints.unknown_function(node.name)
            self._refuse(node.name_span, message, fix)
            return None
        arguments = [self.check(argument) for argument in node.arguments]
        checked = tuple(argument for argument in arguments if argument is not None)
        if len(checked) != len(arguments):
            return None
        types = tuple(argument.type for argument in checked)
        for form in functions.FUNCTIONS[name]:
            if form.fits(types):
                return Apply(span=node.span, type=form.result, operation=form.operation, arguments=checked)
        given = ", ".join(kind.value for kind in types)
        sources = tuple(self._source(argument.span) for argument in node.arguments)
        fix = hints.wrong_arguments(name, node.arguments, types, sources)
        self._refuse(node.name_span, f"{name} does not take ({given})", fix)
        return None

    def _prefix(self, node: Prefix, rest: str) -> Expression | None:
        operand = self.check(node.operand)
        if operand is None:
            return None
        if node.operator == "-":
            return self._negative(node, operand)
        if operand.type is Type.NULL:
            return Constant(node.span, Type.BOOL, value=True)
        if operand.type in (Type.BOOL, Type.BODY):
            return Not(node.span, Type.BOOL, operand)
        source = self._source(node.operand.span)
        message = f"NOT does not take {hints.describe(node.operand, operand.type, source)}"
        self._refuse(node.operator_span, message, hints.not_fix(node.operand, source, rest))
        return None

    def _negative(self, node: Prefix, operand: Expression) -> Expression | None:
        if operand.type is Type.NUMBER:
            arguments = (operand,)
            return Apply(span=node.span, type=Type.NUMBER, operation=functions.negative, arguments=arguments)
        source = self._source(node.operand.span)
        fixes = {Type.BODY: f"write - as_number({source})", Type.STRING: f"write - as_number({source})"}
        message = f"'-' does not take {hints.describe(node.operand, operand.type, source)}"
        self._refuse(node.operator_span, message, fixes.get(operand.type, "it takes a number"))
        return None

    def _chain(self, node: Chain) -> Expression | None:
        """Joins the operands from the left, two by two."""
        left_node, left = node.operands[0], self._left_operand(node)
        steps = zip(node.operators, node.operator_spans, node.operands[1:], strict=True)
        for symbol, symbol_span, right_node in steps:
            right = self.check(right_node)
            if left is not None and right is not None:
                left = self._join(symbol, symbol_span, (left_node, left), (right_node, right))
            else:
                left = None
        return left

    def _left_operand(self, node: Chain) -> Expression | None:
        """The first operand; NOT there may have been meant for the whole comparison."""
        first = node.operands[0]
        if isinstance(first, Prefix) and first.operator == "NOT" and node.operators[0] not in ("AND", "OR", "??"):
            return self._prefix(first, self._source(Span(node.operator_spans[0].start, node.span.end)))
        return self.check(first)

    def _join(
        self, symbol: str, symbol_span: Span, left: tuple[Node, Expression], right: tuple[Node, Expression]
    ) -> Expression | None:
        if symbol in ("AND", "OR"):
            return self._logic(symbol, symbol_span, left, right)
        if symbol == "??":
            return self._coalesce(symbol_span, left, right)
        if symbol in functions.ARITHMETIC:
            return self._arithmetic(symbol, symbol_span, left, right)
        if symbol == "||":
            return self._concatenation(symbol_span, left, right)
        return self._comparison(symbol, symbol_span, left, right)

    def _described(self, operand: tuple[Node, Expression]) -> str:
        node, expression = operand
        return hints.describe(node, expression.type, self._source(expression.span))

    def _comparison(
        self, symbol: str, symbol_span: Span, left: tuple[Node, Expression], right: tuple[Node, Expression]
    ) -> Expression | None:
        types = (left[1].type, right[1].type)
        if not _comparable(*types):
            sides = [(node, expression.type, self._source(expression.span)) for node, expression in (left, right)]
            message = f"'{symbol}' cannot compare {self._described(left)} with {self._described(right)}"
            self._refuse(symbol_span, message, hints.comparison_fix(symbol, sides[0], sides[1]))
            return None
        return Compare(
            span=left[1].span.to(right[1].span),
            type=Type.BOOL,
            symbol=symbol,
            dynamic=Type.BODY in types,
            left=left[1],
            right=right[1],
        )

    def _arithmetic(
        self, symbol: str, symbol_span: Span, left: tuple[Node, Expression], right: tuple[Node, Expression]
    ) -> Expression | None:
        types = {left[1].type, right[1].type}
        dynamic = Type.BODY in types
        if not types <= {Type.NUMBER, Type.BODY}:
            texts = [self._source(side.span) for _, side in (left, right) if side.type is Type.STRING]
            fix = f"convert text first: as_number({texts[0]})" if texts else "both sides must be numbers"
            message = f"'{symbol}' does not take {self._described(left)} and {self._described(right)}"
            self._refuse(symbol_span, message, fix)
            return None
        if dynamic and symbol == "%":
            source = self._source((left if left[1].type is Type.BODY else right)[1].span)
            self._refuse(symbol_span, "'%' does not take a body value", f"convert it first: as_number({source})")
            return None
        operation = functions.body_arithmetic(symbol) if dynamic else functions.plain_arithmetic(symbol)
        span = left[1].span.to(right[1].span)
        kind = Type.BODY if dynamic else Type.NUMBER
        return Apply(span=span, type=kind, operation=operation, arguments=(left[1], right[1]))

    def _concatenation(
        self, symbol_span: Span, left: tuple[Node, Expression], right: tuple[Node, Expression]
    ) -> Expression | None:
        types = {left[1].type, right[1].type}
        if not types <= {Type.STRING, Type.BODY}:
            message = f"'||' joins texts, not {self._described(left)} and {self._described(right)}"
            fix = "for a choice between conditions write OR" if Type.BOOL in types else "both sides must be text"
            self._refuse(symbol_span, message, fix)
            return None
        span = left[1].span.to(right[1].span)
        return Apply(span=span, type=Type.STRING, operation=functions.concat, arguments=(left[1], right[1]))

    def _coalesce(
        self, symbol_span: Span, left: tuple[Node, Expression], right: tuple[Node, Expression]
    ) -> Expression | None:
        if not _comparable(left[1].type, right[1].type):
            message = (
                f"both sides of '??' must be of one type, not {self._described(left)} and {self._described(right)}"
            )
            fix = "give a default of the same type"
            if isinstance(right[0], Chain):
                fix = "?? binds loosest of all; put parentheses around the value and its default: (a ?? 'b') = 'c'"
            self._refuse(symbol_span, message, fix)
            return None
        kind = Type.BODY if Type.BODY in (left[1].type, right[1].type) else left[1].type
        span = left[1].span.to(right[1].span)
        return Apply(span=span, type=kind, operation=coalesced, arguments=(left[1], right[1]))

    def _logic(
        self, word: str, word_span: Span, left: tuple[Node, Expression], right: tuple[Node, Expression]
    ) -> Expression | None:
        types = (left[1].type, right[1].type)
        dynamic = types[0] is Type.BODY
        right_fits = dynamic or types[1] in (Type.BOOL, Type.NULL, Type.UNDEFINED)
        if types[0] not in _TRUTHLIKE or not right_fits:
            node, operand = right if types[0] in _TRUTHLIKE else left
            self._refuse_logic(word, word_span, node, operand, right=operand is right[1])
            return None
        if Type.NULL in types and not _joins_null(word, types):
            message = f"{word} cannot join null with {'a body value' if dynamic else 'undefined'}"
            self._refuse(word_span, message, "leave the null out")
            return None
        return _logic_of(word == "AND", dynamic, left[1], right[1])

    def _refuse_logic(self, word: str, span: Span, node: Node, operand: Expression, *, right: bool) -> None:
        source = self._source(operand.span)
        message = f"{word} does not take {hints.describe(node, operand.type, source)}"
        if operand.type is Type.BODY:
            message += ", on its right side"
        self._refuse(span, message, hints.logic_fix(word, node, operand.type, source, right=right))


def _comparable(left: Type, right: Type) -> bool:
    """Same types compare; a body value compares with everything but the literal undefined."""
    return left is right or (Type.BODY in (left, right) and Type.UNDEFINED not in (left, right))


def _joins_null(word: str, types: tuple[Type, Type]) -> bool:
    """Null joins a truth value or null; a body value only under OR. edgeHub fails to build the rest."""
    if types[0] is Type.BODY:
        return word == "OR"
    return Type.UNDEFINED not in types


def _logic_of(is_and: bool, dynamic: bool, left: Expression, right: Expression) -> Expression:  # noqa: FBT001 - two facts of the node to build
    """The node for AND or OR. Null makes AND null, and leaves the other side of OR as it is."""
    span = left.span.to(right.span)
    if not dynamic and Type.NULL in (left.type, right.type):
        if is_and:
            return Constant(span, Type.NULL, NULL)
        return right if left.type is Type.NULL else left
    operands: tuple[Expression, ...] = (left, right)
    if not dynamic and isinstance(left, Logic) and left.is_and == is_and and not left.dynamic:
        operands = (*left.operands, right)
    return Logic(span=span, type=Type.BOOL, is_and=is_and, dynamic=dynamic, operands=operands)


def check_condition(text: str, condition: Node) -> tuple[Expression | None, list[Finding]]:
    """The typed condition, or None, and all that is wrong with it."""
    checker = Checker(text)
    return checker.check(condition), checker.findings
