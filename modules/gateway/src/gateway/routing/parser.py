"""Tokens to a syntax tree: the grammar of edgehub.md §2.1 and §2.3, and what to say where a text leaves it."""

from types import MappingProxyType
from typing import Final

from edgewire.message import UPSTREAM, Endpoint, local_topic, module_input, named_endpoint
from gateway.routing.lexer import Kind, Token, lex
from gateway.routing.problems import Finding, SyntaxRefused, near_match
from gateway.routing.tree import Call, Chain, DollarName, Literal, Name, Node, Prefix, RouteSyntax, Span

MAX_NESTING: Final = 50
"""How deep a condition may nest; AND and OR chains do not count. Bounds our own recursion and the generated code."""

_LEVELS: Final = (
    frozenset({"??"}),
    frozenset({"OR"}),
    frozenset({"AND"}),
    frozenset({"=", "!=", "<>"}),
    frozenset({"<", "<=", ">", ">="}),
    frozenset({"+", "-", "||"}),
    frozenset({"*", "/", "%"}),
)
"""Binary operators, loosest first; all of one level group from the left."""

_FLAT: Final = frozenset({1, 2})
"""The levels of OR and AND: however long their chains, they are one step deep."""

_LITERALS: Final = {
    Kind.STRING: "string",
    Kind.INTEGER: "number",
    Kind.REAL: "number",
    Kind.HEX: "hex",
    Kind.TRUE: "true",
    Kind.FALSE: "false",
    Kind.NULL: "null",
    Kind.UNDEFINED: "undefined",
}

_FROM_ELSEWHERE: Final = {
    "&&": "write AND",
    "&": "write AND",
    "|": "write OR",
    "!": "write NOT, or != for 'not equal'",
    "LIKE": "LIKE does not exist here; use starts_with(x, 'a'), ends_with(x, 'a') or contains(x, 'a')",
    "IN": "IN does not exist here; write x = 'a' OR x = 'b'",
    "BETWEEN": "BETWEEN does not exist here; write x >= 1 AND x <= 9",
    "IS": "write is_null(x) or is_defined(x)",
    "XOR": "XOR does not exist here; write a != b",
}
"""What people bring along from other languages, by the token they write."""


def _span(token: Token) -> Span:
    return Span(token.start, token.end)


def _refuse(token: Token, message: str, fix: str = "") -> SyntaxRefused:
    return SyntaxRefused(Finding(_span(token), message, fix))


def _shown(token: Token) -> str:
    return "the end of the route" if token.kind is Kind.END else f"'{token.text}'"


class _Reader:
    """Walks over the tokens of one route."""

    def __init__(self, text: str) -> None:
        lexed = lex(text)
        self._tokens = lexed.tokens
        self._at = 0
        self.comments = lexed.comments

    def peek(self) -> Token:
        """The next token, without taking it."""
        return self._tokens[self._at]

    @property
    def last(self) -> Token:
        """The token before the next one, the first one at the start."""
        return self._tokens[max(0, self._at - 1)]

    def take(self) -> Token:
        token = self.peek()
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def take_if(self, kind: Kind) -> Token | None:
        return self.take() if self.peek().kind is kind else None

    def take_symbol(self, *symbols: str) -> Token | None:
        return self.take() if self.peek().kind is Kind.SYMBOL and self.peek().text in symbols else None


def parse_route(text: str) -> RouteSyntax:
    """The tree of a route.

    Raises SyntaxRefused with the place and the repair. One comment is refused that edgeHub takes: the one that begins
    in the path after FROM, because there it silently swallows the condition.
    """
    reader = _Reader(text)
    _read_select(reader)
    source, source_span = _read_source(reader)
    _refuse_comment_trap(reader, source_span)
    condition = _read_where(reader)
    endpoint, sink_span = _read_sink(reader)
    rest = _span(reader.peek()).to(Span(0, len(text.rstrip()))) if reader.peek().kind is not Kind.END else None
    return RouteSyntax(
        source=source,
        source_span=source_span,
        condition=condition,
        endpoint=endpoint,
        sink_span=sink_span,
        rest=rest,
    )


