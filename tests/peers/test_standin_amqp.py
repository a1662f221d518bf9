"""The stand-in and AMQP clients that others wrote: uamqp, Node's device SDK, azure-eventhub's client, rhea, proton."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from edgewire.iothub import sas
from edgewire.message import identity
from standin.app import Ports, StandIn
from support.amqp_peers import (
    BODIES,
    MESSAGES,
    NODE_DEVICE,
    PROTON,
    PYAMQP,
    RHEA,
    UAMQP,
    UAMQP_RUNS_HERE,
    Program,
    Server,
    accepted,
    fail,
    succeed,
)
from support.gateway_site import KEY

SENDERS = {
    "rhea": (RHEA, "plain"),
    "proton": (PROTON, "plain"),
    "azure-eventhub by PLAIN": (PYAMQP, "plain"),
    "azure-eventhub by CBS": (PYAMQP, "cbs"),
} | ({"uamqp by PLAIN": (UAMQP, "plain"), "uamqp by CBS": (UAMQP, "cbs")} if UAMQP_RUNS_HERE else {})
BATCHERS = {"azure-eventhub": PYAMQP} | ({"uamqp": UAMQP} if UAMQP_RUNS_HERE else {})


@pytest.fixture
async def standin(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[StandIn]:
    websocket = 443 if os.geteuid() == 0 else 0  # Node's SDK knows no other port
    ports = Ports(mqtt=0, websocket=websocket)
    async with StandIn(tmp_path / "hub", address=next(loopback), ports=ports, certificates=certificates) as standin:
        for device in ("d1", "d2"):
            standin.add_device(device, keys=[sas.encode_key(KEY)])
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def server(standin: StandIn) -> Server:
    return Server(hub=standin.hub_name, address=standin.address, root=standin.directory / "trust-bundle.pem")


def check_both_arrived(standin: StandIn) -> None:
    first, second = standin.events.read()
    assert [first.body, second.body] == BODIES
    assert (first.device, first.properties) == ("d1", {"a b": "c/d&e"})
    assert {name: first.system[name] for name in ("messageId", "contentType", "contentEncoding")} == {
        "messageId": "m 1",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
    }


@pytest.mark.parametrize(("program", "login"), SENDERS.values(), ids=SENDERS)
async def test_a_device_with_a_token_sends(standin: StandIn, program: Program, login: str) -> None:
    said = await succeed(program, server(standin).token("d1", login=login, messages=MESSAGES))
    assert accepted(said) == 2
    check_both_arrived(standin)


@pytest.mark.parametrize("transport", ["Amqp", "AmqpWs"])
async def test_nodes_sdk_sends(standin: StandIn, transport: str) -> None:
    if transport == "AmqpWs" and standin.websocket_port != 443:
        return
    plan = server(standin).node("d1", messages=MESSAGES, websocket=transport == "AmqpWs")
    assert accepted(await succeed(NODE_DEVICE, plan)) == 2
    check_both_arrived(standin)


async def test_nodes_sdk_sends_with_a_certificate(standin: StandIn, tmp_path: Path) -> None:
    credential = self_signed_device("thumb-1")
    standin.add_certificate_device("thumb-1", [thumbprint_sha256(credential.certificate)])
    plan = server(standin).certificate("thumb-1", credential, tmp_path, messages=MESSAGES)
    assert accepted(await succeed(NODE_DEVICE, plan)) == 2
    assert [event.device for event in standin.events.read()] == ["thumb-1"] * 2


@pytest.mark.parametrize("program", [RHEA, PROTON], ids=["rhea", "proton"])
async def test_a_certificate_sends_by_sasl_external(standin: StandIn, tmp_path: Path, program: Program) -> None:
    credential = self_signed_device("thumb-1")
    standin.add_certificate_device("thumb-1", [thumbprint_sha256(credential.certificate)])
    plan = server(standin).certificate("thumb-1", credential, tmp_path, messages=MESSAGES)
    assert accepted(await succeed(program, plan)) == 2
    assert standin.events.count() == 2


@pytest.mark.parametrize("program", BATCHERS.values(), ids=BATCHERS)
async def test_a_batch_is_as_many_events(standin: StandIn, program: Program) -> None:
    batch = [{"body": f"{number}", "properties": {"n": f"{number}"}} for number in range(300)]
    said = await succeed(program, server(standin).token("d1", messages=[], batch=batch))
    assert accepted(said) == 1
    assert [event.properties["n"] for event in standin.events.read()] == [f"{number}" for number in range(300)]


async def test_rhea_sends_over_websocket(standin: StandIn) -> None:
    assert standin.websocket_port is not None
    how = {
        "websocket": True,
        "path": "/$iothub/websocket",
        "subprotocols": ["AMQPWSB10"],
        "port": standin.websocket_port,
    }
    plan = server(standin).token("d1", messages=MESSAGES) | how
    assert accepted(await succeed(RHEA, plan)) == 2
    check_both_arrived(standin)


@pytest.mark.parametrize(("program", "login"), SENDERS.values(), ids=SENDERS)
async def test_a_wrong_key_is_told(standin: StandIn, program: Program, login: str) -> None:
    await fail(program, server(standin).token("d1", login=login, key=b"x" * 32, messages=MESSAGES))
    assert standin.counters["refused: wrong key"] == 1
    assert standin.events.count() == 0


async def test_nodes_sdk_knows_a_refusal_by_its_name(standin: StandIn) -> None:
    said = await fail(NODE_DEVICE, server(standin).node("d1", key=b"x" * 32, messages=MESSAGES))
    assert said["name"] == "UnauthorizedError"
    assert standin.hub.connected() == ()
    standin.hub.set_enabled(identity("d1"), enabled=False)
    said = await fail(NODE_DEVICE, server(standin).node("d1", messages=MESSAGES))
    assert said["name"] == "UnauthorizedError"
