"""The stand-in's page: who may see it, and what it asks."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from standin.app import Ports, StandIn, StandInError
from standin.page import TOKEN_FILE, page_token

ADDRESS = "127.0.0.1"
PORTS = Ports(mqtt=0, websocket=None, amqp=None, page=0)


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "run", address=ADDRESS, modules=("gateway",), ports=PORTS) as running:
        yield running


@pytest.fixture
async def visitor(standin: StandIn) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody who is logged in."""
    base = standin.page_address
    assert base is not None
    jar = aiohttp.CookieJar(unsafe=True)  # a cookie of an address without a name
    async with aiohttp.ClientSession(base, cookie_jar=jar, headers={"Origin": base.rstrip("/")}) as session:
        async with session.get("/login", params={"token": page_token(standin.directory)}) as answer:
            assert answer.status == 200
        yield session


async def test_without_a_login_there_is_nothing_to_see(standin: StandIn) -> None:
    assert standin.page_address is not None
    async with aiohttp.ClientSession(standin.page_address) as stranger:
        for path in ("/", "/api/status", "/api/devices", "/api/token"):
            async with stranger.get(path) as answer:
                assert answer.status == 401, path
                assert "standin page" in await answer.text()
    assert standin.hub.registry.entries()


async def test_a_wrong_token_is_refused_and_noted(standin: StandIn) -> None:
    assert standin.page_address is not None
    async with (
        aiohttp.ClientSession(standin.page_address) as stranger,
        stranger.get("/login", params={"token": "guessed"}) as answer,
    ):
        assert answer.status == 403
    assert any("wrong_token" in note["text"] for note in standin.hub.notes.after(0))


async def test_who_is_logged_in_sees_the_shell_and_its_script(visitor: aiohttp.ClientSession) -> None:
    async with visitor.get("/") as answer:
        text = await answer.text()
    assert "Stand-in" in text
    for path in ("/assets/standin/standin.js", "/assets/standin/standin.css"):
        assert path in text
        async with visitor.get(path) as answer:
            assert answer.status == 200


async def test_the_control_api_answers_below_api(visitor: aiohttp.ClientSession) -> None:
    async with visitor.post("/api/devices", json={"identity": "board-1"}) as answer:
        assert answer.status == 200
    async with visitor.get("/api/devices") as answer:
        devices = (await answer.json())["devices"]
    assert [each["identity"] for each in devices] == ["board-1", "edge-1", "edge-1/gateway"]
    assert [each["waiting"] for each in devices] == [0, 0, 0]
    async with visitor.post("/api/c2d", params={"identity": "board-1"}, json={"body": "on"}) as answer:
        assert answer.status == 200
    async with visitor.get("/api/devices") as answer:
        assert (await answer.json())["devices"][0]["waiting"] == 1


async def test_a_refusal_has_the_form_of_our_pages(visitor: aiohttp.ClientSession) -> None:
    async with visitor.get("/api/twin", params={"identity": "nobody"}) as answer:
        assert answer.status == 400
        assert "nobody" in (await answer.json())["error"]["message"]


async def test_another_sites_form_changes_nothing(visitor: aiohttp.ClientSession, standin: StandIn) -> None:
    async with visitor.post(
        "/api/devices", json={"identity": "x"}, headers={"Origin": "http://evil.example"}
    ) as answer:
        assert answer.status == 403
    assert len(standin.hub.registry.entries()) == 2


async def test_lines_are_heard_as_they_come(visitor: aiohttp.ClientSession, standin: StandIn) -> None:
    async with visitor.get("/api/notes") as answer:
        notes = (await answer.json())["notes"]
    assert "logged in" in notes[-1]["text"]
    standin.hub.note("connected board-1")
    async with visitor.get("/api/notes", params={"after": notes[-1]["number"], "wait_s": 30}) as answer:
        assert [note["text"] for note in (await answer.json())["notes"]] == ["connected board-1"]


async def test_a_port_that_is_taken_is_told(standin: StandIn, tmp_path: Path) -> None:
    assert standin.page_port is not None
    ports = Ports(mqtt=0, websocket=None, amqp=None, page=standin.page_port)
    with pytest.raises(StandInError, match="--page-port"):
        async with StandIn(tmp_path / "other", address=ADDRESS, ports=ports):
            pass


def test_the_token_stays_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    token = page_token(tmp_path)
    assert len(token) >= 32
    assert page_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
