"""The stand-in and the unmodified azure-iot-device 2.14: a module that finds everything in its environment."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import IoTHubModuleClient, Message, MethodResponse

from edgewire.message import identity
from standin.app import StandIn
from standin.routes import parse_routes
from support.azure_device import Inbox, blocking, connected, listen
from support.clients import Client
from support.compatibility import Table, works
from support.gateway_site import PATIENCE_S, until

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

shows = partial(works, Table.DEVICES, Client.PYTHON_MODULE.over("mqtt"))
ROUTES = parse_routes(
    {
        "upstream": "FROM /messages/modules/m1/outputs/alerts INTO $upstream",
        "loop": 'FROM /messages/modules/m1/outputs/local INTO BrokeredEndpoint("/modules/m1/inputs/in1")',
    }
)
M1 = identity("edge-1", "m1")


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "run", address="127.0.71.2", modules=("m1",), routes=ROUTES) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


@pytest.fixture
async def module(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    for name, value in standin.environment("m1").items():
        monkeypatch.setenv(name, value)
    # It asks the workload API, which runs on this very loop.
    client = await blocking(IoTHubModuleClient.create_from_edge_environment)
    async with connected(client):
        yield client


@shows("telemetry")
async def test_a_message_to_an_output_arrives_under_its_name(standin: StandIn, module: Any) -> None:
    await blocking(module.send_message_to_output, Message("hi"), "alerts")
    (event,) = standin.events.read()
    assert (event.device, event.module, event.output, event.body) == ("edge-1", "m1", "alerts", b"hi")


async def test_an_output_without_a_route_is_counted_only(standin: StandIn, module: Any) -> None:
    await blocking(module.send_message_to_output, Message("hi"), "nowhere")
    assert standin.events.count() == 0
    assert standin.counters["messages unrouted"] == 1


@shows("input")
async def test_an_input_message_comes_with_its_sender_and_is_completed(standin: StandIn, module: Any) -> None:
    inbox = Inbox()
    await listen(module, "on_message_received", inbox)
    message = Message("ping", content_type="text/plain")
    message.custom_properties["a"] = "1"
    await blocking(module.send_message_to_output, message, "local")
    got = await inbox.next()
    assert (got.input_name, got.data, got.content_type) == ("in1", b"ping", "text/plain")
    assert got.custom_properties == {"a": "1", "$.cdid": "edge-1", "$.cmid": "m1"}
    await until(lambda: standin.hub.inputs.waiting(M1) == 0)  # the PUBACK goes out behind the handler


@shows("twin get", "twin patch", "twin notify", "method")
async def test_a_twin_and_a_method_of_a_module(standin: StandIn, module: Any) -> None:
    patches = Inbox()

    def answer(request: Any) -> None:
        module.send_method_response(MethodResponse.create_from_method_request(request, 200, {"pong": True}))

    await listen(module, "on_twin_desired_properties_patch_received", patches)
    await listen(module, "on_method_request_received", answer)
    assert (await blocking(module.get_twin))["desired"] == {"$version": 1}
    await blocking(module.patch_twin_reported_properties, {"r": 1})
    assert standin.reported(M1) == {"r": 1}
    standin.set_desired(M1, {"a": 1})
    assert await patches.next() == {"a": 1, "$version": 2}
    result = await standin.hub.invoke_method(M1, "ping", connect_timeout_s=PATIENCE_S)
    assert (result.status, result.payload) == (200, b'{"pong": true}')
