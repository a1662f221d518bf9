"""Generic AMQP clients as senders: rhea, qpid-proton and azure-eventhub's; PLAIN, EXTERNAL, CBS, WebSocket."""

from pathlib import Path

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from support.amqp_peers import BODIES, MESSAGES, PROTON, PYAMQP, RHEA, Program, Server, accepted, fail, succeed
from support.gateway_site import GatewaySite

WEBSOCKET_PORT = 8443
SENDERS = {
    "rhea": (RHEA, "plain"),
    "proton": (PROTON, "plain"),
    "pyamqp": (PYAMQP, "plain"),
    "pyamqp by CBS": (PYAMQP, "cbs"),
}


@pytest.mark.parametrize(("program", "login"), SENDERS.values(), ids=SENDERS)
async def test_a_device_with_a_token_sends(site: GatewaySite, program: Program, login: str) -> None:
    await site.gateway.start()
    said = await succeed(program, Server.of(site).token("d1", login=login, messages=MESSAGES))
    assert accepted(said) == 2
    first, second = await site.arrived(2)
    assert [first.body, second.body] == BODIES
    assert first.properties == {"a b": "c/d&e", "leafDeviceId": "d1"}
    assert {name: first.system[name] for name in ("messageId", "contentType", "contentEncoding")} == {
        "messageId": "m 1",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
    }


@pytest.mark.parametrize("program", [RHEA, PROTON], ids=["rhea", "proton"])
async def test_a_device_with_a_certificate_sends_by_sasl_external(
    site: GatewaySite, tmp_path: Path, program: Program
) -> None:
    credential = self_signed_device("thumb-1")
    thumbprint = thumbprint_sha256(credential.certificate)
    assert (await site.command("devices", "add", "thumb-1", "--thumbprint", thumbprint)).code == 0
    await site.gateway.start()
    plan = Server.of(site).certificate("thumb-1", credential, tmp_path, messages=MESSAGES)
    assert accepted(await succeed(program, plan)) == 2
    assert {event.properties["leafDeviceId"] for event in await site.arrived(2)} == {"thumb-1"}


async def test_a_batch_of_azure_eventhubs_client_is_as_many_messages(site: GatewaySite) -> None:
    await site.gateway.start()
    batch = [{"body": f"{number}", "properties": {"n": f"{number}"}} for number in range(100)]
    said = await succeed(PYAMQP, Server.of(site).token("d1", messages=[], batch=batch))
    assert accepted(said) == 1
    assert [event.properties["n"] for event in await site.arrived(100)] == [f"{number}" for number in range(100)]


@pytest.mark.parametrize("subprotocol", ["AMQPWSB10", "amqp"])
async def test_rhea_sends_over_websocket(site: GatewaySite, subprotocol: str) -> None:
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT=str(WEBSOCKET_PORT))
    how = {
        "websocket": True,
        "path": "/any/path",
        "subprotocols": ["mqtt-of-others", subprotocol],
        "port": WEBSOCKET_PORT,
    }
    plan = Server.of(site).token("d1", messages=MESSAGES) | how
    assert accepted(await succeed(RHEA, plan)) == 2
    assert len(await site.arrived(2)) == 2


@pytest.mark.parametrize(("program", "login"), SENDERS.values(), ids=SENDERS)
async def test_a_wrong_key_is_told(site: GatewaySite, program: Program, login: str) -> None:
    await site.gateway.start()
    await fail(program, Server.of(site).token("d1", login=login, key=b"x" * 32, messages=MESSAGES))
    assert await site.counted('gateway_refused_logins_total{reason="wrong_key"}') == 1
    assert site.hub.events.count() == 0


@pytest.mark.parametrize("program", [RHEA, PROTON, PYAMQP], ids=["rhea", "proton", "pyamqp"])
async def test_a_link_of_another_device_is_not_allowed(site: GatewaySite, program: Program) -> None:
    await site.gateway.start()
    server = Server.of(site)
    plan = server.token("d1", messages=MESSAGES) | server.device("d2")
    assert (await fail(program, plan))["condition"] == "amqp:not-allowed"
    assert site.hub.events.count() == 0
