"""Twins by unmodified clients behind the gateway: while the hub is away, when it comes back, after a restart."""

import asyncio
import json
from itertools import count
from typing import Any, Final

import pytest
from azure.iot.device import IoTHubDeviceClient
from azure.iot.device.exceptions import ClientError

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Registration, SymmetricKeys
from support.amqp_peers import NODE_DEVICE, Server, fail, peer
from support.azure_device import Inbox, blocking, connected, listen
from support.clients import Client
from support.compatibility import Table, each_of, works
from support.gateway_site import KEY, PATIENCE_S, GatewaySite, until
from support.hub_faults import back, refuse
from support.paho_device import ROWS, Dial, PahoDevice, let_in

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

D1: Final = identity("d1")
NODE: Final = Client.NODE_DEVICE.over_each("mqtt", "amqp")
NODE_MODULE: Final = Client.NODE_DEVICES_MODULE.over_each("mqtt", "amqp")
UP: Final = "connected upstream on behalf of devices"
LOST: Final = "link upstream on behalf of devices lost"


async def start(site: GatewaySite) -> None:
    """A gateway that sends on behalf of devices, and the hub knows them."""
    site.hub.add_device("d1", keys=(sas.encode_key(KEY),))
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UPSTREAM="none")
    await site.gateway.said(UP)


async def lose_the_hub(site: GatewaySite) -> None:
    said = len(site.gateway.lines)
    refuse(site.hub)
    await site.gateway.said(LOST, after=said)


def python_device(site: GatewaySite) -> Any:
    return IoTHubDeviceClient.create_from_connection_string(
        f"HostName={site.hub.hub_name};DeviceId=d1;SharedAccessKey={sas.encode_key(KEY)};GatewayHostName={site.address}",
        server_verification_cert=site.hub.trust_bundle,
        connection_retry=False,
    )


def on_disk(site: GatewaySite) -> bytes:
    return b"".join(each.read_bytes() for each in site.data.glob("twins.db*"))


async def test_python_reads_reports_and_hears(site: GatewaySite) -> None:
    await start(site)
    site.hub.set_desired(D1, {"d": {"x": 1}})
    desired = Inbox()
    async with connected(python_device(site)) as client:
        await listen(client, "on_twin_desired_properties_patch_received", desired)
        assert await blocking(client.get_twin) == {
            "desired": {"d": {"x": 1}, "$version": 2},
            "reported": {"$version": 1},
        }
        await blocking(client.patch_twin_reported_properties, {"r": {"s": 1}})
        assert site.hub.reported(D1) == {"r": {"s": 1}}
        site.hub.set_desired(D1, {"d": {"y": 2}})
        while (patch := await desired.next())["$version"] < 3:
            assert patch == {"d": {"x": 1}, "$version": 2}  # what was missed before it subscribed
        assert patch == {"d": {"y": 2}, "$version": 3}
        with pytest.raises(ClientError) as refused:
            await blocking(client.patch_twin_reported_properties, {"a.b": 1})
        assert "400" in str(refused.value.__cause__)


async def read_twin(device: PahoDevice, answers: Inbox) -> Any:
    """What GET is answered. A gateway that has just started may still open its file of twins: ask again then."""
    async with asyncio.timeout(PATIENCE_S):
        for rid in count():
            device.client.publish(f"$iothub/twin/GET/?$rid={rid}")
            answer = await answers.next()
            if answer.topic != f"$iothub/twin/res/503/?$rid={rid}":
                break
    assert answer.topic == f"$iothub/twin/res/200/?$rid={rid}"
    return json.loads(answer.payload)


@pytest.mark.parametrize("version", each_of(Table.GATEWAY, ROWS, "twin get", "twin patch", "twin notify"))
async def test_paho_reads_reports_and_hears_by_the_topics_alone(site: GatewaySite, version: int) -> None:
    await start(site)
    async with let_in(site, "d1", Dial(version=version)) as device:
        answers = await device.subscribed(0, "$iothub/twin/res/#")
        assert await read_twin(device, answers) == {"desired": {"$version": 1}, "reported": {"$version": 1}}
        device.client.publish("$iothub/twin/PATCH/properties/reported/?$rid=r1", b'{"r":1}')
        assert (await answers.next()).topic == "$iothub/twin/res/204/?$rid=r1&$version=2"
        assert site.hub.reported(D1) == {"r": 1}
        patches = await device.subscribed(0, "$iothub/twin/PATCH/properties/desired/#")
        site.hub.set_desired(D1, {"x": 1})
        patch = await patches.next()
        assert patch.topic == "$iothub/twin/PATCH/properties/desired/?$version=2"
        assert json.loads(patch.payload) == {"x": 1, "$version": 2}