def parse_expression(text: str) -> Node:
    """The tree of an expression that stands alone, as one operand of a condition would be written.

    Raises SyntaxRefused with the place and the repair.
    """
    reader = _Reader(text)
    if reader.peek().kind is Kind.END:
        raise _refuse(reader.peek(), "the expression is empty", "write $body.temperature")
    expression = _read_level(reader, 0, 0)
    token = reader.peek()
    if token.kind is Kind.END:
        return expression
    if token.kind in (Kind.INTO, Kind.WHERE, Kind.FROM):
        raise _refuse(token, f"'{token.text}' belongs to a route, not to an expression", "take it out")
    raise _after_operand(reader)


def _read_select(reader: _Reader) -> None:
    if reader.peek().kind is Kind.END:
        raise _refuse(reader.peek(), "the route is empty", "write FROM /messages/* INTO $upstream")
    if reader.take_if(Kind.SELECT) is not None and reader.take_symbol("*") is None:
        raise _refuse(reader.peek(), "only SELECT * is possible", "write SELECT * FROM …, or leave SELECT out")
    if reader.take_if(Kind.FROM) is None:
        raise _refuse(
            reader.peek(), f"a route begins with FROM, not with {_shown(reader.peek())}", "write FROM /messages/*"
        )


def _read_source(reader: _Reader) -> tuple[str, Span]:
    """`( '/' ( '*' | name ) )+`; blanks between the tokens do not count."""
    first, after_from = reader.peek(), reader.last.end
    parts: list[str] = []
    while reader.take_symbol("/") is not None:
        item = reader.take_if(Kind.NAME) or reader.take_symbol("*")
        if item is None:
            raise _bad_source_item(reader)
        parts.append("/" + item.text)
    if not parts:
        _refuse_comment_trap(reader, Span(after_from, first.start))
        fix = f"write /{first.text}/*" if first.kind is Kind.NAME else "write FROM /messages/* for all telemetry"
        raise _refuse(first, f"FROM needs a path that begins with '/', not {_shown(first)}", fix)
    return "".join(parts), Span(first.start, reader.last.end)


def _bad_source_item(reader: _Reader) -> SyntaxRefused:
    token = reader.peek()
    if token.kind in (Kind.WHERE, Kind.INTO, Kind.END):
        return SyntaxRefused(
            Finding(_span(reader.last), "the path after FROM ends with '/'", "leave the last '/' out, or write /*")
        )
    fix = "a route cannot name it; take all with * and test $connectionModuleId or $outputName in WHERE"
    return _refuse(token, f"{_shown(token)} is {token.kind.value}, which cannot stand in the path after FROM", fix)


def _refuse_comment_trap(reader: _Reader, path: Span) -> None:
    """Refuse the comment that begins where the path ends, as `/*` of `/messages/*` does when a `*/` follows later.

    A comment that stands apart from the path is one, unless it holds a keyword of the route itself.
    """
    for comment in reader.comments:
        if not path.start <= comment.start < reader.peek().start:
            continue
        inside = {token.kind for token in lex(comment.text[2:-2]).tokens}
        if comment.start <= path.end or inside & {Kind.WHERE, Kind.INTO}:
            raise _refuse(
                comment,
                "a comment begins at this '/*' and swallows what follows, the condition too",
                "take the comment out: a route whose path ends with /* cannot hold one",
            )


def _read_where(reader: _Reader) -> Node | None:
    if reader.take_if(Kind.WHERE) is None:
        if reader.peek().kind is Kind.INTO:
            return None
        raise _no_into(reader)
    if reader.peek().kind in (Kind.INTO, Kind.END):
        raise _refuse(reader.last, "nothing stands after WHERE", "write a condition, or leave WHERE out")
    condition = _read_level(reader, 0, 0)
    if reader.peek().kind is not Kind.INTO:
        raise _after_operand(reader)
    return condition


