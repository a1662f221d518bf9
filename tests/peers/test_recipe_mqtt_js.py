"""docs/recipes/mqtt-js.md as it stands: MQTT.js 5, both versions of MQTT, over TCP and WebSocket."""

import os
import re
from typing import Final

from edgewire.iothub import sas
from edgewire.message import identity
from standin.events import Event
from support.clients import Client
from support.compatibility import Seen, Table
from support.gateway_site import KEY, GatewaySite, until
from support.recipe import DEVICE, Recipe

PAGE: Final = "mqtt-js.md"
WEBSOCKET_PORT: Final = "443"
MAY_LISTEN_THERE: Final = os.geteuid() == 0


async def start(site: GatewaySite) -> None:
    site.hub.add_device(DEVICE, keys=(sas.encode_key(KEY),))
    websocket = {"GATEWAY_WEBSOCKET_PORT": WEBSOCKET_PORT} if MAY_LISTEN_THERE else {}
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_TOKEN_SKEW_S="0", **websocket)
    await site.gateway.said("connected upstream on behalf of devices")


async def check(site: GatewaySite, recipe: Recipe, log: str, starts: int) -> None:
    """It sends a first message, hears one, and has heard nothing of an error."""
    event = await first_of(site, starts)
    assert (event.device, event.properties) == (DEVICE, {"room": "cellar"})
    assert (event.system["contentType"], event.system["contentEncoding"]) == ("application/json", "utf-8")
    site.hub.send_c2d(identity(DEVICE), log.encode())
    await until(lambda: f"heard: {log}" in recipe.text_of(log))
    await until(lambda: 'sent: {"temperature":31}' in recipe.text_of(log))
    assert "error" not in recipe.text_of(log)


async def first_of(site: GatewaySite, starts: int) -> Event:
    """What the program sends first, at its start number so much."""

    def there() -> list[Event]:
        return [event for event in site.hub.events.read() if event.body == b'{"temperature":31}']

    await until(lambda: len(there()) == starts)
    return there()[-1]


async def test_the_page_does_what_it_says(site: GatewaySite, seen: Seen) -> None:
    await start(site)
    async with Recipe.open(PAGE, site, ready="connected") as recipe:
        await recipe.follow("A device")
        await recipe.follow("The program")
        await check(site, recipe, "boiler.log", 1)
        seen(Table.GATEWAY, Client.MQTT_JS.over("mqtt3"), "telemetry", "C2D")
        await recipe.follow("MQTT 5")
        await check(site, recipe, "boiler5.log", 2)
        seen(Table.GATEWAY, Client.MQTT_JS.over("mqtt5"), "telemetry", "C2D")
        if MAY_LISTEN_THERE:
            await recipe.follow("WebSocket")
            await check(site, recipe, "websocket.log", 3)
            seen(Table.GATEWAY, Client.MQTT_JS.over("mqtt5-ws"), "telemetry", "C2D")
            assert recipe.left == []


async def test_it_goes_on_with_its_next_token_by_itself(site: GatewaySite) -> None:
    await start(site)
    async with Recipe.open(PAGE, site, ready="connected", more={"TOKEN_LIFE_S": "4"}) as recipe:
        await recipe.follow("A device")
        await recipe.follow("The program")
        await until(lambda: recipe.text_of("boiler.log").count("connected") > 2)
        told = await site.counted('gateway_disconnected_devices_total{reason="token_expired"}', 2)
        assert told >= 2
        await site.gateway.kill()
        await site.gateway.start()
        connected = recipe.text_of("boiler.log").count("connected")
        await until(lambda: recipe.text_of("boiler.log").count("connected") > connected)
        sent = re.findall("sent: (.*)", recipe.text_of("boiler.log"))
        await until(lambda: set(sent) <= {event.body.decode() for event in site.hub.events.read()})
