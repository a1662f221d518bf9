"""What the cloud has for devices comes down through the gateway, whatever happens to the hub or to the gateway."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from edgewire.iothub import sas
from edgewire.message import identity
from support.azure_device import Inbox
from support.gateway_site import KEY, GatewaySite, until
from support.hub_faults import back, drop, refuse
from support.paho_device import Dial, PahoDevice, dialling

KEYS: Final = (sas.encode_key(KEY),)
D1: Final = identity("d1")
UP: Final = "connected upstream on behalf of devices"
LOST: Final = "link upstream on behalf of devices lost"
METHODS: Final = "$iothub/methods/POST/"
TWIN: Final = "$iothub/twin/"


class Listener:
    """A device that hears all that is meant for it, and answers each call with 200."""

    def __init__(self, device: PahoDevice) -> None:
        self.device = device
        self.subscribed, self.messages, self.calls = Inbox(), Inbox(), Inbox()
        self.twin, self.desired = Inbox(), Inbox()
        device.client.on_subscribe = lambda *_: self.subscribed(None)
        device.client.on_message = lambda _client, _data, message: self._on_message(message.topic, message.payload)

    async def subscribe(self) -> None:
        """Take all."""
        filters = [f"devices/{self.device.device}/messages/devicebound/#", METHODS + "#"]
        filters += [TWIN + "res/#", TWIN + "PATCH/properties/desired/#"]
        self.device.client.subscribe([(name, 1) for name in filters])
        await self.subscribed.next()

    async def ask(self, topic: str, body: str = "") -> tuple[str, Any]:
        """Ask the twin: the status, and what it says."""
        self.device.client.publish(TWIN + topic, body)
        topic, payload = await self.twin.next()
        return topic.split("/")[3], json.loads(payload) if payload else None

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic.startswith(METHODS):
            name, _, rid = topic.removeprefix(METHODS).partition("/?$rid=")
            self.device.client.publish(f"$iothub/methods/res/200/?$rid={rid}", payload)
            self.calls((name, payload))
        elif topic.startswith(TWIN + "res/"):
            self.twin((topic, payload))
        elif topic.startswith(TWIN):
            self.desired(json.loads(payload))
        else:
            self.messages(payload)


@asynccontextmanager
async def listening(site: GatewaySite, *, again: bool = False) -> AsyncIterator[Listener]:
    """The device d1; `again` with the session that it had."""
    how = Dial(clean=False)
    made = Listener(PahoDevice(site, "d1", how))
    async with dialling(made.device, site.address, how.port):
        assert await made.device.connects.next() == 0
        if not again:
            await made.subscribe()
        yield made


async def start(site: GatewaySite, **settings: str) -> None:
    """A gateway that sends on behalf of devices, and the hub knows them."""
    site.hub.add_device("d1", keys=KEYS)
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", **settings)
    await site.gateway.said(UP)


async def call(site: GatewaySite, listener: Listener, name: str) -> None:
    """The hub calls, the device answers."""
    result = await site.hub.hub.invoke_method(D1, name, {"n": name}, connect_timeout_s=20)
    assert (result.status, json.loads(result.payload)) == (200, {"n": name})
    assert await listener.calls.next() == (name, json.dumps({"n": name}, separators=(",", ":")).encode())


async def test_connections_of_the_hub_that_break_cost_the_device_nothing(site: GatewaySite) -> None:
    await start(site)
    async with listening(site) as listener:
        for turn in range(3):
            site.hub.send_c2d(D1, b"%d" % turn)
            assert await listener.messages.next() == b"%d" % turn
            await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)
            await call(site, listener, f"m{turn}")
            site.hub.set_desired(D1, {"turn": turn})
            while (await listener.desired.next()).get("turn") != turn:
                pass
            said = len(site.gateway.lines)
            drop(site.hub)
            await site.gateway.said(LOST, after=said)
            await site.gateway.said(UP, after=said)
    assert site.hub.counters["c2d completed"] == 3

    async def both_stand() -> bool:
        status = await site.status()
        return all(status[way]["state"] == "connected" for way in ("upstream", "upstreamOnBehalf"))

    await until(both_stand)


async def test_what_happens_while_the_hub_is_away_is_caught_up(site: GatewaySite) -> None:
    await start(site)
    async with listening(site) as listener:
        status, twin = await listener.ask("GET/?$rid=1")
        assert (status, twin["desired"]) == ("200", {"$version": 1})
        said = len(site.gateway.lines)
        refuse(site.hub)
        await site.gateway.said(LOST, after=said)
        assert await listener.ask("PATCH/properties/reported/?$rid=2", '{"led":"on"}') == ("204", None)
        status, twin = await listener.ask("GET/?$rid=3")
        assert (status, twin["reported"]["led"]) == ("200", "on")
        site.hub.set_desired(D1, {"interval": 5})
        site.hub.send_c2d(D1, b"while away")
        back(site.hub)
        await until(lambda: site.hub.reported(D1) == {"led": "on"})
        while (await listener.desired.next()).get("interval") != 5:
            pass
        assert await listener.messages.next() == b"while away"
        await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)
        await call(site, listener, "again")


async def test_a_gateway_that_is_killed_loses_nothing_that_the_hub_has_for_a_device(site: GatewaySite) -> None:
    await start(site)
    async with listening(site) as listener:
        site.hub.send_c2d(D1, b"1")
        assert await listener.messages.next() == b"1"
        await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)
        refuse(site.hub)
        assert await listener.ask("PATCH/properties/reported/?$rid=1", '{"led":"on"}') == ("204", None)
        await site.gateway.kill()
        await listener.device.disconnects.next()
    site.hub.send_c2d(D1, b"2")
    back(site.hub)
    await site.gateway.start()
    await until(lambda: site.hub.reported(D1) == {"led": "on"})
    assert site.hub.hub.c2d_waiting(D1) == 1
    async with listening(site, again=True) as listener:
        assert await listener.messages.next() == b"2"
        await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)
        await call(site, listener, "m")
        site.hub.set_desired(D1, {"interval": 5})
        while (await listener.desired.next()).get("interval") != 5:
            pass


async def test_without_a_way_on_behalf_of_devices_nothing_comes_down_and_the_device_is_told(site: GatewaySite) -> None:
    site.hub.add_device("d1", keys=KEYS)
    await site.gateway.start()
    async with listening(site) as listener:
        status, said = await listener.ask("GET/?$rid=1")
        assert status == "501"
        assert "does not serve twins" in said["message"]
        site.hub.send_c2d(D1, b"x")
        assert site.hub.hub.c2d_waiting(D1) == 1
