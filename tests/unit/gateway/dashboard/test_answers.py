import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web

from gateway.dashboard import answers
from gateway.dashboard.answers import (
    MAX_JSON_BYTES,
    NotAnsweredError,
    answered,
    number_of,
    read_object,
    text_of,
    written,
)
from support.page_visit import Visitor


class Echo:
    """Answers what it was asked."""

    def add_to(self, application: web.Application) -> None:
        application.router.add_post("/echo", answered(read_object))
        application.router.add_get("/query", answered(self._query))

    async def _query(self, request: web.Request) -> Mapping[str, Any]:
        number = number_of(request, "number", default=7, most=50)
        return {"number": number, "text": text_of(request, "text", 5)}


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    async with Visitor.at((Echo(),)) as visitor:
        yield visitor


def said(text: str) -> str:
    """The message of a refusal."""
    message: str = json.loads(text)["error"]["message"]
    return message


async def test_an_object_is_read_whole(visitor: Visitor) -> None:
    body = json.dumps({"a": [1, "é" * 40_000]}).encode()
    answer = await visitor.send("/echo", body, Content_Type="application/json")
    assert (answer.status, json.loads(answer.text)) == (200, json.loads(body))
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        (b"{}", "text/plain", 415, "content-type: application/json"),
        (b"{}", "application/x-www-form-urlencoded", 415, "content-type: application/json"),
        (b"{", "application/json", 400, "no JSON"),
        (b"\xff", "application/json", 400, "no JSON"),
        (b"[]", "application/json", 400, "must be a JSON object"),
        (b" " * (MAX_JSON_BYTES + 1), "application/json", 413, "nothing was changed"),
        (b"[" * 100_000, "application/json", 400, "no JSON"),
    ],
)
async def test_what_is_no_object_is_refused(
    visitor: Visitor, body: bytes, content_type: str, status: int, words: str
) -> None:
    answer = await visitor.send("/echo", body, Content_Type=content_type)
    assert (answer.status, words in said(answer.text)) == (status, True)


async def test_a_body_that_does_not_come_is_given_up(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "JSON_S", 0.05)
    host, _, port = visitor.host.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /echo HTTP/1.1\r\nHost: {visitor.host}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    )
    writer.write(head.encode())
    assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("query", "status", "found"),
    [
        ("", 200, {"number": 7, "text": ""}),
        ("?number=9&text=%C3%A9", 200, {"number": 9, "text": "é"}),
        ("?number=999999999", 200, {"number": 50, "text": ""}),
        ("?number=-1", 400, None),
        ("?number=%D9%A3", 400, None),
        ("?number=" + "9" * 5_000, 400, None),
        ("?text=abcdef", 400, None),
    ],
)
async def test_a_query_is_read_within_bounds(
    visitor: Visitor, query: str, status: int, found: dict[str, Any] | None
) -> None:
    answer = await visitor.ask("GET", f"/query{query}")
    assert answer.status == status
    assert found is None or json.loads(answer.text) == found


def test_half_a_character_is_replaced_wherever_it_stands() -> None:
    value = {"a\ud800": ["\udfff", {"b": "c"}], "n": 1, "t": ("\ud800",), "none": None}
    assert json.loads(written(value)) == {"a?": ["?", {"b": "c"}], "n": 1, "t": ["?"], "none": None}


def test_a_refusal_has_a_status() -> None:
    assert NotAnsweredError(409, "not now").status == 409
