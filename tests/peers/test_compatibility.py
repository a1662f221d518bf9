"""Each device SDK over each of its transports: all that a device can have, through the gateway and at the stand-in.

The hub's own view decides: what arrived, what was settled, what the twin holds, what a method was answered.
"""

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from azure.iot.device import X509, IoTHubDeviceClient, MethodResponse

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from edgewire.iothub import sas
from edgewire.message import Identity, identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Registration, Thumbprints, parse_thumbprint
from standin.app import StandIn
from standin.hub import MethodResult
from support.amqp_peers import NODE_DEVICE, NODE_HTTP, Peer, Server, peer
from support.azure_device import Inbox, blocking, connected, listen
from support.clients import X509 as BY_CERTIFICATE
from support.clients import Client
from support.compatibility import Seen, Table
from support.gateway_site import KEY, PATIENCE_S, GatewaySite, until

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

KEYS: Final = (sas.encode_key(KEY), sas.encode_key(KEY[::-1]))
LEAF: Final = identity("leaf")
THUMB: Final = identity("thumb")
WEBSOCKETS: Final = os.geteuid() == 0
"""The SDKs know no port for WebSocket and HTTPS but 443: a privilege."""
NODE: Final = Client.NODE_DEVICE.over_each("mqtt", "mqtt-ws", "amqp", "amqp-ws")
NODE_OVER_HTTPS: Final = Client.NODE_DEVICE.over("http")
PYTHON: Final = {False: Client.PYTHON_DEVICE.over("mqtt"), True: Client.PYTHON_DEVICE.over("mqtt-ws")}
CREDENTIAL: Final = self_signed_device("thumb")
TWIN: Final = ("twin get", "twin patch", "twin notify")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a device connects, and the hub that is asked afterwards."""

    table: Table
    hub: StandIn
    server: Server
    seen: Seen

    def saw(self, row: str, *columns: str) -> None:
        """This client did these."""
        self.seen(self.table, row, *columns)

    async def arrived(self, *bodies: bytes) -> None:
        """The hub has exactly these events."""
        events = await self.hub.events.wait(0, len(bodies), timeout_s=PATIENCE_S)
        assert [event.body for event in events] == list(bodies)


@pytest.fixture(params=[Table.GATEWAY, Table.DEVICES], ids=["gateway", "stand-in"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, certificates: Path, loopback: Iterator[str]
) -> AsyncIterator[Place]:
    """A place with the device `leaf`, which the hub and the gateway know by the same keys."""
    opened = _through_gateway if request.param is Table.GATEWAY else _at_standin
    async with opened(tmp_path, certificates, loopback, request.getfixturevalue("seen")) as place:
        yield place


@asynccontextmanager
async def _through_gateway(
    folder: Path, certificates: Path, loopback: Iterator[str], seen: Seen
) -> AsyncIterator[Place]:
    async with GatewaySite.open(folder, certificates, next(loopback), next(loopback)) as site:
        site.hub.add_device("leaf", keys=KEYS)
        site.register("leaf")
        thumbprints = Thumbprints(parse_thumbprint(thumbprint_sha256(CREDENTIAL.certificate)), None)
        entry = Registration(THUMB, thumbprints)
        Registry(site.data / FILE_NAME).edit(lambda roster: roster.with_registration(entry))
        websocket = {"GATEWAY_WEBSOCKET_PORT": "443"} if WEBSOCKETS else {}
        await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", **websocket)
        await site.gateway.said("connected upstream on behalf of devices")
        yield Place(table=Table.GATEWAY, hub=site.hub, server=Server.of(site), seen=seen)


@asynccontextmanager
async def _at_standin(folder: Path, certificates: Path, loopback: Iterator[str], seen: Seen) -> AsyncIterator[Place]:
    async with StandIn(folder / "run", address=next(loopback), certificates=certificates) as hub:
        hub.add_device("leaf", keys=KEYS)
        hub.add_certificate_device("thumb", [thumbprint_sha256(CREDENTIAL.certificate)])
        server = Server(hub=hub.hub_name, address=hub.address, root=hub.directory / "trust-bundle.pem")
        yield Place(table=Table.DEVICES, hub=hub, server=server, seen=seen)
        assert hub.counters["faults of the stand-in"] == 0


def told(running: Peer, event: str) -> list[dict[str, Any]]:
    """All that a program said of one kind."""
    return [line for line in running.said if line["event"] == event]


@pytest.mark.parametrize("transport", [name for name in NODE if WEBSOCKETS or not name.endswith("-ws")])
async def test_nodes_device_sdk(place: Place, transport: str) -> None:
    await try_node(place, NODE[transport], place.server.node("leaf", transport=transport), LEAF)


async def try_node(place: Place, row: str, login: dict[str, Any], who: Identity) -> None:
    """All that Node's azure-iot-device has for a device."""
    wants = {"twin": True, "report": {"r": 1}, "method": "reboot", "await": ["message", "method", "desired"]}
    place.hub.send_c2d(who, b"down", messageId="m1")
    async with peer(NODE_DEVICE, login | wants | {"messages": [{"body": "up"}], "known_version": 1}) as running:
        await running.until("listening")
        result = await place.hub.hub.invoke_method(who, "reboot", {"in": 3}, connect_timeout_s=PATIENCE_S)
        place.hub.set_desired(who, {"interval": 5})
        await running.succeed()
    await place.arrived(b"up")
    place.saw(row, "telemetry")
    assert [line["body"] for line in told(running, "message")] == ["down"]
    await until(lambda: place.hub.hub.c2d_waiting(who) == 0)
    assert place.hub.counters["c2d completed"] == 1
    place.saw(row, "C2D")
    assert told(running, "twin")[0]["desired"] == {"$version": 1}
    assert place.hub.reported(who) == {"r": 1}
    assert told(running, "desired")[-1]["patch"] == {"interval": 5, "$version": 2}
    place.saw(row, *TWIN)
    assert result == MethodResult(207, b'{"got":{"in":3}}')
    place.saw(row, "method")


