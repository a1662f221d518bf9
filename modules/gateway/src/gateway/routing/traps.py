"""Routes that compile and then do something else than they seem to: each trap with the safe way to write it (D4)."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from edgewire.message import MessageSource
from gateway.routing.expression import BodyValue, Compare, Constant, Expression, Type, children
from gateway.routing.lenient_json import is_date
from gateway.routing.names import SYSTEM_PROPERTIES
from gateway.routing.problems import Finding, near_match
from gateway.routing.tree import Call, Chain, DollarName, Literal, Name, Node, Prefix, RouteSyntax, Span
from gateway.routing.typecheck import BODY_PREFIX

_NEVER_SET: Final = ("connectiondevicegenerationid", "connectionauthmethod")
_OTHER_NAMES: Final = {
    "correlationid": "the correlation id is called $cid",
    "enqueuedtimeutc": "it is called $enqueuedTime",
    "iothub-connection-device-id": "it is called $connectionDeviceId",
    "iothub-enqueuedtime": "it is called $enqueuedTime",
    "body": "name a value in the body: $body.name",
    "deviceid": "it is called $connectionDeviceId",
    "moduleid": "it is called $connectionModuleId",
}
_CLOUD_SOURCES: Final = (
    "/deviceLifecycleEvents",
    "/digitalTwinChangeEvents",
    "/deviceJobLifecycleEvents",
    "/messages/devices",
    "/messages/events",
)
_SINGLE_SOURCES: Final = tuple(f"/{source.value}" for source in MessageSource if source is not MessageSource.TELEMETRY)
"""Those with nothing below them."""
_SOURCES_IN_WORDS: Final = f"/messages/*, {' and '.join(_SINGLE_SOURCES)}"
_WORDS: Final = ("true", "false", "null", "undefined")
_BODY_TESTS: Final = ("is_number", "is_string", "is_bool")
_NUMBER_TEXT: Final = re.compile(r"\s*-?[0-9]+(?:\.[0-9]+)?\s*")


def find_traps(text: str, route: RouteSyntax, condition: Expression | None) -> list[Finding]:
    """Warnings for a route that is right by its grammar, in the order of the text."""
    found = [*_source_traps(route), *_sink_traps(text, route)]
    if route.condition is not None and condition is not None:
        found += _Traps(text, route.condition).all()
        found += _whole_traps(text, condition)
        found += _comparison_traps(text, route.condition, condition)
    return sorted(found, key=lambda finding: finding.span.start)


def _source_traps(route: RouteSyntax) -> Iterator[Finding]:
    path = route.source
    items = path.split("/")[1:]
    lowered = path.lower()
    cloud = next((name for name in _CLOUD_SOURCES if lowered.startswith(name.lower())), None)
    if cloud is not None:
        message = f"{cloud} exists in IoT Hub only: the route never matches here"
        yield Finding(route.source_span, message, f"an edge gateway has {_SOURCES_IN_WORDS}")
    elif "*" in items[:-1]:
        fix = "take all modules with /messages/modules/* and test $connectionModuleId or $outputName in WHERE"
        yield Finding(route.source_span, "a '*' inside the path is no wildcard: the route never matches", fix)
    elif items[-1].endswith("*") and len(items[-1]) > 1 and items[-1].strip("*"):
        kept = path.rstrip("*")
        message = f"'*' stands only for whole parts of the path: this is {kept}/ and not all that begins with {kept}"
        yield Finding(
            route.source_span, message, "take /messages/modules/* and test the name with starts_with in WHERE"
        )
    elif not _can_match(lowered):
        near = near_match(path.rstrip("*/"), ("/messages", "/messages/modules", *_SINGLE_SOURCES))
        hint = f"did you mean {near}?" if near else f"messages come from {_SOURCES_IN_WORDS}"
        yield Finding(route.source_span, f"no message comes from {path}: the route never matches", hint)


def _can_match(path: str) -> bool:
    """True if some message's source may begin with this path."""
    prefix = path.rstrip("*").removesuffix("/") + "/"
    if prefix == "/":
        return True
    parts = prefix.strip("/").split("/")
    if f"/{parts[0]}" in map(str.lower, _SINGLE_SOURCES):
        return len(parts) == 1
    module_path = len(parts) < 2 or parts[1] == "modules"
    return parts[0] == "messages" and module_path and (len(parts) < 4 or parts[3] == "outputs") and len(parts) < 6


