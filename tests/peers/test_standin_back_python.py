"""The stand-in and the unmodified azure-iot-device 2.14: messages to devices, also when nobody is there yet."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from azure.iot.device import X509, IoTHubDeviceClient, IoTHubModuleClient, MethodResponse

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from edgewire.message import identity
from standin.app import StandIn
from support.azure_device import Inbox, blocking, connected, listen
from support.clients import Client
from support.compatibility import Seen, Table
from support.gateway_site import until

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

LEAF: Final = identity("leaf")
Open = Callable[[], Any]


@pytest.fixture
def open_standin(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> Open:
    """Starts the stand-in of this test, each time over the same directory and on the same address."""
    address = next(loopback)

    @asynccontextmanager
    async def opened() -> AsyncIterator[StandIn]:
        async with StandIn(tmp_path / "run", address=address, certificates=certificates) as standin:
            standin.ensure_device("leaf")
            yield standin
            assert standin.counters["faults of the stand-in"] == 0

    return opened


@pytest.fixture
async def standin(open_standin: Open) -> AsyncIterator[StandIn]:
    async with open_standin() as standin:
        yield standin


def symmetric_client(standin: StandIn, **options: Any) -> Any:
    entry = standin.hub.registry.get(LEAF)
    assert entry is not None
    return IoTHubDeviceClient.create_from_connection_string(
        entry.connection_string(standin.address),
        server_verification_cert=standin.trust_bundle,
        connection_retry=False,
        **options,
    )


async def completed(standin: StandIn, count: int) -> None:
    """So many messages are. paho acknowledges behind the handler, and not at all if the client leaves before."""
    await until(lambda: standin.counters["c2d completed"] == count)


async def test_a_message_comes_with_its_properties_and_is_completed(standin: StandIn) -> None:
    inbox = Inbox()
    properties = {"a b": "c/d&e", "iothub-ack": "positive"}
    async with connected(symmetric_client(standin)) as client:
        await listen(client, "on_message_received", inbox)
        standin.send_c2d(LEAF, b"on", properties, messageId="m 1", contentType="text/plain", contentEncoding="utf-8")
        message = await inbox.next()
        await completed(standin, 1)
    assert (message.data, message.message_id, message.ack) == (b"on", "m 1", "positive")
    assert (message.content_type, message.content_encoding) == ("text/plain", "utf-8")
    assert message.custom_properties == {"a b": "c/d&e"}
    assert standin.hub.c2d_waiting(LEAF) == 0
    standin.hub.feedback.flush()
    batch = standin.hub.feedback.lock()
    assert batch is not None
    assert [(record["originalMessageId"], record["statusCode"]) for record in batch.records()] == [("m 1", "Success")]


async def test_what_waits_is_delivered_in_order_when_the_device_comes_back(standin: StandIn) -> None:
    inbox = Inbox()
    async with connected(symmetric_client(standin)) as client:
        await listen(client, "on_message_received", inbox)
    for number in range(3):
        standin.send_c2d(LEAF, b"%d" % number)
    assert standin.hub.c2d_waiting(LEAF) == 3
    back = symmetric_client(standin)
    # This connects: the session of before has the subscription, and the SDK drops what comes before the handler.
    await listen(back, "on_message_received", inbox)
    async with connected(back):
        assert [(await inbox.next()).data for _ in range(3)] == [b"0", b"1", b"2"]
        await completed(standin, 3)


async def test_over_websocket_it_is_the_same_where_443_is_permitted(standin: StandIn) -> None:
    if standin.websocket_port is None:  # the SDK knows no other port for it, and this one needs a privilege
        assert "443" in standin.notices[0]
        return
    inbox = Inbox()
    async with connected(symmetric_client(standin, websockets=True)) as client:
        await listen(client, "on_message_received", inbox)
        standin.send_c2d(LEAF, b"over websocket")
        assert (await inbox.next()).data == b"over websocket"
        await completed(standin, 1)


async def test_a_device_with_a_certificate_gets_messages(standin: StandIn, tmp_path: Path) -> None:
    credential = self_signed_device("thumb")
    standin.add_certificate_device("thumb", [thumbprint_sha256(credential.certificate)])
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(credential.chain_pem)
    key.write_bytes(credential.key_pem)
    client = IoTHubDeviceClient.create_from_x509_certificate(
        X509(str(chain), str(key)),
        standin.hub_name,
        "thumb",
        gateway_hostname=standin.address,
        server_verification_cert=standin.trust_bundle,
        connection_retry=False,
    )
    inbox = Inbox()
    async with connected(client):
        await listen(client, "on_message_received", inbox)
        standin.send_c2d(identity("thumb"), b"for you")
        assert (await inbox.next()).data == b"for you"


async def test_messages_twins_and_the_session_outlive_the_stand_in(open_standin: Open) -> None:
    inbox = Inbox()
    async with open_standin() as standin:
        async with connected(symmetric_client(standin)) as client:
            await listen(client, "on_message_received", inbox)
            await blocking(client.patch_twin_reported_properties, {"r": 1})
        standin.send_c2d(LEAF, b"kept", messageId="m1")
        standin.set_desired(LEAF, {"interval": 5})
    async with open_standin() as standin:
        assert standin.hub.c2d_waiting(LEAF) == 1
        client = symmetric_client(standin)
        await listen(client, "on_message_received", inbox)
        async with connected(client):
            assert (await inbox.next()).data == b"kept"
            assert await blocking(client.get_twin) == {
                "desired": {"interval": 5, "$version": 2},
                "reported": {"r": 1, "$version": 2},
            }
        assert standin.send_c2d(LEAF, b"next") == 2  # numbers go on, too


async def test_a_module_calls_a_method_of_another(
    standin: StandIn, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    """Through edgeHub, over HTTPS: the SDK knows no port for it but 443, a privilege."""
    if standin.websocket_port is None:
        assert "443" in standin.notices[0]
        return
    clients = []
    for module in ("m1", "m2"):
        standin.add_module(module)
        for name, value in standin.environment(module).items():
            monkeypatch.setenv(name, value)
        # It asks the workload API, which runs on this very loop.
        clients.append(await blocking(IoTHubModuleClient.create_from_edge_environment))
    async with connected(clients[0]) as caller, connected(clients[1]) as callee:

        def answer(request: Any) -> None:
            callee.send_method_response(MethodResponse.create_from_method_request(request, 207, request.payload))

        await listen(callee, "on_method_request_received", answer)
        call = {"methodName": "re boot", "payload": {"in": 1}, "responseTimeoutInSeconds": 20}
        assert await blocking(caller.invoke_method, call, "edge-1", "m2") == {"status": 207, "payload": {"in": 1}}
    seen(Table.DEVICES, Client.PYTHON_MODULE.over("mqtt"), "method call")
