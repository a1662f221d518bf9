"""What to write instead: the repair that goes with a type error or an unknown name."""

from collections.abc import Mapping
from typing import Final

from gateway.routing.expression import Type
from gateway.routing.functions import FUNCTIONS
from gateway.routing.problems import near_match
from gateway.routing.tree import DollarName, Literal, Name, Node

_OTHER_FUNCTIONS: Final[Mapping[str, str]] = {
    "array_length": "the length of an array cannot be tested; let the device send it as a number",
    "round": "use floor(x + 0.5)",
    "trunc": "use floor(x), or ceiling(x) for negative numbers",
    "ceil": "use ceiling(x)",
    "iif": "write the two cases with AND and OR",
    "to_number": "use as_number(x)",
    "number": "use as_number(x)",
    "cast": "use as_number(x) for a number; properties are text already",
    "like": "use starts_with, ends_with or contains",
    "regexp": "there are no regular expressions; use starts_with, ends_with or contains",
    "is_object": "objects and arrays cannot be tested; is_defined of one is false",
    "is_array": "objects and arrays cannot be tested; is_defined of one is false",
    "is_primitive": "use is_bool, is_number or is_string",
    "not": "write NOT x",
    "and": "write a AND b",
    "or": "write a OR b",
    "twin_change_includes": "only IoT Hub has it; test the body: $body.properties.reported.x != null",
    "trim": "there is no function that trims; let the device send the text without blanks",
    "as_string": "there is no conversion to text; compare numbers as numbers",
    "now": "there are no times in a route",
}


def unknown_function(name: str) -> tuple[str, str]:
    """The message and the fix for a function that does not exist."""
    message = f"unknown function '{name}'"
    bare = name.lstrip("!-")
    if bare != name and bare.lower() in FUNCTIONS:
        operator = "NOT" if name[0] == "!" else "-"
        return f"'{name}' is read as one name", f"write {operator} {bare}(…)"
    if name.lower() in _OTHER_FUNCTIONS:
        return message, _OTHER_FUNCTIONS[name.lower()]
    near = near_match(name, FUNCTIONS)
    if near is not None:
        return f"{message}; did you mean '{near}'?", f"write {near}(…)"
    return message, "the functions are: " + ", ".join(sorted(FUNCTIONS))


def signature(name: str) -> str:
    """How a function is called, all its forms."""
    forms = []
    for form in FUNCTIONS[name]:
        words = ["any value" if form.any_arguments else kind.value for kind in form.parameters]
        forms.append(f"{name}({', '.join(words)}{', …' if form.variadic else ''})")
    return " or ".join(dict.fromkeys(forms))


def wrong_arguments(name: str, arguments: tuple[Node, ...], types: tuple[Type, ...], sources: tuple[str, ...]) -> str:
    """The fix for arguments that no form of a function takes."""
    numeric = all(kind is Type.NUMBER for form in FUNCTIONS[name] for kind in form.parameters)
    if numeric and len(arguments) == len(FUNCTIONS[name][0].parameters):
        for kind, source in zip(types, sources, strict=True):
            if kind is Type.STRING:
                return f"convert text first: {name}(as_number({source}))"
    return f"it takes {signature(name)}"


def describe(node: Node, kind: Type, source: str) -> str:
    """An operand for a message: what it is and its type."""
    match node:
        case Name():
            return f"the property {source}, which is always text"
        case DollarName() if kind is Type.STRING:
            return f"the system property {source}, which is always text"
        case DollarName() if kind is Type.BODY:
            return f"the body value {source}"
        case DollarName():
            return f"{source}, which is no $body path and so undefined"
        case _:
            return f"{source} ({kind.value})"


def comparison_fix(symbol: str, left: tuple[Node, Type, str], right: tuple[Node, Type, str]) -> str:
    """The fix for a comparison of two types that do not compare."""
    for (node, kind, source), (other, other_kind, other_source) in ((left, right), (right, left)):
        if isinstance(node, DollarName) and kind is Type.UNDEFINED:
            return "write a body value as $body.name, $body.list[0] or $body.a.b"
        if isinstance(node, Name) and source.endswith(".") and source[:-1].isdigit():
            return f"{source} is read as a name; write {source}0"
        if kind is Type.STRING and other_kind is Type.NUMBER:
            if isinstance(other, Literal) and not isinstance(node, (Name, DollarName)):
                return f"compare with text: '{other_source}'"
            return f"write as_number({source}) {symbol} {other_source}"
        if kind is Type.STRING and other_kind is Type.BOOL and isinstance(other, Literal):
            return f"write {source} {symbol} '{other_source}'"
        if kind is Type.STRING and other_kind is Type.NULL:
            return f"write is_null({source}) for a property without a value, NOT is_defined({source}) for a missing one"
        if kind is Type.UNDEFINED and isinstance(node, Literal):
            return f"write NOT is_defined({other_source})"
        if other_kind is Type.BOOL and other_source not in ("true", "false"):
            return "put parentheses around each comparison, and join them with AND or OR"
    return "compare values of one type"


def logic_fix(word: str, node: Node, kind: Type, source: str, *, right: bool) -> str:
    """The fix for an operand that AND or OR does not take."""
    if kind is Type.BODY and right:
        return f"write {word} {source} = true"
    if kind is Type.STRING and isinstance(node, (Name, DollarName)):
        return f"compare it: {source} = 'true', or is_defined({source})"
    return f"{word} joins conditions: compare it with something"


def not_fix(operand: Node, source: str, rest: str) -> str:
    """The fix for NOT before something that is no truth value; `rest` is the comparison it was meant for."""
    if rest:
        return f"NOT binds tighter than a comparison; write NOT ({source} {rest})"
    if isinstance(operand, (Name, DollarName)):
        return f"write NOT ({source} = 'true'), or NOT is_defined({source})"
    return "NOT takes a condition"
