"""Devices with topics of their own and no TLS, straight into the gateway: Debian's mosquitto_pub (story S10)."""

import asyncio
import json
from typing import Any, Final

from edgewire.message import identity
from gateway.identity.registry import FILE_NAME, Registry
from support.gateway_site import PATIENCE_S, GatewaySite, until

PORT: Final = "1883"
RULES: Final[list[dict[str, Any]]] = [
    {
        "listener": "plain",
        "match": "site/+room/+kind",
        "device": "{room}",
        "properties": {"kind": "{kind}"},
        "contentType": "application/json",
        "contentEncoding": "utf-8",
    }
]
ROUTES: Final = {
    "hot": "FROM /messages/* WHERE is_number($body.temperature) AND $body.temperature > 30 INTO $upstream",
    "doors": "FROM /messages/* WHERE kind = 'door' INTO $upstream",
}


async def publish(site: GatewaySite, topic: str, payload: str, *more: str) -> None:
    """What a device without TLS does."""
    where = ("--host", site.address, "--port", PORT, "--username", "sensors", "--pw", "secret")
    process = await asyncio.create_subprocess_exec(
        *("mosquitto_pub", *where, "--qos", "1", "--topic", topic, "--message", payload, *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


async def start(site: GatewaySite, **members: Any) -> None:
    settings = site.write_settings(routes=ROUTES, topics=RULES, **members)
    checked = await site.command("check", str(settings))
    assert checked.code == 0, checked
    await site.gateway.start(
        GATEWAY_PLAIN_PORT=PORT, GATEWAY_PLAIN_ADDRESS=site.address, GATEWAY_SETTINGS_FILE=str(settings)
    )


async def test_free_topics_become_devices_properties_and_bodies_that_routes_read(site: GatewaySite) -> None:
    added = await site.command("users", "add", "sensors", "--password", "plain:secret", "--publish", "#")
    assert added.code == 0, added
    await start(site, topicDevices={"create": True})
    await publish(site, "site/lab/climate", '{"temperature": 31}')
    await publish(site, "site/lab/climate", '{"temperature": 21}')
    await publish(site, "site/hall/door", "open", "-V", "mqttv5", "-D", "PUBLISH", "user-property", "unit", "none")
    hot, door = await site.arrived(2)
    assert hot.body == b'{"temperature": 31}'
    assert hot.properties == {"leafDeviceId": "lab", "kind": "climate", "topic": "site/lab/climate"}
    assert hot.system["contentType"] == "application/json"
    assert door.body == b"open"
    assert door.properties["unit"] == "none"
    assert door.properties["leafDeviceId"] == "hall"

    await publish(site, "office/lamp", "on")
    await publish(site, "office/lamp", "off")
    assert await site.counted('gateway_unmatched_publications_total{listener="plain"}', 2) == 2
    assert (await site.status())["topics"]["unmatched"] == [{"listener": "plain", "topic": "office/lamp", "count": 2}]
    assert "no rule takes 'office/lamp' (plain), 2 times" in (await site.command("status")).out


async def test_devices_that_came_by_a_topic_are_known_after_a_kill_and_shut_out_by_a_command(site: GatewaySite) -> None:
    await site.command("users", "add", "sensors", "--password", "plain:secret", "--publish", "#")
    await start(site, topicDevices={"create": True})
    await publish(site, "site/lab/door", "open")
    await until(lambda: Registry(site.data / FILE_NAME).find(identity("lab")) is not None)
    await site.gateway.kill()
    await start(site)  # nobody is made any more
    await publish(site, "site/lab/door", "shut")
    assert await site.counted('gateway_mapped_publications_total{listener="plain"}') == 1
    await publish(site, "site/hall/door", "open")
    unknown = 'gateway_refused_publications_total{listener="plain",reason="unknown_device"}'
    assert await site.counted(unknown) == 1

    assert (await site.command("devices", "disable", "lab")).code == 0
    await site.gateway.said("devices.json was changed and is in force")
    await publish(site, "site/lab/door", "open")
    disabled = 'gateway_refused_publications_total{listener="plain",reason="disabled_device"}'
    assert await site.counted(disabled) == 1
    shown = json.loads((await site.command("devices", "show", "lab", "--json")).out)
    assert (shown["status"], shown["authentication"]) == ("disabled", "no login, by topics")
    # What was on its way when the gateway was killed may come twice.
    await until(lambda: {event.body for event in site.hub.events.read(0, 1_000)} == {b"open", b"shut"})
