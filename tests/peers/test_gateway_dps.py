"""Devices that register through the gateway, with unmodified clients, and connect to it with what they were told."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.iot.device import X509, IoTHubDeviceClient, ProvisioningDeviceClient
from azure.iot.device.exceptions import ClientError, CredentialError
from paho.mqtt import client as paho

from edgewire.iothub import sas
from standin.dps import DEFAULT_SCOPE, DpsOptions
from support.amqp_peers import NODE_PROVISIONING, succeed
from support.azure_device import blocking, connected
from support.clients import Client
from support.compatibility import Table, each_of, works
from support.gateway_site import PATIENCE_S, GatewaySite
from support.paho_device import ROWS, Dial, let_in
from support.paho_provisioning import Board, Registration
from support.provisioning import KEY, WRONG_KEY, derived, enrol, enrol_self_signed

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

HUB_NAME = "hub.test"
NOT_AUTHORIZED = 5
PYTHON = {False: Client.PYTHON_PROVISIONING.over("mqtt"), True: Client.PYTHON_PROVISIONING.over("mqtt-ws")}
NODE = Client.NODE_PROVISIONING.over_each("mqtt", "mqtt-ws", "http")
REGISTER = "https://{host}/{scope}/registrations/{registration}/register?api-version=2019-03-31"


@pytest.fixture(autouse=True)
def no_timers() -> Iterator[None]:
    """A registration that fails leaves the SDK's timer of 30 s behind, and the process waits for it at its end."""
    yield
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


