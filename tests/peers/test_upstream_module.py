"""The module's way upstream against the stand-in, by the real azure-iot-device over TLS.

Also what notices an update of the SDK that changes what `gateway.upstream.module_link` uses of its inside.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import UPSTREAM, Delivery, Endpoint, Envelope, Message, identity, module_input
from edgewire.transport.backoff import Backoff
from gateway.identity.workload import Workload
from gateway.observe.events import Event as GatewayEvent
from gateway.observe.upstream import LinkFault, LinkLost, LinkRenewed, LinkTryFailed, MessageRejected
from gateway.store.store import Store
from gateway.store.values import AppendResult, StoreLimits
from gateway.upstream.forwarder import Forwarder, Window
from gateway.upstream.methods import ModuleMethods
from gateway.upstream.module_proxy import LinkTimes, ModuleProxy
from gateway.upstream.proxy import Document, LinkState, MethodReply
from standin.app import Ports, StandIn
from standin.events import Event
from standin.routes import parse_routes

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

GATEWAY = identity("edge-1", "gateway")
ADDRESS = "127.0.8.8"
DETECTOR = 'BrokeredEndpoint("/modules/detector/inputs/raw")'
LIMIT_S = 45.0
FAST = LinkTimes(open_s=10.0, close_s=5.0, steady_s=0.0)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One CA for all stand-ins of this file: RSA keys take their time."""
    return tmp_path_factory.mktemp("certs")


