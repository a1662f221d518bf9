"""Turns the conditions of a table into one Python function, so that a message costs little.

The source text holds only names this module makes up (`k0`, `b1`, …); every literal, key and function of a route
reaches the code as an object through its namespace. Each body path is read once per message. A condition is compiled
by what is asked of it: a route asks "is it true?", so AND and OR become Python's own and stop early, and NOT asks its
operand "is it false?" instead. Where a value is needed it comes from the same functions the interpreter uses.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from edgewire.line.bodies import SELECTED_FROM
from gateway.routing import values
from gateway.routing.absence import Evaluate, by_keys, look_up
from gateway.routing.body import as_value, members_reader, read_body, value_at
from gateway.routing.bodypath import BodyPath
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
    children,
)
from gateway.routing.sharing import Group, Shared, share
from gateway.routing.sieve import FLIPPED
from gateway.routing.values import MISSING, RANK, UNDEFINED, Value
from gateway.routing.view import View

Match: TypeAlias = Callable[[int, View, bytes], int]
"""(a bit for each group that takes part, view, body) → a bit for each condition that is true."""

_UNREAD: Final = object()
_READ: Final = f"read_body(body, codec) if len(body) < {SELECTED_FROM} else read_members(body, codec)"
_PYTHON: Final = {"=": "==", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_NUMBER_RANK: Final = RANK[float]
_TEXT_RANK: Final = RANK[str]


def reads_body(expression: Expression) -> bool:
    """True if the body may be needed to evaluate this."""
    return isinstance(expression, BodyValue) or any(map(reads_body, children(expression)))


@dataclass(slots=True)
class _Writer:
    """Collects the namespace and the slots of the function being written."""

    namespace: dict[str, Any] = field(default_factory=dict)
    names: dict[Any, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def constant(self, value: object) -> str:
        """The name under which the code finds `value`."""
        key = (type(value), repr(value)) if isinstance(value, (str, float, bool)) else (object, id(value))
        name = self.names.setdefault(key, f"k{len(self.names)}")
        self.namespace[name] = value
        return name

    def slot(self, path: BodyPath) -> str:
        """The local variable that holds what `path` found."""
        return self.paths.setdefault(path.text, f"b{len(self.paths)}")

    # What is asked of an expression: its value, whether it is true, whether it is false.

    def value(self, expression: Expression) -> str:
        match expression:
            case Constant():
                return self.constant(expression.value)
            case AppProperty():
                return f"props({self.constant(expression.key)}, UNDEFINED)"
            case SystemProperty():
                return f"system({self.constant(expression.key)}, UNDEFINED)"
            case BodyValue():
                return self._body_value(expression)
            case Apply():
                arguments = ", ".join(map(self.value, expression.arguments))
                return f"{self.constant(expression.operation)}({arguments})"
            case Compare():
                function = "compare_body" if expression.dynamic else "compare_plain"
                symbol = self.constant(expression.symbol)
                return f"{function}({symbol}, {self.value(expression.left)}, {self.value(expression.right)})"
            case Not():
                return f"negated({self.value(expression.operand)})"
            case Logic():
                return self._logic_value(expression)

    def true(self, expression: Expression) -> str:
        """Python code that is true exactly if the expression is."""
        match expression:
            case Logic(dynamic=False):
                return self._joined(expression, "and" if expression.is_and else "or", self.true)
            case Not():
                return self.false(expression.operand)
            case Compare():
                return self._fast_compare(expression) or f"{self.value(expression)} is True"
            case _:
                return f"{self.value(expression)} is True"

    def false(self, expression: Expression) -> str:
        """Python code that is true exactly if the expression is false (and not undefined)."""
        match expression:
            case Logic(dynamic=False):
                return self._joined(expression, "or" if expression.is_and else "and", self.false)
            case Not():
                return self.true(expression.operand)
            case _:
                return f"{self.value(expression)} is False"

    def _joined(self, expression: Logic, word: str, form: Callable[[Expression], str]) -> str:
        return "(" + f" {word} ".join(map(form, expression.operands)) + ")"

    def _logic_value(self, expression: Logic) -> str:
        operands = [self.value(operand) for operand in expression.operands]
        if expression.dynamic:
            return f"{'both_body' if expression.is_and else 'either_body'}({', '.join(operands)})"
        every = f"({', '.join(operands)})"
        return f"{'all_true' if expression.is_and else 'any_true'}({every})"

    def _body_value(self, expression: BodyValue) -> str:
        slot = self.slot(expression.path)
        if slot in self.known:
            return slot
        return f"({slot} if {slot} is not UNREAD else ({slot} := {self._read(expression.path)}))"

    def _read(self, path: BodyPath) -> str:
        found = self._found(path)
        return f"value_at({self._document()}, {self.constant(path)})" if found is None else f"as_value({found})"

    def _document(self) -> str:
        return "doc" if "doc" in self.known else f"(doc if doc is not UNREAD else (doc := {_READ}))"

    def _found(self, path: BodyPath) -> str | None:
        """What JSON has at a path of plain names, member by member without a call; None for any other path.

        Only an unreadable body gives UNDEFINED on the way. `as_value` leaves it and MISSING as they are.
        """
        if path.impossible or not path.steps or not all(isinstance(step, str) for step in path.steps):
            return None
        *outer, last = map(self.constant, path.steps)
        holder = self._document()
        objects = []
        for name in outer:
            objects.append(f"(at := {holder}.get({name})).__class__ is dict")
            holder = "at"
        found = f"{holder}.get({last}, MISSING)"
        if not objects:
            return found
        return f"({found} if {' and '.join(objects)} else UNDEFINED if at is UNDEFINED else MISSING)"

    def _read_into(self, slot: str, path: BodyPath) -> list[str]:
        """Statements that do what `_read` does; a plain number, what most conditions ask for, needs no call."""
        found = self._found(path)
        if found is None:
            return [f"{slot} = {self._read(path)}"]
        return [f"{slot} = {found}", f"if {slot}.__class__ is not float or {slot} != {slot}: {slot} = as_value({slot})"]

    def hoisted(self, expression: Expression) -> list[str]:
        """Statements that read what this condition reads in any case, so that it may use the slots plainly."""
        lines: list[str] = []
        for value in _read_first(expression):
            slot = self.slot(value.path)
            if slot in self.known:
                continue
            if "doc" not in self.known:
                lines.append(f"if doc is UNREAD: doc = {_READ}")
                self.known.add("doc")
            lines += (f"if {slot} is UNREAD:", *(f"    {line}" for line in self._read_into(slot, value.path)))
            self.known.add(slot)
        return lines

    def _fast_compare(self, expression: Compare) -> str | None:
        """Comparisons with a literal without a call; None where no short form is right."""
        left, right, symbol = expression.left, expression.right, expression.symbol
        if isinstance(left, Constant):
            left, right, symbol = right, left, FLIPPED[symbol]
        if not isinstance(right, Constant) or isinstance(left, Constant):
            return None
        operand = right.value
        if expression.dynamic and isinstance(left, BodyValue):
            return self._fast_body(self.value(left), symbol, operand)
        if symbol == "=" and isinstance(operand, str):
            return f"{self.value(left)} == {self.constant(operand)}"
        return None

    def _fast_body(self, left: str, symbol: str, operand: Value) -> str | None:
        """A body value against a text or a number; `left` is a slot or reads one."""
        name = self.constant(operand)
        if isinstance(operand, str):
            if symbol == "=":
                return f"{left} == {name}"
            if not left.isidentifier() or max(operand, default="") >= "\ud800":
                return None
            if symbol in ("!=", "<>"):
                return f"({left} != {name} and {left} is not UNDEFINED)"
            return self._fast_order(left, symbol, name, "str", _TEXT_RANK)
        if not isinstance(operand, float) or not left.isidentifier():
            return None
        if symbol == "=":
            return f"({left} == {name} and {left}.__class__ is float)"
        if symbol in ("!=", "<>"):
            return f"(({left} != {name} or {left}.__class__ is bool) and {left} is not UNDEFINED)"
        return self._fast_order(left, symbol, name, "float", _NUMBER_RANK)

    def _fast_order(self, left: str, symbol: str, name: str, kind: str, rank: float) -> str:
        """`<` and its like: among one type by value, else by the rank of the types."""
        other = f"RANK[{left}.__class__] > {rank}" if ">" in symbol else f"0 < RANK[{left}.__class__] < {rank}"
        return f"({left} {_PYTHON[symbol]} {name} if {left}.__class__ is {kind} else {other})"


def _read_first(expression: Expression) -> list[BodyValue]:
    """The body values that are read whatever the others turn out to be."""
    match expression:
        case BodyValue():
            return [expression]
        case Logic(dynamic=False):
            return _read_first(expression.operands[0])
        case _:
            return [found for child in children(expression) for found in _read_first(child)]


def _all_true(operands: Sequence[Value]) -> values.Truth:
    if any(operand is False for operand in operands):
        return False
    return True if all(operand is True for operand in operands) else UNDEFINED


def _any_true(operands: Sequence[Value]) -> values.Truth:
    if any(operand is True for operand in operands):
        return True
    return False if all(operand is False for operand in operands) else UNDEFINED


def _globals() -> dict[str, Any]:
    """What the generated code calls."""
    return {
        "MISSING": MISSING,
        "RANK": RANK,
        "UNDEFINED": UNDEFINED,
        "UNREAD": _UNREAD,
        "all_true": _all_true,
        "any_true": _any_true,
        "as_value": as_value,
        "both_body": values.both_body,
        "compare_body": values.compare_body,
        "compare_plain": values.compare_plain,
        "either_body": values.either_body,
        "negated": values.negated,
        "read_body": read_body,
        "value_at": value_at,
    }


def generate(groups: Sequence[Group]) -> Match:
    """One function for all groups of conditions."""
    names = _names_at_top(condition for group in groups for _, condition in group)
    writer = _Writer(namespace={**_globals(), "read_members": members_reader(names)})
    lines: list[str] = []
    for number, group in enumerate(groups):
        if group:
            writer.known.clear()  # whether another group has run is not known here
            lines.append(f"if groups & {1 << number}:")
            lines += (f"    {line}" for line in _group_lines(writer, group))
    match: Match = _function(writer, "groups, view, body", ["doc = UNREAD", *lines])
    return match


def _names_at_top(conditions: Iterable[Expression]) -> list[str]:
    """The members at the top of a body that conditions read; none if one of them asks for every member."""
    steps = dict.fromkeys(path.steps[0] for each in conditions for path in _paths(each) if path.steps)
    return [] if None in steps else [step for step in steps if isinstance(step, str)]


def _paths(expression: Expression) -> Iterator[BodyPath]:
    if isinstance(expression, BodyValue):
        yield expression.path
    for child in children(expression):
        yield from _paths(child)


def _function(writer: _Writer, parameters: str, lines: Sequence[str]) -> Any:
    """The function of these statements that returns `hits`."""
    source = f"def written({parameters}):\n"
    for line in (*_prologue(writer, "\n".join(lines)), *lines, "return hits"):
        source += f"    {line}\n"
    exec(compile(source, "<routes>", "exec"), writer.namespace)  # noqa: S102 - the text holds only our own names
    return writer.namespace.pop("written")


def _prologue(writer: _Writer, code: str) -> list[str]:
    """The locals that the code uses."""
    lines = ["hits = 0"]
    for call, line in (
        ("props(", "props = view.properties.get"),
        ("system(", "system = view.system.get"),
        ("codec)", "codec = view.codec"),
    ):
        if call in code:
            lines.append(line)
    return lines + [f"{slot} = UNREAD" for slot in writer.paths.values()]


def _group_lines(writer: _Writer, group: Group) -> list[str]:
    """The statements for the conditions of one group."""
    split = by_keys(group)
    lines = _condition_lines(writer, split.first)
    if split.true:
        lines.append(f"hits |= {split.true}")
    if split.keyed:
        matched = look_up([(part, _evaluator(writer, part.conditions)) for part in split.keyed])
        lines.append(f"if doc is UNREAD: doc = {_READ}")
        lines.append(f"hits = {writer.constant(matched)}(doc, view, hits)")
    return lines


def _evaluator(writer: _Writer, group: Group) -> Evaluate:
    """A function for conditions on a body that has been read, with the same namespace."""
    own = _Writer(namespace=writer.namespace, names=writer.names, known={"doc"})
    evaluate: Evaluate = _function(own, "doc, view", _condition_lines(own, group))
    return evaluate


def _condition_lines(writer: _Writer, group: Group) -> list[str]:
    """The statements for conditions one after the other, those with something in common together."""
    shared, alone = share(group, reads_body)
    lines = [line for part in shared for line in _shared_lines(writer, part)]
    for bit, condition in alone:
        lines += writer.hoisted(condition)
        lines.append(f"if {writer.true(condition)}: hits |= {1 << bit}")
    return lines


def _shared_lines(writer: _Writer, shared: Shared) -> list[str]:
    """Strikes out, subject by subject, what is not true; a subject that nothing left asks about is not read."""
    lines = [f"left = {shared.members}"]
    for subject in shared.subjects:
        value, sieve = writer.value(subject.expression), subject.sieve
        if sieve.only_texts:
            found = f"{writer.constant(sieve.texts)}.get({value}, {sieve.rest})"
        else:
            found = f"{writer.constant(sieve.look_up)}({value})"
        lines.append(f"if left & {subject.needs}: left &= {found}")
    return [*lines, f"hits |= left << {shared.base}" if shared.base else "hits |= left"]


def can_be_true(condition: Expression) -> bool:
    """False for a number, a text or null, which no route takes for true."""
    return condition.type in (Type.BOOL, Type.BODY)
