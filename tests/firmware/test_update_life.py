"""Updates of a board as it is shipped: its own starter and updater on its own heap, over TLS from a real gateway."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from edgewire.message import identity
from support.gateway_site import PATIENCE_S, GatewaySite, until
from support.leaf_board import NETWORKS, PASSWORD
from support.shipped_board import MODEL, NEVER, ShippedBoard, bundle, ship

NAME: Final = "nodemcu-a1b2c300"
WHO: Final = identity(NAME)
MQTT_PORT: Final = 8884
HTTPS_PORT: Final = 8444


@pytest.fixture
async def shipped(tmp_path: Path, pictures: tuple[Path, Path]) -> AsyncIterator[ShippedBoard]:
    (tmp_path / "board").mkdir()
    board = ShippedBoard(tmp_path / "board", pictures[0], 38000)
    yield board
    await board.stop()


async def begin(site: GatewaySite, board: ShippedBoard, folder: Path, first: bytes) -> None:
    """A gateway, and a board with its first program in its first session."""
    site.hub.add_device(NAME)
    await site.gateway.start(
        GATEWAY_UPSTREAM_AMQP="edgehub",
        GATEWAY_CONSTRAINED_MQTT_PORT=str(MQTT_PORT),
        GATEWAY_CONSTRAINED_HTTPS_PORT=str(HTTPS_PORT),
    )
    answer = await site.command("claims", "add", "--json")
    config = {
        "wifi": [{"ssid": name, "password": PASSWORD} for name in NETWORKS],
        "gateway": site.address,
        "httpsPort": HTTPS_PORT,
        "credential": {"kind": "claim", "code": json.loads(answer.out)["code"]},
        "ntp": ["time.one", "time.two"],
    }
    ship(board, folder, first, config)
    board.start()
    await board.said("LEAF gateway")


async def add(site: GatewaySite, folder: Path, data: bytes) -> None:
    (folder / "new.fw").write_bytes(data)
    answer = await site.command("firmware", "add", str(folder / "new.fw"))
    assert answer.code == 0, answer.error


async def order(site: GatewaySite, version: str) -> None:
    job = {"version": version, "manifest": f"/firmware/v1/manifests/{MODEL}/{version}"}
    result = await site.hub.hub.invoke_method(WHO, "update", job, connect_timeout_s=PATIENCE_S)
    assert (result.status, json.loads(result.payload)) == (200, {"accepted": True})


async def firmware(site: GatewaySite, **wanted: Any) -> dict[str, Any]:
    """What the board reports, once it is as wanted."""

    def found() -> dict[str, Any]:
        return dict(site.hub.reported(WHO).get("firmware") or {})

    await until(lambda: wanted.items() <= found().items(), 60)
    return found()


async def test_an_update_is_fetched_tried_and_kept(site: GatewaySite, shipped: ShippedBoard, tmp_path: Path) -> None:
    await begin(site, shipped, tmp_path, bundle(tmp_path / "one", "1.0.0"))
    print(shipped.transcript())
    import asyncio

    for _ in range(8):
        await asyncio.sleep(1)
        print(site.hub.reported(WHO))
    print(shipped.transcript(), site.gateway.transcript())
    await firmware(site, version="1.0.0", state="running")
    await add(site, tmp_path, bundle(tmp_path / "two", "1.1.0"))
    await order(site, "1.1.0")
    try:
        await shipped.said("RESCUE trial 1.1.0")
        await firmware(site, version="1.1.0", state="running", failed=None)
    finally:
        print(shipped.transcript())
