"""`gateway tap` at the other end: which messages a command wants to see, and the lines it gets."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import orjson

from gateway.app.control import QuestionError, Streamer
from gateway.observe.tap import Routed
from gateway.observe.watching import ROWS_PER_SECOND, TooManyFollowersError, Wanted, Watching
from gateway.routing.compile import compile_expression
from gateway.routing.interpret import truth_of
from gateway.routing.problems import RouteProblem
from gateway.routing.table import value_of

MAX_TAPPED_PER_SECOND: Final = 1_000
"""Messages of a second that a command may ask for."""
MAX_EACH: Final = 1_000_000
MAX_FILTER_CHARS: Final = 4_000
"""Of a pattern or a condition."""
PAUSE_S: Final = 0.05
"""Between two lots of lines."""

Condition = Callable[[Routed], bool]


def tap_of(watching: Watching) -> Streamer:
    """Answers `{"ask": "tap", …}` by what `watching` sees."""

    async def tap(question: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        try:
            follower = watching.follow(wanted(question))
        except TooManyFollowersError as error:
            raise QuestionError(429, str(error)) from error
        try:
            yield b'{"following": true}\n'
            while True:
                await follower.grown()
                rows, left_out = follower.take()
                lines = [b'{"message": %s}\n' % row for row in rows]
                if left_out:
                    lines.append(orjson.dumps({"leftOut": left_out}) + b"\n")
                yield b"".join(lines)
                await asyncio.sleep(PAUSE_S)
        finally:
            watching.unfollow(follower)

    return tap


def wanted(question: Mapping[str, Any]) -> Wanted:
    """What a question wants to see. Raises QuestionError."""
    conditions = [
        *_named(question, "device", lambda routed: [str(routed.message.envelope.sender)]),
        *_named(question, "route", lambda routed: list(routed.routes)),
        *_to_endpoint(question),
        *_where(question),
    ]
    return Wanted(
        wants=lambda routed: all(condition(routed) for condition in conditions),
        per_second=_count(question, "perSecond", ROWS_PER_SECOND, MAX_TAPPED_PER_SECOND),
        each=_count(question, "each", 1, MAX_EACH),
    )


def _named(question: Mapping[str, Any], key: str, names: Callable[[Routed], list[str]]) -> list[Condition]:
    """One of the names fits a pattern, in which * and ? stand for what they do in a shell."""
    pattern = _text(question, key)
    if not pattern:
        return []
    return [lambda routed: any(fnmatchcase(name, pattern) for name in names(routed))]


def _to_endpoint(question: Mapping[str, Any]) -> list[Condition]:
    part = _text(question, "endpoint").lower()
    if not part:
        return []
    return [lambda routed: any(part in str(delivery.endpoint).lower() for delivery in routed.deliveries)]


def _where(question: Mapping[str, Any]) -> list[Condition]:
    text = _text(question, "where")
    if not text:
        return []
    expression = compile_expression(text)
    if isinstance(expression, RouteProblem):
        raise QuestionError(400, in_condition(expression))
    return [lambda routed: truth_of(expression, value_of(expression, routed.message)) is True]


def in_condition(problem: RouteProblem) -> str:
    """What is wrong with a condition that is no route's, with its column and a mark under the place."""
    return problem.rendered().replace(f"route '{problem.route}'", "the condition", 1)


def _text(question: Mapping[str, Any], key: str) -> str:
    value = question.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise QuestionError(400, f"{key} must be text")
    if len(value) > MAX_FILTER_CHARS:
        raise QuestionError(400, f"{key} has {len(value)} characters; {MAX_FILTER_CHARS} are allowed")
    return value


def _count(question: Mapping[str, Any], key: str, default: int, most: int) -> int:
    value = question.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise QuestionError(400, f"{key} must be a whole number from 1 to {most}")
    return value
