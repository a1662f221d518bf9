"""The stand-in's service API and the unmodified azure-iot-hub 2.7, over HTTPS."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient, MethodResponse
from azure.iot.hub import IoTHubConfigurationManager, IoTHubHttpRuntimeManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    AuthenticationMechanism,
    CloudToDeviceMethod,
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
    ConfigurationQueriesTestInput,
    ExportImportDevice,
    QuerySpecification,
    SymmetricKey,
    Twin,
    TwinProperties,
)
from msrest.exceptions import HttpOperationError

from edgewire.iothub.bag import Bag
from edgewire.message import identity
from standin.app import StandIn
from standin.devicebound import C2dMessage
from standin.policies import OWNER
from standin.registry import new_key
from support.azure_device import Inbox, blocking, connected, listen
from support.clients import Client
from support.compatibility import Table, works

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

shows = partial(works, Table.SERVICE, Client.PYTHON_SERVICE.over("http"))
ADDRESS = "127.0.75.1"
THUMBPRINT = "AB" * 20


@pytest.fixture
async def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "run", address=ADDRESS) as standin:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(standin.directory / "trust-bundle.pem"))
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def connection_string(standin: StandIn, policy: str = OWNER) -> str:
    found = standin.hub.policies.get(policy)
    assert found is not None
    return found.connection_string(ADDRESS)


@pytest.fixture
def registry(standin: StandIn) -> Any:
    return IoTHubRegistryManager.from_connection_string(connection_string(standin))


@pytest.fixture
def configurations(standin: StandIn) -> Any:
    return IoTHubConfigurationManager.from_connection_string(connection_string(standin))


async def refused(status: int, call: Any, *arguments: Any) -> str:
    with pytest.raises(HttpOperationError) as caught:
        await blocking(call, *arguments)
    assert caught.value.response.status_code == status
    return str(caught.value.response.json()["Message"])


@shows("registry")
async def test_a_device_with_keys_lives(registry: Any) -> None:
    keys = new_key(), new_key()
    made = await blocking(registry.create_device_with_sas, "d1", *keys, "enabled")
    assert (made.device_id, made.status, made.connection_state) == ("d1", "enabled", "Disconnected")
    assert (made.authentication.symmetric_key.primary_key, made.authentication.type) == (keys[0], "sas")
    assert made.last_activity_time.year == 1
    assert "DeviceAlreadyExists" in await refused(409, registry.create_device_with_sas, "d1", *keys, "enabled")
    assert "PreconditionFailed" in await refused(412, registry.update_device_with_sas, "d1", "bm8=", *keys, "disabled")
    changed = await blocking(registry.update_device_with_sas, "d1", made.etag, *keys, "disabled", None, "why not")
    assert (changed.status, changed.generation_id) == ("disabled", made.generation_id)
    assert changed.etag != made.etag
    assert (await blocking(registry.get_device, "d1")).etag == changed.etag
    await blocking(registry.update_device_with_sas, "d1", None, *keys, "enabled")
    await blocking(registry.delete_device, "d1")
    assert "DeviceNotFound" in await refused(404, registry.get_device, "d1")


async def test_devices_with_certificates(registry: Any) -> None:
    own = await blocking(registry.create_device_with_x509, "d1", THUMBPRINT, None, "enabled")
    assert own.authentication.x509_thumbprint.primary_thumbprint == THUMBPRINT
    assert own.authentication.type == "selfSigned"
    authority = await blocking(registry.create_device_with_certificate_authority, "d2", "enabled")
    assert authority.authentication.type == "certificateAuthority"
    changed = await blocking(registry.update_device_with_x509, "d2", authority.etag, THUMBPRINT, THUMBPRINT, "enabled")
    assert changed.authentication.type == "selfSigned"


async def test_an_edge_device_has_a_scope_and_its_runtime(registry: Any) -> None:
    edge = await blocking(registry.create_device_with_sas, "e1", None, None, "enabled", True)
    assert edge.capabilities.iot_edge
    assert edge.device_scope.startswith("ms-azure-iot-edge://e1-")
    modules = await blocking(registry.get_modules, "e1")
    assert {(each.module_id, each.authentication.type) for each in modules} == {
        ("$edgeAgent", "none"),
        ("$edgeHub", "none"),
    }


@shows("statistics")
async def test_devices_are_listed(registry: Any) -> None:
    for name in ("a", "b", "c"):
        await blocking(registry.create_device_with_sas, name, None, None, "enabled")
    assert [each.device_id for each in await blocking(registry.get_devices)] == ["a", "b", "c", "edge-1"]
    assert [each.device_id for each in await blocking(registry.get_devices, 2)] == ["a", "b"]
    counted = await blocking(registry.get_device_registry_statistics)
    assert (counted.total_device_count, counted.enabled_device_count) == (4, 4)
    assert (await blocking(registry.get_service_statistics)).connected_device_count == 0


@shows("modules")
async def test_a_module_lives(registry: Any) -> None:
    await blocking(registry.create_device_with_sas, "d1", None, None, "enabled")
    made = await blocking(registry.create_module_with_sas, "d1", "m1", "me", None, None)
    assert (made.device_id, made.module_id, made.managed_by) == ("d1", "m1", "me")
    assert made.authentication.symmetric_key.primary_key
    keys = new_key(), new_key()
    changed = await blocking(registry.update_module_with_sas, "d1", "m1", "me", made.etag, *keys)
    assert changed.authentication.symmetric_key.secondary_key == keys[1]
    assert [each.module_id for each in await blocking(registry.get_modules, "d1")] == ["m1"]
    await blocking(registry.delete_module, "d1", "m1")
    assert "ModuleNotFound" in await refused(404, registry.get_module, "d1", "m1")


@shows("bulk")
async def test_bulk_operations_say_what_went_wrong(registry: Any) -> None:
    def entry(name: str, mode: str, **more: Any) -> ExportImportDevice:
        keys = AuthenticationMechanism(
            type="sas", symmetric_key=SymmetricKey(primary_key=new_key(), secondary_key=new_key())
        )
        return ExportImportDevice(id=name, import_mode=mode, status="enabled", authentication=keys, **more)

    done = await blocking(
        registry.bulk_create_or_update_devices, [entry("a", "create", tags={"site": 1}), entry("b", "create")]
    )
    assert done.is_successful
    assert (await blocking(registry.get_twin, "a")).tags == {"site": 1}
    failed = await blocking(registry.bulk_create_or_update_devices, [entry("a", "create"), entry("b", "delete")])
    assert not failed.is_successful
    assert [(each.device_id, each.error_code) for each in failed.errors] == [("a", "DeviceAlreadyExists")]
    assert [each.device_id for each in await blocking(registry.get_devices)] == ["a", "edge-1"]


@shows("twins")
async def test_twins_are_read_patched_and_replaced(standin: StandIn, registry: Any) -> None:
    standin.add_device("d1")
    twin = await blocking(registry.get_twin, "d1")
    assert (twin.device_id, twin.etag, twin.version, twin.tags) == ("d1", "AAAAAAAAAAE=", 1, {})
    patch = Twin(tags={"site": {"room": "1"}}, properties=TwinProperties(desired={"a": {"b": 1}, "c": 2}))
    changed = await blocking(registry.update_twin, "d1", patch, twin.etag)
    assert changed.properties.desired["a"] == {"b": 1}
    assert changed.properties.desired["$version"] == 2
    assert changed.properties.desired["$metadata"]["a"]["b"]["$lastUpdatedVersion"] == 2
    await refused(412, registry.update_twin, "d1", patch, twin.etag)
    replacement = Twin(tags={}, properties=TwinProperties(desired={"d": 1}))
    replaced = await blocking(registry.replace_twin, "d1", replacement, "*")
    assert replaced.tags == {}
    assert {key for key in replaced.properties.desired if not key.startswith("$")} == {"d"}
    large = Twin(tags={str(number): "x" * 4000 for number in range(3)})
    assert "8192" in await refused(413, registry.update_twin, "d1", large)


@shows("method")
async def test_a_device_hears_of_its_twin_and_answers_methods(standin: StandIn, registry: Any) -> None:
    patches: Inbox = Inbox()
    calls: Inbox = Inbox()
    client = IoTHubDeviceClient.create_from_connection_string(
        standin.add_device("d1").connection_string(ADDRESS),
        server_verification_cert=standin.trust_bundle,
        connection_retry=False,
    )
    async with connected(client):
        await listen(client, "on_twin_desired_properties_patch_received", patches)
        await listen(client, "on_method_request_received", calls)
        assert (await blocking(registry.get_device, "d1")).connection_state == "Connected"
        await blocking(
            registry.update_twin, "d1", Twin(properties=TwinProperties(desired={"a": 1, "b": {"c": 1, "d": 2}}))
        )
        assert await patches.next() == {"a": 1, "b": {"c": 1, "d": 2}, "$version": 2}
        await blocking(registry.replace_twin, "d1", Twin(properties=TwinProperties(desired={"b": {"c": 1}})))
        assert await patches.next() == {"a": None, "b": {"d": None}, "$version": 3}
        method = CloudToDeviceMethod(method_name="blink", payload={"times": 3}, response_timeout_in_seconds=10)
        called = asyncio.create_task(blocking(registry.invoke_device_method, "d1", method))
        request = await calls.next()
        assert (request.name, request.payload) == ("blink", {"times": 3})
        await blocking(
            client.send_method_response, MethodResponse.create_from_method_request(request, 207, {"ok": True})
        )
        result = await called
        assert (result.status, result.payload) == (207, {"ok": True})


async def test_a_method_of_who_is_away_is_refused_with_its_code(standin: StandIn, registry: Any) -> None:
    standin.add_device("d1")
    method = CloudToDeviceMethod(method_name="blink", payload=None)
    assert '"errorCode":404103' in await refused(404, registry.invoke_device_method, "d1", method)
    assert '"errorCode":404001' in await refused(404, registry.invoke_device_method, "nobody", method)
    bad = CloudToDeviceMethod(method_name="blink", response_timeout_in_seconds=1)
    assert "responseTimeoutInSeconds" in await refused(400, registry.invoke_device_method, "d1", bad)


async def test_what_waits_is_purged_and_feedback_is_read_by_http(standin: StandIn) -> None:
    standin.add_device("d1")
    message = C2dMessage(Bag({"iothub-ack": "full"}, {"messageId": "m1"}), b"x")
    standin.hub.send_c2d(identity("d1"), message)
    manager = IoTHubHttpRuntimeManager.from_connection_string(connection_string(standin))
    messages = manager.protocol.cloud_to_device_messages
    purged = await blocking(messages.purge_cloud_to_device_message_queue, "d1")
    assert (purged.total_messages_purged, purged.device_id) == (1, "d1")
    standin.hub.feedback.flush()
    # The SDK itself gives neither the records nor the lock; what it got has both.
    read = await blocking(lambda: messages.receive_feedback_notification(raw=True))
    (record,) = read.response.json()
    assert (record["originalMessageId"], record["statusCode"]) == ("m1", "Purged")
    await blocking(manager.complete_feedback_notification, read.response.headers["ETag"].strip('"'))
    assert await blocking(manager.receive_feedback_notification) is None
    assert "LockLost" in await refused(412, manager.abandon_feedback_notification, "no-lock")


@shows("query")
async def test_queries_come_in_pages(standin: StandIn, registry: Any) -> None:
    for number in range(5):
        standin.add_device(f"d{number}")
        await blocking(registry.update_twin, f"d{number}", Twin(tags={"floor": number % 2}))
    query = QuerySpecification(query="SELECT * FROM devices WHERE tags.floor = 0")
    first = await blocking(registry.query_iot_hub, query, None, 2)
    assert [each.device_id for each in first.items] == ["d0", "d2"]
    second = await blocking(registry.query_iot_hub, query, first.continuation_token, 2)
    assert [each.device_id for each in second.items] == ["d4"]
    assert second.continuation_token is None
    counting = QuerySpecification(query="SELECT COUNT() AS c FROM devices WHERE is_defined(tags.floor)")
    # This SDK makes a twin of every row, so the count itself shows only in Node's.
    counted = await blocking(registry.query_iot_hub, counting)
    assert (counted.type, len(counted.items)) == ("raw", 1)
    wrong = QuerySpecification(query="SELECT * FROM devices WHERE tag.floor = 0")
    assert "did you mean tags" in await refused(400, registry.query_iot_hub, wrong)


@shows("refusals")
async def test_a_policy_does_what_it_may(standin: StandIn) -> None:
    reader = IoTHubRegistryManager.from_connection_string(connection_string(standin, "registryRead"))
    assert await blocking(reader.get_devices)
    assert "registryRead" in await refused(403, reader.create_device_with_sas, "d1", None, None, "enabled")
    stranger = IoTHubRegistryManager.from_connection_string(
        f"HostName={ADDRESS};SharedAccessKeyName={OWNER};SharedAccessKey={new_key()}"
    )
    assert "Unauthorized" in await refused(401, stranger.get_devices)


async def test_a_throttled_hub_says_so(standin: StandIn, registry: Any) -> None:
    standin.throttle()
    assert "Throttling" in await refused(429, registry.get_devices)


def layer(name: str, target: str, priority: int) -> Configuration:
    agent = {"properties.desired.modules.extra": {"type": "docker", "status": "running", "restartPolicy": "always"}}
    hub = {"properties.desired.routes.extra": "FROM /messages/modules/extra/* INTO $upstream"}
    content = ConfigurationContent(
        modules_content={"$edgeAgent": agent, "$edgeHub": hub, "extra": {"properties.desired": {"x": 1}}}
    )
    return Configuration(id=name, content=content, target_condition=target, priority=priority, labels={"l": "1"})


def deployment(name: str, target: str, priority: int) -> Configuration:
    agent = {"schemaVersion": "1.1", "modules": {"gateway": {"type": "docker"}}}
    hub = {"schemaVersion": "1.2", "routes": {"up": "FROM /messages/modules/gateway/outputs/up INTO $upstream"}}
    content = ConfigurationContent(
        modules_content={
            "$edgeAgent": {"properties.desired": agent},
            "$edgeHub": {"properties.desired": hub},
            "gateway": {"properties.desired": {"routes": {}}},
        }
    )
    metrics = ConfigurationMetrics(queries={"all": "SELECT deviceId FROM devices"})
    return Configuration(id=name, content=content, target_condition=target, priority=priority, metrics=metrics)


async def test_a_manifest_sets_the_modules_of_an_edge_device(
    standin: StandIn, registry: Any, configurations: Any
) -> None:
    content = deployment("x", "", 0).content
    await blocking(configurations.apply_configuration_on_edge_device, "edge-1", content)
    assert {each.module_id for each in await blocking(registry.get_modules, "edge-1")} == {
        "$edgeAgent",
        "$edgeHub",
        "gateway",
    }
    patches: Inbox = Inbox()
    entry = standin.hub.registry.get(identity("edge-1", "gateway"))
    assert entry is not None
    client = IoTHubModuleClient.create_from_connection_string(
        entry.connection_string(ADDRESS), server_verification_cert=standin.trust_bundle, connection_retry=False
    )
    async with connected(client):
        await listen(client, "on_twin_desired_properties_patch_received", patches)
        content.modules_content["gateway"] = {"properties.desired.routes.alerts": "FROM /messages/* INTO $upstream"}
        await blocking(configurations.apply_configuration_on_edge_device, "edge-1", content)
        patch = await patches.next()
        assert patch["routes"] == {"alerts": "FROM /messages/* INTO $upstream"}
        await blocking(client.send_message_to_output, "kept", "up")
        await blocking(client.send_message_to_output, "goes nowhere", "other")
    assert [event.body for event in standin.events.read()] == [b"kept"]
    twin = await blocking(registry.get_module_twin, "edge-1", "$edgeHub")
    assert twin.properties.reported["lastDesiredStatus"]["code"] == 200


@shows("configurations")
async def test_deployments_follow_target_and_priority(standin: StandIn, registry: Any, configurations: Any) -> None:
    made = await blocking(configurations.create_configuration, deployment("base", "tags.site = 'a'", 10))
    assert (made.priority, made.system_metrics.results["targetedCount"]) == (10, 0)
    await blocking(registry.update_twin, "edge-1", Twin(tags={"site": "a"}))
    await blocking(configurations.create_configuration, layer("on-top", "tags.site = 'a'", 20))
    names = {each.module_id for each in await blocking(registry.get_modules, "edge-1")}
    assert names == {"$edgeAgent", "$edgeHub", "gateway", "extra"}
    hub = await blocking(registry.get_module_twin, "edge-1", "$edgeHub")
    assert set(hub.properties.desired["routes"]) == {"up", "extra"}
    found = await blocking(configurations.get_configuration, "base")
    results = found.system_metrics.results
    assert (results["targetedCount"], results["appliedCount"], results["reportedSuccessfulCount"]) == (1, 1, 1)
    assert found.metrics.results == {"all": 1}
    await blocking(configurations.delete_configuration, "on-top")
    assert "extra" not in {each.module_id for each in await blocking(registry.get_modules, "edge-1")}
    found.target_condition, found.priority = "", 3
    changed = await blocking(configurations.update_configuration, found, found.etag)
    assert changed.priority == 3
    assert [each.id for each in await blocking(configurations.get_configurations, 5)] == ["base"]


async def test_queries_of_configurations_are_tested(configurations: Any) -> None:
    asked = ConfigurationQueriesTestInput(
        target_condition="tags.site ==", custom_metric_queries={"good": "SELECT * FROM devices", "bad": "SELECT"}
    )
    told = await blocking(configurations.test_configuration_queries, asked)
    assert "column" in told.target_condition_error
    assert set(told.custom_metric_query_errors) == {"bad"}