def _no_into(reader: _Reader) -> SyntaxRefused:
    token = reader.peek()
    if token.kind is Kind.END:
        return _refuse(token, "the route has no INTO", "say where to: INTO $upstream")
    if token.kind is Kind.NAME:
        near = near_match(token.text, ("WHERE", "INTO"))
        if near is not None:
            return _refuse(token, f"'{token.text}' is no keyword; did you mean '{near}'?", f"write {near}")
    return _refuse(token, f"WHERE or INTO is expected after the path, not {_shown(token)}", "write INTO $upstream")


def _after_operand(reader: _Reader) -> SyntaxRefused:
    """What to say where an operator, or INTO, was expected."""
    token, before = reader.peek(), reader.last
    if token.kind is Kind.END:
        return _refuse(token, "the route has no INTO", "say where to: INTO $upstream")
    if token.is_symbol(")"):
        return _refuse(token, "unmatched closing ')'", "remove it, or open it before")
    if token.kind is Kind.UNTERMINATED:
        return _unterminated(token)
    if token.kind in (Kind.UNKNOWN, Kind.BRACKETED):
        return _invalid_symbol(token)
    if token.kind in (Kind.FROM, Kind.SELECT, Kind.WHERE):
        return _refuse(token, f"'{token.text}' is a keyword and cannot stand in a condition", _RENAME)
    return _stray_word(token) or _two_operands(before, token)


def _stray_word(token: Token) -> SyntaxRefused | None:
    """What to say about a word that looks like an operator; None if it does not."""
    known = _FROM_ELSEWHERE.get(token.text.upper())
    if known is not None:
        return _refuse(token, f"'{token.text}' is no operator here", known)
    if token.text.startswith(("--", "#")):
        return _refuse(token, "there are no line comments", "take it out")
    if token.kind in (Kind.NAME, Kind.INTEGER, Kind.REAL) and token.text[0] in "+-*%|":
        fix = f"put a blank after '{token.text[0]}': {token.text[0]} {token.text[1:]}"
        return _refuse(token, f"'{token.text}' is one word, so an operator is missing before it", fix)
    near = near_match(token.text, ("AND", "OR", "INTO", "WHERE")) if token.kind is Kind.NAME else None
    if near is not None:
        return _refuse(token, f"'{token.text}' is no operator; did you mean '{near}'?", f"write {near}")
    return None


_RENAME: Final = "a property of that name cannot be tested; send it under another name"


def _two_operands(before: Token, token: Token) -> SyntaxRefused:
    if before.text == "!":
        return _refuse(before, "'!' is no operator here", "write NOT")
    message = f"an operator or INTO is expected after {before.text}, not {_shown(token)}"
    return _refuse(token, message, "join conditions with AND or OR, and put blanks around + - * % || and !=")


def _unterminated(token: Token) -> SyntaxRefused:
    finding = Finding(
        Span(token.start, token.start + 1),
        f"the text that begins here has no closing {token.text[0]} (or holds a '\\' that is no escape)",
        f"close it with {token.text[0]}; the escapes are \\' \\\" \\\\ and \\uXXXX",
    )
    return SyntaxRefused(finding)


def _invalid_symbol(token: Token) -> SyntaxRefused:
    if token.kind is Kind.BRACKETED:
        fix = "only a body path takes an index: $body.values[0]"
        return _refuse(token, f"'{token.text}' cannot be read: brackets belong to body paths", fix)
    fix = "a property whose name holds this character cannot be tested in a route"
    return _refuse(token, f"invalid symbol '{token.text}'", fix)


