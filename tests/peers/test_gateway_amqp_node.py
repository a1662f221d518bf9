"""Node's unmodified azure-iot-device with its AMQP transports, over TCP and WebSocket, by GatewayHostName."""

import asyncio
import os
from pathlib import Path
from typing import Final

from edgeca.authority import self_signed_device
from edgeca.credential import Credential, thumbprint_sha256
from edgeca.folder import Folder
from edgewire.iothub import sas
from support.amqp_peers import BODIES, MESSAGES, NODE_DEVICE, Plan, Server, accepted, fail, succeed
from support.clients import X509, Client
from support.compatibility import Seen, Table, works
from support.gateway_site import GatewaySite

GROUP_KEY: Final = b"group key " * 6


async def start(site: GatewaySite) -> list[bool]:
    """Start the gateway; whether to use WebSocket, each in turn. The SDK knows no port for it but 443: a privilege."""
    if os.geteuid() != 0:
        await site.gateway.start()
        return [False]
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT="443")
    return [False, True]


async def self_signed(site: GatewaySite, device: str) -> Credential:
    """The certificate of a device that the gateway knows by it."""
    credential = self_signed_device(device)
    thumbprint = thumbprint_sha256(credential.certificate)
    assert (await site.command("devices", "add", device, "--thumbprint", thumbprint)).code == 0
    return credential


async def test_devices_with_each_kind_of_credential_send(
    site: GatewaySite, certificates: Path, tmp_path: Path, seen: Seen
) -> None:
    added = await site.command(
        "devices", "add-group", "site-a", "--key", sas.encode_key(GROUP_KEY), "--id-prefix", "a-"
    )
    assert added.code == 0, added.error
    assert (await site.command("devices", "add", "ca-1", "--x509-ca")).code == 0
    of_ca = Folder(certificates).authority().issue_device("ca-1")
    known = await self_signed(site, "thumb-1")
    server = Server.of(site)
    plans: dict[str, Plan] = {
        "d1": server.node("d1", messages=MESSAGES),
        "a-17": server.node("a-17", key=sas.derive_device_key(GROUP_KEY, "a-17"), messages=MESSAGES),
        "thumb-1": server.certificate("thumb-1", known, tmp_path, messages=MESSAGES),
        "ca-1": server.certificate("ca-1", of_ca, tmp_path, messages=MESSAGES),
    }
    read = 0
    for websocket in await start(site):
        said = await asyncio.gather(
            *(succeed(NODE_DEVICE, {**plan, "websocket": websocket}) for plan in plans.values())
        )
        assert [accepted(lines) for lines in said] == [2] * len(plans)
        events = await site.arrived(2 * len(plans), after=read)
        read = events[-1].sequence
        for device in plans:
            first, second = (event for event in events if event.properties["leafDeviceId"] == device)
            assert [first.body, second.body] == BODIES
            assert first.properties["a b"] == "c/d&e"
            assert first.system["messageId"] == "m 1"
            assert first.system["contentType"] == "application/json"
            assert first.system["contentEncoding"] == "utf-8"
        transport = "amqp-ws" if websocket else "amqp"
        for login in (None, X509):
            seen(Table.GATEWAY, Client.NODE_DEVICE.over(transport, login), "telemetry")


@works(Table.GATEWAY, Client.NODE_DEVICE.over("amqp"), "refusals")
@works(Table.GATEWAY, Client.NODE_DEVICE.over("amqp", X509), "refusals")
async def test_what_it_is_refused_it_is_told(site: GatewaySite, tmp_path: Path) -> None:
    await self_signed(site, "thumb-2")
    await site.gateway.start()
    server = Server.of(site)
    wrong_key = await fail(NODE_DEVICE, server.node("d1", key=b"x" * 32, messages=MESSAGES))
    assert wrong_key["name"] == "UnauthorizedError"
    assert await site.counted('gateway_refused_logins_total{reason="wrong_key"}') == 1
    another = self_signed_device("thumb-2")
    await fail(NODE_DEVICE, server.certificate("thumb-2", another, tmp_path, messages=MESSAGES))
    assert await site.counted('gateway_refused_logins_total{reason="certificate_mismatch"}') == 1
    no_twin = await fail(NODE_DEVICE, server.node("d1", twin=True))
    assert no_twin["message"].startswith("could not get twin. this gateway does not serve twins of leaf devices: ")
    assert site.hub.events.count() == 0


async def test_a_message_larger_than_a_frame_arrives_whole(site: GatewaySite) -> None:
    await site.gateway.start()
    body = "x" * 200_000
    assert accepted(await succeed(NODE_DEVICE, Server.of(site).node("d1", messages=[{"body": body}]))) == 1
    (event,) = await site.arrived(1)
    assert event.body == body.encode()
