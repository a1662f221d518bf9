"""Two gateways of one site behind one name: devices move between them, and one is killed with a backlog."""

import copy
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from support.azure_device import Inbox
from support.further_gateway import further
from support.gateway_site import KEY, GatewaySite, until
from support.hub_faults import back, refuse
from support.numbered_devices import NumberedDevice, judge, progress, sending
from support.paho_device import Dial, PahoDevice, let_in

KEYS: Final = (sas.encode_key(KEY),)
D1: Final = identity("d1")
UP: Final = "connected upstream on behalf of devices"


@pytest.fixture
async def second(
    site: GatewaySite, tmp_path: Path, certificates: Path, loopback: Iterator[str]
) -> AsyncIterator[GatewaySite]:
    """The other gateway: the same devices and CA, files of its own."""
    settings = {"GATEWAY_UPSTREAM": "none", "GATEWAY_UPSTREAM_AMQP": site.hub.address}
    async with further(site.hub, tmp_path / "second", certificates, next(loopback), **settings) as second:
        yield second


async def start(*sites: GatewaySite) -> None:
    """All on behalf of devices alone."""
    for each in sites:
        await each.gateway.start(GATEWAY_UPSTREAM="none", GATEWAY_UPSTREAM_AMQP=each.hub.address)
        await each.gateway.said(UP)


async def test_what_a_dead_gateway_held_arrives_once_it_is_back(site: GatewaySite, second: GatewaySite) -> None:
    names = ["n0", "n1", "n2"]
    for each in (site, second):
        each.register(*names)
    for name in names:
        site.hub.add_device(name, keys=KEYS)
    await start(site, second)
    behind = copy.copy(site)  # what the one name leads to
    devices = [NumberedDevice(behind, each, burst_pause_s=0.1) for each in names]
    async with sending(devices):
        await progress(devices, 20)
        refuse(site.hub)
        await progress(devices, 20)
        behind.address = second.address
        await site.gateway.kill()
        await progress(devices, 20)
        back(site.hub)
        await progress(devices, 20)
        await site.gateway.start()
        await progress(devices, 20)
    await until(lambda: not judge(devices, site.hub.events.read(0, 1_000_000)).lost)
    events = site.hub.events.read(0, 1_000_000)
    findings = judge(devices, events)
    assert (findings.lost, findings.copied) == ({}, {})
    assert set(findings.reordered) == set(names), "what was held comes behind what was sent meanwhile"
    assert {event.device for event in events} == set(names)
    assert [device.connects for device in devices] == [2, 2, 2]


class Roamer:
    """The device d1 at one of the gateways, with a session that is to stay."""

    def __init__(self, device: PahoDevice) -> None:
        self.device = device
        self.subscribed, self.messages, self.twin, self.desired = Inbox(), Inbox(), Inbox(), Inbox()
        device.client.on_subscribe = lambda *_: self.subscribed(None)
        device.client.on_message = lambda _client, _data, message: self._on_message(message.topic, message.payload)

    async def subscribe(self) -> None:
        """As the SDKs do: when the other side says that it has no session."""
        filters = ["devices/d1/messages/devicebound/#", "$iothub/methods/POST/#"]
        filters += ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"]
        self.device.client.subscribe([(name, 1) for name in filters])
        await self.subscribed.next()

    async def whole_twin(self) -> Any:
        """What a GET says."""
        self.device.client.publish("$iothub/twin/GET/?$rid=1", "")
        return await self.twin.next()

    async def report(self, name: str, value: str) -> None:
        """One reported property."""
        self.device.client.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", json.dumps({name: value}))
        await self.twin.next()

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic.startswith("$iothub/methods/"):
            self.device.client.publish(f"$iothub/methods/res/200/?$rid={topic.partition('?$rid=')[2]}", payload)
        elif topic.startswith("$iothub/twin/res/"):
            self.twin(json.loads(payload) if payload else {})
        elif topic.startswith("$iothub/twin/"):
            self.desired(json.loads(payload))
        else:
            self.messages(payload)


@asynccontextmanager
async def at(gateway: GatewaySite, *, session: bool) -> AsyncIterator[Roamer]:
    """The device there; `session` is whether the gateway must know it from before."""
    async with let_in(gateway, "d1", Dial(clean=False)) as device:
        roamer = Roamer(device)
        assert device.sessions == [session]
        if not session:
            await roamer.subscribe()
        yield roamer


async def exchange(gateway: GatewaySite, roamer: Roamer, word: str) -> None:
    """A message, a call and a change of the twin reach the device, a report reaches the hub."""
    hub = gateway.hub
    hub.send_c2d(D1, word.encode())
    assert await roamer.messages.next() == word.encode()
    await until(lambda: hub.hub.c2d_waiting(D1) == 0)
    called = await hub.hub.invoke_method(D1, "m", {"at": word}, connect_timeout_s=20)
    assert (called.status, json.loads(called.payload)) == (200, {"at": word})
    await roamer.report(word, "reported")
    await until(lambda: hub.reported(D1).get(word) == "reported")
    hub.set_desired(D1, {"at": word})
    while (await roamer.desired.next()).get("at") != word:
        pass


async def test_what_the_cloud_has_for_a_device_follows_it(site: GatewaySite, second: GatewaySite) -> None:
    for each in (site, second):
        each.register("d1")
    site.hub.add_device("d1", keys=KEYS)
    await start(site, second)
    async with at(site, session=False) as roamer:
        await exchange(site, roamer, "first")
    site.hub.send_c2d(D1, b"on the way")
    async with at(second, session=False) as roamer:
        assert await roamer.messages.next() == b"on the way"
        await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)
        await exchange(second, roamer, "second")
        twin = await roamer.whole_twin()
        assert (twin["desired"]["at"], twin["reported"]["first"]) == ("second", "reported")
    async with at(site, session=True) as roamer:
        await exchange(site, roamer, "again")
        twin = await roamer.whole_twin()
    cloud = site.hub.hub.twin(D1)
    assert twin["desired"] == {"at": "again", "$version": cloud.desired_version}
    assert {name: twin["reported"][name] for name in ("first", "second", "again")} == dict.fromkeys(
        ("first", "second", "again"), "reported"
    )
    assert twin["reported"]["$version"] == cloud.reported_version
    assert site.hub.counters["c2d completed"] == 4, "each message was taken once"