def _read_level(reader: _Reader, level: int, depth: int) -> Node:
    """Operands of the next tighter level, joined by this level's operators."""
    if level == len(_LEVELS):
        return _read_operand(reader, depth)
    operands = [_read_level(reader, level + 1, depth)]
    operators: list[Token] = []
    while _operator(reader.peek()) in _LEVELS[level]:
        operators.append(reader.take())
        if operators[-1].text == "=" and reader.peek().is_symbol("="):
            raise SyntaxRefused(
                Finding(_span(operators[-1]).to(_span(reader.peek())), "'==' does not exist", "write =")
            )
        operands.append(_read_level(reader, level + 1, depth))
    if not operators:
        return operands[0]
    height = max(map(_height, operands)) + (1 if level in _FLAT else len(operators))
    _limit(height, operators[-1])
    return Chain(
        height=height,
        span=operands[0].span.to(operands[-1].span),
        operators=tuple(_operator(token) for token in operators),
        operator_spans=tuple(_span(token) for token in operators),
        operands=tuple(operands),
    )


def _operator(token: Token) -> str:
    """The operator a token stands for, in capitals; nothing for other tokens."""
    if token.kind in (Kind.AND, Kind.OR):
        return token.text.upper()
    return token.text if token.kind is Kind.SYMBOL else ""


def _height(node: Node) -> int:
    """How deep a node nests; parentheses leave no trace."""
    return node.height if isinstance(node, (Chain, Prefix, Call)) else 0


def _limit(depth: int, token: Token) -> None:
    if depth >= MAX_NESTING:
        raise _refuse(token, f"the condition nests deeper than {MAX_NESTING} levels", "split the route into several")


def _read_operand(reader: _Reader, depth: int) -> Node:
    _limit(depth, reader.peek())
    token = reader.take()
    if token.kind is Kind.NOT or token.is_symbol("-"):
        operand = _read_operand(reader, depth + 1)
        return Prefix(
            span=_span(token).to(operand.span),
            operator="NOT" if token.kind is Kind.NOT else "-",
            operator_span=_span(token),
            operand=operand,
            height=_height(operand) + 1,
        )
    if token.is_symbol("("):
        return _read_nested(reader, token, depth)
    if token.is_symbol("{"):
        return _read_braced(reader, token)
    if token.kind in _LITERALS:
        return Literal(_span(token), _LITERALS[token.kind], token.text)
    if token.kind is Kind.SYSTEM:
        return DollarName(_span(token), token.text, braced=False)
    if token.kind is Kind.NAME:
        return _read_call(reader, token, depth) if reader.peek().is_symbol("(") else Name(_span(token), token.text)
    raise _no_operand(token)


def _read_nested(reader: _Reader, opening: Token, depth: int) -> Node:
    inner = _read_level(reader, 0, depth + 1)
    if reader.take_symbol(")") is not None:
        return inner
    if reader.peek().kind in (Kind.END, Kind.INTO):
        raise _refuse(opening, "missing closing ')'", "close it")
    raise _after_operand(reader)


def _read_braced(reader: _Reader, opening: Token) -> Node:
    name = reader.take()
    if name.kind is not Kind.SYSTEM:
        raise _refuse(name, f"braces take only a name with $, not {_shown(name)}", "leave the braces out")
    closing = reader.take_symbol("}")
    if closing is None:
        raise _refuse(opening, "missing closing '}'", f"write {{{name.text}}}")
    return DollarName(_span(opening).to(_span(closing)), name.text, braced=True)


def _read_call(reader: _Reader, name: Token, depth: int) -> Node:
    opening = reader.take()
    arguments: list[Node] = []
    if not reader.peek().is_symbol(")"):
        arguments.append(_read_level(reader, 0, depth + 1))
        while reader.take_symbol(",") is not None:
            arguments.append(_read_level(reader, 0, depth + 1))
    closing = reader.take_symbol(")")
    if closing is None:
        if reader.peek().kind in (Kind.END, Kind.INTO):
            raise _refuse(opening, "missing closing ')'", "close it")
        raise _after_operand(reader)
    return Call(
        span=_span(name).to(_span(closing)),
        name=name.text,
        name_span=_span(name),
        arguments=tuple(arguments),
        height=1 + max(map(_height, arguments), default=0),
    )


