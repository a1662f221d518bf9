import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app.asking import ask, follow
from gateway.app.control import SOCKET_NAME
from gateway.app.settings import ConfigError, read_environment
from gateway.app.showing import House, Showing
from gateway.identity.page_token import TOKEN_FILE, page_token
from gateway.observe.app import ControlSocketNotOpened
from gateway.observe.metrics import Metrics
from support.page_client import PageClient
from support.page_house import PageHouse

ADDRESS = "127.0.0.143"
"""Nobody else's: at 127.0.0.1 any connection of any program may take a port that was free a moment ago."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def house_of(page: PageHouse, data: Path, **environ: str) -> House:
    given = {
        "GATEWAY_METRICS_ADDRESS": ADDRESS,
        "GATEWAY_METRICS_PORT": "0",
        "GATEWAY_DATA_DIR": str(data),
        **environ,
    }
    site = page.site
    return House(
        environment=read_environment(given),
        environ=given,
        data=data,
        book=page.book,
        observer=page.observer,
        metrics=Metrics(),
        registry=site.registry,
        presence=site.presence,
        delivery=site.delivery,
        methods=site.methods,
        twins=None,
        configuration=page.configuration,
        in_force=page.in_force,
        trust_pem=lambda: b"",
        status=lambda: page.status,
        answers={},
    )


async def test_commands_ask_and_follow_without_a_page(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as page, AsyncExitStack() as rooms:
        await Showing(house_of(page, tmp_path)).open(rooms)
        assert await asyncio.to_thread(ask, tmp_path, {"ask": "status"}) == page.status
        top = await asyncio.to_thread(ask, tmp_path, {"ask": "top"})
        assert [row["name"] for row in top["routes"]] == ["hot", "all"]
        lines = follow(tmp_path, {"ask": "tap"})
        assert await asyncio.to_thread(next, lines) == {"following": True}
        page.publish(b"{}")
        assert (await asyncio.to_thread(next, lines))["message"]["device"] == "d1"
        await asyncio.to_thread(lines.close)
    assert not (tmp_path / SOCKET_NAME).exists()


@pytest.mark.parametrize(
    ("string", "words"),
    [("", "set GATEWAY_SERVICE_CONNECTION_STRING"), ("HostName=h", "must be HostName=…;SharedAccessKeyName")],
)
async def test_the_page_shows_the_house_to_who_is_logged_in(tmp_path: Path, string: str, words: str) -> None:
    port = free_port()
    async with PageHouse.open(tmp_path) as page, AsyncExitStack() as rooms:
        given = {"GATEWAY_METRICS_PORT": str(port), "GATEWAY_SERVICE_CONNECTION_STRING": string}
        await Showing(house_of(page, tmp_path, **given)).open(rooms)
        client = PageClient(f"{ADDRESS}:{port}")
        assert (await client.ask("GET", "/api/overview"))[0] == 401
        token = await asyncio.to_thread(page_token, tmp_path / TOKEN_FILE)
        await client.ask("GET", f"/login?token={token}")
        assert (await client.get("/api/overview"))["gateway"]["version"] == "1"
        status, said = await client.send("PATCH", "/api/devices/d1/twin", {"desired": {}})
        assert status == 409
        assert words in said["error"]["message"]


async def test_a_port_that_is_taken_is_said_at_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        async with PageHouse.open(tmp_path) as page, AsyncExitStack() as rooms:
            house = house_of(page, tmp_path, GATEWAY_METRICS_PORT=str(taken.getsockname()[1]))
            with pytest.raises(ConfigError, match="Set GATEWAY_METRICS_ADDRESS or GATEWAY_METRICS_PORT"):
                await Showing(house).open(rooms)


async def test_a_socket_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as page, AsyncExitStack() as rooms:
        events: list[object] = []
        page.observer.listen(events.append)
        house = replace(house_of(page, tmp_path), data=tmp_path / ("x" * 120))
        await Showing(house).open(rooms)
        assert [type(event) for event in events] == [ControlSocketNotOpened]