@pytest.fixture
async def site(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[GatewaySite]:
    """A gateway that knows no device and passes registrations on to the stand-in."""
    options = DpsOptions(delay_s=0, host=HUB_NAME)
    hub_address, address = next(loopback), next(loopback)
    async with GatewaySite.open(
        tmp_path, certificates, hub_address, address, hub_name=HUB_NAME, https_port=443, dps=options
    ) as site:
        await site.gateway.start(
            GATEWAY_WEBSOCKET_PORT="443",
            GATEWAY_UPSTREAM_AMQP="edgehub",
            GATEWAY_DPS=hub_address,
        )
        await site.gateway.said("connected upstream on behalf of devices")
        yield site


def board(site: GatewaySite, registration: str, key: str = KEY, **more: Any) -> Board:
    return Board(
        host=site.address,
        scope=DEFAULT_SCOPE,
        registration=registration,
        trust=site.hub.trust_bundle,
        key=key,
        **more,
    )


async def sends(site: GatewaySite, device: str, key: str) -> None:
    """What a board does with the answer: it connects to the gateway at once, with its key."""
    token = site.token(device, key=sas.decode_key(key))
    async with let_in(site, device, Dial(token=token)) as mine:
        await mine.publish('{"messageType":"alert"}')
    (event,) = await site.arrived(1)
    assert (event.device, event.output) == (device, None)


@pytest.mark.parametrize("version", each_of(Table.GATEWAY, ROWS, "individual key"))
async def test_a_board_registers_through_the_gateway_and_sends(site: GatewaySite, version: int) -> None:
    enrol(site.hub, device="pump-7")
    async with Registration(board(site, "reg-01", version=version)) as registration:
        state = await registration.assigned(payload={"model": "nodemcu"})
    assert (state["assignedHub"], state["deviceId"]) == (HUB_NAME, "pump-7")
    assert (state["gatewayHostName"], state["payload"]) == (site.address, {"model": "nodemcu"})
    await sends(site, state["deviceId"], KEY)
    assert await site.counted('gateway_provisioned_devices_total{by="service"}') == 1


@works(Table.GATEWAY, ROWS[paho.MQTTv311], "group key")
async def test_a_board_of_a_group_registers_through_the_gateway_and_sends(site: GatewaySite) -> None:
    enrol(site.hub, "meters", group=True)
    key = derived("meter-1")
    async with Registration(board(site, "meter-1", key)) as registration:
        state = await registration.assigned()
    await sends(site, state["deviceId"], key)


@works(Table.GATEWAY, ROWS[paho.MQTTv311], "refusals")
async def test_a_wrong_key_is_the_services_to_refuse(site: GatewaySite) -> None:
    enrol(site.hub)
    async with Registration(board(site, "reg-01", WRONG_KEY)) as registration:
        assert await registration.connects.next() == 0
        await registration.listen()
        told = await registration.register()
        assert (told.status, told.document["errorCode"]) == (401, 401002)
        await registration.disconnects.next()
    assert site.hub.counters["provisioning refused: wrong key"] == 1
    assert await site.counted('gateway_refused_registrations_total{reason="service"}') == 1


async def test_what_is_for_another_registration_is_not_passed_on(site: GatewaySite) -> None:
    enrol(site.hub)
    enrol(site.hub, "reg-02")
    mine = board(site, "reg-01")
    async with Registration(board(site, "reg-02", token=mine.make_token())) as registration:
        assert await registration.connects.next() == NOT_AUTHORIZED
    async with Registration(mine) as registration:
        assert await registration.connects.next() == 0
        await registration.listen()
        told = await registration.register(registrationId="reg-02")
        assert (told.status, told.document["errorCode"]) == (400, 400004)
    assert site.hub.counters["registrations assigned"] == 0


@works(Table.GATEWAY, ROWS[paho.MQTTv311], "registers offline")
async def test_a_board_is_answered_from_memory_while_the_service_is_away(site: GatewaySite) -> None:
    """The very token that the service took is known again; another of the same key is not, without the group's key."""
    enrol(site.hub, "meters", group=True)
    mine = board(site, "meter-1", derived("meter-1"))
    token = mine.make_token()
    async with Registration(board(site, "meter-1", token=token)) as registration:
        said = await registration.assigned()
    async with site.without_hub():
        async with Registration(board(site, "meter-1", token=token)) as registration:
            remembered = await registration.assigned()
        async with Registration(board(site, "meter-1", token=mine.make_token(7200))) as registration:
            assert await registration.connects.next() == 0
            await registration.listen()
            told = await registration.register()
            assert (told.status, told.fields) == (503, {"retry-after": "10"})
    assert remembered.pop("gatewayRememberedDateTimeUtc")
    assert remembered == said
    assert await site.counted('gateway_provisioned_devices_total{by="memory"}') == 1


async def test_who_knows_the_groups_key_here_is_remembered_by_it(site: GatewaySite) -> None:
    """A board makes a new token at each start; with the group in devices.json it is known all the same."""
    enrol(site.hub, "meters", group=True)
    group = await site.command("devices", "add-group", "meters", "--key", KEY)
    assert group.code == 0, group.error
    mine = board(site, "meter-1", derived("meter-1"))
    async with Registration(mine) as registration:
        await registration.assigned()
    async with site.without_hub():
        async with Registration(board(site, "meter-1", token=mine.make_token(7200))) as registration:
            assert (await registration.assigned())["deviceId"] == "meter-1"
        async with Registration(board(site, "meter-1", WRONG_KEY)) as registration:
            assert await registration.connects.next() == 0
            await registration.listen()
            assert (await registration.register()).status == 503


# Official SDKs: the gateway is their provisioning host, and they are told as an option that it is the gateway, too.


def python_client(site: GatewaySite, registration: str, key: str, **options: Any) -> Any:
    return ProvisioningDeviceClient.create_from_symmetric_key(
        site.address, registration, DEFAULT_SCOPE, key, server_verification_cert=site.hub.trust_bundle, **options
    )


@pytest.mark.parametrize("websockets", each_of(Table.GATEWAY, PYTHON, "individual key"))
async def test_pythons_sdk_registers_through_the_gateway_and_sends(
    site: GatewaySite,
    websockets: bool,  # noqa: FBT001 - a row
) -> None:
    enrol(site.hub, device="pump-7")
    client = python_client(site, "reg-01", KEY, websockets=websockets)
    client.provisioning_payload = {"modelId": "dtmi:a:b;1"}
    result = await blocking(client.register)
    state = result.registration_state
    assert (result.status, state.assigned_hub, state.device_id) == ("assigned", HUB_NAME, "pump-7")
    assert state.response_payload == '{"modelId": "dtmi:a:b;1"}'
    device = IoTHubDeviceClient.create_from_symmetric_key(
        KEY,
        state.assigned_hub,
        state.device_id,
        gateway_hostname=site.address,
        server_verification_cert=site.hub.trust_bundle,
    )
    async with connected(device):
        await blocking(device.send_message, "hello")
    (event,) = await site.arrived(1)
    assert (event.device, event.body) == ("pump-7", b"hello")


@works(Table.GATEWAY, PYTHON[False], "group key")
async def test_pythons_sdk_registers_a_device_of_a_group(site: GatewaySite) -> None:
    enrol(site.hub, "meters", group=True)
    result = await blocking(python_client(site, "meter-1", derived("meter-1")).register)
    assert result.registration_state.device_id == "meter-1"


@works(Table.GATEWAY, PYTHON[False], "refusals")
async def test_pythons_sdk_hears_that_a_key_is_wrong(site: GatewaySite) -> None:
    enrol(site.hub)
    client = python_client(site, "reg-01", WRONG_KEY)
    with pytest.raises(ClientError) as refused:
        await blocking(client.register)
    assert "401" in str(refused.value.__cause__)


async def test_a_certificate_is_refused_with_what_to_do(site: GatewaySite, tmp_path: Path) -> None:
    files = enrol_self_signed(site.hub, "cert-1", tmp_path)
    client = ProvisioningDeviceClient.create_from_x509_certificate(
        site.address,
        "cert-1",
        DEFAULT_SCOPE,
        X509(str(files.chain), str(files.key)),
        server_verification_cert=site.hub.trust_bundle,
    )
    with pytest.raises(CredentialError):
        await blocking(client.register)
    await site.gateway.said("enrol it by a symmetric key")
    assert await site.counted('gateway_refused_registrations_total{reason="certificate"}') == 1


def node_plan(site: GatewaySite, transport: str, registration: str, key: str) -> dict[str, Any]:
    return {
        "host": site.address,
        "gateway": site.address,
        "scope": DEFAULT_SCOPE,
        "ca": str(site.root_file),
        "key": key,
        "transport": transport,
        "registration": registration,
    }


@pytest.mark.parametrize("transport", each_of(Table.GATEWAY, NODE, "individual key"))
async def test_nodes_sdk_registers_through_the_gateway_and_sends(site: GatewaySite, transport: str) -> None:
    enrol(site.hub, device="pump-7")
    said = await succeed(NODE_PROVISIONING, node_plan(site, transport, "reg-01", KEY))
    assert said[0]["event"] == "assigned", said
    state = said[0]["state"]
    assert (state["assignedHub"], state["deviceId"]) == (HUB_NAME, "pump-7")
    assert state["gatewayHostName"] == site.address
    (event,) = await site.arrived(1)
    assert (event.device, event.body) == ("pump-7", b"hello")


@pytest.mark.parametrize("transport", each_of(Table.GATEWAY, NODE, "refusals"))
async def test_nodes_sdk_hears_that_a_key_is_wrong(site: GatewaySite, transport: str) -> None:
    enrol(site.hub)
    said = await succeed(NODE_PROVISIONING, node_plan(site, transport, "reg-01", WRONG_KEY))
    assert said[0]["event"] == "refused", said
    assert site.hub.counters["provisioning refused: wrong key"] == 1


# Plain HTTPS, as a board without any MQTT has it.


async def test_a_plain_client_registers_over_https(site: GatewaySite) -> None:
    enrol(site.hub)
    mine = board(site, "reg-01")
    headers = {"Authorization": mine.make_token(), "Content-Type": "application/json; charset=utf-8"}
    target = REGISTER.format(host=site.address, scope=DEFAULT_SCOPE, registration="reg-01")
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession(headers=headers) as session:
        said = await _document(session.put(target, data='{"registrationId":"reg-01"}', ssl=site.client_tls()))
        while said["status"] == "assigning":
            poll = target.replace("/register", f"/operations/{said['operationId']}")
            said = await _document(session.get(poll, ssl=site.client_tls()))
    assert said["registrationState"]["assignedHub"] == HUB_NAME
    assert said["registrationState"]["gatewayHostName"] == site.address
    assert time.time() < sas.parse(headers["Authorization"]).expires_at


async def _document(request: Any) -> dict[str, Any]:
    async with request as answer:
        text = await answer.text()
        assert answer.status in (200, 202), text
        document: dict[str, Any] = json.loads(text)
        return document
