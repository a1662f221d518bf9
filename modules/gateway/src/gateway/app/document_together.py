"""What shows only where sections of the settings are looked at together: endpoints, topic rules, what routes make."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from edgewire.message import EndpointKind
from gateway.routing.table import Route

if TYPE_CHECKING:
    from gateway.dispatch.filters import Lessened
    from gateway.topics.mapping import TopicMap, TopicRule
    from gateway.topics.pattern import Pattern

Say = Callable[[str, str, str], None]
"""A problem or a warning: its path from the section's top, the message, what to write instead."""

_LEVEL: Final = "\0"
"""Stands for a placeholder that is part of one level; no topic has it."""
_LEVELS: Final = "\1"
"""Stands for the whole topic of a message."""
_MADE_NAMES: Final = ("device", "module", "sendKind", "sendRoute", "sendCount")
"""What a batch or an aggregate has of what a topic may name."""


def warn_of_idle_endpoints(endpoints: Iterable[str], routes: Iterable[Route], warn: Say) -> None:
    """Warn of each endpoint that no route sends to: its link is made for nothing."""
    named = {route.endpoint.name for route in routes if route.endpoint.kind is EndpointKind.NAMED}
    for name in endpoints:
        if name not in named:
            fix = f'remove it, or write a route: FROM /messages/* INTO Endpoint("{name}")'
            warn(f"endpoints.{name}", "no route sends to it", fix)


def check_local_topics(
    routes: Iterable[Route], sending: "Mapping[str, Lessened]", topics: "TopicMap | None", problem: Say, warn: Say
) -> None:
    """Look at routes to local topics: what would never have a topic is refused, what may come back is warned of."""
    for route in routes:
        if route.endpoint.kind is not EndpointKind.TOPIC:
            continue
        text = route.endpoint.name or ""
        if route.name in sending and sending[route.name].stage is not None:
            _check_made(route.name, text, problem)
        if topics is not None:
            _warn_of_loop(route.name, text, topics.rules, warn)


def _check_made(route: str, text: str, problem: Say) -> None:
    from gateway.topics.template import parse_template  # noqa: PLC0415 — most sites have no such route

    lacking = sorted(parse_template(text).names - set(_MADE_NAMES))
    if lacking:
        known = ", ".join(f"{{{name}}}" for name in _MADE_NAMES)
        what = f"what 'send' makes of messages has no {{{lacking[0]}}}: none of it would have a topic"
        problem(f"routes.{route}", what, f"a topic of what is made may name {known}")


def _warn_of_loop(route: str, text: str, rules: "Iterable[TopicRule]", warn: Say) -> None:
    """One warning for a route, for the first rule that may take what it publishes."""
    for rule in rules:
        if may_meet(text, rule.match):
            what = (
                f"what it publishes may be what {rule.place} ('{rule.match.text}') takes. Here it is not mapped again, "
                "but a bridge or a client that brings it back, with another topic or body or late, makes a loop"
            )
            warn(f"routes.{route}", what, "publish on topics that no rule takes, as means/{device}")
            return


def may_meet(text: str, pattern: "Pattern") -> bool:
    """Whether a topic that `text` becomes, with some values in its places, may be one that `pattern` takes."""
    from gateway.topics.mapping import TOPIC_PROPERTY  # noqa: PLC0415 — most sites have no such route
    from gateway.topics.template import parse_template  # noqa: PLC0415 — as above

    template = parse_template(text)
    values = {name: _LEVELS if name == TOPIC_PROPERTY else _LEVEL for name in template.names}
    levels = template.fill(values).split("/")
    open_at = next((place for place, level in enumerate(levels) if _LEVELS in level), None)
    if pattern.first is not None and pattern.first.startswith("$"):  # no route publishes there
        return False
    if open_at is not None:
        # Whatever comes from there on; what stands behind it is not looked at.
        return (pattern.takes_rest or pattern.depth > open_at) and all(
            _fits(levels[place], literal) for place, literal in pattern.literals if place < open_at
        )
    count = len(levels)
    if count != pattern.depth and (count < pattern.depth or not pattern.takes_rest):
        return False
    return all(_fits(levels[place], literal) for place, literal in pattern.literals)


def _fits(level: str, literal: str) -> bool:
    return re.fullmatch(".+".join(map(re.escape, level.split(_LEVEL))), literal, re.DOTALL) is not None
