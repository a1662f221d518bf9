"""Finds what conditions have in common: subjects, which are the parts that several of them compare with constants.

A condition is split at its ANDs. It can be shared if every conjunct asks about one subject only. It is true exactly if
all conjuncts are, so the conditions that are true for a message are those that are in the mask of every subject.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeGuard

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
    children,
)
from gateway.routing.functions import FUNCTIONS
from gateway.routing.sieve import FLIPPED, Mask, Scale, Sieve, Truths, masks_of, sieve_of
from gateway.routing.values import Value

MIN_SHARED: Final = 2
"""From so many conditions on they are shared: measured, two cost as much either way, and ten a fifth less."""

CHUNK: Final = 1024
"""So many bits at most are analysed together: a threshold has two masks, so it costs 256 bytes at most."""

_TESTS: Final = frozenset(
    overload.operation
    for name in ("is_defined", "is_null", "is_bool", "is_number", "is_string")
    for overload in FUNCTIONS[name]
)

Key: TypeAlias = tuple[Any, ...]
"""What an expression is, wherever it was written: equal keys, equal values for every message."""

Group: TypeAlias = Sequence[tuple[int, Expression]]
"""Conditions that are evaluated together, each with the number of its bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An expression that is evaluated once; `needs` are the conditions that ask about it."""

    expression: Expression
    needs: Mask
    sieve: Sieve


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Conditions analysed together; their masks count from bit `base`."""

    base: int
    members: Mask
    subjects: tuple[Subject, ...]


def key_of(expression: Expression) -> Key:
    """The expression without its place in the text."""
    match expression:
        case Constant():
            own: Any = (type(expression.value), repr(expression.value))
        case AppProperty() | SystemProperty():
            own = expression.key
        case BodyValue():
            own = expression.path.text
        case Apply():
            own = expression.operation
        case Compare():
            own = (expression.symbol, expression.dynamic)
        case Logic():
            own = (expression.is_and, expression.dynamic)
        case Not():
            own = None
    return (type(expression), own, *map(key_of, children(expression)))


def share(group: Group, reads_body: Callable[[Expression], bool]) -> tuple[list[Shared], list[tuple[int, Expression]]]:
    """The conditions of a group that can be analysed together, and the others."""
    shared: list[Shared] = []
    alone: list[tuple[int, Expression]] = []
    for number in sorted({bit // CHUNK for bit, _ in group}):
        base = number * CHUNK
        asked = {bit: _asked(condition) for bit, condition in group if bit // CHUNK == number}
        members = _members(asked)
        alone += (item for item in group if item[0] // CHUNK == number and item[0] not in members)
        if members:
            subjects = _subjects({bit - base: asked[bit] for bit in members})
            subjects.sort(key=lambda subject: (reads_body(subject.expression), -subject.needs.bit_count()))
            mask = sum(1 << bit - base for bit in members)
            shared.append(Shared(base=base, members=mask, subjects=tuple(subjects)))
    return shared, alone


_Asked: TypeAlias = list[tuple[Key, Expression, Expression]]
"""For each conjunct: the key of its subject, the subject, the conjunct."""


def _asked(condition: Expression) -> _Asked:
    """The conjuncts of a condition by subject; none if one asks about several things."""
    conjuncts = condition.operands if _is_plain_and(condition) else (condition,)
    asked: _Asked = []
    for conjunct in conjuncts:
        found = {None if part is None else key_of(part): part for part in _subjects_in(conjunct)}
        if len(found) != 1:
            return []
        (key, part), *_ = found.items()
        if key is None or part is None:
            return []
        asked.append((key, part, conjunct))
    return asked


def _is_plain_and(condition: Expression) -> TypeGuard[Logic]:
    return isinstance(condition, Logic) and condition.is_and and not condition.dynamic


def _subjects_in(predicate: Expression) -> Iterator[Expression | None]:
    """What the leaves of a predicate ask about; None for a leaf that is no question about one thing."""
    match predicate:
        case Logic(dynamic=False) | Not():
            for operand in children(predicate):
                yield from _subjects_in(operand)
        case Compare():
            sides = [side for side in children(predicate) if not isinstance(side, Constant)]
            yield sides[0] if len(sides) == 1 else None
        case BodyValue():
            yield predicate
        case Apply():
            yield predicate.arguments[0] if predicate.operation in _TESTS else None
        case _:
            yield None


def _members(asked: dict[int, _Asked]) -> list[int]:
    """The bits of the conditions all of whose subjects are asked about by enough conditions."""
    users: dict[Key, int] = {}
    for parts in asked.values():
        for key in {key for key, _, _ in parts}:
            users[key] = users.get(key, 0) + 1
    return [bit for bit, parts in asked.items() if parts and all(users[key] >= MIN_SHARED for key, _, _ in parts)]


def _subjects(asked: dict[int, _Asked]) -> list[Subject]:
    """The subjects of these conditions with their masks."""
    expressions: dict[Key, Expression] = {}
    predicates: dict[Key, list[tuple[int, Expression]]] = {}
    for bit, parts in asked.items():
        for key, expression, predicate in parts:
            expressions.setdefault(key, expression)
            predicates.setdefault(key, []).append((bit, predicate))
    members = sum(1 << bit for bit in asked)
    return [_subject(expressions[key], found, members) for key, found in predicates.items()]


def _subject(expression: Expression, predicates: list[tuple[int, Expression]], members: Mask) -> Subject:
    """Conditions that do not ask about the subject are in every mask."""
    scale = Scale(value for _, predicate in predicates for value in _constants(predicate))
    everywhere = (1 << scale.count) - 1
    tests: dict[object, Truths] = {}
    true_in: dict[int, int] = {}
    for bit, predicate in predicates:
        true_in[bit] = true_in.get(bit, everywhere) & _truths(predicate, scale, tests).true
    needs = sum(1 << bit for bit in true_in)
    masks = masks_of(scale, ((1 << bit, cells) for bit, cells in true_in.items()))
    others = members & ~needs
    sieve = sieve_of(scale, [mask | others for mask in masks] if others else masks)
    return Subject(expression=expression, needs=needs, sieve=sieve)


def _constants(predicate: Expression) -> Iterator[Value]:
    """The constants that a predicate compares its subject with."""
    match predicate:
        case Compare():
            yield from (side.value for side in children(predicate) if isinstance(side, Constant))
        case Logic() | Not():
            for operand in children(predicate):
                yield from _constants(operand)


def _truths(predicate: Expression, scale: Scale, tests: dict[object, Truths]) -> Truths:
    """What a predicate comes to in every cell of its subject; `tests` keeps what several ask."""
    match predicate:
        case Compare(left=Constant(value=value)):
            return scale.compared(predicate, value, FLIPPED[predicate.symbol])
        case Compare(right=Constant(value=value)):
            return scale.compared(predicate, value, predicate.symbol)
        case Apply():
            if predicate.operation not in tests:
                tests[predicate.operation] = scale.tested(predicate.operation)
            return tests[predicate.operation]
        case Not():
            inner = _truths(predicate.operand, scale, tests)
            return Truths(inner.false, inner.true)
        case Logic():
            return _joined(predicate.is_and, [_truths(operand, scale, tests) for operand in predicate.operands])
        case _:
            return scale.taken()


def _joined(is_and: bool, parts: Iterable[Truths]) -> Truths:  # noqa: FBT001 - AND or OR
    """AND or OR over truth values, in all cells at once."""
    first, *others = parts
    true, false = first.true, first.false
    for part in others:
        true = true & part.true if is_and else true | part.true
        false = false | part.false if is_and else false & part.false
    return Truths(true, false)
