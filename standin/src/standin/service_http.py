"""What all calls of the service API share: paths to handlers, bodies, If-Match, answers (iothub_wire.md §4.1)."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.line.escapes import percent_decode
from edgewire.message import Identity, identity
from edgewire.session.http.events import Headers, RequestReceived
from edgewire.session.http.server import JSON, Response
from standin.documents import JsonObject
from standin.errors import HubError
from standin.policies import Right

ARGUMENT: Final = 400004
DEVICE_UNKNOWN: Final = 404001
MODULE_UNKNOWN: Final = 404010
CHANGED_MEANWHILE: Final = 412001
MAX_QUERY_FIELDS: Final = 16
"""Ours: parameters behind the question mark; the SDKs send two."""
_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')
_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-[a-z]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose sender may make it. `names` are the decoded parts of the path that are no fixed words."""

    names: tuple[str, ...]
    query: Mapping[str, str]
    headers: Headers
    body: bytes

    def object(self) -> JsonObject:
        """The body as a JSON object. Raises HubError if it is none."""
        body = self.json()
        if not isinstance(body, dict):
            raise HubError(ARGUMENT, "the body is not a JSON object")
        return body

    def json(self) -> Any:
        """The body as JSON. Raises HubError if it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise HubError(ARGUMENT, f"the body is not JSON: {error}") from error

    def target(self) -> Identity:
        """The device or module that the path names. Raises HubError for an impossible id."""
        for name in self.names:
            if not is_id(name):
                raise HubError(ARGUMENT, f"the id {name[:200]!r} is impossible: 1 to 128 of {ID_CHARACTERS}")
        return identity(*self.names[:2])

    def number(self, name: str, *, most: int) -> int | None:
        """A parameter that counts, or None where it is not given. Raises HubError if it is no number, or too large."""
        text = self.query.get(name)
        if text is None:
            return None
        if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
            raise HubError(ARGUMENT, f"{name}={text[:40]!r} is no number from 1 to {most}")
        return int(text)

    def etag(self) -> str | None:
        """What `If-Match` asks for without its quotes, or None where there is none."""
        text = self.headers.get("If-Match")
        if text is None:
            return None
        found = _ETAG.fullmatch(text.strip())
        return found[1] if found else text.strip()


Handler = Callable[[Call], Awaitable[Response] | Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call: a method, a path whose parts are words or `*` for a name, the right it takes, and who answers."""

    method: str
    path: tuple[str, ...]
    right: Right
    handler: Handler


def route(method: str, path: str, right: Right, handler: Handler) -> Route:
    """A route from a path such as `/devices/*/modules`."""
    return Route(method=method, path=tuple(path.strip("/").split("/")), right=right, handler=handler)


def segments(request: RequestReceived) -> tuple[str, ...]:
    """The parts of the path as sent; a slash at the end makes none (Node lists `/devices/`)."""
    return tuple(request.path.removeprefix("/").removesuffix("/").split("/"))


def matching(routes: Sequence[Route], request: RequestReceived) -> list[Route]:
    """The routes of this path, whatever their method; fixed words before names (`/devices/query`)."""
    path = segments(request)
    found = [each for each in routes if _matches(each.path, path)]
    return sorted(found, key=lambda each: each.path.count("*"))


def call_of(chosen: Route, request: RequestReceived) -> Call:
    """The call. Raises ProtocolError or HubError if its path, query or api-version cannot be used."""
    path = zip(chosen.path, segments(request), strict=True)
    try:
        query = dict(parse_qsl(request.query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
    except ValueError as error:
        raise HubError(ARGUMENT, f"the query has more than {MAX_QUERY_FIELDS} parameters") from error
    version = query.get("api-version", "")
    if _VERSION.fullmatch(version) is None:
        raise HubError(400103, f"api-version={version[:40]!r} is none; write one such as 2021-04-12")
    return Call(
        names=tuple(percent_decode(part, "the path") for word, part in path if word == "*"),
        query=query,
        headers=request.headers,
        body=request.body,
    )


def check_etag(call: Call, current: str, what: str) -> None:
    """Raise HubError unless the caller has seen what is there, or insists, or does not care."""
    wanted = call.etag()
    if wanted not in (None, "*", current):
        raise HubError(CHANGED_MEANWHILE, f"{what} has the etag {current}, not {wanted[:100]}: read it again")


def answer(
    document: object, *, status: int = 200, etag: str | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """A JSON document."""
    quoted = () if etag is None else (("ETag", f'"{etag}"'),)
    return Response(status=status, headers=(*quoted, *headers), body=orjson.dumps(document), content_type=JSON)


NOTHING: Final = Response(status=204)


def _matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(
        bool(part) if word == "*" else word.lower() == part.lower() for word, part in zip(pattern, path, strict=True)
    )
