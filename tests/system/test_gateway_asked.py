"""Commands that ask the gateway that runs, and what it tells of who comes and goes."""

import json
from typing import Any

from support.azure_device import Inbox
from support.gateway_site import GatewaySite
from support.paho_device import PahoDevice, let_in

METHODS = "$iothub/methods/POST/#"
STATES = {"states": "FROM /deviceConnectionStateEvents INTO $upstream"}


async def takes_methods(device: PahoDevice, answer: dict[str, Any]) -> Inbox:
    """The device answers every call with this; gives what it was called with."""
    subscribed, calls = Inbox(), Inbox()

    def on_call(_client: Any, _data: Any, message: Any) -> None:
        calls((message.topic.split("/")[3], message.payload))
        rid = message.topic.split("$rid=")[1]
        device.client.publish(f"$iothub/methods/res/200/?$rid={rid}", json.dumps(answer), qos=1)

    device.client.on_message = on_call
    device.client.on_subscribe = lambda *_: subscribed(None)
    device.client.subscribe(METHODS, qos=1)
    await subscribed.next()
    return calls


async def test_a_device_is_called_while_the_cloud_is_away(site: GatewaySite) -> None:
    site.register("d1")
    await site.gateway.start()
    async with let_in(site, "d1") as device:
        calls = await takes_methods(device, {"blinked": 3})
        async with site.without_hub():
            said = await site.command("method", "d1", "blink", '{"times": 3}')
        assert (said.code, said.out, said.error) == (0, '200 {"blinked": 3}\n', "")
        assert await calls.next() == ("blink", b'{"times":3}')
    said = await site.command("method", "d1", "blink")
    assert said.code == 1
    assert "not connected here" in said.error


async def test_the_state_is_told_to_who_asks_on_the_spot(site: GatewaySite) -> None:
    site.register("d1")
    await site.gateway.start()
    async with let_in(site, "d1"):
        said = await site.command("status", "--devices")
        assert said.code == 0, said.error
        assert "devices   1 connected" in said.out
        assert said.out.endswith("          d1\n")
    await site.gateway.stop()
    assert (await site.command("status")).code == 2


async def test_routes_and_the_twin_hear_who_came_and_who_went(site: GatewaySite) -> None:
    site.register("d1", "d2")
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(site.write_settings(routes=STATES)))
    async with let_in(site, "d1"):
        async with let_in(site, "d2"):
            pass
        await site.arrived(3)  # two goodbyes that wait in two sockets have no order
    events = await site.arrived(4)
    told = [(event.properties["leafDeviceId"], event.properties["opType"]) for event in events]
    assert told == [
        ("d1", "deviceConnected"),
        ("d2", "deviceConnected"),
        ("d2", "deviceDisconnected"),
        ("d1", "deviceDisconnected"),
    ]
    assert json.loads(events[2].body)["reason"] == "goodbye"
    twin = await site.reported(lambda twin: "connections" in twin)
    assert "connected" in twin["connections"]
    assert await site.counted("gateway_connected_devices_total", 2) == 2


async def test_the_last_words_of_devices_are_kept_when_the_gateway_stops(site: GatewaySite) -> None:
    site.register("d1")
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(site.write_settings(routes=STATES)))
    async with let_in(site, "d1"):
        await site.arrived(1)
        await site.nothing_waits()
        await site.gateway.stop()
    await site.gateway.start()
    await site.arrived(2)
    await site.nothing_waits()
    # The last may have come before the end, and again.
    _, went = {event.system["messageId"]: event for event in await site.arrived(2)}.values()
    assert json.loads(went.body)["reason"] == "shutdown"
