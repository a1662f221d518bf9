"""Routes tried on the page: what they make of one message, and what they would have made of the latest ones.

All of it works on copies, with tables of its own, in a thread: the routes in force do not notice.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from edgewire.message import Message
from gateway.app.document import GatewaySettings, SettingsProblem, read_settings
from gateway.app.sample import SampleError, read_sample
from gateway.dashboard.answers import NotAnsweredError
from gateway.observe.seen import Seen
from gateway.routing.explain import Because, RouteExplanation
from gateway.routing.parts import Part, parts_of
from gateway.routing.table import Route, Table

MAX_TRIED_ROUTES: Final = 1_000
MAX_NAMED: Final = 20
"""Messages that a route would gain, or lose, which are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Routes that somebody has edited: those that compile, in their order, and what is wrong with the others."""

    routes: tuple[Route, ...]
    texts: Mapping[str, str]
    problems: Mapping[str, SettingsProblem]


def read_routes(edited: object, document: Mapping[str, Any], settings: GatewaySettings) -> Tried:
    """The routes that were edited, as they would be in the document in force. Raises NotAnsweredError."""
    if not isinstance(edited, dict) or not edited:
        raise NotAnsweredError(400, 'routes must be an object of routes by their names: {"name": "FROM … INTO …"}')
    if len(edited) > MAX_TRIED_ROUTES:
        raise NotAnsweredError(400, f"{len(edited)} routes are more than can be tried; {MAX_TRIED_ROUTES} are allowed")
    around = _around(document, settings)
    reading = read_settings({**around, "routes": edited})
    texts = {name: _text_of(value) for name, value in edited.items()}
    if reading.table is not None:
        return Tried(routes=reading.table.routes, texts=texts, problems={})
    routes: list[Route] = []
    problems: dict[str, SettingsProblem] = {}
    for name, value in edited.items():
        alone = read_settings({**around, "routes": {name: value}})
        if alone.table is None:
            problems[name] = alone.problems[0]
        else:
            routes += alone.table.routes
    return Tried(routes=tuple(routes), texts=texts, problems=problems)


def read_message(asked: Mapping[str, Any], kept: Seen | None) -> Message:
    """The message that is to be tried: one that was kept, or one written down. Raises NotAnsweredError."""
    if "n" in asked:
        if kept is None:
            raise NotAnsweredError(404, f"message {asked['n']} is not kept any more; pick another, or paste it")
        return _copy(kept.routed.message)
    if "message" not in asked:
        raise NotAnsweredError(400, "give the message: as JSON under 'message', or its number under 'n'")
    try:
        return read_sample(asked["message"])
    except SampleError as error:
        raise NotAnsweredError(400, f"message: {error}") from error


def sample_of(seen: Seen) -> dict[str, Any]:
    """A message that was kept, as `gateway explain --message` reads it."""
    message = seen.routed.message
    system = {name: value for name, value in message.envelope.system.items() if not name.startswith("connection")}
    sender = message.envelope.sender
    sample: dict[str, Any] = {"device": sender.device}
    if sender.module is not None:
        sample["module"] = sender.module
    try:
        sample["body"] = message.body.decode("utf-8")
    except UnicodeDecodeError:
        sample["bodyBase64"] = base64.b64encode(message.body).decode("ascii")
    sample["properties"] = dict(message.envelope.properties)
    sample["systemProperties"] = system
    sample["source"] = message.envelope.source.value
    return sample


def try_message(tried: Tried, message: Message) -> dict[str, Any]:
    """What each route makes of the message, and where it goes by all that compile."""
    table = Table(tried.routes)
    found = {each.route: each for each in table.explain(message)}
    by_name = {route.name: route for route in tried.routes}
    rows = []
    for name, text in tried.texts.items():
        route = by_name.get(name)
        if route is None:
            rows.append({"name": name, "route": text, **_unexplained(tried.problems.get(name))})
        else:
            rows.append({"name": name, "route": text, "problem": None, **_explained(route, found[name], message)})
    return {"routes": rows, "endpoints": [str(delivery.endpoint) for delivery in table.match(message).deliveries]}


def replayed(in_force: Sequence[Route], tried: Tried, messages: Sequence[Seen]) -> dict[str, Any]:
    """What the edited routes would have made of these messages, beside what those in force make of them."""
    now, then = Table(in_force), Table(tried.routes)
    names = list(dict.fromkeys([*(route.name for route in in_force), *tried.texts]))
    before: dict[str, set[int]] = {name: set() for name in names}
    after: dict[str, set[int]] = {name: set() for name in names}
    for seen in messages:
        message = _copy(seen.routed.message)
        for table, hits in ((now, before), (then, after)):
            for name in table.match(message).routes:
                hits[name].add(seen.number)
    return {
        "tried": len(messages),
        "routes": [_compared(name, before[name], after[name]) for name in names],
        "problems": [{"name": name, **_problem(problem)} for name, problem in tried.problems.items()],
    }


def _compared(name: str, before: set[int], after: set[int]) -> dict[str, Any]:
    gained, lost = sorted(after - before, reverse=True), sorted(before - after, reverse=True)
    return {
        "name": name,
        "now": len(before),
        "then": len(after),
        "gained": gained[:MAX_NAMED],
        "lost": lost[:MAX_NAMED],
    }


def _around(document: Mapping[str, Any], settings: GatewaySettings) -> dict[str, Any]:
    """What edited routes stand beside: of the document what they may need, without its tests, which name the others."""
    if "routes" in document:
        return {name: value for name, value in document.items() if name not in ("routes", "tests")}
    return {"endpoints": {name: {"type": each.type.value} for name, each in settings.endpoints.items()}}


def _copy(message: Message) -> Message:
    """With an envelope of its own, on which another table may note what it has worked out."""
    return Message(replace(message.envelope), message.body)


def _text_of(value: object) -> str:
    text = value.get("route") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _unexplained(problem: SettingsProblem | None) -> dict[str, Any]:
    nothing = {"source": False, "matches": False, "value": "undefined", "deciding": [], "expression": None}
    return {"problem": None if problem is None else _problem(problem), **nothing}


def _problem(problem: SettingsProblem) -> dict[str, Any]:
    message = problem.message + (f"; {problem.fix}" if problem.fix else "")
    where = problem.route
    if where is None:
        return {"message": message, "line": None, "column": None, "length": None}
    return {"message": message, "line": where.line, "column": where.column, "length": where.length}


def _explained(route: Route, found: RouteExplanation, message: Message) -> dict[str, Any]:
    parts = parts_of(route, message)
    return {
        "source": found.source_matched,
        "matches": found.matched,
        "value": found.result,
        "deciding": [] if parts is None or found.because is None else [_deciding(parts, found.because)],
        "expression": None if parts is None else _tree(parts),
    }


def _deciding(parts: Part, because: Because) -> dict[str, Any]:
    decided = next((part for part in _all(parts) if part.decided), parts)
    values = ", ".join(f"{operand.text} is {operand.value}" for operand in because.operands)
    says = f"is {because.value}" + (f": {values}" if values else "") + (f"; {because.note}" if because.note else "")
    return {"from": decided.start, "to": decided.end, "text": decided.text, "says": says}


def _all(part: Part) -> list[Part]:
    return [part, *(below for each in part.parts for below in _all(each))]


def _tree(part: Part) -> dict[str, Any]:
    return {
        "text": part.text,
        "from": part.start,
        "to": part.end,
        "value": part.value,
        "decided": part.decided,
        "parts": [_tree(each) for each in part.parts],
    }
