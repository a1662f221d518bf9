"""The life of a board: the firmware as it is shipped, a board's heap, real TLS to a real gateway, the stand-in behind."""

import json
from typing import Any, Final

from edgewire.message import identity
from support.gateway_site import GatewaySite, until
from support.leaf_board import NETWORKS, PASSWORD, LeafBoard

MQTT_PORT: Final = 8884
HTTPS_PORT: Final = 8444
NAME: Final = "nodemcu-a1b2c300"
WHO: Final = identity(NAME)
UP: Final = "connected upstream on behalf of devices"
NEEDED: Final = 700
"""What a handshake wants beside the 11,900 bytes that TLS takes from a board's own heap (boards/nodemcu.py)."""


async def start(site: GatewaySite, **settings: str) -> None:
    """A gateway that takes boards, and the way back to them."""
    await site.gateway.start(
        GATEWAY_UPSTREAM_AMQP="edgehub",
        GATEWAY_CONSTRAINED_MQTT_PORT=str(MQTT_PORT),
        GATEWAY_CONSTRAINED_HTTPS_PORT=str(HTTPS_PORT),
        **settings,
    )


async def claim(site: GatewaySite, *options: str) -> str:
    """A code for one board."""
    answer = await site.command("claims", "add", "--json", *options)
    assert answer.code == 0, answer.error
    return str(json.loads(answer.out)["code"])


def settings(site: GatewaySite, code: str, **more: Any) -> dict[str, Any]:
    """What a person tells a board over the serial line."""
    return {
        "wifi": [{"ssid": name, "password": PASSWORD} for name in NETWORKS],
        "gateway": site.address,
        "httpsPort": HTTPS_PORT,
        "credential": {"kind": "claim", "code": code},
        "ntp": ["time.one", "time.two"],
        **more,
    }


async def set_up(site: GatewaySite, board: LeafBoard, **more: Any) -> None:
    """From a blank board to its first session."""
    site.hub.add_device(NAME)
    board.start()
    await board.said("SETUP?")
    await board.say(settings(site, await claim(site), **more))
    await board.said("LEAF gateway")


async def test_a_blank_board_becomes_one_that_sends_listens_and_answers(site: GatewaySite, board: LeafBoard) -> None:
    await start(site)
    await set_up(site, board)
    print(board.transcript(), site.gateway.transcript())
