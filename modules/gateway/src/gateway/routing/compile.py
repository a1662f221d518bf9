"""Route texts to a `Table`: every route is checked, all problems are reported, and only a whole set is used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgewire.message import DEFAULT_PRIORITY, Endpoint
from gateway.routing.expression import Expression
from gateway.routing.parser import parse_expression, parse_route
from gateway.routing.problems import Finding, RouteProblem, SyntaxRefused, located
from gateway.routing.table import Route, Table
from gateway.routing.traps import find_traps
from gateway.routing.typecheck import check_condition
from gateway.routing.view import source_prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """A route as it is written in settings.

    `priority`: 0 (first) to 9, None for last. `time_to_live_s`: 0 and None mean the default of all routes.
    """

    text: str
    priority: int | None = None
    time_to_live_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The table, None if there is any problem; warnings do not prevent it."""

    table: Table | None
    problems: tuple[RouteProblem, ...]
    warnings: tuple[RouteProblem, ...]


Judge = Callable[[Endpoint], tuple[str, str] | None]
"""Whether a route may name an endpoint: None, or why not, and what to write instead."""


def compile_routes(
    routes: Mapping[str, RouteSpec], *, default_time_to_live_s: int | None = None, judge: Judge = lambda _: None
) -> Compiled:
    """Checks and compiles `routes`. `default_time_to_live_s` is for routes without their own; None is no limit."""
    compiled: list[Route] = []
    problems: list[RouteProblem] = []
    warnings: list[RouteProblem] = []
    for name, spec in routes.items():
        route, errors, traps = _compile_one(name, spec, default_time_to_live_s, judge)
        problems += (located(name, spec.text, finding) for finding in errors)
        warnings += (located(name, spec.text, finding) for finding in traps)
        if route is not None:
            compiled.append(route)
    table = None if problems else Table(compiled)
    return Compiled(table=table, problems=tuple(problems), warnings=tuple(warnings))


def compile_expression(text: str) -> Expression | RouteProblem:
    """The checked expression of `text`, in the language of conditions, or what is wrong with it."""
    try:
        node = parse_expression(text)
    except SyntaxRefused as refusal:
        return located("", text, refusal.finding)
    expression, findings = check_condition(text, node)
    if expression is None:
        return located("", text, findings[0])
    return expression


def _compile_one(
    name: str, spec: RouteSpec, default_time_to_live_s: int | None, judge: Judge
) -> tuple[Route | None, list[Finding], list[Finding]]:
    """The route, or None; what is wrong with it; what may surprise in it."""
    try:
        syntax = parse_route(spec.text)
    except SyntaxRefused as refusal:
        return None, [refusal.finding], []
    unfit = judge(syntax.endpoint)
    if unfit is not None:
        return None, [Finding(syntax.sink_span, *unfit)], []
    condition = None
    if syntax.condition is not None:
        condition, findings = check_condition(spec.text, syntax.condition)
        if findings:
            return None, findings, []
    route = Route(
        name=name,
        text=spec.text,
        prefix=source_prefix(syntax.source),
        condition=condition,
        endpoint=syntax.endpoint,
        priority=DEFAULT_PRIORITY if spec.priority is None else spec.priority,
        time_to_live_s=spec.time_to_live_s or default_time_to_live_s,
    )
    return route, [], find_traps(spec.text, syntax, condition)
