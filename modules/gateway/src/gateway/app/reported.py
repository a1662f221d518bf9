"""The gateway's reported properties: which settings are in force, what was wrong with the last ones, who is connected.

IoT Hub's limits are kept whatever the operator wrote (iothub_wire.md §1.6): names without `.`, `$`, blanks and control
characters, texts of at most 4 KB, 32 KB in all. What has no room is left out and counted: devices first, good routes
next.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import orjson

from edgewire.iothub.limits import MAX_TWIN_NAME_BYTES, MAX_TWIN_SECTION_BYTES, MAX_TWIN_TEXT_BYTES
from gateway.app.certificate_watch import Mark
from gateway.app.configuration import Verdict, sentence
from gateway.app.document import SettingsProblem

GOOD: Final = 200
BAD: Final = 400
ROOM: Final = MAX_TWIN_SECTION_BYTES - 2048
"""For our properties; the rest is for names that others add to the same twin."""
_TEXT_BYTES: Final = 1000
"""Of one message: the whole must hold many. Far below MAX_TWIN_TEXT_BYTES."""
_MAX_NOTES: Final = 20
"""Errors outside routes, and warnings, each."""
_MAX_OFFLINE: Final = 200
"""Devices that are told to be away: enough to see what is wrong, while each change of one is a change of the twin."""
_CERTIFICATE_NAME_CHARS: Final = 100
"""Of a certificate's name, which others may have chosen; escaped it may get nine times as long."""
_FRAME_BYTES: Final = 300
"""The names of the lists, the number of devices, and the count of what is left out."""
_SAFE_IN_NAMES: Final = "!\"&'()*+,-/:;<=>?@[\\]^_`{|}~"
"""Besides letters and digits; `%` is escaped for it escapes."""
_OURS: Final = (
    "schemaVersion",
    "gatewayVersion",
    "lastGoodVersion",
    "lastGoodSource",
    "lastDesiredVersion",
    "lastDesiredStatus",
    "routes",
    "errors",
    "warnings",
    "connections",
    "certificateState",
    "certificates",
    "notShown",
)

assert _TEXT_BYTES < MAX_TWIN_TEXT_BYTES


