"""Node's unmodified azure-iot-device with its AMQP transports, over TCP and WebSocket, by GatewayHostName."""

import os
from pathlib import Path

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from edgeca.folder import Folder
from edgewire.iothub import sas
from support.amqp_peers import BODIES, MESSAGES, NODE_DEVICE, Server, accepted, fail, succeed
from support.gateway_site import GatewaySite

GROUP_KEY = b"group key " * 6


async def start(site: GatewaySite, transport: str) -> bool:
    """Start the gateway, for AmqpWs on 443: the SDK knows no other port. False where that is not permitted."""
    if transport == "Amqp":
        await site.gateway.start()
    elif os.geteuid() == 0:
        await site.gateway.start(GATEWAY_WEBSOCKET_PORT="443")
    else:
        await site.gateway.spawn(GATEWAY_WEBSOCKET_PORT="443")
        assert await site.gateway.exit_code() == 2
        assert "ports below 1024 need a privilege" in site.gateway.transcript()
        return False
    return True


@pytest.mark.parametrize("transport", ["Amqp", "AmqpWs"])
async def test_a_device_with_a_key_sends(site: GatewaySite, transport: str) -> None:
    if not await start(site, transport):
        return
    said = await succeed(NODE_DEVICE, Server.of(site).node("d1", messages=MESSAGES, websocket=transport == "AmqpWs"))
    assert accepted(said) == 2
    first, second = await site.arrived(2)
    assert [first.body, second.body] == BODIES
    assert first.properties == {"a b": "c/d&e", "leafDeviceId": "d1"}
    assert first.system["messageId"] == "m 1"
    assert first.system["contentType"] == "application/json"
    assert first.system["contentEncoding"] == "utf-8"


@pytest.mark.parametrize("transport", ["Amqp", "AmqpWs"])
async def test_a_device_known_by_its_thumbprint_sends(site: GatewaySite, tmp_path: Path, transport: str) -> None:
    credential = self_signed_device("thumb-1")
    thumbprint = thumbprint_sha256(credential.certificate)
    assert (await site.command("devices", "add", "thumb-1", "--thumbprint", thumbprint)).code == 0
    if not await start(site, transport):
        return
    plan = Server.of(site).certificate(
        "thumb-1", credential, tmp_path, messages=MESSAGES, websocket=transport == "AmqpWs"
    )
    assert accepted(await succeed(NODE_DEVICE, plan)) == 2
    events = await site.arrived(2)
    assert {event.properties["leafDeviceId"] for event in events} == {"thumb-1"}


async def test_a_device_of_the_trust_bundles_ca_sends(site: GatewaySite, certificates: Path, tmp_path: Path) -> None:
    credential = Folder(certificates).authority().issue_device("ca-1")
    assert (await site.command("devices", "add", "ca-1", "--x509-ca")).code == 0
    await site.gateway.start()
    plan = Server.of(site).certificate("ca-1", credential, tmp_path, messages=MESSAGES)
    assert accepted(await succeed(NODE_DEVICE, plan)) == 2
    assert len(await site.arrived(2)) == 2


async def test_a_certificate_of_another_device_opens_no_link(site: GatewaySite, tmp_path: Path) -> None:
    own, another = self_signed_device("thumb-2"), self_signed_device("thumb-2")
    await site.command("devices", "add", "thumb-2", "--thumbprint", thumbprint_sha256(own.certificate))
    await site.gateway.start()
    await fail(NODE_DEVICE, Server.of(site).certificate("thumb-2", another, tmp_path, messages=MESSAGES))
    assert await site.counted('gateway_refused_logins_total{reason="certificate_mismatch"}') == 1
    assert site.hub.events.count() == 0


async def test_a_wrong_key_is_an_unauthorized_error(site: GatewaySite) -> None:
    await site.gateway.start()
    said = await fail(NODE_DEVICE, Server.of(site).node("d1", key=b"x" * 32, messages=MESSAGES))
    assert said["name"] == "UnauthorizedError"
    assert await site.counted('gateway_refused_logins_total{reason="wrong_key"}') == 1


async def test_a_device_with_a_key_derived_from_its_groups_sends(site: GatewaySite) -> None:
    added = await site.command(
        "devices", "add-group", "site-a", "--key", sas.encode_key(GROUP_KEY), "--id-prefix", "a-"
    )
    assert added.code == 0, added.error
    await site.gateway.start()
    key = sas.derive_device_key(GROUP_KEY, "a-17")
    assert accepted(await succeed(NODE_DEVICE, Server.of(site).node("a-17", key=key, messages=MESSAGES))) == 2
    (event, _) = await site.arrived(2)
    assert event.properties["leafDeviceId"] == "a-17"


async def test_a_message_larger_than_a_frame_arrives_whole(site: GatewaySite) -> None:
    await site.gateway.start()
    body = "x" * 200_000
    assert accepted(await succeed(NODE_DEVICE, Server.of(site).node("d1", messages=[{"body": body}]))) == 1
    (event,) = await site.arrived(1)
    assert event.body == body.encode()


async def test_a_device_that_asks_for_its_twin_hears_that_there_is_none(site: GatewaySite) -> None:
    await site.gateway.start()
    said = await fail(NODE_DEVICE, Server.of(site).node("d1", messages=MESSAGES, twin=True))
    assert said["message"] == "could not get twin. this gateway does not serve twins of leaf devices"
