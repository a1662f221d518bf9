"""Generic AMQP clients as senders: rhea, qpid-proton and azure-eventhub's; PLAIN, EXTERNAL, CBS, WebSocket."""

import asyncio
from pathlib import Path
from typing import Final

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from support.amqp_peers import BODIES, MESSAGES, PROTON, PYAMQP, RHEA, RHEA_MANY, Server, accepted, fail, succeed
from support.clients import CBS, PLAIN, X509, Client
from support.compatibility import Seen, Table, works
from support.gateway_site import GatewaySite

WEBSOCKET_PORT: Final = 8443
SENDERS: Final = {
    "rhea": (RHEA, "plain"),
    "proton": (PROTON, "plain"),
    "pyamqp": (PYAMQP, "plain"),
    "pyamqp-cbs": (PYAMQP, "cbs"),
}
"""Each runs as the device of its name, all at once."""
ROWS: Final = {
    "rhea": Client.RHEA.over("amqp", PLAIN),
    "proton": Client.PROTON.over("amqp", PLAIN),
    "pyamqp": Client.PYTHON_EVENTS_AMQP.over("amqp", PLAIN),
    "pyamqp-cbs": Client.PYTHON_EVENTS_AMQP.over("amqp", CBS),
}


async def test_devices_with_tokens_send(site: GatewaySite, seen: Seen) -> None:
    site.register(*SENDERS)
    await site.gateway.start()
    server = Server.of(site)
    said = await asyncio.gather(
        *(
            succeed(program, server.token(device, login=login, messages=MESSAGES))
            for device, (program, login) in SENDERS.items()
        )
    )
    assert [accepted(lines) for lines in said] == [2] * len(SENDERS)
    events = await site.arrived(2 * len(SENDERS))
    for device in SENDERS:
        first, second = (event for event in events if event.properties["leafDeviceId"] == device)
        assert [first.body, second.body] == BODIES
        assert first.properties["a b"] == "c/d&e"
        assert first.system["messageId"] == "m 1"
        assert first.system["contentType"] == "application/json"
        assert first.system["contentEncoding"] == "utf-8"
        seen(Table.GATEWAY, ROWS[device], "telemetry")


@works(Table.GATEWAY, Client.RHEA.over("amqp", X509), "telemetry")
@works(Table.GATEWAY, Client.PROTON.over("amqp", X509), "telemetry")
async def test_devices_with_certificates_send_by_sasl_external(site: GatewaySite, tmp_path: Path) -> None:
    plans = []
    for device in ("rhea", "proton"):
        credential = self_signed_device(device)
        thumbprint = thumbprint_sha256(credential.certificate)
        assert (await site.command("devices", "add", device, "--thumbprint", thumbprint)).code == 0
        plans.append(Server.of(site).certificate(device, credential, tmp_path, messages=MESSAGES))
    await site.gateway.start()
    said = await asyncio.gather(succeed(RHEA, plans[0]), succeed(PROTON, plans[1]))
    assert [accepted(lines) for lines in said] == [2, 2]
    assert {event.properties["leafDeviceId"] for event in await site.arrived(4)} == {"rhea", "proton"}


async def test_a_batch_of_azure_eventhubs_client_is_as_many_messages(site: GatewaySite) -> None:
    await site.gateway.start()
    batch = [{"body": f"{number}", "properties": {"n": f"{number}"}} for number in range(100)]
    said = await succeed(PYAMQP, Server.of(site).token("d1", messages=[], batch=batch))
    assert accepted(said) == 1
    assert [event.properties["n"] for event in await site.arrived(100)] == [f"{number}" for number in range(100)]


@works(Table.GATEWAY, Client.RHEA.over("amqp-ws", PLAIN), "telemetry")
async def test_rhea_sends_over_websocket_by_either_subprotocol(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT=str(WEBSOCKET_PORT))
    how = {"port": WEBSOCKET_PORT, "websocket": True, "path": "/any/path"}
    for subprotocol in ("AMQPWSB10", "amqp"):
        offered = {"subprotocols": ["of-others", subprotocol]}
        assert accepted(await succeed(RHEA, Server.of(site).token("d1", messages=MESSAGES) | how | offered)) == 2
    assert len(await site.arrived(4)) == 4


async def test_a_wrong_key_is_told_to_each(site: GatewaySite, seen: Seen) -> None:
    site.register(*SENDERS)
    await site.gateway.start()
    server = Server.of(site)
    await asyncio.gather(
        *(
            fail(program, server.token(device, login=login, key=b"x" * 32, messages=MESSAGES))
            for device, (program, login) in SENDERS.items()
        )
    )
    assert await site.counted('gateway_refused_logins_total{reason="wrong_key"}', len(SENDERS)) == len(SENDERS)
    assert site.hub.events.count() == 0
    for row in ROWS.values():
        seen(Table.GATEWAY, row, "refusals")


async def test_a_link_of_another_device_is_not_allowed(site: GatewaySite) -> None:
    site.register(*SENDERS)
    await site.gateway.start()
    server = Server.of(site)
    failures = await asyncio.gather(
        *(
            fail(program, server.token(device, login=login, messages=MESSAGES) | server.device("d2"))
            for device, (program, login) in SENDERS.items()
        )
    )
    assert [failure["condition"] for failure in failures] == ["amqp:not-allowed"] * len(SENDERS)
    assert site.hub.events.count() == 0


async def test_what_was_accepted_survives_a_kill_while_the_hub_is_away(site: GatewaySite) -> None:
    bodies = [f"{number}" for number in range(20)]
    await site.gateway.start()
    async with site.without_hub():
        assert (
            accepted(await succeed(RHEA, Server.of(site).token("d1", messages=[{"body": body} for body in bodies])))
            == 20
        )
        await site.gateway.kill()
    await site.gateway.start()
    assert [event.body.decode() for event in await site.arrived(20)] == bodies


async def test_a_message_that_is_too_large_is_refused_by_its_size(site: GatewaySite) -> None:
    site.register(*SENDERS)
    await site.gateway.start()
    server = Server.of(site)
    failures = await asyncio.gather(
        *(
            fail(program, server.token(device, login=login, messages=[{"body": "x" * 300_000}]))
            for device, (program, login) in SENDERS.items()
        )
    )
    assert [failure["condition"] for failure in failures] == ["amqp:link:message-size-exceeded"] * len(SENDERS)
    assert site.hub.events.count() == 0


async def test_many_devices_share_a_connection_and_one_without_a_good_token_disturbs_none(site: GatewaySite) -> None:
    devices = [f"leaf-{number}" for number in range(50)]
    site.register(*devices)
    await site.gateway.start()
    tokens = {device: site.token(device) for device in devices} | {"leaf-7": site.token("leaf-7", key=b"x" * 32)}
    said = await succeed(RHEA_MANY, Server.of(site).device("none", tokens=tokens, messages=MESSAGES))
    assert [line["device"] for line in said if line["event"] == "refused"] == ["leaf-7"]
    assert {line["device"]: line["status"] for line in said if line["event"] == "token"} == {
        device: 401 if device == "leaf-7" else 200 for device in devices
    }
    good = [device for device in devices if device != "leaf-7"]
    assert accepted(said) == 2 * len(good)
    events = await site.arrived(2 * len(good))
    assert sorted(str(event.properties["leafDeviceId"]) for event in events) == sorted(2 * good)
