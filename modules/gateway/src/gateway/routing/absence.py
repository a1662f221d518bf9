"""Many routes that each read another key of the body: only those whose keys a body has are evaluated.

A path that leads nowhere is a value, the missing one, and a comparison with it has a result like any other: false for
`$body.a = 5`, true for `$body.a > 5`. So conditions may not simply be skipped. But a condition without its rare keys
is a simpler one, its residue, which is worked out when a table is compiled: mostly true or false, else a question
about what remains, which other conditions ask as well. For each message the residues are evaluated, and then the
conditions whose rare keys the body has take their place.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from gateway.routing.body import Document, Unreadable
from gateway.routing.expression import (
    AppProperty,
    BodyValue,
    Expression,
    Logic,
    Not,
    SystemProperty,
    Type,
    children,
)
from gateway.routing.interpret import Interpreter
from gateway.routing.sharing import MIN_SHARED, Group
from gateway.routing.sieve import Mask
from gateway.routing.view import View

MIN_KEYED: Final = 8
"""Fewer conditions than these are as quick one after the other."""

COMMON_PART: Final = 1 / 16
"""A key that so many of the conditions read, and two at least, is taken to be in every body: what all routes of a site
ask about stays in one piece, where it is evaluated together."""

Residue: TypeAlias = Expression | bool
"""What is left to ask of a condition, or its answer: whether it is true."""

Evaluate: TypeAlias = Callable[[Document, View], Mask]
"""The conditions of a part that are true for a message."""

Matched: TypeAlias = Callable[[Document, View, Mask], Mask]
"""What is true of all conditions, given what is true without their rare keys."""

_NO_VIEW: Final = View({}, {}, "", None, shadows=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """Conditions that are evaluated only if a body has one of these keys."""

    keys: frozenset[str]
    conditions: Group
    unreadable: bool
    """True if one of them may be true for a body that cannot be read."""


@dataclass(frozen=True, slots=True)
class Split:
    """A group in two steps: `true` and `first`, residues among them, then those of `keyed` whose keys are there."""

    true: Mask
    first: list[tuple[int, Expression]]
    keyed: list[Keyed]


def by_keys(group: Group) -> Split:
    """Splits a group by the keys that are rare in it."""
    if len(group) < MIN_KEYED:
        return Split(0, list(group), [])
    users = Counter(key for _, condition in group for key in set(keys_of(condition)))
    least = max(MIN_SHARED, COMMON_PART * len(group))
    rare = {key: count for key, count in users.items() if count < least}
    true = 0
    first: list[tuple[int, Expression]] = []
    waiting: dict[frozenset[str], list[tuple[int, Expression]]] = {}
    for bit, condition in group:
        keys, residue = _awaited(condition, rare)
        if keys:
            waiting.setdefault(keys, []).append((bit, condition))
        if residue is True:
            true |= 1 << bit
        elif residue is not False:
            first.append((bit, residue))
    return Split(true, first, [_keyed(keys, conditions) for keys, conditions in waiting.items()])


def look_up(parts: Sequence[tuple[Keyed, Evaluate]]) -> Matched:
    """All these conditions as one function of the body, which costs what the keys in the body cost."""
    index: dict[str, tuple[tuple[Mask, Evaluate], ...]] = {}
    everyone = 0
    for part, evaluate in parts:
        members = sum(1 << bit for bit, _ in part.conditions)
        everyone |= members
        for key in part.keys:
            index[key] = (*index.get(key, ()), (~members, evaluate))
    known, nobody = index.keys(), ~everyone
    unreadable = [evaluate for part, evaluate in parts if part.unreadable]

    def matched(document: Document, view: View, hits: Mask) -> Mask:
        if document.__class__ is Unreadable:
            return hits & nobody | sum(evaluate(document, view) for evaluate in unreadable)
        # A set: a part that waits for several keys is evaluated once, however many of them there are.
        for others, evaluate in {step for key in known & document.keys() for step in index[key]}:
            hits = hits & others | evaluate(document, view)
        return hits

    return matched


def keys_of(expression: Expression) -> Iterator[str]:
    """The keys at the top of a body where its paths begin; `*` begins everywhere and is left out."""
    steps = expression.path.steps if isinstance(expression, BodyValue) else ()
    if steps and isinstance(steps[0], str):
        yield steps[0]
    for child in children(expression):
        yield from keys_of(child)


def residue_without(keys: AbstractSet[str], condition: Expression) -> Residue:
    """What is left to ask of a condition if a readable body has none of these keys."""
    return _Without(keys, {}).true(condition)


def residue_unreadable(condition: Expression) -> Residue:
    """What is left to ask of a condition if the body cannot be read."""
    return _Without(None, Unreadable("nothing is there")).true(condition)


def _awaited(condition: Expression, rare: Mapping[str, int]) -> tuple[frozenset[str], Residue]:
    """The keys that a condition waits for, the rarest alone if that leaves none to look up, and its residue."""
    keys = frozenset(key for key in keys_of(condition) if key in rare)
    alone = [frozenset({key}) for key in sorted(keys, key=lambda each: (rare[each], each))]
    for few in (*alone, keys) if keys else ():
        residue = residue_without(few, condition)
        if isinstance(residue, bool) or rare.keys().isdisjoint(keys_of(residue)):
            return few, residue
    return frozenset(), condition


def _keyed(keys: frozenset[str], conditions: list[tuple[int, Expression]]) -> Keyed:
    unreadable = any(residue_unreadable(condition) is not False for _, condition in conditions)
    return Keyed(keys=keys, conditions=conditions, unreadable=unreadable)


class _Without:
    """Simplifies conditions where some keys are known to be absent; with None the whole body is unreadable.

    What comes out is true exactly if what went in is; where that is not true, one may be false and the other undefined.
    """

    def __init__(self, absent: AbstractSet[str] | None, document: Document) -> None:
        self._absent = absent
        self._interpreter = Interpreter(_NO_VIEW, lambda: document)

    def true(self, expression: Expression) -> Residue:
        """Whether the expression is true."""
        match expression:
            case Logic(dynamic=False):
                return _joined(expression, expression.is_and, map(self.true, expression.operands))
            case Not():
                return self.false(expression.operand)
            case _ if self._is_known(expression):
                return self._interpreter.value(expression) is True
            case _:
                return expression

    def false(self, expression: Expression) -> Residue:
        """Whether the expression is false."""
        match expression:
            case Logic(dynamic=False):
                return _joined(expression, not expression.is_and, map(self.false, expression.operands))
            case Not():
                return self.true(expression.operand)
            case _ if self._is_known(expression):
                return self._interpreter.value(expression) is False
            case _:
                return Not(expression.span, Type.BOOL, expression)

    def _is_known(self, expression: Expression) -> bool:
        match expression:
            case AppProperty() | SystemProperty():
                return False
            case BodyValue():
                steps = expression.path.steps
                return self._absent is None or expression.path.impossible or bool(steps and steps[0] in self._absent)
            case _:
                return all(map(self._is_known, children(expression)))


def _joined(logic: Logic, is_and: bool, operands: Iterable[Residue]) -> Residue:  # noqa: FBT001 - AND or OR
    """Whether all of them are true, or any."""
    left: list[Expression] = []
    for operand in operands:
        if isinstance(operand, bool):
            if operand is not is_and:
                return operand
        else:
            left.append(operand)
    if not left:
        return is_and
    return left[0] if len(left) == 1 else replace(logic, is_and=is_and, operands=tuple(left))
