"""Small boards register through the listeners made for them, and connect to them with what they were told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from edgeca.folder import Folder, Wish
from edgeca.keys import KeyType
from edgewire.iothub import sas
from standin.dps import DEFAULT_SCOPE, DpsOptions
from support import raw_mqtt
from support.axtls_client import AxTlsClient
from support.gateway_site import GatewaySite
from support.http_reading import Answer, read_answers
from support.provisioning import KEY, derived, enrol
from support.raw_mqtt import Hello
from support.small_board import PORT, SmallBoard

HTTPS_PORT: Final = 8444
HUB_NAME: Final = "hub.test"
BOARD: Final = "nodemcu-1"
RESOURCE: Final = f"{DEFAULT_SCOPE}/registrations/{BOARD}"
LOGIN: Final = f"{RESOURCE}/api-version=2019-03-31"
RESULTS: Final = "$dps/registrations/res/#"
REGISTER: Final = "$dps/registrations/PUT/iotdps-register/?$rid=1"
POLL: Final = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId="
DOCUMENT: Final = json.dumps({"registrationId": BOARD}).encode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of RSA keys alone, as boards need it."""
    folder = tmp_path_factory.mktemp("rsa")
    Folder(folder).init(wish=Wish(key_type=KeyType.RSA_2048))
    return folder


@pytest.fixture
async def site(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[GatewaySite]:
    """A gateway that takes small boards, knows none, and passes their registrations on."""
    hub_address, address = next(loopback), next(loopback)
    options = DpsOptions(delay_s=0, host=HUB_NAME)
    async with GatewaySite.open(
        tmp_path, certificates, hub_address, address, hub_name=HUB_NAME, https_port=8443, dps=options
    ) as site:
        await site.gateway.start(
            GATEWAY_UPSTREAM_AMQP="edgehub",
            GATEWAY_CONSTRAINED_MQTT_PORT=str(PORT),
            GATEWAY_CONSTRAINED_HTTPS_PORT=str(HTTPS_PORT),
            GATEWAY_DPS=f"{hub_address}:8443",
        )
        await site.gateway.said("connected upstream on behalf of devices")
        yield site


def dps_token(key: str) -> str:
    return sas.make(RESOURCE, sas.decode_key(key), int(time.time()) + 3600)


@asynccontextmanager
async def visitor(site: GatewaySite, key: str) -> AsyncIterator[SmallBoard]:
    """A board that registers, and listens to answers."""
    async with AxTlsClient.connect(site.address, PORT) as tls:
        board = SmallBoard(tls, BOARD)
        await tls.write(Hello(client_id=BOARD, username=LOGIN, password=dps_token(key)).wire)
        assert await board.next() == (raw_mqtt.CONNACK, b"\x00\x00")
        await board.subscribe(RESULTS)
        yield board


async def assigned(board: SmallBoard) -> dict[str, Any]:
    """The state of a board that registers, at QoS 0 as the smallest client does it."""
    await board.publish(REGISTER, DOCUMENT)
    topic, body = await board.message()
    assert topic.startswith("$dps/registrations/res/202/?$rid=1&retry-after="), topic
    while True:
        await board.publish(POLL + json.loads(body)["operationId"], b" ")
        topic, body = await board.message()
        document: dict[str, Any] = json.loads(body)
        if document["status"] != "assigning":
            assert topic == "$dps/registrations/res/200/?$rid=2"
            return document["registrationState"]  # type: ignore[no-any-return] # JSON
        await asyncio.sleep(0.2)


async def test_a_small_board_registers_logs_in_and_sends(site: GatewaySite) -> None:
    """What is too large for it is left out of the answer: here a payload of 2,000 bytes."""
    enrol(site.hub, "boards", group=True, payload={"notes": "x" * 2_000})
    key = derived(BOARD)
    async with visitor(site, key) as board:
        state = await assigned(board)
    assert state == {
        "registrationId": BOARD,
        "assignedHub": HUB_NAME,
        "deviceId": BOARD,
        "status": "assigned",
        "substatus": "initialAssignment",
        "gatewayHostName": site.address,
    }
    async with AxTlsClient.connect(site.address, PORT) as tls:
        board = SmallBoard(tls, BOARD)
        token = site.token(BOARD, key=sas.decode_key(key))
        await tls.write(Hello(client_id=BOARD, username=site.username(BOARD), password=token).wire)
        assert await board.next() == (raw_mqtt.CONNACK, b"\x00\x00")
        await board.publish(f"devices/{BOARD}/messages/events/", b'{"temperature":21.5}', qos=1)
    (event,) = await site.arrived(1)
    assert (event.device, event.output) == (BOARD, None)


async def test_a_small_board_registers_over_https(site: GatewaySite) -> None:
    enrol(site.hub, "boards", group=True)
    base = f"/{DEFAULT_SCOPE}/registrations/{BOARD}"
    begun = await ask(site, "PUT", f"{base}/register", DOCUMENT)
    assert begun.status == 202
    operation = json.loads(begun.body)["operationId"]
    told = await ask(site, "GET", f"{base}/operations/{operation}")
    while told.status == 202:
        await asyncio.sleep(int(told.headers["retry-after"]) / 10)
        told = await ask(site, "GET", f"{base}/operations/{operation}")
    assert (told.status, json.loads(told.body)["registrationState"]["deviceId"]) == (200, BOARD)


async def ask(site: GatewaySite, method: str, path: str, body: bytes = b"") -> Answer:
    """One request of a board: one connection, and read to its end."""
    lines = (
        f"{method} {path}?api-version=2019-03-31 HTTP/1.1",
        f"Host: {site.address}",
        f"Authorization: {dps_token(derived(BOARD))}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    async with AxTlsClient.connect(site.address, HTTPS_PORT) as tls:
        await tls.write("\r\n".join((*lines, "", "")).encode() + body)
        said = b""
        while part := await tls.read(1_024):
            said += part
    [answer] = read_answers(said)
    return answer


async def test_what_was_assigned_survives_the_gateways_end_and_the_services_absence(site: GatewaySite) -> None:
    enrol(site.hub, "boards", group=True)
    added = await site.command("devices", "add-group", "boards", "--key", KEY)
    assert added.code == 0, added.error
    async with visitor(site, derived(BOARD)) as board:
        said = await assigned(board)
    await site.gateway.stop()
    site.hub.hub.faults.refusing = True  # its provisioning answers 503; the gateway gets its certificates all the same
    await site.gateway.start()
    async with visitor(site, derived(BOARD)) as board:
        remembered = await assigned(board)
    assert remembered.pop("gatewayRememberedDateTimeUtc")
    assert remembered.items() >= {"deviceId": BOARD, "assignedHub": said["assignedHub"]}.items()
