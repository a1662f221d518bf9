"""Updates of a board as it is shipped: its own starter and updater on its own heap, over TLS from a real gateway."""

import asyncio
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from support import board_life
from support.board_life import HTTPS_PORT, MQTT_PORT, NAME, WHO, add, firmware, order
from support.cable import Cable
from support.gateway_site import KEY, PATIENCE_S, GatewaySite, until
from support.leaf_board import HEAP, NETWORKS, PASSWORD
from support.shipped_board import NEVER, ShippedBoard, bundle, ship

LEAST_FREE: Final = {"tls": 7_000, "gateway": 2_000, "updater tls": 10_000, "updater trial": 5_000}
"""Bytes of heap that must be free, swept, in each phase; what the starter and the doubles of the hardware leave behind
stands in it, too. "updater trial": the least of all pieces of the download."""
CUT_BYTES: Final = 14_000
"""Of what the gateway sends: a handshake has 4 KB, an image five times as much."""

pytestmark = pytest.mark.timeout(300)


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


async def start(site: GatewaySite, board: ShippedBoard, folder: Path, first: bytes, **more: Any) -> None:
    """A board with its first program, until it is in a session; who it is it knows already."""
    config = {
        "wifi": [{"ssid": name, "password": PASSWORD} for name in NETWORKS],
        "gateway": site.address,
        "httpsPort": HTTPS_PORT,
        "credential": {"kind": "claim", "code": "none"},
        "ntp": ["time.one", "time.two"],
        **more,
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


async def test_a_whole_life(site: GatewaySite, shipped: ShippedBoard, tmp_path: Path) -> None:
    """Blank, set up, first contact, telemetry, the cloud's wishes, links that end, an update, a bad one."""
    ship(shipped, tmp_path, bundle(tmp_path / "one", "1.0.0"))
    # Here, not where they are ordered: sessions last eight seconds, and a call that comes while a board renews one is
    # lost. So each call follows closely on the beginning of a session.
    await add(site, tmp_path, bundle(tmp_path / "two", "1.1.0"))
    await add(site, tmp_path, bundle(tmp_path / "three", "1.2.0", app=NEVER))
    await board_life.start(site, tokenLife=10)
    await board_life.set_up(site, shipped)
    await board_life.more_readings(site)
    await firmware(site, version="1.0.0", state="running")

    await board_life.switch(site, shipped, on=True)
    status, found = await board_life.call(site, "status")
    assert (status, found["led"]) == (200, True)
    site.hub.set_desired(WHO, {"interval": 0.3})
    await until(lambda: site.hub.reported(WHO).get("interval") == 0.3)

    at = await shipped.said("LEAF renew")
    at = await shipped.said("LEAF gateway", after=at)
    shipped.world.networks = 0b10
    at = await shipped.said("LEAF wifi", after=at)
    at = await shipped.said("LEAF gateway", after=at)
    await site.gateway.kill()
    at = await shipped.said("LEAF lost", after=at)
    await site.gateway.start()
    at = await shipped.said("LEAF gateway", after=at, patience_s=60)
    await board_life.more_readings(site)

    await order(site, "1.1.0")
    await firmware(site, version="1.1.0", serial=1_001_000, state="running")
    await order(site, "1.2.0")
    await firmware(site, version="1.1.0", state="rolled-back", failed="1.2.0", reason="unconfirmed")
    assert shipped.transcript().count("ValueError: a bad program") == 3
    await order(site, "1.2.0")  # what has failed once is not tried again
    await firmware(site, version="1.1.0", state="failed", failed="1.2.0", reason="bad")
    await board_life.more_readings(site)
    assert shipped.transcript().count("ValueError: a bad program") == 3

    _, found = await board_life.call(site, "status")
    heap = shipped.heap()
    sys.stdout.write(f"\nfree heap of {HEAP}: {heap}, lowest in a session {found['lowest']}\n")
    assert all(heap[phase] >= least for phase, least in LEAST_FREE.items()), heap
    assert "MemoryError" not in shipped.transcript()


async def test_a_download_outlives_a_cut_of_the_link_and_one_of_the_power(
    site: GatewaySite, shipped: ShippedBoard, tmp_path: Path, loopback: Iterator[str]
) -> None:
    await open_gateway(site)
    address = next(loopback)
    data = bundle(tmp_path / "two", "1.1.0")
    await add(site, tmp_path, data)
    async with Cable.laid(site.address, HTTPS_PORT, address) as https, Cable.laid(site.address, MQTT_PORT, address):
        await start(site, shipped, tmp_path, bundle(tmp_path / "one", "1.0.0"), address=address)
        await firmware(site, version="1.0.0", state="running")
        first = shipped.partition.read_bytes()
        https.cut_after(CUT_BYTES)
        await order(site, "1.1.0")
        at = await shipped.said("RESCUE closed")
        assert https.pulled.is_set()

        https.die_after(CUT_BYTES)
        async with asyncio.timeout(PATIENCE_S + 20):  # ten seconds pass before a board tries again
            await https.pulled.wait()
        assert shipped.partition.read_bytes() == first, "the program that runs is whole until another one is"
        await shipped.stop()
        shipped.world.cut_power()
        shipped.world.time_hosts = 0  # its clock has lost the time, and nobody but the gateway tells it
        https.mend()
        carried = https.bytes
        shipped.start()
        await shipped.said("RESCUE trial 1.1.0", after=at)
        await firmware(site, version="1.1.0", serial=1_001_000, state="running")
        assert https.bytes - carried < len(data), "what was safe on the flash was fetched again"
        assert shipped.transcript().count("RESCUE trial") == 1


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