def _sink_traps(text: str, route: RouteSyntax) -> Iterator[Finding]:
    if route.rest is not None:
        rest = text[route.rest.start : route.rest.end]
        yield Finding(route.rest, f"'{rest}' after the endpoint is ignored", "remove it; one route has one endpoint")
    address = text[route.sink_span.start : route.sink_span.end]
    words = [word.lower() for word in re.findall(r"[^/\"'()\s]+", address)][1:]
    if len(words) == 4 and (words[0], words[2]) != ("modules", "inputs"):
        message = "the address of a module's input is /modules/<module>/inputs/<input>; these words are not checked"
        yield Finding(route.sink_span, message, f'write "/modules/{words[1]}/inputs/{words[3]}"')


class _Traps:
    """Traps that show in the names and calls of a condition."""

    def __init__(self, text: str, condition: Node) -> None:
        self._text = text
        self._condition = condition

    def all(self) -> Iterator[Finding]:
        for node in _walk(self._condition):
            match node:
                case Name():
                    yield from self._name(node)
                case DollarName():
                    yield from self._dollar_name(node)
                case Literal(kind="number"):
                    yield from self._number(node)
                case Call():
                    yield from self._call(node)
                case Chain():
                    yield from self._chain(node)
                case _:
                    pass

    def _name(self, node: Name) -> Iterator[Finding]:
        name = node.name
        system = {known.lower(): known for known in SYSTEM_PROPERTIES}
        if name.lower() in _WORDS:
            yield Finding(node.span, f"'{name}' is read as a property of that name", f"write {name.lower()}")
        elif name.endswith("!") and self._text[node.span.end : node.span.end + 1] == "=":
            message = f"'{name}' is read as the name of the property: this compares '{name}' with '='"
            yield Finding(node.span, message, f"put a blank before != : {name[:-1]} !=")
        elif name.startswith("!"):
            message = f"'{name}' is read as one name, so it is undefined"
            yield Finding(
                node.span, message, f"write NOT {name[1:]}, as NOT is_defined({name[1:]}) or NOT ({name[1:]} = 'x')"
            )
        elif name.startswith(("'", '"')) or "||" in name or re.search(r"[+*%&|]", name):
            yield Finding(node.span, f"'{name}' is read as one name", "put blanks around + - * % and ||")
        elif name[0] == "-" or re.fullmatch(r"[0-9.]+-[0-9.]+", name):
            yield Finding(node.span, f"'{name}' is read as one name", "put blanks around -")
        elif name.lower().startswith(("body.", "properties.", "systemproperties.")):
            rest = name.split(".", 1)[1]
            fix = {"b": f"write $body.{rest}", "p": f"write {rest}", "s": f"write ${rest}"}[name[0].lower()]
            yield Finding(node.span, f"'{name}' is read as an application property of that name", fix)
        elif name.lower() in system:
            message = f"'{name}' without $ is an application property, not the system property"
            yield Finding(node.span, message, f"write ${system[name.lower()]}, if the system property is meant")

    def _dollar_name(self, node: DollarName) -> Iterator[Finding]:
        name = node.name[1:]
        lowered = name.lower()
        if lowered.startswith("body.") or lowered in {known.lower() for known in SYSTEM_PROPERTIES}:
            return
        if lowered.startswith(("twin", "connectiondevicetags")):
            fix = "let the device put it into the message: as a property or in the body"
            yield Finding(node.span, f"${name} is read in IoT Hub only; here it is undefined in every message", fix)
        elif lowered in _OTHER_NAMES:
            yield Finding(node.span, f"${name} is undefined in every message", _OTHER_NAMES[lowered])
        elif lowered in _NEVER_SET:
            yield Finding(node.span, f"${name} is never set", "remove the test")
        else:
            near = near_match(name, SYSTEM_PROPERTIES)
            hint = f"did you mean ${near}?" if near else f"for an application property write {name}"
            yield Finding(
                node.span, f"${name} is no system property: it is undefined, unless a property is called so", hint
            )

    def _number(self, node: Literal) -> Iterator[Finding]:
        if node.text.lstrip("-")[:1] in "eE":
            message = f"'{node.text}' is read as a number without digits, which is undefined"
            yield Finding(node.span, message, "a property of that name cannot be tested; send it under another name")

    def _call(self, node: Call) -> Iterator[Finding]:
        if len(node.arguments) != 1 or not _is_body(node.arguments[0]):
            return
        source = self._text[node.arguments[0].span.start : node.arguments[0].span.end]
        if node.name.lower() == "is_null":
            message = "is_null of a body value is true for every value there is, and false for a missing path"
            yield Finding(node.span, message, f"write {source} = null, true for null and for a missing path")
        elif node.name.lower() == "is_defined":
            message = "is_defined of a body path is true in every readable body, also where the path is missing"
            yield Finding(node.span, message, f"write {source} != null, or {source} = null for its opposite")

    def _chain(self, node: Chain) -> Iterator[Finding]:
        left, right = node.operands[:2]
        if "??" in node.operators and _is_body(left):
            message = "a path missing in a readable body is null, and ?? keeps null"
            yield Finding(left.span, message, "?? helps only against a body that cannot be read, an object or an array")
        if node.operators[0] in ("=", "!=", "<>") and {_literal_kind(left), _literal_kind(right)} == {"string"}:
            quoted = left if self._text[left.span.start] == '"' or self._text[right.span.start] != '"' else right
            name = self._text[quoted.span.start + 1 : quoted.span.end - 1]
            message = "this compares two texts: a name in quotes is not a property"
            yield Finding(quoted.span, message, f"write {name} without quotes")


