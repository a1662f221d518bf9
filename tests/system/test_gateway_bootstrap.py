"""Boards come to a gateway's process for the first time, over real TLS and in the clear."""

import asyncio
import json
import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub import sas
from support.certificates import Credential, rsa_key, self_signed
from support.gateway_site import GatewaySite
from support.http_reading import Answer
from support.new_board import Board, ask, group_secret, secret_of
from support.paho_device import Dial, let_in
from support.tls_client import client_context

CONTACT = "/bootstrap/v1/contact"
TIME = "/bootstrap/v1/time"
TLS_PORT = 8443
PLAIN_PORT = 8080
SMALL_MQTT_PORT = 8884
SMALL_HTTPS_PORT = 8444
NONCE = "0123456789abcdef" * 2
GROUP_KEY = b"the key of the enrolment group.."


async def start(site: GatewaySite, **environment: str) -> None:
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT=str(TLS_PORT), **environment)


async def new_code(site: GatewaySite, *options: str) -> Any:
    """What `gateway claims add` says."""
    said = await site.command("claims", "add", "--json", *options)
    assert said.code == 0, said.error
    return json.loads(said.out)


async def contact(
    site: GatewaySite, board: Board, nonce: str, *, port: int = TLS_PORT, tls: ssl.SSLContext | None = None
) -> Answer:
    """A board's request, over TLS that checks the gateway's name unless the port is the plain one."""
    security = None if port == PLAIN_PORT else tls or site.client_tls()
    return await asyncio.to_thread(ask, site.address, port, "POST", CONTACT, board.contact(nonce), tls=security)


async def sends(site: GatewaySite, device: str, key: bytes, body: str) -> None:
    """The device connects with this key, and its message is taken."""
    async with let_in(site, device, Dial(token=site.token(device, key=key))) as client:
        await client.publish(body)


async def test_a_board_with_a_code_gets_its_identity_and_sends(site: GatewaySite) -> None:
    settings = site.write_settings(
        routes={"all": "FROM /messages/* INTO $upstream"}, boards={"settings": {"interval": 60}}
    )
    await start(site, GATEWAY_SETTINGS_FILE=str(settings))
    code = await new_code(site, "--model", "nodemcu", "--id-prefix", "node-")
    board = Board(device="node-1", secret=secret_of(code["code"]))
    answer = await contact(site, board, NONCE)
    document, key = board.accept(answer, NONCE)
    assert document["deviceId"] == "node-1"
    assert (document["hub"], document["gateway"]) == (site.hub.hub_name, site.address)
    assert (document["mqttPort"], document["httpsPort"]) == (8883, TLS_PORT)
    assert (document["settings"], document["firmware"]) == ({"interval": 60}, None)
    assert len(answer.body) < 1_500
    await sends(site, "node-1", key, "born")
    (event,) = await site.arrived(1)
    assert (event.body, event.properties["leafDeviceId"]) == (b"born", "node-1")

    other = Board(device="node-2", secret=board.secret)
    assert (await contact(site, other, os.urandom(16).hex())).status == 401
    (listed,) = json.loads((await site.command("claims", "list", "--json")).out)["codes"]
    assert (listed["status"], [use["id"] for use in listed["uses"]]) == ("used", ["node-1"])
    assert await site.counted('gateway_admitted_boards_total{by="claim"}') == 1
    assert await site.counted('gateway_refused_contacts_total{reason="used"}') == 1
    await site.gateway.said(
        f"board 'node-1' (nodemcu, firmware 1.0.0) from 127.0.0.1 got its identity by claim '{code['name']}'"
    )
    told = site.gateway.transcript()
    for secret in (code["code"], code["code"].replace("-", ""), sas.encode_key(key), board.secret.hex(), NONCE):
        assert secret not in told


async def test_a_code_that_was_used_before_a_kill_stays_used_and_a_lost_answer_is_told_again(site: GatewaySite) -> None:
    await start(site)
    board = Board(device="node-1", secret=secret_of((await new_code(site))["code"]))
    _, key = board.accept(await contact(site, board, NONCE), NONCE)
    await site.gateway.kill()
    await start(site)
    assert (await contact(site, Board(device="node-2", secret=board.secret), NONCE)).status == 401
    assert board.accept(await contact(site, board, NONCE), NONCE)[1] == key
    await sends(site, "node-1", key, "again")
    assert (await contact(site, board, os.urandom(16).hex())).status == 401
    assert board.accept(await contact(site, board, NONCE), NONCE)[1] == key
    assert len(await site.arrived(1)) == 1


async def test_of_two_boards_with_one_code_one_is_let_in(site: GatewaySite) -> None:
    await start(site)
    secret = secret_of((await new_code(site))["code"])
    boards = [Board(device=f"node-{number}", secret=secret) for number in range(8)]
    answers = await asyncio.gather(*(contact(site, board, NONCE) for board in boards))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 7


async def test_a_back_end_that_is_built_anew_lets_the_same_board_in(site: GatewaySite) -> None:
    add_group = ("devices", "add-group", "site", "--key", sas.encode_key(GROUP_KEY), "--id-prefix", "node-")
    board = Board(device="node-1", secret=group_secret(GROUP_KEY, "node-1"), kind="group")
    assert (await site.command(*add_group)).code == 0
    await start(site)
    _, key = board.accept(await contact(site, board, NONCE), NONCE)
    assert key == board.secret
    await sends(site, "node-1", key, "before")
    await site.arrived(1)
    await site.gateway.stop()
    shutil.rmtree(site.data)
    site.data.mkdir(mode=0o700)
    await start(site)
    assert (await contact(site, board, NONCE)).status == 401
    assert (await site.command(*add_group)).code == 0
    answer = await contact(site, board, "f" * 32)
    assert board.accept(answer, "f" * 32)[1] == key
    await sends(site, "node-1", key, "after")
    assert [event.body for event in await site.arrived(2)] == [b"before", b"after"]


