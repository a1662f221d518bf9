"""What the calls of the control API share: reading a request, and the one form of all answers."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

_MAX_NUMBER: Final = 2**53
"""No event has a greater one, and JavaScript knows none."""


class CallError(Exception):
    """A call that makes no sense; the sentence says why."""


def answer(document: object, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request. Raises CallError."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise CallError(f"the body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise CallError("the body is not a JSON object.")
    return body


def number_of(request: web.Request, name: str, default: float) -> float:
    """A number of the query, never below 0. Raises CallError."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise CallError(f"{name}={text!r} is no number.") from error
    if not abs(value) <= _MAX_NUMBER:
        raise CallError(f"{name}={text!r} is no number.")
    return max(value, 0)


def texts_of(body: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts of the body, empty where it is absent. Raises CallError."""
    value = body.get(name, [])
    if not isinstance(value, list):
        raise CallError(f"{name} is {value!r}; it is a list of texts.")
    return [str(each) for each in value]


def seconds_of(body: Mapping[str, Any], name: str, default: float, most_s: float) -> float:
    """A time of the body, from 0 to `most_s`. Raises CallError."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most_s:
        raise CallError(f"{name} is {value!r}; it is a number of seconds, at most {most_s:g}.")
    return value
