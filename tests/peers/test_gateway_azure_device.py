"""The unmodified azure-iot-device 2.14 as a leaf device: its gateway_hostname is ours, its hub the stand-in's name."""

import os
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import X509, IoTHubDeviceClient, Message
from azure.iot.device.exceptions import CredentialError

from edgeca.authority import self_signed_device
from edgeca.credential import Credential, thumbprint_sha256
from edgeca.folder import Folder
from edgewire.iothub import sas
from support.azure_device import blocking, connected
from support.clients import X509 as BY_CERTIFICATE
from support.clients import Client
from support.compatibility import Table, works
from support.gateway_site import KEY, GatewaySite

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")


def key_client(site: GatewaySite, device: str, *, key: bytes = KEY, **options: Any) -> Any:
    return IoTHubDeviceClient.create_from_connection_string(
        f"HostName={site.hub.hub_name};DeviceId={device};SharedAccessKey={sas.encode_key(key)};"
        f"GatewayHostName={site.address}",
        server_verification_cert=site.hub.trust_bundle,
        connection_retry=False,
        **options,
    )


def certificate_client(site: GatewaySite, device: str, credential: Credential, folder: Path) -> Any:
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(credential.chain_pem)
    key.write_bytes(credential.key_pem)
    return IoTHubDeviceClient.create_from_x509_certificate(
        X509(str(chain), str(key)),
        site.hub.hub_name,
        device,
        gateway_hostname=site.address,
        server_verification_cert=site.hub.trust_bundle,
        connection_retry=False,
    )


async def test_a_device_with_a_key_sends(site: GatewaySite) -> None:
    await site.gateway.start()
    message = Message('{"t":31}', message_id="m 1", content_encoding="utf-8", content_type="application/json")
    message.custom_properties["a b"] = "c/d&e"
    async with connected(key_client(site, "d1")) as client:
        await blocking(client.send_message, message)
        await blocking(client.send_message, "and one more")
    first, second = await site.arrived(2)
    await site.gateway.stop()
    assert (first.body, second.body) == (b'{"t":31}', b"and one more")
    assert first.properties == {"a b": "c/d&e", "leafDeviceId": "d1"}
    assert first.system["messageId"] == "m 1"
    assert first.system["contentType"] == "application/json"
    assert first.system["contentEncoding"] == "utf-8"


async def test_a_device_sends_over_websocket_where_443_is_permitted(site: GatewaySite) -> None:
    if os.geteuid() != 0:  # the SDK knows no other port for it, and this one needs a privilege
        await site.gateway.spawn(GATEWAY_WEBSOCKET_PORT="443")
        assert await site.gateway.exit_code() == 2
        assert "ports below 1024 need a privilege" in site.gateway.transcript()
        return
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT="443")
    async with connected(key_client(site, "d1", websockets=True)) as client:
        await blocking(client.send_message, "over websocket")
    (event,) = await site.arrived(1)
    assert event.body == b"over websocket"


async def test_a_device_known_by_its_thumbprint_sends(site: GatewaySite, tmp_path: Path) -> None:
    credential = self_signed_device("thumb-1")
    thumbprint = thumbprint_sha256(credential.certificate)
    assert (await site.command("devices", "add", "thumb-1", "--thumbprint", thumbprint)).code == 0
    await site.gateway.start()
    async with connected(certificate_client(site, "thumb-1", credential, tmp_path)) as client:
        await blocking(client.send_message, "hello")
    (event,) = await site.arrived(1)
    assert event.properties["leafDeviceId"] == "thumb-1"


async def test_a_device_of_the_trust_bundles_ca_sends(site: GatewaySite, certificates: Path, tmp_path: Path) -> None:
    credential = Folder(certificates).authority().issue_device("ca-1")
    assert (await site.command("devices", "add", "ca-1", "--x509-ca")).code == 0
    await site.gateway.start()
    async with connected(certificate_client(site, "ca-1", credential, tmp_path)) as client:
        await blocking(client.send_message, "hello")
    (event,) = await site.arrived(1)
    assert event.properties["leafDeviceId"] == "ca-1"


@works(Table.GATEWAY, Client.PYTHON_DEVICE.over("mqtt", BY_CERTIFICATE), "refusals")
@pytest.mark.parametrize(("device", "reason"), [("ca-2", "certificate_mismatch"), ("thumb-2", "certificate_mismatch")])
async def test_a_certificate_of_another_device_is_refused(
    site: GatewaySite, certificates: Path, tmp_path: Path, device: str, reason: str
) -> None:
    own = self_signed_device("thumb-2")
    await site.command("devices", "add", "thumb-2", "--thumbprint", thumbprint_sha256(own.certificate))
    await site.command("devices", "add", "ca-2", "--x509-ca")
    await site.gateway.start()
    another = Folder(certificates).authority().issue_device("ca-1")
    client = certificate_client(site, device, another, tmp_path)
    with pytest.raises(CredentialError):
        await blocking(client.connect)
    await blocking(client.shutdown)
    assert await site.counted(f'gateway_refused_logins_total{{reason="{reason}"}}') == 1


@works(Table.GATEWAY, Client.PYTHON_DEVICE.over("mqtt"), "refusals")
async def test_a_wrong_key_is_a_credential_error(site: GatewaySite) -> None:
    await site.gateway.start()
    client = key_client(site, "d1", key=b"another key, of 32 bytes' length")
    with pytest.raises(CredentialError):
        await blocking(client.connect)
    await blocking(client.shutdown)
    assert await site.counted('gateway_refused_logins_total{reason="wrong_key"}') == 1


async def test_a_device_with_a_key_derived_from_its_groups_sends(site: GatewaySite) -> None:
    group = b"group key " * 6
    added = await site.command("devices", "add-group", "site-a", "--key", sas.encode_key(group), "--id-prefix", "a-")
    assert added.code == 0, added.error
    await site.gateway.start()
    key = sas.derive_device_key(group, "a-17")
    async with connected(key_client(site, "a-17", key=key)) as client:
        await blocking(client.send_message, "from a group")
    (event,) = await site.arrived(1)
    assert event.properties["leafDeviceId"] == "a-17"
