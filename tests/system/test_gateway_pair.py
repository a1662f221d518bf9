"""Two gateways of one site behind one name: devices move between them, and one is killed with a backlog."""

import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from support.further_gateway import further
from support.gateway_site import KEY, GatewaySite, until
from support.hub_faults import back, refuse
from support.listening_device import ListeningDevice, exchange
from support.numbered_devices import NumberedDevice, judge, progress, sending
from support.paho_device import Dial, PahoDevice, dialling

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


def newest(site: GatewaySite, device: str) -> int:
    """The highest number of this device that has arrived."""
    return max((int(event.body) for event in site.hub.events.read(0, 1_000_000) if event.device == device), default=-1)


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
        held = {device.device: max(device.acknowledged) for device in devices}
        await progress(devices, 20)
        back(site.hub)
        await until(lambda: all(newest(site, name) > number for name, number in held.items()))
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


@asynccontextmanager
async def at(gateway: GatewaySite, *, session: bool) -> AsyncIterator[ListeningDevice]:
    """The device d1 there; `session` is whether the gateway must know it from before."""
    how = Dial(clean=False)
    device = PahoDevice(gateway, "d1", how)
    listening = ListeningDevice(device)
    async with dialling(device, gateway.address, how.port):
        assert await device.connects.next() == 0
        assert device.sessions == [session]
        if not session:
            await listening.subscribe()
        yield listening


async def test_what_the_cloud_has_for_a_device_follows_it(site: GatewaySite, second: GatewaySite) -> None:
    for each in (site, second):
        each.register("d1")
    hub = site.hub
    hub.add_device("d1", keys=KEYS)
    await start(site, second)
    async with at(site, session=False) as listening:
        await exchange(hub, "d1", listening, "first")
    hub.send_c2d(D1, b"on the way")
    async with at(second, session=False) as listening:
        assert await listening.messages.next() == b"on the way"
        await until(lambda: hub.hub.c2d_waiting(D1) == 0)
        await exchange(hub, "d1", listening, "second")
        twin = await listening.twin()
        assert (twin["desired"]["at"], twin["reported"]["first"]) == ("second", "reported")
    async with at(site, session=True) as listening:
        await exchange(hub, "d1", listening, "again")
        twin = await listening.twin()
    cloud = hub.hub.twin(D1)
    assert twin["desired"] == {"at": "again", "$version": cloud.desired_version}
    reported = dict.fromkeys(("first", "second", "again"), "reported")
    assert twin["reported"] == {**reported, "$version": cloud.reported_version}
    assert hub.counters["c2d completed"] == 4, "each message was taken once"
