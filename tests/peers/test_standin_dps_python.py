"""The stand-in's provisioning and the unmodified azure-iot-device 2.14: registers, then sends to its hub."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import X509, IoTHubDeviceClient, ProvisioningDeviceClient
from azure.iot.device.exceptions import ClientError, CredentialError

from standin.app import StandIn
from standin.dps import DEFAULT_SCOPE, DpsOptions
from standin.dps_linked import LinkedHub
from support.azure_device import blocking, connected
from support.clients import Client
from support.compatibility import Table, each_of, works
from support.provisioning import KEY, WRONG_KEY, Files, derived, enrol, enrol_ca_group, enrol_self_signed

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

MQTT = Client.PYTHON_PROVISIONING.over("mqtt")
ROWS = {False: MQTT, True: Client.PYTHON_PROVISIONING.over("mqtt-ws")}
"""By whether the SDK is told to use WebSocket."""
ADDRESS = "127.0.72.1"
OTHER = "127.0.72.3"


@pytest.fixture(autouse=True)
def no_timers() -> Iterator[None]:
    """A registration that fails leaves the SDK's timer of 30 s behind, and the process waits for it at its end."""
    yield
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "run", address=ADDRESS, dps=DpsOptions(delay_s=0)) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def by_key(
    standin: StandIn, registration: str = "reg-01", key: str = KEY, scope: str = DEFAULT_SCOPE, **options: Any
) -> Any:
    return ProvisioningDeviceClient.create_from_symmetric_key(
        ADDRESS, registration, scope, key, server_verification_cert=standin.trust_bundle, **options
    )


def x509(files: Files) -> X509:
    return X509(str(files.chain), str(files.key))


def by_certificate(standin: StandIn, registration: str, certificate: X509, **options: Any) -> Any:
    return ProvisioningDeviceClient.create_from_x509_certificate(
        ADDRESS, registration, DEFAULT_SCOPE, certificate, server_verification_cert=standin.trust_bundle, **options
    )


async def send(client: Any) -> None:
    async with connected(client):
        await blocking(client.send_message, "hello")


async def send_by_key(standin: StandIn, state: Any, key: str = KEY) -> None:
    """What a device does with the answer: connect to the hub it was given, with the key it has."""
    await send(
        IoTHubDeviceClient.create_from_symmetric_key(
            key, state.assigned_hub, state.device_id, server_verification_cert=standin.trust_bundle
        )
    )


async def send_by_certificate(standin: StandIn, state: Any, certificate: X509) -> None:
    await send(
        IoTHubDeviceClient.create_from_x509_certificate(
            certificate, state.assigned_hub, state.device_id, server_verification_cert=standin.trust_bundle
        )
    )


def senders(standin: StandIn) -> list[str]:
    return [event.device for event in standin.events.read()]


@pytest.mark.parametrize("websockets", each_of(Table.SERVICE, ROWS, "individual key"))
async def test_an_enrolled_device_registers_and_sends(standin: StandIn, websockets: bool) -> None:  # noqa: FBT001 - a row
    enrol(standin, device="pump-7", desired={"interval": 5})
    client = by_key(standin, websockets=websockets)
    client.provisioning_payload = {"modelId": "dtmi:a:b;1"}
    result = await blocking(client.register)
    state = result.registration_state
    assert (result.status, state.assigned_hub, state.device_id) == ("assigned", ADDRESS, "pump-7")
    assert (state.sub_status, state.response_payload) == ("initialAssignment", '{"modelId": "dtmi:a:b;1"}')
    assert state.etag
    assert state.created_date_time
    await send_by_key(standin, state)
    assert senders(standin) == ["pump-7"]


@pytest.mark.parametrize("websockets", each_of(Table.SERVICE, ROWS, "group key"))
async def test_a_device_of_a_group_registers_with_its_derived_key_and_sends(
    standin: StandIn,
    websockets: bool,  # noqa: FBT001 - a row
) -> None:
    enrol(standin, "meters", group=True)
    key = derived("meter-0815")
    result = await blocking(by_key(standin, "meter-0815", key, websockets=websockets).register)
    await send_by_key(standin, result.registration_state, key)
    assert senders(standin) == ["meter-0815"]


@pytest.mark.parametrize("websockets", each_of(Table.SERVICE, ROWS, "X.509"))
async def test_a_device_with_a_certificate_of_its_own_registers_and_sends(
    standin: StandIn,
    tmp_path: Path,
    websockets: bool,  # noqa: FBT001 - a row
) -> None:
    certificate = x509(enrol_self_signed(standin, "cert-1", tmp_path))
    result = await blocking(by_certificate(standin, "cert-1", certificate, websockets=websockets).register)
    await send_by_certificate(standin, result.registration_state, certificate)
    assert senders(standin) == ["cert-1"]


@works(Table.SERVICE, MQTT, "X.509 CA")
async def test_a_device_of_a_ca_registers_and_sends(standin: StandIn, tmp_path: Path) -> None:
    certificate = x509(enrol_ca_group(standin, "fleet", "fleet-7", tmp_path))
    result = await blocking(by_certificate(standin, "fleet-7", certificate).register)
    await send_by_certificate(standin, result.registration_state, certificate)
    assert senders(standin) == ["fleet-7"]


async def test_a_device_is_assigned_to_another_hub_and_sends_there(standin: StandIn, tmp_path: Path) -> None:
    certificates = standin.directory / "certs"
    async with StandIn(tmp_path / "2", address=OTHER, hub_name="hub-2.test", certificates=certificates) as other:
        standin.link_hub(LinkedHub(name=other.hub_name, host=OTHER, directory=other.directory))
        enrol(standin, hub="hub-2.test")
        result = await blocking(by_key(standin).register)
        assert result.registration_state.assigned_hub == OTHER
        await send_by_key(other, result.registration_state)
        assert senders(other) == ["reg-01"]
    assert senders(standin) == []


async def test_registering_twice_keeps_the_device(standin: StandIn) -> None:
    enrol(standin)
    substatus = []
    for _ in range(2):
        result = await blocking(by_key(standin).register)
        substatus.append(result.registration_state.sub_status)
    assert substatus == ["initialAssignment", "deviceDataMigrated"]


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"key": WRONG_KEY}, "wrong key"),
        ({"registration": "reg-02"}, "unknown identity"),
        ({"scope": "0ne00OTHER"}, "foreign hub"),
    ],
)
@works(Table.SERVICE, MQTT, "refusals")
async def test_who_does_not_belong_here_is_told_at_the_login(
    standin: StandIn, changes: dict[str, str], counted: str
) -> None:
    enrol(standin)
    client = by_key(standin, **changes)
    with pytest.raises(CredentialError):
        await blocking(client.register)
    assert standin.counters[f"provisioning refused: {counted}"] == 1


async def test_a_disabled_enrolment_is_a_status_of_its_own(standin: StandIn) -> None:
    enrol(standin, enabled=False)
    client = by_key(standin)
    with pytest.raises(ClientError) as caught:
        await blocking(client.register)
    assert "disabled" in str(caught.value.__cause__)
