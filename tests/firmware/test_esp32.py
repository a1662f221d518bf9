"""A board of the ESP32 class: the same program with another board's file, on this interpreter's mbedTLS.

What is not tried here: its own mbedTLS and heap, pins, radio.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from support.board_life import (
    NAME,
    WHO,
    add,
    call,
    claim,
    firmware,
    more_readings,
    order,
    readings,
    set_up,
    start,
    told,
)
from support.gateway_site import GatewaySite, until
from support.leaf_board import FIRMWARE, LeafBoard, program_image
from support.shipped_board import NEVER, NO_PARTITION_BYTES, ShippedBoard, bundle, ship_without_partition

HEAP: Final = 112_000
"""As an ESP32's after its start, a little less; half of it is what the board's file asks for a handshake."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program_image("esp32", FIRMWARE / "boards/esp32.py", tmp_path_factory.mktemp("esp32"))


@pytest.fixture
async def esp32(tmp_path: Path, pictures: tuple[Path, Path], program: Path) -> AsyncIterator[LeafBoard]:
    (tmp_path / "board").mkdir()
    board = LeafBoard(tmp_path / "board", (pictures[0], program), HEAP, "esp32")
    yield board
    await board.stop()


@pytest.fixture
async def shipped(tmp_path: Path, pictures: tuple[Path, Path]) -> AsyncIterator[ShippedBoard]:
    (tmp_path / "board").mkdir()
    board = ShippedBoard(tmp_path / "board", pictures[0], HEAP, "esp32", partition_bytes=NO_PARTITION_BYTES)
    yield board
    await board.stop()


async def test_it_starts_from_folders_and_updates_there(
    site: GatewaySite, shipped: ShippedBoard, tmp_path: Path
) -> None:
    await start(site)
    ship_without_partition(shipped, tmp_path, "esp32", bundle(tmp_path / "one", "1.0.0", model="esp32"))
    await set_up(site, shipped, id=NAME)
    await firmware(site, version="1.0.0", state="running")
    await add(site, tmp_path, bundle(tmp_path / "two", "1.1.0", model="esp32"))
    await order(site, "1.1.0", "esp32")
    await firmware(site, version="1.1.0", state="running")
    await add(site, tmp_path, bundle(tmp_path / "three", "1.2.0", model="esp32", app=NEVER))
    await order(site, "1.2.0", "esp32")
    await firmware(site, version="1.1.0", state="rolled-back", failed="1.2.0", reason="unconfirmed")


async def test_it_gets_its_identity_sends_and_obeys(site: GatewaySite, esp32: LeafBoard) -> None:
    await start(site)
    await set_up(site, esp32, id=NAME)
    await more_readings(site)
    assert (readings(site)[0]["temperature"], readings(site)[0]["battery"]) == (21.5, 58)
    site.hub.send_c2d(WHO, b"on")
    await until(lambda: not esp32.world.led)  # this board's is lit by 1, and `led` is a NodeMCU's
    status, found = await call(site, "status")
    assert (status, found["led"], found["reset"], found["signal"]) == (200, True, "power", -60)
    assert await call(site, "reboot") == (200, {"accepted": True})
    at = await esp32.said("RESET")
    await esp32.said("LEAF gateway", after=at)
    await until(lambda: site.hub.reported(WHO).get("reset") == "soft")


async def test_a_gateway_below_another_root_is_refused(site: GatewaySite, esp32: LeafBoard) -> None:
    await start(site)
    esp32.start()
    await esp32.said("SETUP?")
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    await esp32.say(told(site, await claim(site), root={"n": f"{modulus:x}", "e": 65537}))
    await esp32.said("LEAF certificate issuer")


async def test_a_handshake_that_hides_its_certificates_is_refused(site: GatewaySite, esp32: LeafBoard) -> None:
    """TLS 1.3 of the listener that is not for small boards: nothing was seen, so nothing is believed."""
    await start(site)
    key = load_pem_x509_certificate(site.root_file.read_bytes()).public_key()
    assert isinstance(key, RSAPublicKey)
    root = {"n": f"{key.public_numbers().n:x}", "e": 65537}
    esp32.start()
    await esp32.said("SETUP?")
    await esp32.say(told(site, await claim(site), root=root, httpsPort=8883))
    await esp32.said("LEAF certificate none")
    assert "identity" not in json.dumps(esp32.lines)
