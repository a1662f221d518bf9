"""`standin page` leads a person into the page."""

from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from standin.app import StandIn
from support.standin_commands import PORTS, run


async def test_the_address_logs_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ports = replace(PORTS, page=0)
    async with StandIn(tmp_path / "run", address="127.0.70.22", ports=ports) as standin:
        said = await run(standin, capsys, "page")
        assert said.code == 0
        jar = aiohttp.CookieJar(unsafe=True)  # a cookie of an address without a name
        async with aiohttp.ClientSession(cookie_jar=jar) as visitor, visitor.get(said.out.strip()) as answer:
            assert answer.status == 200
            assert answer.url.path == "/"


async def test_a_page_that_is_off_is_told(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    said = await run(standin, capsys, "page")
    assert said.code == 1
    assert "--page-port" in said.err
