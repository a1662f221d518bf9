"""Node's unmodified azure-iot-device behind the gateway, over MQTT and AMQP: all that the cloud has for a device."""

from typing import Any, Final

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from standin.hub import MethodResult
from support.amqp_peers import BODIES, MESSAGES, NODE_DEVICE, Peer, Server, peer
from support.gateway_site import KEY, PATIENCE_S, GatewaySite, until

KEYS: Final = (sas.encode_key(KEY),)
D1: Final = identity("d1")
UP: Final = "connected upstream on behalf of devices"
each_transport = pytest.mark.parametrize("transport", ["mqtt", "amqp"])


async def start(site: GatewaySite, **settings: str) -> None:
    """A gateway that sends on behalf of devices, and the hub knows them."""
    for device in ("d1", "d2"):
        site.hub.add_device(device, keys=KEYS)
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", **settings)
    await site.gateway.said(UP)


def said(running: Peer, event: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key != "event"} for line in running.said if line["event"] == event
    ]


@each_transport
@pytest.mark.parametrize("module", ["edgehub", "none"])
async def test_a_device_has_all_that_a_device_can_have(site: GatewaySite, transport: str, module: str) -> None:
    await start(site, GATEWAY_UPSTREAM=module)
    plan = Server.of(site).node(
        "d1",
        transport=transport,
        messages=MESSAGES,
        twin=True,
        report={"r": {"s": 1}},
        method="reboot",
        known_version=1,
        settle=["complete", "complete"],
    ) | {"await": ["message", "method", "desired"]}
    for number in range(2):
        site.hub.send_c2d(D1, b"c2d %d" % number, {"a b": "c/d&e"}, messageId=f"m{number}")
    async with peer(NODE_DEVICE, plan) as running:
        await running.until("listening")
        result = await site.hub.hub.invoke_method(D1, "reboot", {"in": 3}, connect_timeout_s=PATIENCE_S)
        site.hub.set_desired(D1, {"interval": 5})
        await running.succeed()
    assert result == MethodResult(207, b'{"got":{"in":3}}')
    assert [event.body for event in await site.arrived(2)] == BODIES
    assert said(running, "twin") == [{"desired": {"$version": 1}, "reported": {"$version": 1}}]
    assert site.hub.reported(D1) == {"r": {"s": 1}}
    assert said(running, "method") == [{"name": "reboot", "payload": {"in": 3}}]
    assert said(running, "desired")[-1] == {"patch": {"interval": 5, "$version": 2}}
    properties = [{"key": "a b", "value": "c/d&e"}]
    assert said(running, "message") == [
        {"body": "c2d 0", "id": "m0", "properties": properties},
        {"body": "c2d 1", "id": "m1", "properties": properties},
    ]
    await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)
    assert site.hub.counters["c2d completed"] == 2


async def test_over_amqp_a_message_is_completed_rejected_or_given_back_at_the_hub(site: GatewaySite) -> None:
    await start(site)
    settle = ["reject", "abandon", "complete"]
    plan = Server.of(site).node("d1", transport="amqp", settle=settle) | {"await": ["message"]}
    for number in range(2):
        site.hub.send_c2d(D1, b"", {"iothub-ack": "full"}, messageId=f"m{number}")
    async with peer(NODE_DEVICE, plan) as running:
        await running.succeed()
    await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)
    assert [line["id"] for line in said(running, "message")] == ["m0", "m1", "m1"]
    assert [site.hub.counters[f"c2d {each}"] for each in ("rejected", "abandoned", "completed")] == [1, 1, 1]


async def test_over_amqp_it_hears_and_answers_again_after_the_gateway_was_stopped_and_started(
    site: GatewaySite,
) -> None:
    """By itself, soon. After a close of AMQP its SDK waits for 45 s, and takes neither messages nor calls then."""
    await start(site)
    plan = Server.of(site).node("d1", transport="amqp", method="reboot") | {"retries": True}
    async with peer(NODE_DEVICE, plan | {"await": ["message", "method"]}) as running:
        await running.until("listening")
        await site.gateway.stop()
        await site.gateway.start()
        site.hub.send_c2d(D1, b"again", messageId="m0")
        result = await site.hub.hub.invoke_method(D1, "reboot", 1, connect_timeout_s=30)
        await running.succeed()
    assert result == MethodResult(207, b'{"got":1}')
    assert [line["id"] for line in said(running, "message")] == ["m0"]