@pytest.fixture
async def hub(tmp_path: Path, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    routes = parse_routes(
        {
            "up": "FROM /messages/modules/gateway/outputs/upstream INTO $upstream",
            "in": f"FROM /messages/modules/gateway/outputs/detector.raw INTO {DETECTOR}",
        }
    )
    standin = StandIn(
        tmp_path / "hub",
        address=ADDRESS,
        modules=("gateway", "detector"),
        ports=Ports(websocket=None),
        routes=routes,
        certificates=certificates,
    )
    async with standin:
        for name, value in standin.environment("gateway").items():
            monkeypatch.setenv(name, value)
        yield standin


class Gateway:
    """A store, a proxy and forwarders, as `app` wires them."""

    def __init__(self, directory: Path, times: LinkTimes) -> None:
        self.events: list[GatewayEvent] = []
        self.store = Store.open(directory, StoreLimits(), self.events.append)
        self.proxy = ModuleProxy(emit=self.events.append, times=times, backoff=Backoff(0.05, 0.5))
        self.methods = ModuleMethods(
            status=lambda: {"upstream": self.proxy.status().state.value}, emit=self.events.append
        )
        self.connects = 0
        self.patches: asyncio.Queue[Document] = asyncio.Queue()
        self.proxy.listen(self)

    def on_connected(self) -> None:
        self.connects += 1

    def on_desired(self, patch: Document) -> None:
        self.patches.put_nowait(patch)

    async def on_method(self, name: str, payload: Any) -> MethodReply:
        return await self.methods.call(name, payload)

    def forwarder(self, endpoint: Endpoint = UPSTREAM, window: int = 64) -> Forwarder[Any]:
        return Forwarder(
            endpoint=endpoint,
            backlog=self.store.reader(endpoint),
            proxy=self.proxy,
            emit=self.events.append,
            window=Window(window),
            backoff=Backoff(0.02, 0.2),
        )

    async def append(self, messages: list[Message], endpoint: Endpoint = UPSTREAM) -> None:
        stored: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()
        self.store.append([(message, (Delivery(endpoint),)) for message in messages], stored.set_result)
        assert await stored is AppendResult.STORED

    def seen(self, kind: type[GatewayEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110 — what is waited for is a fact about the world, not an event
                await asyncio.sleep(0.01)

    async def until_empty(self) -> None:
        await self.until(lambda: self.store.status().messages == 0)


@asynccontextmanager
async def gateway(tmp_path: Path, times: LinkTimes = FAST, *, forward: bool = True) -> AsyncIterator[Gateway]:
    gateway = Gateway(tmp_path / "store", times)
    running: list[Awaitable[None]] = [gateway.proxy.run()]
    if forward:
        running += [gateway.forwarder().run(), gateway.forwarder(module_input("detector", "raw")).run()]
    tasks = [asyncio.ensure_future(each) for each in running]
    try:
        async with asyncio.timeout(LIMIT_S):
            await gateway.proxy.connected()
        yield gateway
    finally:
        for task in reversed(tasks):
            task.cancel()
        await asyncio.wait(tasks, timeout=LIMIT_S)
        await gateway.store.close()
        assert [task for task in tasks if not task.cancelled()] == []


def reading(number: int, device: str = "leaf1", body: bytes | None = None) -> Message:
    envelope = Envelope(
        sender=identity(device),
        properties={"kind": "climate", "note": "grün & gut"},
        system={"contentType": "application/json", "contentEncoding": "utf-8", "connectionDeviceId": device},
    )
    return Message(envelope, body or json.dumps({"n": number}).encode())


def numbers(events: list[Event], device: str) -> list[int]:
    """The numbers of one device in the order they arrived, repetitions left out."""
    own = [json.loads(event.body)["n"] for event in events if event.properties["leafDeviceId"] == device]
    return list(dict.fromkeys(own))


async def test_a_message_arrives_with_all_it_has_and_its_sender(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path) as ours:
        await ours.append([reading(1)])
        [event] = await hub.events.wait(0, timeout_s=LIMIT_S)
        await ours.until_empty()

    assert (event.device, event.module, event.output) == ("edge-1", "gateway", "upstream")
    assert json.loads(event.body) == {"n": 1}
    assert event.properties == {"kind": "climate", "note": "grün & gut", "leafDeviceId": "leaf1"}
    assert event.system["contentType"] == "application/json"
    assert event.system["contentEncoding"] == "utf-8"
    assert event.system["messageId"].endswith("-1")


async def test_a_message_for_a_module_leaves_by_that_modules_output(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path) as ours:
        await ours.append([reading(1)], module_input("detector", "raw"))
        await ours.until_empty()

    assert hub.events.count() == 0
    delivery = hub.hub.inputs.take(identity("edge-1", "detector"))
    assert delivery is not None
    assert (delivery.input, json.loads(delivery.body)) == ("raw", {"n": 1})
    assert delivery.properties["leafDeviceId"] == "leaf1"


async def test_dropped_connections_lose_nothing_and_keep_each_devices_order(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path) as ours:
        for start in range(0, 600, 100):
            await ours.append([reading(number, f"leaf{number % 3}") for number in range(start, start + 100)])
            await hub.events.wait(0, start + 30, timeout_s=LIMIT_S)
            hub.drop_connections()
        await ours.until_empty()
        await ours.until(lambda: len(ours.seen(LinkLost)) >= 6)
        lost = ours.seen(LinkLost)

    events = hub.events.read(0, 10_000)
    for device in range(3):
        assert numbers(events, f"leaf{device}") == list(range(device, 600, 3))
    ids_of = {json.loads(event.body)["n"]: set() for event in events}  # type: dict[int, set[str]]
    for event in events:
        ids_of[json.loads(event.body)["n"]].add(event.system["messageId"])
    assert all(len(ids) == 1 for ids in ids_of.values())
    assert len({next(iter(ids)) for ids in ids_of.values()}) == 600
    assert len(lost) == 6
    assert {event.fault for event in lost} <= {LinkFault.DROPPED, LinkFault.SEND_FAILED}


async def test_a_stalled_hub_is_noticed_and_left(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path, replace(FAST, stall_s=1.0)) as ours:
        hub.stall()
        await ours.append([reading(number) for number in range(10)])
        await ours.until(lambda: bool(ours.seen(LinkLost)))
        assert [event.fault for event in ours.seen(LinkLost)] == [LinkFault.STALLED]

        hub.behave()
        hub.drop_connections()
        await ours.until_empty()

    assert numbers(hub.events.read(0), "leaf1") == list(range(10))


async def test_a_hub_that_refuses_is_tried_again_with_the_reason_in_words(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path) as ours:
        hub.refuse_connections()
        hub.drop_connections()
        await ours.until(lambda: len(ours.seen(LinkTryFailed)) >= 2)
        assert f"{ADDRESS}:8883" in ours.seen(LinkTryFailed)[0].reason
        assert ours.proxy.status().state in {LinkState.WAITING, LinkState.CONNECTING}

        hub.behave()
        await ours.append([reading(1)])
        await ours.until_empty()


async def test_wrong_credentials_are_named(hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOTEDGE_IOTHUBHOSTNAME", "another.hub")
    ours = Gateway(tmp_path / "store", FAST)
    running = asyncio.ensure_future(ours.proxy.run())
    try:
        await ours.until(lambda: bool(ours.seen(LinkTryFailed)))
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=LIMIT_S)
        await ours.store.close()

    assert ours.seen(LinkTryFailed)[0].fault is LinkFault.CREDENTIALS


async def test_renewing_the_link_under_load_makes_no_duplicate(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path, LinkTimes(renew_s=0.4, close_s=5.0)) as ours:
        for start in range(0, 1500, 100):
            await ours.append([reading(number) for number in range(start, start + 100)])
            await hub.events.wait(0, start + 1, timeout_s=LIMIT_S)
        await ours.until_empty()
        await ours.until(lambda: bool(ours.seen(LinkRenewed)))
        assert ours.seen(LinkLost) == []

    assert [json.loads(event.body)["n"] for event in hub.events.read(0, 10_000)] == list(range(1500))


async def test_a_message_too_large_for_edgehub_is_reported_and_the_rest_goes_on(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path) as ours:
        await ours.append([reading(1), reading(2, body=b"x" * 262_100), reading(3)])
        await ours.until_empty()
        [rejected] = ours.seen(MessageRejected)

    assert numbers(hub.events.read(0), "leaf1") == [1, 3]
    assert rejected.entry_id.endswith("-2")


async def test_a_large_message_that_the_sdk_alone_would_refuse_arrives(hub: StandIn, tmp_path: Path) -> None:
    body = b"x" * 261_000
    async with gateway(tmp_path) as ours:
        await ours.append([reading(1, body=body)])
        await ours.until_empty()

    assert [event.body for event in hub.events.read(0)] == [body]


async def test_the_twin_is_read_reported_and_its_changes_arrive(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path, forward=False) as ours, asyncio.timeout(LIMIT_S):
        hub.set_desired(GATEWAY, {"routes": {"r": "x"}})
        patch = await ours.patches.get()
        twin = await ours.proxy.twin()
        await ours.proxy.report({"version": "1.2.3"})

        assert patch["routes"] == {"r": "x"}
        assert twin["desired"]["routes"] == {"r": "x"}
        assert twin["desired"]["$version"] == patch["$version"]
        assert hub.reported(GATEWAY)["version"] == "1.2.3"


async def test_ping_and_get_status_are_answered(hub: StandIn, tmp_path: Path) -> None:
    async with gateway(tmp_path, forward=False):
        pong = await hub.invoke_method(GATEWAY, "ping", {"a": [1, None]}, response_timeout_s=LIMIT_S)
        status = await hub.invoke_method(GATEWAY, "getStatus", None, response_timeout_s=LIMIT_S)
        unknown = await hub.invoke_method(GATEWAY, "reboot", None, response_timeout_s=LIMIT_S)

    assert (pong.status, json.loads(pong.payload)) == (200, {"a": [1, None]})
    assert (status.status, json.loads(status.payload)) == (200, {"upstream": "connected"})
    assert unknown.status == 404
    assert "getStatus" in json.loads(unknown.payload)["methods"]


async def test_the_simulators_pair_of_variables_works_too(
    hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = hub.hub.registry.get(GATEWAY)
    assert entry is not None
    for name in hub.environment("gateway"):
        monkeypatch.delenv(name)
    (tmp_path / "ca.pem").write_text(hub.trust_bundle)
    monkeypatch.setenv(
        "EdgeHubConnectionString",
        f"HostName={hub.hub_name};GatewayHostName={ADDRESS};DeviceId=edge-1;ModuleId=gateway;SharedAccessKey={entry.primary_key}",
    )
    monkeypatch.setenv("EdgeModuleCACertificateFile", str(tmp_path / "ca.pem"))

    async with gateway(tmp_path) as ours:
        await ours.append([reading(1)])
        await ours.until_empty()


async def test_the_workload_api_serves_our_client(hub: StandIn) -> None:
    workload = Workload.from_environment(hub.environment("gateway"))

    certificate = await workload.server_certificate("pi.site")

    assert b"BEGIN CERTIFICATE" in certificate.chain
    assert certificate.expires_at > certificate.issued_at
    assert await workload.trust_bundle() == hub.trust_bundle
    assert len(await workload.sign(b"data")) == 32
    assert await workload.decrypt(await workload.encrypt(b"secret", b"iv"), b"iv") == b"secret"
