"""JSON of the page: what is asked, read within bounds, and what is answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

MAX_JSON_BYTES: Final = 786_432
"""A body: the routes of a settings document and with them a message of 256 KiB, which base64 makes a third longer."""
JSON_S: Final = 10.0
"""For a body to arrive."""


class NotAnsweredError(Exception):
    """What is asked cannot be had or done; `status` as in HTTP, the text says why and what to do."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answered(tell: Callable[[web.Request], Awaitable[Mapping[str, Any]]]) -> Handler:
    """A handler that answers with the JSON that `tell` gives, or with its refusal."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return json_answer(await tell(request))
        except NotAnsweredError as error:
            return refused(error)

    return handle


def refused(error: NotAnsweredError) -> web.Response:
    """A refusal as an answer."""
    return json_answer({"error": {"message": str(error)}}, error.status)


def json_answer(value: Mapping[str, Any], status: int = 200) -> web.Response:
    """JSON as an answer."""
    return web.Response(body=written(value), status=status, content_type="application/json")


def written(value: Any) -> bytes:
    """JSON; what a device sent may hold half a character, which no JSON in UTF-8 can."""
    try:
        return orjson.dumps(value, default=str)
    except TypeError:
        return orjson.dumps(_whole_characters(value), default=str)


def _whole_characters(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case Mapping():
            return {str(_whole_characters(str(name))): _whole_characters(each) for name, each in value.items()}
        case list() | tuple():
            return [_whole_characters(each) for each in value]
        case _:
            return value


async def read_object(request: web.Request) -> Mapping[str, Any]:
    """The JSON object of a request. Raises NotAnsweredError."""
    if request.content_type != "application/json":
        raise NotAnsweredError(415, "the body must be JSON, with content-type: application/json")
    try:
        async with asyncio.timeout(JSON_S):
            body = await _read(request)
    except TimeoutError:
        raise NotAnsweredError(408, "the body did not arrive in time; send it again") from None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotAnsweredError(400, f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise NotAnsweredError(400, "the body must be a JSON object")
    return value


async def _read(request: web.Request) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_JSON_BYTES:
            raise NotAnsweredError(413, f"the body has more than {MAX_JSON_BYTES} bytes; nothing was changed")
    return bytes(body)


def number_of(request: web.Request, name: str, *, default: int, most: int) -> int:
    """A whole number in the query, no more than `most`. Raises NotAnsweredError."""
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise NotAnsweredError(400, f"{name} must be a whole number up to {most}")
    return min(int(text), most)


def text_of(request: web.Request, name: str, most: int = 200) -> str:
    """A text in the query. Raises NotAnsweredError."""
    text: str = request.query.get(name, "")
    if len(text) > most:
        raise NotAnsweredError(400, f"{name} has {len(text)} characters; {most} are allowed")
    return text
