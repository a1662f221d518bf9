import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgewire.codec.mqtt import v3
from edgewire.codec.mqtt.packets import Connect, Publish
from edgewire.iothub import sas
from edgewire.message import UPSTREAM, identity
from gateway.app.gateway import Gateway, GatewayFaultError
from gateway.app.settings import ConfigError, read_environment
from gateway.identity.registry import Registry
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.observe.app import GatewayStarted, GatewayStopped
from gateway.observe.events import Event
from gateway.store.errors import Damage, StoreDamaged
from gateway.store.files import DiskFiles
from gateway.store.status import read_status
from support.certificates import self_signed

ADDRESS = "127.0.0.142"
HUB = "hub.example"
KEY = b"0123456789abcdef" * 2
PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def slow_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is closed in good order may take its time: what is cut after a second is an error to its client."""
    monkeypatch.setattr("gateway.app.gateway.GOODBYE_S", PATIENCE_S / 2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def settings(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a gateway without IoT Edge, with a certificate in files."""
    credential = self_signed("gateway", addresses=(ADDRESS,))
    (folder / "chain.pem").write_bytes(credential.pem)
    (folder / "key.pem").write_bytes(credential.key_pem)
    return {
        "GATEWAY_DATA_DIR": str(folder / "data"),
        "GATEWAY_ADDRESS": ADDRESS,
        "GATEWAY_MQTT_PORT": str(free_port()),
        "GATEWAY_AMQP_PORT": "0",
        "GATEWAY_WEBSOCKET_PORT": "0",
        "GATEWAY_METRICS_PORT": "0",
        "GATEWAY_CERTIFICATE_FILE": str(folder / "chain.pem"),
        "GATEWAY_KEY_FILE": str(folder / "key.pem"),
        "GATEWAY_HUB_NAME": HUB,
        **more,
    }


def registry(folder: Path) -> Registry:
    """The registry, as a command would open it."""
    (folder / "data").mkdir(exist_ok=True)
    return Registry(folder / "data" / "devices.json")


def register(folder: Path, device: str) -> None:
    keys = SymmetricKeys(KEY, KEY[::-1])
    registry(folder).edit(lambda roster: roster.with_registration(Registration(identity(device), keys)))


