"""Updates of a board as it is shipped: its own starter and updater on its own heap, over TLS from a real gateway."""

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from edgewire.message import identity
from support.gateway_site import KEY, PATIENCE_S, GatewaySite, until
from support.leaf_board import NETWORKS, PASSWORD
from support.shipped_board import MODEL, NEVER, ShippedBoard, bundle, ship

NAME: Final = "nodemcu-a1b2c300"
WHO: Final = identity(NAME)
MQTT_PORT: Final = 8884
HTTPS_PORT: Final = 8444


@pytest.fixture
async def shipped(tmp_path: Path, pictures: tuple[Path, Path]) -> AsyncIterator[ShippedBoard]:
    (tmp_path / "board").mkdir()
    board = ShippedBoard(tmp_path / "board", pictures[0])
    yield board
    await board.stop()


async def begin(site: GatewaySite, board: ShippedBoard, folder: Path, first: bytes) -> None:
    """A gateway, and a board with its first program in its first session."""
    await open_gateway(site)
    await start(site, board, folder, first)


async def open_gateway(site: GatewaySite) -> None:
    """A gateway that knows the board, as the hub does."""
    site.hub.add_device(NAME, keys=[b64encode(KEY).decode()])
    site.register(NAME)
    await site.gateway.start(
        GATEWAY_UPSTREAM_AMQP="edgehub",
        GATEWAY_CONSTRAINED_MQTT_PORT=str(MQTT_PORT),
        GATEWAY_CONSTRAINED_HTTPS_PORT=str(HTTPS_PORT),
    )


async def start(site: GatewaySite, board: ShippedBoard, folder: Path, first: bytes) -> None:
    """A board with its first program, until it is in a session; who it is it knows already."""
    config = {
        "wifi": [{"ssid": name, "password": PASSWORD} for name in NETWORKS],
        "gateway": site.address,
        "httpsPort": HTTPS_PORT,
        "credential": {"kind": "claim", "code": "none"},
        "ntp": ["time.one", "time.two"],
    }
    ship(board, folder, first, config, who(site))
    board.start()
    await board.said("LEAF gateway")


def who(site: GatewaySite) -> dict[str, Any]:
    """What the first contact leaves on a board."""
    key = load_pem_x509_certificate(site.root_file.read_bytes()).public_key()
    assert isinstance(key, RSAPublicKey)
    return {
        "deviceId": NAME,
        "key": b64encode(KEY).decode(),
        "hub": site.hub.hub_name,
        "gateway": site.address,
        "mqttPort": MQTT_PORT,
        "httpsPort": HTTPS_PORT,
        "root": {"n": f"{key.public_numbers().n:x}", "e": 65537},
        "since": int(time.time()),
        "settings": {"interval": 1},
    }


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

    try:
        await until(lambda: wanted.items() <= found().items(), 60)
    except TimeoutError:
        raise AssertionError(f"it reports {found()}, not {wanted}") from None
    return found()


async def test_an_update_is_fetched_tried_and_kept(site: GatewaySite, shipped: ShippedBoard, tmp_path: Path) -> None:
    await begin(site, shipped, tmp_path, bundle(tmp_path / "one", "1.0.0"))
    await firmware(site, version="1.0.0", state="running")
    await add(site, tmp_path, bundle(tmp_path / "two", "1.1.0"))
    await order(site, "1.1.0")
    await shipped.said("RESCUE trial 1.1.0")
    await firmware(site, version="1.1.0", serial=1_001_000, state="running")


async def test_a_program_that_does_not_prove_itself_is_rolled_back(
    site: GatewaySite, shipped: ShippedBoard, tmp_path: Path
) -> None:
    await begin(site, shipped, tmp_path, bundle(tmp_path / "one", "1.0.0"))
    await firmware(site, version="1.0.0", state="running")
    await add(site, tmp_path, bundle(tmp_path / "two", "1.1.0", app=NEVER))
    await order(site, "1.1.0")
    await firmware(site, version="1.0.0", state="rolled-back", failed="1.1.0", reason="unconfirmed")
    assert shipped.transcript().count("ValueError: a bad program") == 3
    await order(site, "1.1.0")  # what has failed once is not tried again
    await firmware(site, version="1.0.0", state="failed", failed="1.1.0", reason="bad")
    assert shipped.transcript().count("ValueError: a bad program") == 3


async def test_firmware_of_another_key_is_refused_and_the_program_goes_on(
    site: GatewaySite, shipped: ShippedBoard, tmp_path: Path
) -> None:
    await begin(site, shipped, tmp_path, bundle(tmp_path / "one", "1.0.0"))
    await firmware(site, version="1.0.0", state="running")
    await add(site, tmp_path, bundle(tmp_path / "two", "1.1.0", rsa.generate_private_key(65537, 2048)))
    await order(site, "1.1.0")
    await firmware(site, version="1.0.0", state="failed", failed="1.1.0", reason="signature")


async def test_an_older_version_is_refused(site: GatewaySite, shipped: ShippedBoard, tmp_path: Path) -> None:
    await begin(site, shipped, tmp_path, bundle(tmp_path / "one", "1.0.0"))
    await firmware(site, version="1.0.0", state="running")
    await add(site, tmp_path, bundle(tmp_path / "two", "0.9.0"))
    await order(site, "0.9.0")
    await firmware(site, version="1.0.0", state="failed", failed="0.9.0", reason="older")


async def test_a_board_without_a_program_that_runs_gets_one_by_itself(
    site: GatewaySite, shipped: ShippedBoard, tmp_path: Path
) -> None:
    await add(site, tmp_path, bundle(tmp_path / "two", "1.1.0"))
    await open_gateway(site)
    answer = await site.command("firmware", "pin", NAME, "1.1.0")
    assert answer.code == 0, answer.error
    await start(site, shipped, tmp_path, bundle(tmp_path / "one", "1.0.0", app=NEVER))
    await firmware(site, version="1.1.0", state="running")
    assert shipped.transcript().count("ValueError: a bad program") == 10
