"""A module by azure-iot-device calls methods of devices behind the gateway, over HTTPS as it does at edgeHub."""

import asyncio
from functools import partial
from typing import Any

import pytest
from azure.iot.device import IoTHubModuleClient
from azure.iot.device.exceptions import ClientError

from support.azure_device import blocking, connected
from support.clients import Client
from support.compatibility import Table, works
from support.gateway_site import GatewaySite
from support.paho_device import Dial, PahoDevice, let_in

# azure-iot-device pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")
METHODS = "$iothub/methods/POST/#"


@pytest.fixture
async def module(site: GatewaySite, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the edge device that takes the gateway for edgeHub; the gateway asks the hub whether it knows it.

    The SDK calls methods for modules from an edge environment alone, at port 443.
    """
    site.hub.add_module("caller")
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT="443", GATEWAY_UPSTREAM_AMQP="edgehub")
    await site.gateway.said("connected upstream on behalf of devices")
    for name, value in (site.hub.environment("caller") | {"IOTEDGE_GATEWAYHOSTNAME": site.address}).items():
        monkeypatch.setenv(name, value)
    return await blocking(partial(IoTHubModuleClient.create_from_edge_environment, connection_retry=False))


def answer_calls(device: PahoDevice) -> asyncio.Future[None]:
    """The device answers every call with what it got; done once it takes calls."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def call(_client: Any, _data: Any, message: Any) -> None:
        rid = message.topic.partition("$rid=")[2]
        device.client.publish(f"$iothub/methods/res/207/?$rid={rid}", b'{"got":' + message.payload + b"}")

    device.client.on_message = call
    device.client.on_subscribe = lambda *_: loop.call_soon_threadsafe(ready.set_result, None)
    device.client.subscribe(METHODS, 0)
    return ready


@works(Table.GATEWAY, Client.PYTHON_MODULE.over("mqtt"), "method call")
async def test_a_module_calls_a_method_of_a_leaf_device(site: GatewaySite, module: Any) -> None:
    async with let_in(site, "d1", Dial()) as device, connected(module) as client:
        await answer_calls(device)
        call = {"methodName": "open", "payload": {"a": [1]}, "responseTimeoutInSeconds": 10}
        assert await blocking(client.invoke_method, call, "d1") == {"status": 207, "payload": {"got": {"a": [1]}}}
    assert await site.counted('gateway_http_requests_total{action="invoke",status="200"}') == 1


async def test_a_device_that_is_away_is_not_found(site: GatewaySite, module: Any) -> None:
    async with connected(module) as client:
        with pytest.raises(ClientError) as refused:
            await blocking(client.invoke_method, {"methodName": "open", "payload": ""}, "d1")
    assert "404" in str(refused.value.__cause__)
    assert await site.counted('gateway_http_requests_total{action="invoke",status="404"}') == 1
