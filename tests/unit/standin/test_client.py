import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from standin.client import Control, ControlError


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Path]:
    async def echo(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        return web.json_response({"method": request.method, "query": dict(request.query), "body": body})

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"message": "no such thing"}, status=404)

    application = web.Application()
    application.add_routes([web.route("*", "/echo", echo), web.get("/refuse", refuse)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, tmp_path / "control.sock").start()
    yield tmp_path
    await runner.cleanup()


async def test_a_call_carries_method_query_and_body(directory: Path) -> None:
    answer = await asyncio.to_thread(Control(directory).ask, "POST", "/echo", {"a": 1}, identity="d 1/m&1", after=3)
    assert answer == {"method": "POST", "query": {"identity": "d 1/m&1", "after": "3"}, "body": {"a": 1}}


async def test_a_refusal_is_raised_with_its_sentence(directory: Path) -> None:
    with pytest.raises(ControlError, match="no such thing") as caught:
        await asyncio.to_thread(Control(directory).ask, "GET", "/refuse")
    assert caught.value.status == 404


def test_where_no_stand_in_runs_the_fix_is_named(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="standin run --dir") as caught:
        Control(tmp_path).ask("GET", "/status")
    assert caught.value.status == 0