@works(Table.GATEWAY, Client.PYTHON_DEVICE.over("mqtt"), "twin offline")
async def test_python_works_on_while_the_hub_is_away_and_the_gateway_restarts(site: GatewaySite) -> None:
    await start(site)
    site.hub.set_desired(D1, {"d": 1})
    async with connected(python_device(site)) as client:
        await blocking(client.get_twin)
        await blocking(client.patch_twin_reported_properties, {"a": 1, "b": {"x": 1}})
        await lose_the_hub(site)
        await blocking(client.patch_twin_reported_properties, {"b": {"y": "hunter2"}})
        assert (await blocking(client.get_twin))["reported"] == {"a": 1, "b": {"x": 1, "y": "hunter2"}, "$version": 3}
    await site.gateway.kill()
    site.hub.set_desired(D1, {"d": None, "e": 5})
    await site.gateway.start()
    desired = Inbox()
    async with connected(python_device(site)) as client:
        await listen(client, "on_twin_desired_properties_patch_received", desired)
        await blocking(client.patch_twin_reported_properties, {"a": None, "c": 3})
        assert await blocking(client.get_twin) == {
            "desired": {"d": 1, "$version": 2},
            "reported": {"b": {"x": 1, "y": "hunter2"}, "c": 3, "$version": 3},
        }
        assert site.hub.reported(D1) == {"a": 1, "b": {"x": 1}}
        assert b"hunter2" not in on_disk(site), "the workload API keeps the key"
        back(site.hub)
        assert await desired.next() == {"d": None, "e": 5, "$version": 3}
    assert site.hub.reported(D1) == {"b": {"x": 1, "y": "hunter2"}, "c": 3}


async def test_python_hears_that_its_twin_was_never_seen(site: GatewaySite) -> None:
    await start(site)
    await lose_the_hub(site)
    async with connected(python_device(site)) as client:
        with pytest.raises(ClientError) as refused:
            await blocking(client.get_twin)
        assert "503" in str(refused.value.__cause__)
        await blocking(client.patch_twin_reported_properties, {"a": 1})
        back(site.hub)
        await until(lambda: site.hub.reported(D1) == {"a": 1})


@pytest.mark.parametrize("transport", ["mqtt", "amqp"])
async def test_node_hears_that_its_twin_was_never_seen(site: GatewaySite, transport: str) -> None:
    await start(site)
    await lose_the_hub(site)
    failed = await fail(NODE_DEVICE, Server.of(site).node("d1", transport=transport, twin=True))
    assert "Error" in str(failed)


@pytest.mark.parametrize("transport", each_of(Table.GATEWAY, NODE, "twin offline"))
async def test_node_works_on_while_the_hub_is_away(site: GatewaySite, transport: str) -> None:
    await start(site)
    plan = Server.of(site).node("d1", transport=transport, twin=True, report={"r": 1})
    async with peer(NODE_DEVICE, plan) as running:
        await running.succeed()
    await lose_the_hub(site)
    site.hub.set_desired(D1, {"e": 5})
    more: dict[str, Any] = {"report": {"r": {"s": 2}}, "known_version": 1, "await": ["desired"]}
    plan = Server.of(site).node("d1", transport=transport, twin=True, **more)
    async with peer(NODE_DEVICE, plan) as running:
        await running.until("listening")
        assert site.hub.reported(D1) == {"r": 1}
        back(site.hub)
        said = await running.succeed()
    assert [line for line in said if line["event"] == "twin"] == [
        {"event": "twin", "desired": {"$version": 1}, "reported": {"r": 1, "$version": 2}}
    ]
    assert [line["patch"] for line in said if line["event"] == "desired"] == [{"e": 5, "$version": 2}]
    assert site.hub.reported(D1) == {"r": {"s": 2}}


@pytest.mark.parametrize("transport", each_of(Table.GATEWAY, NODE_MODULE, "twin get", "twin patch"))
async def test_a_module_of_a_device_has_a_twin_of_its_own(site: GatewaySite, transport: str) -> None:
    await start(site)
    module = identity("d1", "probe")
    site.hub.add_module("probe", device="d1", keys=(sas.encode_key(KEY),))
    entry = Registration(module, SymmetricKeys(KEY, KEY[::-1]))
    Registry(site.data / FILE_NAME).edit(lambda roster: roster.with_registration(entry))
    site.hub.set_desired(module, {"rate": 2})
    plan = Server.of(site).node("d1", module="probe", transport=transport, twin=True, report={"r": 1})
    async with peer(NODE_DEVICE, plan) as running:
        said = await running.succeed()
    assert [line for line in said if line["event"] == "twin"] == [
        {"event": "twin", "desired": {"rate": 2, "$version": 2}, "reported": {"$version": 1}}
    ]
    assert site.hub.reported(module) == {"r": 1}
    assert site.hub.reported(D1) == {}
