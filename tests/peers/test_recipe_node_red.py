"""docs/recipes/node-red.md as it stands: Node-RED 4 without its editor."""

from typing import Final

from edgewire.iothub import sas
from edgewire.message import identity
from standin.events import Event
from support.clients import Client
from support.compatibility import Seen, Table
from support.gateway_site import KEY, GatewaySite, until
from support.recipe import DEVICE, Recipe

PAGE: Final = "node-red.md"
PATIENCE_S: Final = 60.0


async def first(site: GatewaySite, body: bytes) -> Event:
    """The first message with this body."""

    def there() -> list[Event]:
        return [event for event in site.hub.events.read() if event.body == body]

    await until(lambda: bool(there()), PATIENCE_S)
    return there()[0]


async def test_the_page_does_what_it_says(site: GatewaySite, seen: Seen) -> None:
    site.hub.add_device(DEVICE, keys=(sas.encode_key(KEY),))
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub")
    await site.gateway.said("connected upstream on behalf of devices")
    async with Recipe.open(PAGE, site, ready="Started flows") as recipe:
        await recipe.follow("A device")
        await recipe.follow("The flow")
        event = await first(site, b'{"temperature":31}')
        assert (event.device, event.properties) == (DEVICE, {"room": "cellar"})
        assert (event.system["contentType"], event.system["contentEncoding"]) == ("application/json", "utf-8")
        site.hub.send_c2d(identity(DEVICE), b"turn left")
        await until(lambda: "turn left" in recipe.text_of("node-red.log"), PATIENCE_S)
        seen(Table.GATEWAY, Client.NODE_RED.over("mqtt3"), "telemetry", "C2D")
        await recipe.follow("The nodes for IoT Hub")
        event = await first(site, b'{"temperature":32}')
        assert event.device == DEVICE
        site.hub.send_c2d(identity(DEVICE), b"turn right")
        await until(lambda: "turn right" in recipe.text_of("hub.log"), PATIENCE_S)
        seen(Table.GATEWAY, Client.NODE_RED_IOT_HUB.over("mqtt3"), "telemetry", "C2D")
        assert recipe.left == []


async def test_the_flow_logs_in_again_with_new_tokens(site: GatewaySite) -> None:
    site.hub.add_device(DEVICE, keys=(sas.encode_key(KEY),))
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub")
    await site.gateway.said("connected upstream on behalf of devices")
    async with Recipe.open(PAGE, site, ready="Started flows") as recipe:
        await recipe.follow("A device")
        recipe.written("settings.js")
        often = recipe.written("flows.json").replace('"repeat": "3000"', '"repeat": "3"')
        (recipe.folder / "flows.json").write_text(often)
        assert await recipe.type("node_modules/.bin/node-red --userDir . > node-red.log 2>&1 &") == (0, "")
        await site.counted("gateway_connected_devices_total", 3)
        count = site.hub.events.count()
        await site.arrived(2, after=count)
        site.hub.send_c2d(identity(DEVICE), b"turn left")
        await until(lambda: "turn left" in recipe.text_of("node-red.log"), PATIENCE_S)
