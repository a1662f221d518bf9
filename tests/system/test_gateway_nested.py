"""A gateway whose upstream is another gateway of ours: what devices send arrives, what is for them comes down."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Registration, Roster, SymmetricKeys
from support.further_gateway import further
from support.gateway_site import KEY, GatewaySite, until
from support.hub_faults import back, refuse
from support.listening_device import ListeningDevice, exchange
from support.numbered_devices import NumberedDevice, judge, numbered, progress, sending
from support.paho_device import Dial, let_in

KEYS: Final = (sas.encode_key(KEY),)
LOWER: Final = identity("edge-2", "gateway")
UP: Final = "connected upstream on behalf of devices"
ON_BEHALF: Final = {"GATEWAY_UPSTREAM": "none", "GATEWAY_UPSTREAM_AMQP": "edgehub"}
AS_MODULE: Final = {"GATEWAY_LOWER_GATEWAYS": "edge-2/gateway"}
ARRIVES_S: Final = 60.0
"""Two links are built anew, each with its pauses, and the machine may be busy."""
RECEIVED: Final = "gateway_received_messages_total"


class Floors:
    """The lower gateway, and how it reaches the upper one."""

    def __init__(self, certificates: Path, address: str) -> None:
        self.certificates = certificates
        self.address = address

    @asynccontextmanager
    async def below(self, upper: GatewaySite, way: str) -> AsyncIterator[GatewaySite]:
        """The lower gateway, started: `way` is on behalf of devices, or as its module."""
        hub = upper.hub
        settings = {"GATEWAY_UPSTREAM": "none", "GATEWAY_UPSTREAM_AMQP": upper.address}
        if way == "module":
            hub.add_device("edge-2", edge=True)
            hub.add_module("gateway", device="edge-2", keys=KEYS)
            parts = (
                f"HostName={hub.hub_name};DeviceId=edge-2;ModuleId=gateway",
                f"SharedAccessKey={KEYS[0]};GatewayHostName={upper.address}",
            )
            settings = {
                "GATEWAY_UPSTREAM": "edgehub",
                "EdgeHubConnectionString": ";".join(parts),
                "EdgeModuleCACertificateFile": str(upper.root_file),
            }
        async with further(hub, upper.folder / "lower", self.certificates, self.address, **settings) as lower:
            await lower.gateway.start()
            yield lower


@pytest.fixture
def floors(certificates: Path, loopback: Iterator[str]) -> Floors:
    return Floors(certificates, next(loopback))


def at_the_hub(upper: GatewaySite, lower: GatewaySite, count: int) -> list[NumberedDevice]:
    """Devices of the lower gateway, which the hub knows."""
    devices = numbered(lower, count, burst_pause_s=0.1)
    for device in devices:
        upper.hub.add_device(device.device, keys=KEYS)
    return devices


def know_the_lower(upper: GatewaySite) -> None:
    """Register the lower gateway: without a way on behalf of devices the upper one cannot ask the hub about it."""
    upper.register(LOWER.device)
    entry = Registration(LOWER, SymmetricKeys(KEY, KEY))
    Registry(upper.data / FILE_NAME).edit(lambda before: Roster.with_registration(before, entry))


@pytest.mark.parametrize(
    ("lower_way", "upper_way"), [("devices", "devices"), ("module", "devices"), ("module", "module")]
)
async def test_nothing_is_lost_with_the_hub_away_and_the_upper_gateway_killed(
    site: GatewaySite, floors: Floors, lower_way: str, upper_way: str
) -> None:
    if upper_way == "module":
        know_the_lower(site)
    await site.gateway.start(**(ON_BEHALF if upper_way == "devices" else AS_MODULE))
    async with floors.below(site, lower_way) as lower:
        if (lower_way, upper_way) == ("module", "devices"):
            await comes_to_its_settings(site, lower)
        if upper_way == "module":
            await lower.gateway.said("the module twin could not be synchronised: twin operation returned status 501")
        devices = at_the_hub(site, lower, 3)
        async with sending(devices):
            await progress(devices, 20)
            refuse(site.hub)
            await progress(devices, 20)
            await site.gateway.kill()
            await progress(devices, 20)
            await site.gateway.start()
            await progress(devices, 20)
            back(site.hub)
            await progress(devices, 20)
        await until(lambda: not judge(devices, site.hub.events.read(0, 1_000_000)).lost, ARRIVES_S)
    events = site.hub.events.read(0, 1_000_000)
    judge(devices, events).assert_none()
    assert [device.connects for device in devices] == [1, 1, 1], "devices notice nothing"
    senders = {str(identity(event.device, event.module)) for event in events}
    leaves = {event.properties.get("leafDeviceId", "") for event in events}
    named = {device.device for device in devices}
    match lower_way, upper_way:
        case "devices", "devices":
            assert (senders, leaves) == (named, {""})
        case "module", "devices":
            assert (senders, leaves) == ({"edge-2/gateway"}, named)
        case _:
            assert (senders, leaves) == ({"edge-1/gateway"}, named)
            assert {event.properties["leafGatewayId"] for event in events} == {"edge-2/gateway"}


async def comes_to_its_settings(upper: GatewaySite, lower: GatewaySite) -> None:
    """The lower gateway's own twin and methods come through the upper one."""
    routes = {"all": "FROM /messages/* INTO $upstream"}
    upper.hub.set_desired(LOWER, {"schemaVersion": "1.0", "routes": routes})
    await lower.gateway.said("from twin in force")
    await until(lambda: upper.hub.reported(LOWER).get("routes") == {"all": {"status": "ok"}})
    called = await upper.hub.hub.invoke_method(LOWER, "getStatus", None, connect_timeout_s=45)
    assert called.status == 200


