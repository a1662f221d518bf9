"""The stand-in and Node's unmodified azure-iot-device over four transports: all that goes to devices and modules."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from edgewire.iothub import sas
from edgewire.message import Identity, identity
from standin.app import StandIn
from standin.hub import MethodResult
from standin.routes import parse_routes
from support.amqp_peers import BODIES, MESSAGES, NODE_DEVICE, Peer, Plan, Server, peer
from support.clients import X509, Client
from support.compatibility import Seen, Table, each_of
from support.gateway_site import KEY, PATIENCE_S, until

KEYS: Final = (sas.encode_key(KEY), sas.encode_key(KEY[::-1]))
LEAF: Final = identity("leaf")
MODULE: Final = identity("edge-1", "m1")
ROUTES: Final = parse_routes({"loop": 'FROM /messages/modules/m1/* INTO BrokeredEndpoint("/modules/m1/inputs/in1")'})
TRANSPORTS: Final = ("mqtt", "amqp", *(("mqtt-ws", "amqp-ws") if os.geteuid() == 0 else ()))
"""The SDK knows no port for WebSocket but 443: a privilege."""
each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture
async def standin(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[StandIn]:
    async with StandIn(
        tmp_path / "run", address=next(loopback), modules=("m1",), routes=ROUTES, certificates=certificates
    ) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def server_of(standin: StandIn) -> Server:
    return Server(hub=standin.hub_name, address=standin.address, root=standin.directory / "trust-bundle.pem")


def awaiting(plan: Plan, *kinds: str) -> Plan:
    """The plan, with what the client waits for."""
    return {**plan, "await": kinds}


async def call_and_change(standin: StandIn, who: Identity, running: Peer) -> MethodResult:
    """Once it listens, call the method it waits for and change its desired properties."""
    await running.until("listening")
    result = await standin.hub.invoke_method(who, "reboot", {"in": 3}, connect_timeout_s=PATIENCE_S)
    standin.set_desired(who, {"interval": 5})
    return result


def said(running: Peer, event: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key != "event"} for line in running.said if line["event"] == event
    ]


@each_transport
async def test_a_device_has_all_that_a_device_can_have(standin: StandIn, transport: str) -> None:
    standin.add_device("leaf", keys=KEYS)
    plan = server_of(standin).node(
        "leaf",
        transport=transport,
        messages=MESSAGES,
        twin=True,
        report={"r": {"s": 1}},
        method="reboot",
        known_version=1,
        settle=["complete", "complete"],
    )
    for number in range(2):
        standin.send_c2d(LEAF, b"c2d %d" % number, {"a b": "c/d&e"}, messageId=f"m{number}")
    async with peer(NODE_DEVICE, awaiting(plan, "message", "method", "desired")) as running:
        result = await call_and_change(standin, LEAF, running)
        await running.succeed()
    assert [event.body for event in standin.events.read()] == BODIES
    assert said(running, "twin") == [{"desired": {"$version": 1}, "reported": {"$version": 1}}]
    assert standin.reported(LEAF) == {"r": {"s": 1}}
    assert result == MethodResult(207, b'{"got":{"in":3}}')
    assert said(running, "method") == [{"name": "reboot", "payload": {"in": 3}}]
    assert said(running, "desired") == [{"patch": {"interval": 5, "$version": 2}}]
    properties = [{"key": "a b", "value": "c/d&e"}]
    assert said(running, "message") == [
        {"body": "c2d 0", "id": "m0", "properties": properties},
        {"body": "c2d 1", "id": "m1", "properties": properties},
    ]
    await until(lambda: standin.hub.c2d_waiting(LEAF) == 0)  # the device is not told that the hub knows
    assert standin.counters["c2d completed"] == 2


@pytest.mark.parametrize("transport", [each for each in TRANSPORTS if each.startswith("amqp")])
async def test_over_amqp_a_message_is_completed_rejected_or_given_back(standin: StandIn, transport: str) -> None:
    standin.add_device("leaf", keys=KEYS)
    settle = ["reject", "abandon", "complete"]
    plan = awaiting(server_of(standin).node("leaf", transport=transport, settle=settle), "message")
    for number in range(2):
        standin.send_c2d(LEAF, b"", {"iothub-ack": "full"}, messageId=f"m{number}")
    async with peer(NODE_DEVICE, plan) as running:
        await running.succeed()
    assert [line["id"] for line in said(running, "message")] == ["m0", "m1", "m1"]
    await until(lambda: standin.hub.c2d_waiting(LEAF) == 0)
    assert [standin.counters[f"c2d {each}"] for each in ("rejected", "abandoned", "completed")] == [1, 1, 1]
    standin.hub.feedback.flush()
    batch = standin.hub.feedback.lock()
    assert batch is not None
    assert [record["statusCode"] for record in batch.records()] == ["Rejected", "Success"]


@pytest.mark.parametrize(
    "transport",
    each_of(
        Table.DEVICES,
        Client.NODE_MODULE.over_each(*TRANSPORTS),
        *("telemetry", "input", "twin get", "twin patch", "twin notify", "method"),
    ),
)
async def test_a_module_has_inputs_methods_and_a_twin(standin: StandIn, transport: str) -> None:
    entry = standin.hub.registry.get(MODULE)
    assert entry is not None
    plan = {
        **server_of(standin).node("edge-1", key=sas.decode_key(entry.primary_key)),
        "module": "m1",
        "transport": transport,
        "messages": [{"body": "loop", "properties": {"p": "1"}}],
        "output": "out1",
        "twin": True,
        "report": {"r": 1},
        "method": "reboot",
        "known_version": 1,
        "await": ["input", "method", "desired"],
    }
    async with peer(NODE_DEVICE, plan) as running:
        result = await call_and_change(standin, MODULE, running)
        await running.succeed()
    assert result == MethodResult(207, b'{"got":{"in":3}}')
    assert said(running, "twin") == [{"desired": {"$version": 1}, "reported": {"$version": 1}}]
    assert said(running, "input") == [{"input": "in1", "body": "loop"}]
    assert said(running, "desired") == [{"patch": {"interval": 5, "$version": 2}}]
    assert standin.reported(MODULE) == {"r": 1}
    await until(lambda: standin.hub.inputs.waiting(MODULE) == 0)


@pytest.mark.parametrize(
    "transport", each_of(Table.DEVICES, Client.NODE_DEVICE.over_each(*TRANSPORTS, login=X509), "C2D")
)
async def test_a_device_with_a_certificate_gets_messages(standin: StandIn, tmp_path: Path, transport: str) -> None:
    credential = self_signed_device("thumb")
    standin.add_certificate_device("thumb", [thumbprint_sha256(credential.certificate)])
    standin.send_c2d(identity("thumb"), b"for you")
    plan = awaiting(server_of(standin).certificate("thumb", credential, tmp_path, transport=transport), "message")
    async with peer(NODE_DEVICE, plan) as running:
        await running.succeed()
    assert [line["body"] for line in said(running, "message")] == ["for you"]
    await until(lambda: standin.counters["c2d completed"] == 1)


@pytest.mark.parametrize("transport", ["mqtt", "amqp"])
async def test_a_module_calls_a_method_of_another(standin: StandIn, transport: str, seen: Seen) -> None:
    """Through edgeHub, over HTTPS: the SDK knows no port for it but 443, a privilege."""
    if standin.websocket_port is None:
        assert "443" in standin.notices[0]
        return
    standin.add_module("m2", keys=KEYS)
    caller = standin.hub.registry.get(MODULE)
    assert caller is not None
    server = server_of(standin)
    callee = awaiting(server.node("edge-1", transport=transport, method="reboot", module="m2"), "method")
    invoke = {"device": "edge-1", "module": "m2", "method": "reboot", "payload": {"in": 3}}
    plan = {
        **server.node("edge-1", key=sas.decode_key(caller.primary_key), transport=transport, invoke=invoke),
        "module": "m1",
    }
    async with peer(NODE_DEVICE, callee) as answering:
        await answering.until("listening")
        async with peer(NODE_DEVICE, plan) as asking:
            await asking.succeed()
        await answering.succeed()
    assert said(asking, "result") == [{"result": {"status": 207, "payload": {"got": {"in": 3}}}}]
    seen(Table.DEVICES, Client.NODE_MODULE.over(transport), "method call")
