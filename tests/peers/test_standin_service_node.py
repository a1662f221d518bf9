"""The stand-in's service API and Node's unmodified azure-iothub, over HTTPS."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from edgewire.message import identity
from standin.app import Ports, StandIn
from standin.hub import MethodResult
from standin.policies import OWNER
from support.amqp_peers import succeed
from support.clients import Client
from support.compatibility import Table, works
from support.service_calls import Device

shows = partial(works, Table.SERVICE, Client.NODE_SERVICE.over("http"))
ADDRESS: Final = "127.0.76.1"
NODE_SERVICE: Final = ("node", "node/service.js")
D1: Final = identity("d1")


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    """The only port that the SDK knows is 443."""
    async with StandIn(tmp_path / "hub", address=ADDRESS, ports=Ports(mqtt=0, amqp=None)) as running:
        yield running
        assert running.counters["faults of the stand-in"] == 0


def registry(call: str, *arguments: Any) -> dict[str, Any]:
    return {"on": "registry", "call": call, "args": arguments}


async def outcomes(standin: StandIn, *steps: Any, policy: str = OWNER) -> list[Any]:
    """What came of each step: the result, or `(name, status)` of a refusal."""
    found = standin.hub.policies.get(policy)
    assert found is not None
    root = standin.directory / "trust-bundle.pem"
    said = await succeed(
        NODE_SERVICE, {"ca": str(root), "connection": found.connection_string(ADDRESS), "steps": steps}
    )
    return [
        line["result"] if line["event"] == "did" else (line["name"], line["message"])
        for line in said
        if line["event"] in {"did", "refused"}
    ]


@shows("registry")
async def test_the_registry(standin: StandIn) -> None:
    made, again, got, listed, changed, gone, missing = await outcomes(
        standin,
        registry("create", {"deviceId": "d1", "status": "enabled"}),
        registry("create", {"deviceId": "d1"}),
        registry("get", "d1"),
        registry("list"),
        registry("update", {"deviceId": "d1", "status": "disabled"}),
        registry("delete", "d1"),
        registry("get", "d1"),
    )
    assert (made["deviceId"], made["authentication"]["type"]) == ("d1", "sas")
    assert again[0] == "DeviceAlreadyExistsError"
    assert got == made
    assert [each["deviceId"] for each in listed] == ["d1", "edge-1"]
    assert (changed["status"], changed["generationId"]) == ("disabled", made["generationId"])
    assert gone in (None, "")
    assert missing[0] == "DeviceNotFoundError"


@shows("modules", "bulk", "statistics")
async def test_modules_and_bulk(standin: StandIn) -> None:
    entries = [{"deviceId": name, "status": "enabled"} for name in ("a", "b")]
    added, module, modules, failed, removed, statistics = await outcomes(
        standin,
        registry("addDevices", entries),
        registry("addModule", {"deviceId": "a", "moduleId": "m", "managedBy": "me"}),
        registry("getModulesOnDevice", "a"),
        registry("addDevices", entries),
        registry("removeDevices", [{"deviceId": "b"}], True),
        registry("getRegistryStatistics"),
    )
    assert added["isSuccessful"]
    assert (module["moduleId"], module["managedBy"]) == ("m", "me")
    assert [each["moduleId"] for each in modules] == ["m"]
    assert removed["isSuccessful"]
    assert statistics["totalDeviceCount"] == 2
    assert failed  # an ArgumentError, or the result with its errors: both say that it failed


@shows("twins", "query")
async def test_twins_and_queries(standin: StandIn) -> None:
    standin.add_device("d1")
    device = Device(D1)
    standin.hub.connect(device)
    patch = {"tags": {"site": "x"}, "properties": {"desired": {"interval": 5}}}
    twin, changed, stale, counted, pages, wrong = await outcomes(
        standin,
        registry("getTwin", "d1"),
        registry("updateTwin", "d1", patch, "AAAAAAAAAAE="),
        registry("updateTwin", "d1", patch, "AAAAAAAAAAE="),
        {"query": "SELECT COUNT() AS c FROM devices WHERE tags.site = 'x'"},
        {"query": "SELECT deviceId FROM devices", "size": 1},
        {"query": "SELECT * FROM devices WHERE tag.site = 'x'"},
    )
    assert (twin["etag"], twin["tags"]) == ("AAAAAAAAAAE=", {})
    assert (changed["tags"], changed["properties"]["desired"]["interval"]) == ({"site": "x"}, 5)
    assert device.desired == [{"interval": 5, "$version": 2}]
    assert stale[0] == "InvalidEtagError"
    assert counted == [[{"c": 1}]]
    assert pages == [[{"deviceId": "d1"}], [{"deviceId": "edge-1"}]]
    assert wrong[0] == "ArgumentError"


@shows("method")
async def test_a_method_is_answered_and_who_is_away_is_refused(standin: StandIn) -> None:
    standin.add_device("d1")
    device = Device(D1)
    standin.hub.connect(device)

    async def answer() -> bytes:
        request_id, _, payload = await device.methods.get()
        standin.hub.method_answered(D1, request_id, MethodResult(200, b'{"ok":true}'))
        return payload

    answering = asyncio.create_task(answer())
    method = {"methodName": "blink", "payload": {"times": 3}, "responseTimeoutInSeconds": 20}
    done, away = await outcomes(
        standin,
        {"on": "client", "call": "invokeDeviceMethod", "args": ["d1", method]},
        {"on": "client", "call": "invokeDeviceMethod", "args": ["edge-1", method]},
    )
    assert await answering == b'{"times":3}'
    assert done == {"status": 200, "payload": {"ok": True}}
    assert away == ("Error", "Not found")  # all that this SDK makes of a 404 with another code


CONTENT: Final = {
    "modulesContent": {
        "$edgeAgent": {"properties.desired": {"modules": {"gateway": {}}}},
        "$edgeHub": {"properties.desired": {"routes": {"up": "FROM /messages/* INTO $upstream"}}},
        "gateway": {"properties.desired": {"x": 1}},
    }
}


@shows("configurations")
async def test_configurations(standin: StandIn) -> None:
    configuration = {"id": "c1", "content": CONTENT, "targetCondition": "", "priority": 1}
    _, made, got, listed, removed, missing = await outcomes(
        standin,
        registry("applyConfigurationContentOnDevice", "edge-1", CONTENT),
        registry("addConfiguration", configuration),
        registry("getConfiguration", "c1"),
        registry("getConfigurations"),
        registry("removeConfiguration", "c1"),
        registry("getConfiguration", "c1"),
    )
    assert standin.hub.twin(identity("edge-1", "gateway")).desired == {"x": 1}
    assert standin.hub.registry.get(identity("edge-1", "gateway")) is not None
    assert (made["id"], got["priority"], [each["id"] for each in listed]) == ("c1", 1, ["c1"])
    assert removed in (None, "")
    assert missing == ("Error", "Not found")


@shows("refusals")
async def test_who_has_no_right_is_refused(standin: StandIn) -> None:
    listed, made = await outcomes(
        standin, registry("list"), registry("create", {"deviceId": "d1"}), policy="registryRead"
    )
    assert [each["deviceId"] for each in listed] == ["edge-1"]
    assert isinstance(made, tuple)
    standin.throttle()
    (throttled,) = await outcomes(standin, registry("list"))
    assert throttled[0] == "ThrottlingError"