@asynccontextmanager
async def running(environ: dict[str, str], events: list[Event]) -> AsyncIterator[Gateway]:
    """A gateway that is ready; stopped at the end."""
    stop, ready = asyncio.Event(), asyncio.Event()
    gateway = Gateway(read_environment(environ), environ)
    gateway.observer.listen(events.append)
    life = asyncio.ensure_future(gateway.run(stop, lambda _: ready.set()))
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait([life, waiting], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield gateway
    finally:
        stop.set()
        await asyncio.wait_for(life, PATIENCE_S)


async def login(environ: dict[str, str], device: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A device over TLS, let in."""
    context = ssl.create_default_context(cafile=environ["GATEWAY_CERTIFICATE_FILE"])
    reader, writer = await asyncio.open_connection(ADDRESS, int(environ["GATEWAY_MQTT_PORT"]), ssl=context)
    token = sas.make(sas.resource_of(HUB, identity(device)), KEY, 2_000_000_000)
    connect = Connect(
        client_id=device,
        level=4,
        clean_start=True,
        keep_alive_s=60,
        username=f"{HUB}/{device}/?api-version=2021-04-12",
        password=token.encode(),
    )
    writer.write(v3.write(connect))
    assert await asyncio.wait_for(reader.readexactly(4), PATIENCE_S) == b"\x20\x02\x00\x00"
    return reader, writer


async def test_a_gateway_takes_a_message_and_keeps_it_over_its_stop(tmp_path: Path) -> None:
    events: list[Event] = []
    environ = settings(tmp_path)
    register(tmp_path, "d1")
    async with running(environ, events) as gateway:
        reader, writer = await login(environ, "d1")
        writer.write(v3.write(Publish("devices/d1/messages/events/", b"kept", 1, False, False, 7)))
        assert await asyncio.wait_for(reader.readexactly(4), PATIENCE_S) == b"\x40\x02\x00\x07"
        status = gateway.status()
        assert (status["devices"], status["upstream"]) == (1, None)
        assert status["store"]["queues"][0]["messages"] == 1
    assert isinstance(events[-1], GatewayStopped)
    assert any(isinstance(event, GatewayStarted) for event in events)
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()
    kept = read_status(tmp_path / "data" / "store", DiskFiles(tmp_path / "data" / "store"))
    assert kept is not None
    assert [(queue.endpoint, queue.messages) for queue in kept.queues] == [(UPSTREAM, 1)]


async def test_a_device_that_is_removed_is_cut_while_the_gateway_runs(tmp_path: Path) -> None:
    environ = settings(tmp_path)
    register(tmp_path, "d1")
    async with running(environ, []):
        reader, writer = await login(environ, "d1")
        registry(tmp_path).edit(lambda roster: roster.without(identity("d1")))
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()


async def test_damage_found_while_running_ends_the_gateway_with_its_last_word(tmp_path: Path) -> None:
    environ = settings(tmp_path)
    gateway = Gateway(read_environment(environ), environ)
    damage = StoreDamaged(tmp_path / "data" / "store", Damage("x.segment", 99, "a bad checksum"))
    life = gateway.run(asyncio.Event(), lambda _: gateway._on_fault(damage))
    with pytest.raises(GatewayFaultError, match="gateway store repair"):
        await asyncio.wait_for(life, PATIENCE_S)


def _bad_registry(folder: Path, environ: dict[str, str]) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "devices.json").write_text("{")


def _data_is_a_file(folder: Path, environ: dict[str, str]) -> None:
    (folder / "data").write_text("")


def _no_hub(folder: Path, environ: dict[str, str]) -> None:
    del environ["GATEWAY_HUB_NAME"]


def _metrics_nowhere(folder: Path, environ: dict[str, str]) -> None:
    environ |= {"GATEWAY_METRICS_PORT": environ["GATEWAY_MQTT_PORT"], "GATEWAY_METRICS_ADDRESS": ADDRESS}


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_bad_registry, "devices.json"),
        (_data_is_a_file, "GATEWAY_DATA_DIR"),
        (_no_hub, "GATEWAY_HUB_NAME is not set"),
        (_metrics_nowhere, "GATEWAY_METRICS_PORT"),
    ],
)
async def test_what_prevents_a_start_is_said_with_what_to_do(
    tmp_path: Path, spoil: Callable[[Path, dict[str, str]], None], sentence: str
) -> None:
    environ = settings(tmp_path)
    spoil(tmp_path, environ)
    gateway = Gateway(read_environment(environ), environ)
    with pytest.raises(ConfigError, match=sentence):
        await asyncio.wait_for(gateway.run(asyncio.Event(), lambda _: None), PATIENCE_S)


async def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    environ = settings(tmp_path)
    with socket.socket() as taken:
        taken.bind((ADDRESS, int(environ["GATEWAY_MQTT_PORT"])))
        taken.listen()
        gateway = Gateway(read_environment(environ), environ)
        with pytest.raises(ConfigError, match=environ["GATEWAY_MQTT_PORT"]):
            await asyncio.wait_for(gateway.run(asyncio.Event(), lambda _: None), PATIENCE_S)


async def test_a_stop_while_the_workload_api_is_awaited_is_obeyed(tmp_path: Path) -> None:
    environ = settings(tmp_path)
    del environ["GATEWAY_CERTIFICATE_FILE"], environ["GATEWAY_KEY_FILE"]
    environ |= {
        "GATEWAY_HOST_NAME": ADDRESS,
        "GATEWAY_TRUST_BUNDLE_FILE": str(tmp_path / "chain.pem"),
        "IOTEDGE_WORKLOADURI": f"unix://{tmp_path / 'nobody.sock'}",
        "IOTEDGE_APIVERSION": "2020-07-07",
        "IOTEDGE_MODULEID": "gateway",
        "IOTEDGE_MODULEGENERATIONID": "g1",
    }
    events: list[Event] = []
    stop = asyncio.Event()
    gateway = Gateway(read_environment(environ), environ)

    def stop_at_first_failure(event: Event) -> None:
        events.append(event)
        if type(event).__name__ == "CertificateTryFailed":
            stop.set()

    gateway.observer.listen(stop_at_first_failure)
    await asyncio.wait_for(gateway.run(stop, lambda _: None), PATIENCE_S)
    assert isinstance(events[-1], GatewayStopped)


def test_what_few_sites_need_is_not_loaded_before_it_is_needed() -> None:
    code = "import gateway.cli.run, gateway.app.gateway, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "gateway.head.mqtt" in loaded
    heavy = {"aiohttp", "azure.iot.device", "gateway.head.amqp", "prometheus_client", "requests"}
    heavy |= {"gateway.dispatch.twins", "gateway.twin.store", "gateway.app.constrained", "edgewire.transport.fitness"}
    heavy |= {"gateway.app.claims_desk", "edgepage.guard", "gateway.identity.claim_making"}
    assert not heavy & set(loaded), "each of these is megabytes, or the better part of one"