def _walk(node: Node) -> Iterator[Node]:
    yield node
    match node:
        case Call():
            inner: Iterable[Node] = node.arguments
        case Prefix():
            inner = (node.operand,)
        case Chain():
            inner = node.operands
        case _:
            inner = ()
    for child in inner:
        yield from _walk(child)


def _is_body(node: Node) -> bool:
    return isinstance(node, DollarName) and node.name.lower().startswith(BODY_PREFIX)


def _literal_kind(node: Node) -> str:
    return node.kind if isinstance(node, Literal) else ""


def _whole_traps(text: str, condition: Expression) -> Iterator[Finding]:
    """A condition that cannot be true."""
    if condition.type in (Type.STRING, Type.NUMBER):
        source = text[condition.span.start : condition.span.end]
        kind = "text" if condition.type is Type.STRING else "a number"
        yield Finding(condition.span, f"{kind} is never true: the route never matches", f"compare it: {source} = …")
    elif isinstance(condition, Constant) and condition.value is not True:
        yield Finding(condition.span, "the route never matches", "remove it, or write a condition")


def _comparison_traps(text: str, written: Node, condition: Expression) -> Iterator[Finding]:
    """Comparisons of a body value with a literal that come out true for a missing path, or never."""
    tested = {
        text[call.arguments[0].span.start : call.arguments[0].span.end].lower()
        for call in _walk(written)
        if isinstance(call, Call) and call.name.lower() in _BODY_TESTS and call.arguments
    }
    for part in _expressions(condition):
        if not isinstance(part, Compare) or not part.dynamic:
            continue
        body, other, symbol = part.left, part.right, part.symbol
        if not isinstance(body, BodyValue):
            body, other, symbol = other, body, {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(symbol, symbol)
        if isinstance(body, BodyValue) and isinstance(other, Constant):
            name = text[body.span.start : body.span.end]
            source = text[part.span.start : part.span.end]
            yield from _literal_traps(part.span, (name, source), symbol, other, guarded=name.lower() in tested)


def _literal_traps(
    span: Span, texts: tuple[str, str], symbol: str, other: Constant, *, guarded: bool
) -> Iterator[Finding]:
    """`texts`: the body value and the whole comparison, as written."""
    name, value = texts[0], other.value
    if isinstance(value, str) and is_date(value):
        message = f"a date and time in the body is undefined, so {name} never compares with this text"
        yield Finding(span, message, "let the device send the time as a number, or as text of another form")
    elif isinstance(value, str) and symbol in ("=", "!=", "<>") and _NUMBER_TEXT.fullmatch(value):
        message = f"text and number are never equal: this is about {name} sent as text"
        yield Finding(span, message, f"for a JSON number write {name} {symbol} {value.strip()}")
    elif not guarded and other.type is not Type.NULL:
        yield from _missing_traps(span, texts, symbol, other)


def _missing_traps(span: Span, texts: tuple[str, str], symbol: str, other: Constant) -> Iterator[Finding]:
    name, source = texts
    test = {Type.NUMBER: "is_number", Type.STRING: "is_string", Type.BOOL: "is_bool"}.get(other.type)
    if test is None:
        return
    if symbol in (">", ">="):
        above = "text or null" if other.type is Type.NUMBER else "null"
        message = f"also true where {name} is {above}, and a missing path counts as null"
        yield Finding(span, message, f"write {test}({name}) AND {source}")
    elif symbol in ("!=", "<>"):
        message = f"also true where {name} is missing from the body or of another type"
        yield Finding(span, message, f"write {test}({name}) AND {source}, if the value must be there")


def _expressions(expression: Expression) -> Iterator[Expression]:
    yield expression
    for child in children(expression):
        yield from _expressions(child)
