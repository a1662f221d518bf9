import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from gateway.app.control import QuestionError
from gateway.app.firmware import FirmwareHouse
from gateway.dispatch.methods import Methods
from gateway.dispatch.twin_desk import NoTwins
from gateway.dispatch.twins import Twins
from gateway.firmware.store import FirmwareStore
from gateway.observe.events import Event
from gateway.observe.firmware import FirmwareClosed
from support.bundles import make_bundle
from support.http_site import until

BOARD = identity("nodemcu-1")
REPORT = json.dumps({"firmware": {"version": "1.0.0", "serial": 1, "state": "running"}}).encode()


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.twins: NoTwins | Twins = NoTwins()
        self.house = self.open()

    def open(self) -> FirmwareHouse:
        return FirmwareHouse(
            self.folder,
            methods=Methods(self.events.append),
            twins=self.twins,
            emit=self.events.append,
            release_key=None,
        )

    def add(self) -> str:
        bundle = make_bundle("1.1.0", 2)
        FirmwareStore(self.folder).add(bundle)
        return bundle.manifest.sha256

    async def ask(self, do: str, **more: Any) -> Any:
        return await self.house.answer({"do": do, **more})


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    running = asyncio.ensure_future(site.house.run())
    try:
        yield site
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await site.house.close()


async def test_without_a_folder_there_is_nothing_for_anybody(site: Site) -> None:
    site.house.look()
    assert site.house.meant_for("d", "nodemcu") is None
    assert site.house.offered("d", "nodemcu") is None
    assert site.house.manifest("nodemcu", "1.1.0") is None
    assert site.house.piece("0" * 64, 0, 1) is None
    with pytest.raises(QuestionError, match="no firmware yet"):
        await site.ask("status")
    assert list(site.folder.iterdir()) == []


async def test_a_folder_that_appears_is_served(site: Site) -> None:
    sha256 = site.add()
    site.house.look()
    site.house.look()
    assert site.house.manifest("nodemcu", "1.1.0") is not None
    piece = site.house.piece(sha256, 0, 10)
    assert piece is not None
    assert (len(piece[0]), piece[1]) == (10, 10_000)
    assert site.house.meant_for("nodemcu-1", "nodemcu") is None
    assert (await site.ask("status"))["boards"] == {"nodemcu": {"unknown": 1}}


async def test_boards_are_heard_where_twins_are_not_served(site: Site) -> None:
    site.add()
    site.house.look()
    site.twins.report(BOARD, REPORT, lambda reply: None)
    site.twins.report(BOARD, b"nonsense", lambda reply: None)
    assert (await site.ask("status"))["boards"] == {"nodemcu": {"1.0.0": 1}}


async def test_boards_are_heard_where_twins_are_served(site: Site) -> None:
    site.twins = twins = Twins(site.events.append)
    site.house = site.open()
    site.add()
    site.house.look()
    for listener in twins._listeners:
        listener(BOARD, json.loads(REPORT), 2)
    assert (await site.ask("status"))["boards"] == {"nodemcu": {"1.0.0": 1}}


async def test_a_board_that_makes_contact_is_offered_what_came_through(site: Site) -> None:
    site.add()
    await site.ask("rollout", version="1.1.0")
    assert site.house.offered("nodemcu-1", "nodemcu") is None
    report = {"firmware": {"version": "1.1.0", "serial": 2, "state": "running"}}
    site.twins.report(BOARD, json.dumps(report).encode(), lambda reply: None)
    await until(lambda: site.house.offered("nodemcu-9", "nodemcu") is not None)
    offered = {"version": "1.1.0", "manifest": "/firmware/v1/manifests/nodemcu/1.1.0"}
    assert site.house.offered("nodemcu-9", "nodemcu") == offered


async def test_a_folder_that_cannot_be_used_is_said_once(site: Site) -> None:
    site.add()
    (site.folder / "firmware" / "rollout.json").symlink_to("/proc/self/mem")
    site.house.look()
    site.house.look()
    assert [type(event) for event in site.events] == [FirmwareClosed]
    with pytest.raises(QuestionError, match="cannot be read"):
        await site.ask("status")
    (site.folder / "firmware" / "rollout.json").unlink()
    assert (await site.ask("status"))["rollouts"] == []


def test_nothing_of_firmware_is_loaded_before_there_is_some() -> None:
    program = "import sys, gateway.app.gateway; print([m for m in sys.modules if 'gateway.firmware' in m])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
