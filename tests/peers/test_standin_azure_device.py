"""The stand-in and the unmodified azure-iot-device 2.14: devices."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import X509, IoTHubDeviceClient, Message, MethodResponse
from azure.iot.device.exceptions import ClientError, CredentialError, OperationCancelled

from edgeca.authority import self_signed_device
from edgeca.credential import Credential, thumbprint_sha256
from edgeca.folder import Folder
from edgewire.message import identity
from standin.app import StandIn
from support.azure_device import Inbox, blocking, connected, listen
from support.clients import Client
from support.compatibility import Table, works
from support.gateway_site import PATIENCE_S, until

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

ADDRESS = "127.0.71.1"
LEAF = identity("leaf-1")


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "run", address=ADDRESS) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def symmetric_client(standin: StandIn, device: str = "leaf-1", **options: Any) -> Any:
    entry = standin.add_device(device)
    return IoTHubDeviceClient.create_from_connection_string(
        entry.connection_string(ADDRESS),
        server_verification_cert=standin.trust_bundle,
        connection_retry=False,
        **options,
    )


def certificate_client(standin: StandIn, device: str, credential: Credential, directory: Path) -> Any:
    chain, key = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(credential.chain_pem)
    key.write_bytes(credential.key_pem)
    return IoTHubDeviceClient.create_from_x509_certificate(
        X509(str(chain), str(key)),
        standin.hub_name,
        device,
        gateway_hostname=ADDRESS,
        server_verification_cert=standin.trust_bundle,
        connection_retry=False,
    )


async def test_a_message_arrives_with_its_properties(standin: StandIn) -> None:
    message = Message('{"t":31}', message_id="m 1", content_encoding="utf-8", content_type="application/json")
    message.custom_properties["a b"] = "c/d&e"
    async with connected(symmetric_client(standin)) as client:
        await blocking(client.send_message, message)
    (event,) = standin.events.read()
    assert (event.device, event.module, event.body) == ("leaf-1", None, b'{"t":31}')
    assert event.properties == {"a b": "c/d&e"}
    assert event.system == {
        "messageId": "m 1",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "connectionDeviceId": "leaf-1",
    }


async def test_a_twin_is_read_reported_and_notified(standin: StandIn) -> None:
    patches = Inbox()
    async with connected(symmetric_client(standin)) as client:
        await listen(client, "on_twin_desired_properties_patch_received", patches)
        assert await blocking(client.get_twin) == {"desired": {"$version": 1}, "reported": {"$version": 1}}
        await blocking(client.patch_twin_reported_properties, {"r": {"s": 1}})
        assert standin.reported(LEAF) == {"r": {"s": 1}}
        standin.set_desired(LEAF, {"interval": 5})
        assert await patches.next() == {"interval": 5, "$version": 2}
        with pytest.raises(ClientError):
            await blocking(client.patch_twin_reported_properties, {"bad name": 1})


async def test_a_method_is_answered(standin: StandIn) -> None:
    async with connected(symmetric_client(standin)) as client:

        def answer(request: Any) -> None:
            payload = {"name": request.name, "got": request.payload}
            client.send_method_response(MethodResponse.create_from_method_request(request, 207, payload))

        await listen(client, "on_method_request_received", answer)
        result = await standin.hub.invoke_method(LEAF, "re boot", {"in": 1}, connect_timeout_s=PATIENCE_S)
    assert result.status == 207
    assert result.payload == b'{"name": "re boot", "got": {"in": 1}}'


async def test_a_message_arrives_over_websocket_where_443_is_permitted(standin: StandIn) -> None:
    if standin.websocket_port is None:  # the SDK knows no other port for it, and this one needs a privilege
        assert "443" in standin.notices[0]
        return
    async with connected(symmetric_client(standin, websockets=True)) as client:
        await blocking(client.send_message, "over websocket")
    assert [event.body for event in standin.events.read()] == [b"over websocket"]


async def test_a_device_known_by_its_thumbprint_sends(standin: StandIn, tmp_path: Path) -> None:
    credential = self_signed_device("thumb-1")
    standin.add_certificate_device("thumb-1", [thumbprint_sha256(credential.certificate)])
    async with connected(certificate_client(standin, "thumb-1", credential, tmp_path)) as client:
        await blocking(client.send_message, "hello")
    assert [event.device for event in standin.events.read()] == ["thumb-1"]


async def test_a_device_of_our_ca_sends(standin: StandIn, tmp_path: Path) -> None:
    credential = Folder(standin.directory / "certs").authority().issue_device("ca-1")
    standin.add_certificate_device("ca-1")
    async with connected(certificate_client(standin, "ca-1", credential, tmp_path)) as client:
        await blocking(client.send_message, "hello")
    assert [event.device for event in standin.events.read()] == ["ca-1"]


@works(Table.DEVICES, Client.PYTHON_DEVICE.over("mqtt"), "refusals")
async def test_a_wrong_key_is_a_credential_error(standin: StandIn) -> None:
    standin.add_device("leaf-2")
    client = symmetric_client(standin)
    standin.hub.remove(LEAF)
    standin.add_device("leaf-1")
    with pytest.raises(CredentialError):
        await blocking(client.connect)
    await blocking(client.shutdown)
    assert standin.counters["refused: wrong key"] == 1


# paho 1.6.1 forgets the pair of sockets that wakes its thread when it starts that thread once more.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
async def test_the_sdk_comes_back_after_the_line_was_cut(standin: StandIn) -> None:
    entry = standin.add_device("leaf-1")
    client = IoTHubDeviceClient.create_from_connection_string(
        entry.connection_string(ADDRESS),
        server_verification_cert=standin.trust_bundle,
        connection_retry_interval=1,
    )
    async with connected(client):
        states = Inbox()
        await blocking(client.send_message, "before")
        await blocking(setattr, client, "on_connection_state_change", lambda: states(client.connected))
        assert standin.drop_connections() == 1
        # Between the cut and the SDK's noticing it, a send fails: not what is asked here.
        # What the SDK is when it tells so is not what it tells of: the first time it may be connected again.
        await states.next()
        assert await states.next()
        await blocking(client.send_message, "after")
    events = await standin.events.wait(0, 2, timeout_s=PATIENCE_S)
    assert [event.body for event in events] == [b"before", b"after"]


async def test_a_stalled_stand_in_acknowledges_nothing_while_the_client_believes_in_it(standin: StandIn) -> None:
    async with connected(symmetric_client(standin)) as client:
        standin.stall()
        sending = asyncio.create_task(asyncio.to_thread(client.send_message, "lost in a stall"))
        await until(lambda: standin.counters["messages swallowed while stalled"] == 1)
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done
        assert client.connected
        standin.behave()
        standin.drop_connections()
        with pytest.raises(OperationCancelled):
            await sending
    assert standin.events.count() == 0