async def test_messages_methods_and_twins_come_down_through_both(site: GatewaySite, floors: Floors) -> None:
    site.hub.add_device("d1", keys=KEYS)
    await site.gateway.start(**ON_BEHALF)
    async with floors.below(site, "devices") as lower:
        lower.register("d1")
        async with let_in(lower, "d1", Dial(clean=False)) as device:
            listening = ListeningDevice(device)
            await listening.subscribe()
            await exchange(site.hub, "d1", listening, "first")
            said = len(lower.gateway.lines)
            await site.gateway.kill()
            await site.gateway.start()
            await lower.gateway.said(UP, after=said)
            await exchange(site.hub, "d1", listening, "again")


async def test_two_gateways_that_are_each_others_upstream_are_told_and_nothing_goes_round(
    site: GatewaySite, floors: Floors
) -> None:
    loop = "is a gateway to which this one sends: set GATEWAY_UPSTREAM_AMQP of one of the two to another place"
    site.register("n0")
    site.hub.add_device("n0", keys=KEYS)
    await site.gateway.start(GATEWAY_UPSTREAM="none", GATEWAY_UPSTREAM_AMQP=floors.address)
    async with floors.below(site, "devices") as lower:
        both = (site.gateway, lower.gateway)
        done, waiting = await asyncio.wait(
            [asyncio.ensure_future(each.said(loop, 45)) for each in both], return_when=asyncio.FIRST_COMPLETED
        )
        for task in waiting:
            task.cancel()
        await asyncio.wait([*done, *waiting])
        lower.register("n0")
        devices = [NumberedDevice(lower, "n0", burst_pause_s=0.1)]
        async with sending(devices):
            await progress(devices, 20)
        said = 0

        async def is_quiet() -> bool:
            """Whether nothing has been received for a second: what goes round would be, again and again."""
            nonlocal said
            before, said = said, sum([(await each.metrics()).get(RECEIVED, 0) for each in (site, lower)])
            await asyncio.sleep(1)
            return before == said

        await until(is_quiet)
        assert said <= 2 * len(devices[0].acknowledged), "each gateway has each message once at most"
