"""Settings by the module twin: the stand-in's hub, the real azure-iot-device, our configuration on disk."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from edgewire.transport.backoff import Backoff
from gateway.app.configuration import Configuration
from gateway.app.document import GatewaySettings
from gateway.app.twin_settings import DesiredSettings, TwinSync
from gateway.observe.events import Event
from gateway.routing.table import Table
from gateway.upstream.methods import ModuleMethods
from gateway.upstream.module_proxy import ModuleProxy
from standin.app import Ports, StandIn

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

GATEWAY = identity("edge-1", "gateway")
ADDRESS = "127.0.8.9"
LIMIT_S = 45.0
UP = "FROM /messages/* INTO $upstream"
BROKEN = "FROM /messages/* WHERE lenght(name) > 10 INTO $upstream"


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "hub", address=ADDRESS, modules=("gateway",), ports=Ports(websocket=None)) as standin:
        for name, value in standin.environment("gateway").items():
            monkeypatch.setenv(name, value)
        yield standin


class Gateway:
    """The part of a gateway that lives on settings."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        self.applied: list[list[str]] = []
        emit = self.events.append
        self.configuration = Configuration(path=folder / "settings.json", apply=self.apply, emit=emit)
        self.proxy = ModuleProxy(emit=emit, backoff=Backoff(0.05, 0.5))
        self.sync = TwinSync(
            configuration=self.configuration,
            desired=DesiredSettings(self.configuration),
            proxy=self.proxy,
            methods=ModuleMethods(status=dict, emit=emit),
            connections=lambda: {"connected": 0, "offline": {}},
            emit=emit,
        )
        self.proxy.listen(self.sync)

    def apply(self, settings: GatewaySettings, table: Table) -> None:
        del table
        self.applied.append(sorted(settings.routes))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(folder)
    await gateway.configuration.start()
    tasks = [asyncio.ensure_future(gateway.proxy.run()), asyncio.ensure_future(gateway.sync.run())]
    try:
        yield gateway
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=LIMIT_S)
        assert [task for task in tasks if not task.cancelled()] == []


async def reported(hub: StandIn, wanted: Callable[[Any], bool]) -> Any:
    """The reported properties, once they are as wanted."""
    async with asyncio.timeout(LIMIT_S):
        while not wanted(hub.reported(GATEWAY)):  # noqa: ASYNC110 — another process's state in real life
            await asyncio.sleep(0.01)
    return hub.reported(GATEWAY)


def at_version(version: int) -> Callable[[Any], bool]:
    return lambda document: document.get("lastDesiredVersion") == version


async def test_settings_come_by_the_twin_and_bad_ones_leave_the_last_good_across_restarts(
    hub: StandIn, tmp_path: Path
) -> None:
    async with running(tmp_path) as gateway:
        good = hub.set_desired(GATEWAY, {"routes": {"all": UP}})
        document = await reported(hub, at_version(good))
        assert document["routes"] == {"all": {"status": "ok"}}
        assert gateway.applied[-1] == ["all"]

        bad = hub.set_desired(GATEWAY, {"routes": {"broken": BROKEN}})
        document = await reported(hub, at_version(bad))
        assert document["lastGoodVersion"] == good
        assert document["lastDesiredStatus"]["code"] == 400
        assert (document["routes"]["broken"]["status"], document["routes"]["broken"]["column"]) == ("error", 24)
        assert gateway.applied[-1] == ["all"]

    async with running(tmp_path) as gateway:
        assert gateway.applied == [["all"]]
        mended = hub.set_desired(GATEWAY, {"routes": {"broken": None, "alerts": UP}})
        document = await reported(hub, at_version(mended))
        assert document["routes"] == {"alerts": {"status": "ok"}, "all": {"status": "ok"}}
        assert document["lastGoodVersion"] == mended
        assert gateway.applied[-1] == ["alerts", "all"]


async def test_changes_made_while_the_link_is_down_are_found_after_it(hub: StandIn, tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await reported(hub, lambda document: "lastDesiredStatus" in document)
        hub.refuse_connections()
        hub.drop_connections()
        hub.set_desired(GATEWAY, {"routes": {"first": UP}})
        last = hub.set_desired(GATEWAY, {"routes": {"second": UP}})
        hub.behave()

        await reported(hub, at_version(last))

        assert gateway.applied[-1] == ["first", "second"]


async def test_hundreds_of_routes_are_reported_one_by_one(hub: StandIn, tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await reported(hub, lambda document: "lastDesiredStatus" in document)
        for start in range(0, 400, 100):
            hub.set_desired(GATEWAY, {"routes": {f"a-route-{number:03}": UP for number in range(start, start + 100)}})
        await reported(hub, lambda document: len(document.get("routes", {})) == 400)

        assert len(gateway.applied[-1]) == 400