def _no_operand(token: Token) -> SyntaxRefused:
    """What to say where a value was expected and `token` came."""
    if token.kind is Kind.UNTERMINATED:
        return _unterminated(token)
    if token.kind in (Kind.UNKNOWN, Kind.BRACKETED):
        return _invalid_symbol(token)
    if token.kind in (Kind.FROM, Kind.SELECT, Kind.WHERE):
        return _refuse(token, f"'{token.text}' is a keyword and cannot stand in a condition", _RENAME)
    if token.is_symbol(")"):
        return _refuse(token, "unmatched closing ')', or a value is missing before it", "remove it, or add the value")
    what = "the condition ends where a value is expected" if token.kind in (Kind.END, Kind.INTO) else ""
    return _refuse(
        token, what or f"a value is expected here, not {_shown(token)}", "add the value, or remove the operator"
    )


_ENDPOINTS: Final = 'BrokeredEndpoint("/modules/<module>/inputs/<input>"), Endpoint("<name>") or Topic("<topic>")'
_FIXES: Final = MappingProxyType(
    {
        "brokeredendpoint": 'write BrokeredEndpoint("/modules/<module>/inputs/<input>")',
        "endpoint": 'write Endpoint("<name>"), with a name that stands under "endpoints" in the settings',
        "topic": 'write Topic("alerts/{device}"): a topic of the gateway\'s own broker',
    }
)
"""What to write, by the type of endpoint in lower case. The first is edgeHub's, the others are ours."""


def _read_sink(reader: _Reader) -> tuple[Endpoint, Span]:
    """What follows the condition: INTO and one sink."""
    into = reader.take()
    sink = reader.take()
    if sink.kind is Kind.SYSTEM:
        return _system_endpoint(sink), _span(sink)
    if sink.kind is Kind.NAME and reader.peek().is_symbol("("):
        return _function_endpoint(reader, sink)
    if sink.kind is Kind.END:
        raise _refuse(into, "nothing stands after INTO", "write INTO $upstream")
    fix = f"write $upstream, {_ENDPOINTS}"
    raise _refuse(sink, f"{_shown(sink)} is no place to send to", fix)


def _system_endpoint(token: Token) -> Endpoint:
    if token.text.lower() != "$upstream":
        fix = f"the only endpoint with $ is $upstream; others are {_ENDPOINTS}"
        raise _refuse(token, f"the endpoint '{token.text}' is not supported", fix)
    return UPSTREAM


def _function_endpoint(reader: _Reader, name: Token) -> tuple[Endpoint, Span]:
    reader.take()
    address = reader.take()
    if address.kind is Kind.UNTERMINATED:
        raise _unterminated(address)
    kind = name.text.lower()
    fix = _FIXES.get(kind, _FIXES["brokeredendpoint"])
    if address.kind is not Kind.STRING:
        raise _refuse(address, f"the address of the endpoint must be text in quotes, not {_shown(address)}", fix)
    if reader.take_symbol(")") is None:
        raise _refuse(name, f"missing closing ')' after the address of {name.text}", fix)
    if kind not in _FIXES:
        near = near_match(name.text, ("BrokeredEndpoint", "Endpoint", "Topic"))
        hint = f"; did you mean '{near}'?" if near else ""
        raise _refuse(name, f"the endpoint type '{name.text}' is not supported{hint}", fix)
    return _endpoint(kind, address, fix), Span(name.start, reader.last.end)


def _endpoint(kind: str, address: Token, fix: str) -> Endpoint:
    if kind == "brokeredendpoint":
        return _module_endpoint(address, fix)
    text = address.text[1:-1].strip()
    if not text:
        raise _refuse(address, "the name of the endpoint is empty", fix)
    return named_endpoint(text) if kind == "endpoint" else local_topic(text)


def _module_endpoint(address: Token, fix: str) -> Endpoint:
    """Quotes off, escapes as they stand, one '/' off at each end, then exactly four items (edgehub.md §2.1)."""
    path = address.text[1:-1].strip()
    items = path.removeprefix("/").removesuffix("/").split("/")
    if len(items) != 4 or not items[1].strip() or not items[3].strip():
        raise _refuse(address, f"'{path}' is not the address of a module's input", fix)
    return module_input(items[1], items[3])