def reported(
    verdict: Verdict,
    *,
    good_version: int | None,
    good_source: str,
    gateway_version: str,
    connections: Mapping[str, Any],
    certificates: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """The properties as they should be; `connections` is the summary of `dispatch.connections`.

    `certificates`: what `CertificateWatch.reported` says of each, by its name.
    """
    document: dict[str, Any] = {
        "schemaVersion": "1.0",
        "gatewayVersion": gateway_version,
        "lastGoodSource": good_source,
        "lastDesiredStatus": _status(verdict),
    }
    if good_version is not None:
        document["lastGoodVersion"] = good_version
    if verdict.version is not None:
        document["lastDesiredVersion"] = verdict.version
    if certificates:
        document["certificateState"] = _worst(certificates)
    left_out = _fill(document, verdict, connections, certificates)
    if left_out:
        document["notShown"] = left_out
    return document


def patch_from(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that turns our part of the reported properties `old` into `new`; empty if they are the same."""
    ours = {name: old[name] for name in _OURS if name in old}
    return _patch(ours, new)


def name_of(route: str) -> str:
    """A route's name as a property name: what IoT Hub does not allow in one is written as `%` and two hex digits."""
    return "".join(
        character if character.isalnum() or character in _SAFE_IN_NAMES else _escape(character) for character in route
    )


def _escape(character: str) -> str:
    # quote() leaves the dot alone, and a dot is what IoT Hub refuses.
    return "%2E" if character == "." else quote(character, safe="")


def _status(verdict: Verdict) -> dict[str, Any]:
    if verdict.good:
        return {"code": GOOD, "description": ""}
    more = f" (and {len(verdict.errors) - 1} more)" if len(verdict.errors) > 1 else ""
    return {"code": BAD, "description": _cut(sentence(verdict.errors[0]), _TEXT_BYTES - len(more)) + more}


def _worst(certificates: Mapping[str, Any]) -> str:
    """The state of the one that is nearest to its end: what a query over a fleet asks for."""
    nearest_last = [mark.value for mark in Mark]
    return max((str(each["state"]) for each in certificates.values()), key=nearest_last.index)


class _Room:
    """What is left of the bytes a twin takes."""

    def __init__(self, size: int) -> None:
        self._left = size

    def takes(self, value: Any) -> bool:
        """Whether `value` has room; then the room is taken. Counted as its JSON and a comma."""
        size = len(orjson.dumps(value)) + 1
        if size > self._left:
            return False
        self._left -= size
        return True


def _fill(
    document: dict[str, Any], verdict: Verdict, connections: Mapping[str, Any], certificates: Mapping[str, Any]
) -> dict[str, int]:
    """Add what is wrong, then warnings, certificates, good routes and devices, as far as there is room.

    Returns how many of each had none.
    """
    names = frozenset(verdict.routes)
    room = _Room(ROOM - len(orjson.dumps(document)) - _FRAME_BYTES)
    bad = _bad_routes(verdict, names)
    other = [problem for problem in verdict.errors if _route_of(problem, names) is None]
    routes = _routes_with_room(room, {route: {"status": "error"} | _said(problem) for route, problem in bad.items()})
    errors = _notes_with_room(room, other, names)
    warnings = _notes_with_room(room, verdict.warnings, names)
    shown = _certificates_with_room(room, certificates)
    if shown:
        document["certificates"] = shown
    good = {route: {"status": "ok"} for route in verdict.routes if route not in bad}
    document["routes"] = routes | _routes_with_room(room, good)
    if errors:
        document["errors"] = errors
    if warnings:
        document["warnings"] = warnings
    away = _away_with_room(room, connections["offline"])
    document["connections"] = {"connected": connections["connected"], "offline": away}
    left_out = {
        "routes": len(bad) + len(good) - len(document["routes"]),
        "errors": len(other) - len(errors),
        "warnings": len(verdict.warnings) - len(warnings),
        "certificates": len(certificates) - len(shown),
        "devices": len(connections["offline"]) - len(away),
    }
    return {kind: count for kind, count in left_out.items() if count}


def _routes_with_room(room: _Room, routes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    named = {name_of(route): status for route, status in routes.items()}
    return {
        name: status
        for name, status in named.items()
        if 0 < len(name.encode()) <= MAX_TWIN_NAME_BYTES and room.takes({name: status})
    }


def _certificates_with_room(room: _Room, certificates: Mapping[str, Any]) -> dict[str, Any]:
    """Those that end soonest first; the names hold what certificates say of themselves."""
    soonest_first = sorted(certificates.items(), key=lambda each: str(each[1]["notAfter"]))
    named = {name_of(name[:_CERTIFICATE_NAME_CHARS]): what for name, what in soonest_first}
    return {
        name: what
        for name, what in named.items()
        if len(name.encode()) <= MAX_TWIN_NAME_BYTES and room.takes({name: what})
    }


def _away_with_room(room: _Room, offline: Mapping[str, str]) -> dict[str, str]:
    named = {name_of(who): since for who, since in islice(offline.items(), _MAX_OFFLINE)}
    return {name: since for name, since in named.items() if room.takes({name: since})}


def _notes_with_room(room: _Room, problems: Sequence[SettingsProblem], names: frozenset[str]) -> list[dict[str, Any]]:
    notes = [_placed(problem, names) for problem in problems[:_MAX_NOTES]]
    return [note for note in notes if room.takes(note)]


def _bad_routes(verdict: Verdict, names: frozenset[str]) -> dict[str, SettingsProblem]:
    """Each route with an error, and its first."""
    bad: dict[str, SettingsProblem] = {}
    for problem in verdict.errors:
        route = _route_of(problem, names)
        if route is not None:
            bad.setdefault(route, problem)
    return bad


def _route_of(problem: SettingsProblem, names: frozenset[str]) -> str | None:
    """The route a problem is about: in its text, or in a field of it, as `routes.alerts.priority`; None for neither."""
    if problem.route is not None:
        return problem.route.route
    head, _, name = problem.path.partition(".")
    if head != "routes":
        return None
    while name and name not in names:  # a route's own name may hold dots, which is what is wrong with it
        name = name.rpartition(".")[0]
    return name or None


def _placed(problem: SettingsProblem, names: frozenset[str]) -> dict[str, Any]:
    route = _route_of(problem, names)
    place = {"where": _cut(problem.path)} if route is None else {"route": _cut(route)}
    return place | _said(problem)


def _said(problem: SettingsProblem) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if problem.route is not None:
        said = {"line": problem.route.line, "column": problem.route.column}
    said["message"] = _cut(problem.message)
    if problem.fix:
        said["fix"] = _cut(problem.fix)
    return said


def _cut(text: str, most_bytes: int = _TEXT_BYTES) -> str:
    """`text` in at most `most_bytes` bytes of UTF-8, with a mark where it was cut."""
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    return encoded[: most_bytes - 3].decode(errors="ignore") + "…"


def _patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {name: None for name in old if name not in new and not name.startswith("$")}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = _patch(before, value)
            if inner:
                patch[name] = inner
        elif value != before:
            patch[name] = value
    return patch
