"""A deployment manifest or template, read for the checks of it: modules, ports, edgeHub's routes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.app.document import EDGE_HUB, Reading
from gateway.routing.parser import parse_route
from gateway.routing.problems import SyntaxRefused
from gateway.routing.tree import RouteSyntax

_CHUNK: Final = re.compile(r"createOptions(\d\d)?")
_FLAT: Final = "properties.desired."


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRoute:
    """A route of edgeHub; `time_to_live_s` None where it has none of its own."""

    name: str
    syntax: RouteSyntax
    time_to_live_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module, or edgeHub."""

    name: str
    environ: Mapping[str, str] = field(repr=False)
    host_config: Mapping[str, Any] = field(repr=False)

    @property
    def published(self) -> Mapping[int, list[int]]:
        """The host's ports by the container's."""
        bindings = self.host_config.get("PortBindings")
        found: dict[int, list[int]] = {}
        for inside, places in (bindings if isinstance(bindings, dict) else {}).items():
            number, _, kind = str(inside).partition("/")
            if number.isdigit() and kind in ("", "tcp") and isinstance(places, list):
                ports = [str(each.get("HostPort", "")) for each in places if isinstance(each, dict)]
                found.setdefault(int(number), []).extend(int(port) for port in ports if port.isdigit())
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a deployment says, as far as the checks ask."""

    gateway: str
    """The name of our module; empty if none has settings of ours."""
    modules: Mapping[str, Module]
    hub_routes: tuple[HubRoute, ...]
    hub_time_to_live_s: int | None
    """None for no limit."""
    has_edge_hub: bool
    """Whether it sets up edgeHub, as a whole deployment does; a layer adds to another."""
    is_layer: bool


def read_deployment(document: Any, reading: Reading | None) -> Deployment | None:
    """The deployment in a document, None if it is none."""
    content = _content(document)
    if content is None:
        return None
    agent, hub = (_desired(content.get(name)) for name in ("$edgeAgent", EDGE_HUB))
    modules: dict[str, Module] = {}
    for section in ("systemModules", "modules"):
        entries = agent.get(section)
        for name, entry in (entries if isinstance(entries, dict) else {}).items():
            if isinstance(entry, dict):
                modules[name] = _module(name, entry)
    store = hub.get("storeAndForwardConfiguration")
    lives = store.get("timeToLiveSecs") if isinstance(store, dict) else None
    ours = reading.module if reading is not None and reading.module and reading.module[:1] != "$" else ""
    return Deployment(
        gateway=ours or "",
        modules=modules,
        hub_routes=tuple(_routes(hub.get("routes"))),
        hub_time_to_live_s=lives if isinstance(lives, int) and lives >= 0 else None,
        has_edge_hub="edgeHub" in modules or isinstance(store, dict),
        is_layer=not isinstance(agent.get("systemModules"), dict),
    )


def _content(document: Any) -> Mapping[str, Any] | None:
    for keys in (("modulesContent",), ("content", "modulesContent")):
        found: Any = document
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, dict):
            return found
    return None


def _desired(section: Any) -> dict[str, Any]:
    """The desired properties of a module, also of a layer, which flattens them into keys."""
    if not isinstance(section, dict):
        return {}
    whole = section.get("properties.desired")
    desired: dict[str, Any] = dict(whole) if isinstance(whole, dict) else {}
    for key, value in section.items():
        if key.startswith(_FLAT):
            target, path = desired, key.removeprefix(_FLAT).split(".")
            for step in path[:-1]:
                inner = target.setdefault(step, {})
                target = inner if isinstance(inner, dict) else {}
            target[path[-1]] = value
    return desired


def _module(name: str, entry: Mapping[str, Any]) -> Module:
    variables = entry.get("env")
    environ = {
        str(key): str(value.get("value", ""))
        for key, value in (variables if isinstance(variables, dict) else {}).items()
        if isinstance(value, dict)
    }
    settings = entry.get("settings")
    options = _create_options(settings if isinstance(settings, dict) else {})
    host_config = options.get("HostConfig")
    return Module(name=name, environ=environ, host_config=host_config if isinstance(host_config, dict) else {})


def _create_options(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Create options as an object, or as text in pieces of 512 characters (conventions.md §1.3)."""
    given = settings.get("createOptions")
    if isinstance(given, dict):
        return given
    pieces = sorted(name for name in settings if _CHUNK.fullmatch(name))
    try:
        found = json.loads("".join(str(settings[name]) for name in pieces) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _routes(section: Any) -> Iterator[HubRoute]:
    """Those that can be read; the others are problems of the document already."""
    for name, value in (section if isinstance(section, dict) else {}).items():
        text = value.get("route") if isinstance(value, dict) else value
        lives = value.get("timeToLiveSecs") if isinstance(value, dict) else None
        try:
            syntax = parse_route(str(text))
        except SyntaxRefused:
            continue
        # 0 is edgeHub's word for "as all others" (edgehub.md §3.7).
        yield HubRoute(name=name, syntax=syntax, time_to_live_s=lives if isinstance(lives, int) and lives > 0 else None)
