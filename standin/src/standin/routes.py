"""edgeHub's routes, without WHERE: which endpoints a module's output goes to.

The routes of an edge device apply to its own modules. A device connects to the hub itself, so its messages always go
upstream.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from edgewire.message import UPSTREAM, Endpoint, module_input

_ROUTE: Final = re.compile(
    r"\s*(?:SELECT\s*\*\s*)?FROM\s+(?P<source>/\S+)\s+"
    r"INTO\s+(?P<sink>\$upstream|BrokeredEndpoint\s*\(\s*(?P<quote>[\"'])(?P<path>[^\"']*)(?P=quote)\s*\))\s*",
    re.IGNORECASE,
)
_WHERE: Final = re.compile(r"\bWHERE\b", re.IGNORECASE)


class RoutesError(Exception):
    """The routes cannot be used; the sentence names the route or the file, and what to do."""


@dataclass(frozen=True, slots=True)
class Route:
    """One route: `source` in lower case with a slash at its end, and the endpoint."""

    source: str
    endpoint: Endpoint


class Routes:
    """All routes of one edge device."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._routes = routes

    def match(self, module: str, output: str | None) -> tuple[Endpoint, ...]:
        """Every endpoint this message goes to, each once; none if no route takes it."""
        path = f"/messages/modules/{module}/" + (f"outputs/{output}/" if output else "")
        path = path.lower()
        return tuple(dict.fromkeys(route.endpoint for route in self._routes if path.startswith(route.source)))


EVERYTHING_UPSTREAM: Final = Routes((Route("/", UPSTREAM),))


def parse_routes(texts: Mapping[str, str]) -> Routes:
    """The routes by name. Raises RoutesError for the first one that cannot be used here."""
    return Routes(tuple(_parse_route(name, text) for name, text in texts.items()))


def read_manifest(path: Path) -> Routes:
    """The routes of `$edgeHub` in a deployment manifest or template. Raises RoutesError."""
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise RoutesError(f"{path} cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise RoutesError(f"{path} is not JSON: {error}.") from error
    return parse_routes(_routes_of(path, document))


def _parse_route(name: str, text: str) -> Route:
    found = _ROUTE.fullmatch(text)
    if found is None and _WHERE.search(text) is not None:
        raise RoutesError(
            f"route {name!r} has a WHERE, which the stand-in's edgeHub does not evaluate; filter in the gateway, "
            "or start the stand-in with a manifest whose $edgeHub routes have none."
        )
    if found is None:
        raise RoutesError(
            f"route {name!r} is not understood: {text!r}; write FROM /messages/modules/<module>/outputs/<output> "
            'INTO $upstream, or INTO BrokeredEndpoint("/modules/<module>/inputs/<input>").'
        )
    return Route(_source(found["source"]), _endpoint(name, found["path"]))


def _source(text: str) -> str:
    """edgehub.md §2.1: trailing stars go, then a trailing slash; the rest is a prefix of whole segments."""
    return text.rstrip("*").removesuffix("/").lower() + "/"


def _endpoint(name: str, path: str | None) -> Endpoint:
    if path is None:
        return UPSTREAM
    parts = path.strip().removeprefix("/").removesuffix("/").split("/")
    if len(parts) != 4 or not parts[1] or not parts[3]:
        raise RoutesError(f"route {name!r}: the endpoint {path!r} is not /modules/<module>/inputs/<input>.")
    return module_input(parts[1], parts[3])


def _routes_of(path: Path, document: Any) -> dict[str, str]:
    try:
        content = document.get("content", document)["modulesContent"]["$edgeHub"]
        routes = dict(content.get("properties.desired", {}).get("routes", {}))
        # A layered deployment writes each route as a flattened key.
        prefix = "properties.desired.routes."
        routes |= {key.removeprefix(prefix): value for key, value in content.items() if key.startswith(prefix)}
        return {name: value if isinstance(value, str) else value["route"] for name, value in routes.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise RoutesError(
            f"{path} holds no routes at modulesContent.$edgeHub.properties.desired.routes; is it a deployment manifest?"
        ) from error
