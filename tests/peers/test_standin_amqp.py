"""The stand-in's AMQP and others' clients: Node's SDK, uamqp, rhea, proton, azure-eventhub's, and all recorded."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from edgewire.codec.amqp.performatives import Close
from edgewire.iothub import sas
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
    Plan,
    Program,
    Server,
    accepted,
    fail,
    succeed,
)
from support.amqp_replay import Replay, Replayer, connections
from support.amqp_traces import BY_NAME, CERTIFIED, HUB, REFUSED, SERVED, fresh_token, shows_certificate
from support.clients import CBS, PLAIN, X509, Client
from support.compatibility import Seen, Table, works
from support.gateway_site import KEY

WEBSOCKET_PORT: Final = 8443
KEYS: Final = (sas.encode_key(KEY), sas.encode_key(KEY[::-1]))
BATCH: Final = 100
ROWS: Final = {
    "node": Client.NODE_DEVICE.over("amqp"),
    "rhea": Client.RHEA.over("amqp", PLAIN),
    "rhea-ws": Client.RHEA.over("amqp-ws", PLAIN),
    "proton": Client.PROTON.over("amqp", PLAIN),
    "pyamqp": Client.PYTHON_EVENTS_AMQP.over("amqp", PLAIN),
    "pyamqp-cbs": Client.PYTHON_EVENTS_AMQP.over("amqp", CBS),
    "uamqp": Client.UAMQP.over("amqp", PLAIN),
    "uamqp-cbs": Client.UAMQP.over("amqp", CBS),
    "uamqp-ws": Client.UAMQP.over("amqp-ws", PLAIN),
}
"""By the names of the devices that `plans` has."""


@pytest.fixture
async def standin(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[StandIn]:
    ports = Ports(websocket=WEBSOCKET_PORT)
    async with StandIn(
        tmp_path / "run", address=next(loopback), hub_name=HUB, ports=ports, certificates=certificates
    ) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def server_of(standin: StandIn) -> Server:
    return Server(hub=standin.hub_name, address=standin.address, root=standin.directory / "trust-bundle.pem")


def plans(server: Server) -> dict[str, tuple[Program, Plan]]:
    """All clients that send with a key or a token, by the names of their devices."""
    batch = [{"body": f"{number}", "properties": {"n": f"{number}"}} for number in range(BATCH)]
    over = {"port": WEBSOCKET_PORT, "websocket": True, "path": "/$iothub/websocket", "subprotocols": ["AMQPWSB10"]}
    found: dict[str, tuple[Program, Plan]] = {
        "node": (NODE_DEVICE, server.node("node", messages=MESSAGES)),
        "rhea": (RHEA, server.token("rhea", messages=MESSAGES)),
        "rhea-ws": (RHEA, server.token("rhea-ws", messages=MESSAGES) | over),
        "proton": (PROTON, server.token("proton", messages=MESSAGES)),
        "pyamqp": (PYAMQP, server.token("pyamqp", messages=MESSAGES, batch=batch)),
        "pyamqp-cbs": (PYAMQP, server.token("pyamqp-cbs", login="cbs", messages=MESSAGES)),
    }
    if UAMQP_RUNS_HERE:
        found["uamqp"] = (UAMQP, server.token("uamqp", messages=MESSAGES, batch=batch))
        found["uamqp-cbs"] = (UAMQP, server.token("uamqp-cbs", login="cbs", messages=MESSAGES))
        found["uamqp-ws"] = (UAMQP, server.token("uamqp-ws", messages=MESSAGES) | over)
    return found


async def test_each_client_sends_all_at_once(standin: StandIn, seen: Seen) -> None:
    clients = plans(server_of(standin))
    for device in clients:
        standin.add_device(device, keys=KEYS)
    said = await asyncio.gather(*(succeed(program, plan) for program, plan in clients.values()))
    assert all(accepted(lines) >= len(MESSAGES) for lines in said)
    for device, (_, plan) in clients.items():
        events = [event for event in standin.events.read() if event.device == device]
        assert [event.body for event in events[:2]] == BODIES, device
        assert events[0].properties == {"a b": "c/d&e"}, device
        assert events[0].system["messageId"] == "m 1", device
        assert (events[0].system["contentType"], events[0].system["contentEncoding"]) == ("application/json", "utf-8")
        assert [event.body for event in events[2:]] == [part["body"].encode() for part in plan.get("batch", [])], device
        seen(Table.DEVICES, ROWS[device], "telemetry")


async def test_each_client_hears_that_its_key_is_wrong(standin: StandIn, seen: Seen) -> None:
    clients = plans(server_of(standin))
    for device in clients:
        standin.add_device(device)
    failures = await asyncio.gather(*(fail(program, plan) for program, plan in clients.values()))
    assert dict(zip(clients, failures, strict=True))["node"]["name"] == "UnauthorizedError"
    assert standin.counters["refused: wrong key"] >= len(clients)
    assert standin.events.count() == 0
    for device in clients:
        seen(Table.DEVICES, ROWS[device], "refusals")


@works(Table.DEVICES, Client.NODE_DEVICE.over("amqp", X509), "telemetry")
@works(Table.DEVICES, Client.PROTON.over("amqp", X509), "telemetry")
@works(Table.DEVICES, Client.RHEA.over("amqp", X509), "telemetry")
async def test_clients_with_certificates_send(standin: StandIn, tmp_path: Path) -> None:
    clients: dict[str, Program] = {"node": NODE_DEVICE, "rhea": RHEA, "proton": PROTON}
    runs = []
    for device, program in clients.items():
        credential = self_signed_device(device)
        standin.add_certificate_device(device, [thumbprint_sha256(credential.certificate)])
        plan = server_of(standin).certificate(device, credential, tmp_path, messages=MESSAGES)
        runs.append(succeed(program, plan))
    await asyncio.gather(*runs)
    assert sorted(event.device for event in standin.events.read()) == sorted(2 * list(clients))


@works(Table.DEVICES, Client.NODE_MODULE.over("amqp"), "telemetry")
async def test_a_module_of_nodes_sdk_sends_from_an_output(standin: StandIn) -> None:
    standin.add_module("camera", keys=KEYS)
    plan = server_of(standin).node(standin.edge_device, module="camera", output="frames", messages=MESSAGES)
    assert accepted(await succeed(NODE_DEVICE, plan)) == 2
    events = standin.events.read()
    assert [(event.device, event.module, event.output) for event in events] == [
        (standin.edge_device, "camera", "frames"),
        (standin.edge_device, "camera", "frames"),
    ]


async def test_nodes_sdk_sends_over_websocket_where_443_is_permitted(
    tmp_path: Path, certificates: Path, loopback: Iterator[str]
) -> None:
    async with StandIn(tmp_path / "run", address=next(loopback), certificates=certificates) as standin:
        if standin.websocket_port is None:  # the SDK knows no other port for it, and this one needs a privilege
            assert "443" in standin.notices[0]
            return
        standin.add_device("node", keys=KEYS)
        plan = server_of(standin).node("node", messages=MESSAGES, websocket=True)
        assert accepted(await succeed(NODE_DEVICE, plan)) == 2
        assert [event.body for event in standin.events.read()] == BODIES


async def test_recorded_clients_are_served_to_their_last_byte(standin: StandIn, tmp_path: Path) -> None:
    certified = self_signed_device(CERTIFIED.device)
    standin.add_certificate_device(CERTIFIED.device, [thumbprint_sha256(certified.certificate)])
    for device in ("dev1", "leaf1"):
        standin.add_device(device, keys=KEYS)
    standin.add_module("mod1", device="dev1", keys=KEYS)
    tls = {shown: ssl.create_default_context(cadata=standin.trust_bundle) for shown in (False, True)}
    files = server_of(standin).certificate(CERTIFIED.device, certified, tmp_path)
    tls[True].load_cert_chain(files["certificate"], files["certificate_key"])

    async def replay(name: str, token: bytes) -> Replay:
        for data in connections(BY_NAME[name]):
            done = await (await Replayer.dial(standin.address, tls[shows_certificate(name)])).run(data, token)
            assert (done.complete, done.close) == (True, Close()), name
        return done

    for name, recorded in SERVED.items():
        before = standin.events.last_sequence
        assert (await replay(name, fresh_token(recorded.who))).refused == {}, name
        events = standin.events.read(before)
        assert [event.body for event in events] == list(recorded.bodies), name
        assert {(event.device, event.module) for event in events} == {(recorded.who.device, recorded.who.module)}, name
    for name, link in REFUSED.items():
        assert list((await replay(name, fresh_token(SERVED["node-amqp-sak"].who))).refused) == [link], name
    assert standin.events.count() == sum(len(recorded.bodies) for recorded in SERVED.values())