async def test_labels_come_from_a_file_and_are_the_boards_own(site: GatewaySite) -> None:
    (site.folder / "labels.csv").write_text("code,id\nABCD-EFGH-JKLM,node-1\nABCD-EFGH-JKLN,node-2\n")
    assert (await site.command("claims", "import", str(site.folder / "labels.csv"))).out == "2 codes taken in\n"
    await start(site)
    label = secret_of("ABCD-EFGH-JKLM")
    assert (await contact(site, Board(device="node-2", secret=label, kind="label"), NONCE)).status == 401
    board = Board(device="node-1", secret=label, kind="label")
    _, key = board.accept(await contact(site, board, NONCE), NONCE)
    await sends(site, "node-1", key, "labelled")
    assert await site.counted('gateway_admitted_boards_total{by="label"}') == 1


async def test_a_plain_port_is_for_first_contact_alone_and_keys_are_sealed(site: GatewaySite) -> None:
    await start(site, GATEWAY_BOOTSTRAP_PLAIN_PORT=str(PLAIN_PORT))
    board = Board(device="node-1", secret=secret_of((await new_code(site))["code"]))
    answer = await contact(site, board, NONCE, port=PLAIN_PORT)
    _, key = board.accept(answer, NONCE)
    assert sas.encode_key(key).encode() not in answer.body
    again = await contact(site, board, NONCE)  # what was heard on the plain port gets nobody the key over TLS
    assert sas.encode_key(key).encode() not in again.body
    assert board.accept(again, NONCE)[1] == key
    await sends(site, "node-1", key, "plain")
    for method, path in (
        ("POST", "/devices/node-1/messages/events?api-version=2021-04-12"),
        ("GET", "/firmware/v1/manifests/nodemcu"),
        ("GET", "/"),
    ):
        refused = await asyncio.to_thread(ask, site.address, PLAIN_PORT, method, path)
        assert refused.status == 404
    told = await asyncio.to_thread(ask, site.address, PLAIN_PORT, "GET", TIME)
    assert json.loads(told.body).keys() == {"time"}


async def test_without_the_setting_there_is_no_plain_port(site: GatewaySite) -> None:
    await start(site)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.to_thread(ask, site.address, PLAIN_PORT, "GET", TIME)


async def test_a_root_that_boards_cannot_pin_is_said_at_the_start(site: GatewaySite) -> None:
    await new_code(site)
    curves = self_signed(site.address, addresses=(site.address,))
    await start(site, **files(site.folder, "GATEWAY_CERTIFICATE_FILE", "GATEWAY_KEY_FILE", curves))
    line = await site.gateway.said("boards get no root key at first contact")
    assert "is not RSA" in line
    board = Board(device="node-1", secret=secret_of((await new_code(site))["code"]))
    document, _ = board.accept(await contact(site, board, NONCE, tls=client_context()), NONCE)
    assert document["root"] is None


async def test_boards_of_the_small_listener_are_told_its_root_and_its_ports(site: GatewaySite) -> None:
    credential = self_signed("small", key=rsa_key(), addresses=(site.address,))
    await start(
        site,
        GATEWAY_CONSTRAINED_MQTT_PORT=str(SMALL_MQTT_PORT),
        GATEWAY_CONSTRAINED_HTTPS_PORT=str(SMALL_HTTPS_PORT),
        **files(site.folder, "GATEWAY_CONSTRAINED_CERTIFICATE", "GATEWAY_CONSTRAINED_KEY", credential),
    )
    board = Board(device="node-1", secret=secret_of((await new_code(site))["code"]))
    small = client_context(version=ssl.TLSVersion.TLSv1_2, ciphers="AES128-SHA256")
    document, _ = board.accept(await contact(site, board, NONCE, port=SMALL_HTTPS_PORT, tls=small), NONCE)
    numbers = credential.key.public_key().public_numbers()
    assert document["root"] == {"n": f"{numbers.n:0512x}", "e": 65_537}  # type: ignore[union-attr] # an RSA key
    assert (document["mqttPort"], document["httpsPort"]) == (SMALL_MQTT_PORT, SMALL_HTTPS_PORT)


async def test_the_time_is_proven_to_a_device_that_has_lost_it(site: GatewaySite) -> None:
    await start(site)
    board = Board(device="d1", secret=b"0123456789abcdef" * 2)
    path = f"{TIME}?registrationId=d1&nonce={NONCE}"
    answer = await asyncio.to_thread(ask, site.address, TLS_PORT, "GET", path, tls=site.client_tls())
    assert board.believes(answer.body, answer.headers["x-bootstrap-mac"], NONCE)


def files(folder: Path, certificate: str, key: str, credential: Credential) -> dict[str, str]:
    """The variables that name a certificate and its key."""
    chain, own = folder / "own.pem", folder / "own.key"
    chain.write_bytes(credential.pem)
    own.write_bytes(credential.key_pem)
    return {certificate: str(chain), key: str(own)}
