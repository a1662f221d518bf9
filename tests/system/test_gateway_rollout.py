"""Roll-outs of firmware through the real gateway: boards over MQTT and HTTPS, operators by commands."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub import sas
from gateway.app.asking import ask
from support.board import SimulatedBoard, board_ids, boards_alive
from support.bundles import MODEL, another_key, write_bundle_file, write_public_key
from support.gateway_site import KEY, GatewaySite, until

NEW = "1.1.0"


class Fleet:
    """Boards at a site, and the operator's commands."""

    def __init__(self, site: GatewaySite, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.boards: list[SimulatedBoard] = []

    def grow(self, count: int) -> list[SimulatedBoard]:
        ids = board_ids(len(self.boards) + count)[len(self.boards) :]
        self.site.register(*ids)
        for device in ids:
            self.site.hub.add_device(device, keys=(sas.encode_key(KEY),))
        new = [SimulatedBoard(self.site, device) for device in ids]
        self.boards += new
        return new

    async def command(self, *words: str, code: int = 0) -> Any:
        said = await self.site.command("firmware", *words, "--json")
        assert said.code == code, said
        return json.loads(said.out) if said.code == 0 else said.error

    async def add(self, version: str = NEW, serial: int = 2) -> None:
        await self.command("add", str(write_bundle_file(self.folder / f"{version}.fw", version, serial)))

    async def status(self) -> dict[str, Any]:
        """What `gateway firmware status` asks, without a process each time."""
        return await asyncio.to_thread(ask, self.site.data, {"ask": "firmware", "do": "status"})

    async def rollout(self) -> dict[str, Any]:
        [rollout] = (await self.status())["rollouts"]
        assert isinstance(rollout, dict)
        return rollout

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        async def is_so() -> bool:
            nonlocal seen
            seen = await self.rollout()
            return wanted(seen)

        try:
            await until(is_so, 60)
        except TimeoutError:
            raise AssertionError(f"{seen}\n{self.site.gateway.transcript()}") from None
        return seen

    async def all_known(self) -> None:
        seen: dict[str, int] = {}

        async def are() -> bool:
            nonlocal seen
            seen = (await self.status())["boards"].get(MODEL, {})
            return bool(seen.get("1.0.0", 0) == len(self.boards))

        try:
            await until(are, 60)
        except TimeoutError:
            raise AssertionError(f"{seen}\n{self.site.gateway.transcript()}") from None

    def versions(self) -> list[str]:
        return [board.version for board in self.boards]


@pytest.fixture
async def fleet(site: GatewaySite, tmp_path: Path) -> Fleet:
    return Fleet(site, tmp_path)


async def start(fleet: Fleet, **more: str) -> None:
    await fleet.site.gateway.start(GATEWAY_WEBSOCKET_PORT="443", GATEWAY_UPSTREAM_AMQP="edgehub", **more)


async def test_one_command_updates_all_boards_a_canary_first_and_those_that_come_later(fleet: Fleet) -> None:
    boards = fleet.grow(10)
    key = write_public_key(fleet.folder / "release.pem")
    await fleet.add()
    await start(fleet, GATEWAY_RELEASE_KEY=str(key))
    canary = asyncio.Event()
    for board in boards:
        board.holds = canary
    async with boards_alive(boards):
        await fleet.all_known()
        begun = await fleet.command("rollout", NEW, "--canary", "20%", "--at-once", "5")
        assert begun["canaryBoards"] == 2
        held = await fleet.until(lambda rollout: rollout["boards"]["updating"] == 2)
        assert (held["stage"], held["boards"]["waiting"]) == ("canary", 8)
        await until(lambda: sum(len(board.updates) for board in boards) == 2)
        canary.set()
        await fleet.until(lambda rollout: rollout["complete"])
        assert fleet.versions() == [NEW] * 10
        assert [board.updates for board in boards] == [[NEW]] * 10
        [late] = fleet.grow(1)
        async with boards_alive([late]):
            await fleet.until(lambda rollout: rollout["boards"]["done"] == 11)
        assert late.version == NEW
    assert await fleet.site.counted("gateway_updated_boards_total", 11) == 11


async def test_a_canary_that_fails_stops_the_rollout_by_itself_until_it_is_aborted(fleet: Fleet) -> None:
    boards = fleet.grow(10)
    await fleet.add()
    await start(fleet)
    for board in boards:
        board.fails.add(NEW)
    async with boards_alive(boards):
        await fleet.all_known()
        await fleet.command("rollout", NEW, "--canary", "1")
        stopped = await fleet.until(lambda rollout: rollout["stage"] == "stopped")
        assert stopped["boards"]["failed"] == 1
        assert sum(len(board.updates) for board in boards) == 1
        assert await fleet.site.counted("gateway_stopped_rollouts_total") == 1
        assert await fleet.site.counted('gateway_failed_board_updates_total{reason="failed"}') == 1
        await fleet.add("1.2.0", 3)
        assert "abort it before another begins" in await fleet.command("rollout", "1.2.0", code=1)
        assert (await fleet.command("abort"))["stage"] == "aborted"
        await fleet.command("rollout", "1.2.0", "--at-once", "10")
        await fleet.until(lambda rollout: rollout["complete"])
        assert fleet.versions() == ["1.2.0"] * 10


async def test_one_failure_of_ten_is_allowed_and_resuming_forgives_it(fleet: Fleet) -> None:
    boards = fleet.grow(10)
    await fleet.add()
    await start(fleet)
    boards[0].fails.add(NEW)
    async with boards_alive(boards):
        await fleet.all_known()
        await fleet.command("rollout", NEW, "--canary", "1", "--max-failures", "0")
        await fleet.until(lambda rollout: rollout["stage"] == "stopped" or rollout["complete"])
        if (await fleet.rollout())["stage"] == "stopped":
            await fleet.command("resume")
        done = await fleet.until(lambda rollout: rollout["complete"])
        assert (done["boards"]["done"], done["boards"]["failed"]) == (9, 1)
        assert done["notDone"] == {boards[0].device: "failed"}
        assert sorted(fleet.versions()) == ["1.0.0"] + [NEW] * 9


@pytest.mark.parametrize("killed", [False, True])
async def test_a_gateway_that_restarts_in_the_middle_goes_on(fleet: Fleet, *, killed: bool) -> None:
    boards = fleet.grow(6)
    await fleet.add()
    await start(fleet)
    door = asyncio.Event()
    for board in boards:
        board.holds = door
    await fleet.command("rollout", NEW, "--canary", "100%", "--at-once", "3")
    async with boards_alive(boards):
        await fleet.until(lambda rollout: rollout["boards"]["updating"] == 3)
        await (fleet.site.gateway.kill() if killed else fleet.site.gateway.stop())
        await fleet.site.gateway.start()
        assert (await fleet.rollout())["stage"] == "canary"
        door.set()
        # Complete is said of boards that were seen; after a kill some may come back later than that.
        await fleet.until(lambda rollout: rollout["boards"]["done"] == len(boards))
    assert fleet.versions() == [NEW] * 6
    assert all(len(board.updates) in {1, 2} for board in boards)


async def test_paused_nobody_is_asked_and_who_is_pinned_never_is(fleet: Fleet) -> None:
    boards = fleet.grow(3)
    await fleet.add()
    await fleet.add("1.0.0", 1)
    await start(fleet)
    async with boards_alive(boards):
        await fleet.all_known()
        await fleet.command("pin", boards[0].device, "1.0.0")
        await fleet.command("rollout", NEW)
        await fleet.until(lambda rollout: rollout["complete"])
        assert fleet.versions() == ["1.0.0", NEW, NEW]
        await fleet.add("1.2.0", 3)
        door = asyncio.Event()  # else all of them may be through before it is paused
        for board in boards:
            board.holds = door
        await fleet.command("rollout", "1.2.0")
        await fleet.command("pause")
        assert (await fleet.command("pause", code=1)).startswith("gateway firmware: the roll-out of 1.2.0 is paused")
        await fleet.command("unpin", boards[0].device)
        await fleet.command("resume")
        door.set()
        await fleet.until(lambda rollout: rollout["complete"] and rollout["boards"]["done"] == 3)
        assert fleet.versions() == ["1.2.0"] * 3
        assert "stays" in await fleet.command("remove", "1.2.0", code=1)

        async def is_removed() -> bool:
            """The command reads what the gateway has on disk, which is up to five seconds old."""
            return (await fleet.site.command("firmware", "remove", NEW)).code == 0

        await until(is_removed)


async def test_without_twins_boards_are_heard_all_the_same(fleet: Fleet) -> None:
    boards = fleet.grow(2)
    await fleet.site.gateway.start(GATEWAY_WEBSOCKET_PORT="443")
    async with boards_alive(boards):
        await fleet.site.connected(2)
        await fleet.add()  # the folder is found while it runs
        await fleet.command("rollout", NEW, "--canary", "100%")
        await fleet.until(lambda rollout: rollout["complete"])
        assert fleet.versions() == [NEW, NEW]


async def test_what_the_release_key_did_not_sign_is_neither_added_nor_rolled_out(fleet: Fleet) -> None:
    path = write_bundle_file(fleet.folder / "forged.fw", key=another_key())
    await fleet.command("add", str(path))  # no key is pinned for the command
    await start(fleet, GATEWAY_RELEASE_KEY=str(write_public_key(fleet.folder / "release.pem")))
    assert "not signed by the release key" in await fleet.command("rollout", NEW, code=1)


PATHS = [
    "/firmware/v1/manifests/../../devices.json",
    "/firmware/v1/manifests/%2e%2e/%2e%2e",
    "/firmware/v1/manifests/%252e%252e%252f",
    "/firmware/v1/manifests//etc/passwd",
    "/firmware/v1/manifests/nodemcu/1.1.0.json/..",
    "/firmware/v1/manifests/nodemcu\\..\\x",
    "/firmware/v1/images/../rollout.json",
    "/firmware/v1/images/" + "A" * 64,
    "/firmware/v1/images/" + "0" * 64,
    "/firmware/v2/images/" + "0" * 64,
]


async def raw(site: GatewaySite, target: str, *headers: str) -> int:
    """The status that a request gets whose target no library touches."""
    reader, writer = await asyncio.open_connection(site.address, 443, ssl=site.client_tls())
    try:
        lines = [f"GET {target} HTTP/1.1", "Host: x", *headers, "", ""]
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(30):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_no_path_leads_out_of_the_firmware(fleet: Fleet) -> None:
    [board] = fleet.grow(1)
    await fleet.add()
    await start(fleet)
    token = f"Authorization: {fleet.site.token(board.device)}"
    assert await raw(fleet.site, f"/firmware/v1/manifests/{MODEL}/{NEW}", token) == 200
    assert [await raw(fleet.site, path, token) for path in PATHS] == [404] * len(PATHS)
    assert await raw(fleet.site, f"/firmware/v1/manifests/{MODEL}/{NEW}") == 401
    foreign = fleet.site.token(board.device, key=bytes(32))
    assert await raw(fleet.site, f"/firmware/v1/manifests/{MODEL}/{NEW}", f"Authorization: {foreign}") == 401
    assert (await board.fetch(f"/firmware/v1/manifests/{MODEL}"))[0] == 404  # nothing is rolled out
