"""Messages to devices, sent by azure-iot-hub and azure-iothub, and what became of them as azure-iothub hears it."""

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from standin.app import StandIn
from standin.devicebound import C2dSettings
from standin.locked import Settlement
from support.amqp_peers import NODE_DEVICE, UAMQP_RUNS_HERE, Peer, Program, Server, peer, succeed
from support.clients import Client
from support.compatibility import Table, each_of
from support.gateway_site import KEY

AZURE_IOT_HUB: Final = (sys.executable, "programs/c2d_sender.py")
NODE_IOTHUB: Final = ("node", "node/c2d_service.js")
KEYS: Final = (sas.encode_key(KEY), sas.encode_key(KEY[::-1]))
LEAF: Final = identity("leaf")
FULL_QUEUE: Final = 50
NODE_ROWS: Final = {False: Client.NODE_SERVICE.over("amqp"), True: Client.NODE_SERVICE.over("amqp-ws")}
ROWS_HERE: Final = {websocket: row for websocket, row in NODE_ROWS.items() if not websocket or os.geteuid() == 0}
"""The client knows no port for WebSocket but 443: a privilege."""
SENDERS: Final = {
    NODE_IOTHUB: NODE_ROWS[False],
    **({AZURE_IOT_HUB: Client.PYTHON_SERVICE.over("amqp")} if UAMQP_RUNS_HERE else {}),
}


@pytest.fixture
async def standin(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[StandIn]:
    quick = C2dSettings(feedback_s=0.05)
    async with StandIn(tmp_path / "run", address=next(loopback), certificates=certificates, c2d=quick) as standin:
        standin.add_device("leaf", keys=KEYS)
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def plan_of(standin: StandIn, *messages: dict[str, Any], policy: str = "service", **more: Any) -> dict[str, Any]:
    return {
        "connection": standin.service_connection_string(policy),
        "ca": str(standin.directory / "trust-bundle.pem"),
        "messages": messages,
        **more,
    }


def device_plan(standin: StandIn, **more: Any) -> dict[str, Any]:
    server = Server(hub=standin.hub_name, address=standin.address, root=standin.directory / "trust-bundle.pem")
    return server.node("leaf", **more) | {"await": ["message"]}


async def listening(device: Peer) -> None:
    await device.until("listening")


def lines(said: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [{name: each[name] for name in each if name != "event"} for each in said if each["event"] == event]


@pytest.mark.parametrize("transport", ["amqp", "mqtt"])
@pytest.mark.parametrize("sender", each_of(Table.SERVICE, SENDERS, "C2D send"))
async def test_a_message_reaches_its_device(standin: StandIn, sender: Program, transport: str) -> None:
    wanted = {"device": "leaf", "body": "turn left", "properties": {"a": "b"}}
    async with peer(NODE_DEVICE, device_plan(standin, transport=transport)) as device:
        await listening(device)
        said = await succeed(sender, plan_of(standin, wanted))
        [got] = lines(await device.succeed(), "message")
    assert lines(said, "accepted") == [{"device": "leaf"}]
    assert got["body"] == "turn left"
    assert {"key": "a", "value": "b"} in got["properties"]


@pytest.mark.parametrize("sender", each_of(Table.SERVICE, SENDERS, "refusals"))
async def test_what_the_hub_does_not_take_is_heard_of(standin: StandIn, sender: Program) -> None:
    for _ in range(FULL_QUEUE):
        standin.send_c2d(LEAF, b"x")
    said = await succeed(
        sender, plan_of(standin, {"device": "nobody", "body": "x"}, {"device": "leaf", "body": "one too many"})
    )
    refused = lines(said, "refused")
    assert [each["device"] for each in refused] == ["nobody", "leaf"]
    if sender is NODE_IOTHUB:
        assert [(each["name"], each["condition"]) for each in refused] == [
            ("DeviceNotFoundError", "amqp:not-found"),
            ("DeviceMaximumQueueDepthExceededError", "amqp:resource-limit-exceeded"),
        ]
        assert "403004" in refused[1]["description"]


@pytest.mark.parametrize("websocket", each_of(Table.SERVICE, ROWS_HERE, "C2D send", "feedback"))
async def test_azure_iothub_hears_what_became_of_its_messages(standin: StandIn, *, websocket: bool) -> None:
    messages: list[dict[str, Any]] = [
        {"device": "leaf", "body": "1", "id": "taken", "ack": "full"},
        {"device": "leaf", "body": "2", "id": "refused", "ack": "full"},
        {"device": "leaf", "body": "3", "id": "unasked", "ack": "negative"},
        {"device": "leaf", "body": "4", "id": "late", "ack": "full", "expires_at": int((time.time() + 0.5) * 1000)},
    ]
    plan = plan_of(standin, *messages, policy="iothubowner", websocket=websocket, records=3)
    async with peer(NODE_IOTHUB, plan) as service:
        for _ in messages:
            await service.until("accepted")
        for verdict in (Settlement.COMPLETED, Settlement.REJECTED, Settlement.COMPLETED):
            locked = standin.hub.lock_c2d(LEAF)
            assert locked is not None
            standin.hub.settle_c2d(LEAF, locked.lock_token, verdict)
        records = [line["record"] for line in lines(await service.succeed(), "record")]
    entry = standin.hub.registry.get(LEAF)
    assert entry is not None
    assert {(each["originalMessageId"], each["statusCode"]) for each in records} == {
        ("taken", "Success"),
        ("refused", "Rejected"),
        ("late", "Expired"),
    }
    assert {(each["deviceId"], each["deviceGenerationId"]) for each in records} == {("leaf", entry.generation_id)}


async def test_a_policy_without_the_right_sends_nothing(standin: StandIn) -> None:
    said = await succeed(NODE_IOTHUB, plan_of(standin, {"device": "leaf", "body": "x"}, policy="device"))
    assert [(each["name"], each["condition"]) for each in lines(said, "refused")] == [
        ("UnauthorizedError", "amqp:unauthorized-access")
    ]
    assert standin.hub.lock_c2d(LEAF) is None
