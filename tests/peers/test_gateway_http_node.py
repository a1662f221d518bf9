"""Node's unmodified azure-iot-device over HTTPS against the gateway, which it takes for its hub."""

from pathlib import Path
from typing import Any, Final

import pytest

from edgeca.folder import Folder
from edgewire.iothub import sas
from edgewire.iothub.bag import Bag
from edgewire.message import identity
from standin.devicebound import C2dMessage
from support.amqp_peers import BODIES, NODE_HTTP, accepted, fail, peer, succeed
from support.clients import X509, Client
from support.compatibility import Table, works
from support.gateway_site import KEY, GatewaySite, until

DEVICE: Final = identity("d1")
MESSAGES: Final = (
    {
        "body": '{"t":31}',
        "id": "m 1",
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "properties": {"Kind": "c/d&e"},
    },
    {"body": "and one more"},
)


def plan(site: GatewaySite, device: str = "d1", *, key: bytes = KEY, **more: Any) -> dict[str, Any]:
    """What the program must know: there is no GatewayHostName over HTTPS, the gateway is the host."""
    return {"ca": str(site.root_file), "host": site.address, "device": device, "key": sas.encode_key(key), **more}


@pytest.mark.parametrize("batch", [False, True])
async def test_telemetry_is_stored_and_goes_on(site: GatewaySite, *, batch: bool) -> None:
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT="443")
    said = await succeed(NODE_HTTP, plan(site, messages=MESSAGES, batch=batch))
    assert accepted(said) == (1 if batch else 2)
    first, second = await site.arrived(2)
    assert [first.body, second.body] == BODIES
    assert first.properties["Kind"] == "c/d&e"
    assert first.properties["leafDeviceId"] == "d1"
    if not batch:  # the SDK leaves system properties out of a batch
        assert first.system["messageId"] == "m 1"
        assert first.system["contentType"] == "application/json"
    asked = 1 if batch else 2
    assert await site.counted('gateway_http_requests_total{action="send",status="204"}', asked) == asked


@works(Table.GATEWAY, Client.NODE_DEVICE.over("http", X509), "telemetry")
async def test_a_certificate_is_proof_enough(site: GatewaySite, certificates: Path, tmp_path: Path) -> None:
    assert (await site.command("devices", "add", "ca-1", "--x509-ca")).code == 0
    credential = Folder(certificates).authority().issue_device("ca-1")
    (tmp_path / "chain.pem").write_bytes(credential.chain_pem)
    (tmp_path / "key.pem").write_bytes(credential.key_pem)
    files: dict[str, Any] = {"certificate": str(tmp_path / "chain.pem"), "certificate_key": str(tmp_path / "key.pem")}
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT="443")
    assert accepted(await succeed(NODE_HTTP, plan(site, "ca-1", messages=MESSAGES, **files))) == 2
    assert len(await site.arrived(2)) == 2


async def test_messages_from_the_cloud_are_polled_and_settled(site: GatewaySite) -> None:
    site.hub.add_device("d1", keys=(sas.encode_key(KEY),))
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT="443", GATEWAY_UPSTREAM_AMQP="edgehub")
    site.hub.hub.send_c2d(DEVICE, C2dMessage(Bag({"Level": "5"}, {"messageId": "c2d-1"}), b"on"))
    async with peer(NODE_HTTP, plan(site, settle=["abandon", "complete", "reject"])) as device:
        for _ in range(2):
            await device.until("settled")
        site.hub.hub.send_c2d(DEVICE, C2dMessage(Bag({}, {}), b"off"))
        said = await device.succeed()
    messages = [line for line in said if line["event"] == "message"]
    assert [each["body"] for each in messages] == ["on", "on", "off"]
    assert messages[0]["id"] == "c2d-1"
    assert [entry["key"] for entry in messages[0]["properties"]] == ["iothub-app-level"]
    await until(lambda: site.hub.hub.c2d_waiting(DEVICE) == 0)  # the device is not told that the hub knows
    for outcome in ("abandoned", "completed", "rejected"):
        assert site.hub.counters[f"c2d {outcome}"] == 1


@works(Table.GATEWAY, Client.NODE_DEVICE.over("http"), "refusals")
async def test_what_is_refused_it_is_told(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT="443")
    assert (await fail(NODE_HTTP, plan(site, key=b"x" * 32, messages=MESSAGES)))["name"] == "UnauthorizedError"
    assert await site.counted('gateway_refused_logins_total{reason="wrong_key"}') == 1
    too_large = [{"body": "x" * 262_145}]
    assert (await fail(NODE_HTTP, plan(site, messages=too_large)))["name"] == "MessageTooLargeError"
    assert site.hub.events.count() == 0