@pytest.mark.parametrize("transport", [name for name in ("amqp", "amqp-ws") if WEBSOCKETS or name == "amqp"])
async def test_nodes_device_sdk_gives_messages_back(place: Place, transport: str) -> None:
    plan = place.server.node("leaf", transport=transport, settle=["reject", "abandon", "complete"])
    for number in range(2):
        place.hub.send_c2d(LEAF, b"", messageId=f"m{number}")
    async with peer(NODE_DEVICE, plan | {"await": ["message"]}) as running:
        await running.succeed()
    await until(lambda: place.hub.hub.c2d_waiting(LEAF) == 0)
    assert [line["id"] for line in told(running, "message")] == ["m0", "m1", "m1"]
    assert [place.hub.counters[f"c2d {each}"] for each in ("rejected", "abandoned", "completed")] == [1, 1, 1]
    place.saw(NODE[transport], "C2D reject", "C2D abandon")


@pytest.mark.skipif(not WEBSOCKETS, reason="port 443 needs a privilege")
async def test_nodes_device_sdk_over_https(place: Place) -> None:
    settle = ["reject", "abandon", "complete"]
    plan = place.server.node("leaf", messages=[{"body": "up"}], settle=settle) | {"host": place.server.address}
    for number in range(2):
        place.hub.send_c2d(LEAF, b"", messageId=f"m{number}")
    async with peer(NODE_HTTP, plan) as running:
        await running.succeed()
    await place.arrived(b"up")
    await until(lambda: place.hub.hub.c2d_waiting(LEAF) == 0)
    assert [place.hub.counters[f"c2d {each}"] for each in ("rejected", "abandoned", "completed")] == [1, 1, 1]
    place.saw(NODE_OVER_HTTPS, "telemetry", "C2D", "C2D reject", "C2D abandon")


@pytest.mark.parametrize(
    "websockets", [False, True] if WEBSOCKETS else [False], ids=["mqtt", "mqtt-ws"][: 1 + WEBSOCKETS]
)
async def test_pythons_device_sdk(place: Place, websockets: bool) -> None:  # noqa: FBT001 — the SDK's own word
    parts = (f"HostName={place.server.hub}", "DeviceId=leaf", f"SharedAccessKey={KEYS[0]}")
    client = IoTHubDeviceClient.create_from_connection_string(
        ";".join((*parts, f"GatewayHostName={place.server.address}")),
        server_verification_cert=place.server.root.read_text(),
        websockets=websockets,
        connection_retry=False,
    )
    await try_python(place, PYTHON[websockets], client, LEAF)


async def try_python(place: Place, row: str, client: Any, who: Identity) -> None:
    """All that Python's azure-iot-device has for a device."""
    messages, patches = Inbox(), Inbox()

    def answer(request: Any) -> None:
        client.send_method_response(MethodResponse.create_from_method_request(request, 207, {"got": request.payload}))

    async with connected(client):
        await blocking(client.send_message, "up")
        await place.arrived(b"up")
        place.saw(row, "telemetry")
        await listen(client, "on_message_received", messages)
        place.hub.send_c2d(who, b"down")
        assert (await messages.next()).data == b"down"
        await until(lambda: place.hub.hub.c2d_waiting(who) == 0)
        place.saw(row, "C2D")
        assert (await blocking(client.get_twin))["desired"] == {"$version": 1}
        await blocking(client.patch_twin_reported_properties, {"r": 1})
        assert place.hub.reported(who) == {"r": 1}
        await listen(client, "on_twin_desired_properties_patch_received", patches)
        place.hub.set_desired(who, {"interval": 5})
        assert await patches.next() == {"interval": 5, "$version": 2}
        place.saw(row, *TWIN)
        await listen(client, "on_method_request_received", answer)
        result = await place.hub.hub.invoke_method(who, "reboot", {"in": 3}, connect_timeout_s=PATIENCE_S)
        assert (result.status, json.loads(result.payload)) == (207, {"got": {"in": 3}})
        place.saw(row, "method")


async def test_pythons_device_sdk_with_a_certificate(place: Place, tmp_path: Path) -> None:
    plan = place.server.certificate("thumb", CREDENTIAL, tmp_path)
    client = IoTHubDeviceClient.create_from_x509_certificate(
        X509(plan["certificate"], plan["certificate_key"]),
        place.server.hub,
        "thumb",
        gateway_hostname=place.server.address,
        server_verification_cert=place.server.root.read_text(),
        connection_retry=False,
    )
    row = Client.PYTHON_DEVICE.over("mqtt", BY_CERTIFICATE)
    if place.table is Table.DEVICES:
        await try_python(place, row, client, THUMB)
        return
    async with connected(client):
        await blocking(client.send_message, "up")
        await place.arrived(b"up")
    place.saw(row, "telemetry")


@pytest.mark.parametrize("transport", ["mqtt", "amqp"])
async def test_nodes_device_sdk_with_a_certificate(place: Place, transport: str, tmp_path: Path) -> None:
    plan = place.server.certificate("thumb", CREDENTIAL, tmp_path, transport=transport)
    row = Client.NODE_DEVICE.over(transport, BY_CERTIFICATE)
    if place.table is Table.DEVICES:
        await try_node(place, row, plan, THUMB)
        return
    async with peer(NODE_DEVICE, plan | {"messages": [{"body": "up"}]}) as running:
        await running.succeed()
    await place.arrived(b"up")
    place.saw(row, "telemetry")
