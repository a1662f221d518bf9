"""What a person, an operator and the cloud do with one board: set up, call, switch its LED, read what it sends."""

import json
from pathlib import Path
from typing import Any, Final

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import SymmetricKeys
from support.gateway_site import GatewaySite, until
from support.leaf_board import MODEL, NETWORKS, PASSWORD, LeafBoard

MQTT_PORT: Final = 8884
HTTPS_PORT: Final = 8444
NAME: Final = "nodemcu-a1b2c300"
WHO: Final = identity(NAME)
PATIENCE_S: Final = 120.0
"""For an update with its restarts, or a way upstream that was refused for half a minute and waits as long again."""


async def start(site: GatewaySite, **settings: Any) -> None:
    """A gateway that takes boards, and the way back to them; `settings` are what boards are told."""
    document = site.write_settings(
        routes={"all": "FROM /messages/* INTO $upstream"}, boards={"settings": {"interval": 0.5, **settings}}
    )
    await site.gateway.start(
        GATEWAY_UPSTREAM_AMQP="edgehub",
        GATEWAY_CONSTRAINED_MQTT_PORT=str(MQTT_PORT),
        GATEWAY_CONSTRAINED_HTTPS_PORT=str(HTTPS_PORT),
        GATEWAY_SETTINGS_FILE=str(document),
    )


async def claim(site: GatewaySite, *options: str) -> str:
    """A code for one board."""
    answer = await site.command("claims", "add", "--json", *options)
    assert answer.code == 0, answer.error
    return str(json.loads(answer.out)["code"])


def told(site: GatewaySite, code: str, **more: Any) -> dict[str, Any]:
    """What a person tells a board over the serial line."""
    return {
        "wifi": [{"ssid": name, "password": PASSWORD} for name in NETWORKS],
        "gateway": site.address,
        "httpsPort": HTTPS_PORT,
        "credential": {"kind": "claim", "code": code},
        "ntp": ["time.one", "time.two"],
        **more,
    }


def key_of_board(site: GatewaySite) -> bytes:
    """What the gateway made for it."""
    found = Registry(site.data / FILE_NAME).find(WHO)
    assert found is not None
    assert isinstance(found.credential, SymmetricKeys)
    return found.credential.primary


async def set_up(site: GatewaySite, board: LeafBoard, *options: str, **more: Any) -> None:
    """From a blank board to its first session, and the hub knows it as the gateway does."""
    board.start()
    await board.said("SETUP?")
    await board.say(told(site, await claim(site, *options), **more))
    await board.said("LEAF identity")
    site.hub.add_device(NAME, keys=(sas.encode_key(key_of_board(site)),))
    await board.said("LEAF gateway")


def readings(site: GatewaySite) -> list[dict[str, Any]]:
    """All that has arrived upstream."""
    return [json.loads(event.body) for event in site.hub.events.read()]


async def more_readings(site: GatewaySite, count: int = 2) -> None:
    """Wait for so many that are not there yet."""
    had = len(readings(site))
    await until(lambda: len(readings(site)) >= had + count, PATIENCE_S)


async def call(site: GatewaySite, name: str, payload: Any = None) -> tuple[int, Any]:
    """A direct method of the board."""
    result = await site.hub.hub.invoke_method(WHO, name, payload, connect_timeout_s=20)
    return result.status, json.loads(result.payload)


async def switch(site: GatewaySite, board: LeafBoard, *, on: bool) -> None:
    """The LED, by a message from the cloud."""
    site.hub.send_c2d(WHO, b"on" if on else b"off")
    await until(lambda: board.world.led is on)


async def add(site: GatewaySite, folder: Path, data: bytes) -> None:
    """A bundle for the gateway's store."""
    (folder / "new.fw").write_bytes(data)
    answer = await site.command("firmware", "add", str(folder / "new.fw"))
    assert answer.code == 0, answer.error


async def order(site: GatewaySite, version: str, model: str = MODEL) -> None:
    """Tell the board to update."""
    job = {"version": version, "manifest": f"/firmware/v1/manifests/{model}/{version}"}
    result = await site.hub.hub.invoke_method(WHO, "update", job, connect_timeout_s=20)
    assert (result.status, json.loads(result.payload)) == (200, {"accepted": True})


async def firmware(site: GatewaySite, **wanted: Any) -> dict[str, Any]:
    """What the board reports, once it is as wanted."""

    def found() -> dict[str, Any]:
        return dict(site.hub.reported(WHO).get("firmware") or {})

    try:
        await until(lambda: wanted.items() <= found().items(), PATIENCE_S)
    except TimeoutError:
        raise AssertionError(f"it reports {found()}, not {wanted}") from None
    return found()
