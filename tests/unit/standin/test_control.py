import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from edgewire.message import Envelope, Message, identity
from standin.control import ControlApi, refused_to_command
from standin.hub import Hub
from standin.registry import RegistryError, symmetric_entry
from standin.routes import EVERYTHING_UPSTREAM

Client = TestClient[Any, Any]


def environment(module: str) -> dict[str, str]:
    if module != "m1":
        raise RegistryError(f"no module {module!r}")
    return {"IOTEDGE_MODULEID": module}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path, edge_device="edge-1", routes=EVERYTHING_UPSTREAM)
    hub.add(symmetric_entry(identity("edge-1")))
    hub.add(symmetric_entry(identity("edge-1", "m1")))
    yield hub
    hub.close()


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[Client]:
    api = ControlApi(hub, hub_name="hub.test", host="127.0.0.7", environment=environment)
    async with TestClient(TestServer(api.application(refused_to_command), host="127.0.0.1")) as client:
        yield client


async def ask(client: Client, method: str, path: str, body: object = None) -> tuple[int, Any]:
    async with client.request(method, path, json=body) as response:
        return response.status, await response.json()


def publish(hub: Hub, body: bytes) -> None:
    system = {"connectionDeviceId": "edge-1", "connectionModuleId": "m1"}
    hub.receive(Message(Envelope(sender=identity("edge-1", "m1"), properties={}, system=system), body), lambda _: None)


async def test_a_device_is_added_listed_disabled_and_removed(client: Client) -> None:
    status, added = await ask(client, "POST", "/devices", {"identity": "leaf"})
    assert status == 200
    assert added["connectionString"].startswith("HostName=hub.test;DeviceId=leaf;SharedAccessKey=")
    assert added["connectionString"].endswith(";GatewayHostName=127.0.0.7")
    _, listed = await ask(client, "GET", "/devices")
    assert [each["identity"] for each in listed["devices"]] == ["edge-1", "edge-1/m1", "leaf"]
    await ask(client, "PATCH", "/devices?identity=leaf", {"enabled": False})
    _, listed = await ask(client, "GET", "/devices")
    assert [each["enabled"] for each in listed["devices"]] == [True, True, False]
    await ask(client, "DELETE", "/devices?identity=leaf")
    _, listed = await ask(client, "GET", "/devices")
    assert len(listed["devices"]) == 2


async def test_a_certificate_device_is_added_by_its_thumbprint(client: Client) -> None:
    _, added = await ask(client, "POST", "/devices", {"identity": "x", "x509": True, "thumbprints": ["a" * 40]})
    assert (added["authentication"], added["thumbprints"]) == ("selfSigned", ["A" * 40])


async def test_events_are_listed_behind_a_number_and_waited_for(client: Client, hub: Hub) -> None:
    waiting = asyncio.create_task(ask(client, "GET", "/events?after=0&wait_s=30"))
    publish(hub, b"one")
    _, answer = await waiting
    assert [event["body"] for event in answer["events"]] == ["one"]
    publish(hub, b"two")
    _, answer = await ask(client, "GET", "/events?after=1&wait_s=30")
    assert [event["body"] for event in answer["events"]] == ["two"]
    _, answer = await ask(client, "GET", "/events?limit=1")
    assert len(answer["events"]) == 1


async def test_a_twin_is_read_and_patched(client: Client) -> None:
    assert await ask(client, "PATCH", "/twin?identity=m1", {"a": 1}) == (200, {"identity": "edge-1/m1", "version": 2})
    _, answer = await ask(client, "GET", "/twin?identity=edge-1/m1")
    assert answer["properties"] == {"desired": {"a": 1, "$version": 2}, "reported": {"$version": 1}}


async def test_the_status_counts(client: Client, hub: Hub) -> None:
    publish(hub, b"one")
    await hub.events.wait(0, timeout_s=30)
    _, status = await ask(client, "GET", "/status")
    assert (status["events"], status["counters"], status["connected"]) == (1, {"events": 1}, [])


async def test_a_modules_environment_is_given(client: Client) -> None:
    assert await ask(client, "GET", "/environment?module=m1") == (200, {"IOTEDGE_MODULEID": "m1"})


@pytest.mark.parametrize(
    ("call", "status", "said"),
    [
        (("POST", "/method?identity=m1", {"methodName": "n"}), 404, "404103"),
        (("POST", "/method?identity=m1", {"methodName": ""}), 400, "400004"),
        (("POST", "/method?identity=m1", {"methodName": "n", "responseTimeoutInSeconds": 301}), 400, "at most 300"),
        (("POST", "/method?identity=m1", {"methodName": "n", "connectTimeoutInSeconds": "x"}), 400, "seconds"),
        (("PATCH", "/twin?identity=m1", {"a b": 1}), 400, "space"),
        (("PATCH", "/twin?identity=m1", []), 400, "object"),
        (("GET", "/twin?identity=nobody", None), 400, "devices list"),
        (("GET", "/events?after=x", None), 400, "no number"),
        (("GET", "/environment?module=x", None), 400, "no module"),
        (("POST", "/devices", {"identity": "edge-1"}), 400, "already"),
        (("POST", "/devices", {"identity": "d9", "keys": 5}), 400, "keys is 5"),
        (("POST", "/devices", {"identity": "d9", "x509": True, "thumbprints": "ab"}), 400, "a list of texts"),
        (
            ("POST", "/method?identity=m1", {"methodName": "n", "payload": json.loads("[" * 300 + "]" * 300)}),
            400,
            "deep",
        ),
        (("GET", "/nothing", None), 404, "Not Found"),
    ],
)
async def test_what_cannot_be_done_is_said(
    client: Client, call: tuple[str, str, object], status: int, said: str
) -> None:
    answered, answer = await ask(client, *call)
    assert answered == status
    assert said in answer["message"]


async def test_a_body_that_is_not_json_is_refused(client: Client) -> None:
    async with client.post("/devices", data=b"{") as response:
        assert response.status == 400
        assert "not JSON" in (await response.json())["message"]
