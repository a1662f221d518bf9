"""How each server is started: the gateway, and what people would use instead."""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidebyside.machine import SERVER_CORE
from sidebyside.programs import NOTHING, Running, free_port, running
from sidebyside.site import HUB, Site

ROOT: Final = Path(__file__).parents[2]
PEERS: Final = ROOT / ".venv-bench" / "bin"
OURS: Final = Path(sys.executable).parent
COMPILED_LINE: Final[Mapping[str, str]] = {"PYTHONPATH": str(ROOT / "build" / "compiled")}
"""What `make compiled` makes comes before the sources."""
MOSQUITTO: Final = "mosquitto"
ANCHOR: Final = "mosquitto"
"""What all ratios refer to."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where things are: `folder` may be emptied at any time."""

    folder: Path
    site: Site

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


Start = Callable[[Bench], AbstractContextManager[Running]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server to measure: `tls` is the version its clients speak, None for plain TCP."""

    name: str
    start: Start = field(repr=False)
    tls: str | None = None


def mosquitto(name: str = ANCHOR, *, certificate: str | None = None, lines: str = "") -> Target:
    """Debian's mosquitto with persistence; its PUBACK does not wait for the disk."""

    @contextmanager
    def start(bench: Bench) -> Iterator[Running]:
        folder, port = bench.fresh("mosquitto"), free_port()
        text = mosquitto_configuration(folder, port) + lines
        if certificate is not None:
            chain, key = bench.site.certificate(certificate)
            text += f"certfile {chain}\nkeyfile {key}\n"
        (folder / "mosquitto.conf").write_text(text)
        command = [MOSQUITTO, "-c", str(folder / "mosquitto.conf")]
        with running(command, core=SERVER_CORE, port=port, log=folder / "log") as server:
            yield server

    return Target(name=name, start=start, tls=None if certificate is None else "1.3")


def mosquitto_configuration(folder: Path, port: int) -> str:
    """What each mosquitto here has in common."""
    settings = (
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "max_connections -1",
        "set_tcp_nodelay true",
        "persistence true",
        f"persistence_location {folder}/",
        "max_queued_messages 0",
        "log_dest none",
        "user root",
    )
    return "".join(f"{line}\n" for line in settings)


def amqtt() -> Target:
    """amqtt, the broker in plain Python on PyPI; it keeps messages in memory."""

    @contextmanager
    def start(bench: Bench) -> Iterator[Running]:
        folder, port = bench.fresh("amqtt"), free_port()
        (folder / "amqtt.yaml").write_text(
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n    max_connections: 10000\n"
            "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        )
        command = [str(PEERS / "amqtt"), "-c", str(folder / "amqtt.yaml")]
        with running(command, core=SERVER_CORE, port=port, log=folder / "log") as server:
            yield server

    return Target(name="amqtt", start=start)


def gateway_plain(name: str = "gateway", *, sync_ms: float = 0, compiled: bool = False) -> Target:
    """The gateway's rooms behind plain TCP: synced before each PUBACK, three body routes; as sources or compiled."""
    return _plain(name, sync_ms=sync_ms, compiled=compiled, serve="--port")


def gateway_amqp(name: str = "gateway", *, compiled: bool = False) -> Target:
    """The same behind plain TCP for AMQP: synced before a transfer is accepted."""
    return _plain(name, sync_ms=0, compiled=compiled, serve="--amqp-port")


def _plain(name: str, *, sync_ms: float, compiled: bool, serve: str) -> Target:
    environment = COMPILED_LINE if compiled else NOTHING

    @contextmanager
    def start(bench: Bench) -> Iterator[Running]:
        data, port = gateway_data(bench), free_port()
        command = [sys.executable, str(ROOT / "bench" / "gateway_plain.py"), serve, str(port), "--hub", HUB]
        command += ["--data", str(data), "--settings", str(bench.site.settings), "--sync-ms", str(sync_ms)]
        log = bench.folder / "gateway.log"
        with running(command, core=SERVER_CORE, port=port, log=log, environment=environment) as server:
            yield server

    return Target(name=name, start=start)


def gateway(
    name: str = "gateway", *, certificate: str = "ec", client_certificates: bool = True, compiled: bool = False
) -> Target:
    """`gateway run` as it is deployed, over TLS, with nothing upstream."""

    def start(bench: Bench) -> AbstractContextManager[Running]:
        asked = {"GATEWAY_CLIENT_CERTIFICATES": "on" if client_certificates else "off"}
        asked |= COMPILED_LINE if compiled else NOTHING
        return run_gateway(bench, gateway_data(bench), certificate=certificate, environment=asked)

    return Target(name=name, start=start, tls="1.3")


def gateway_data(bench: Bench) -> Path:
    """A data folder with the devices and nothing else."""
    data = bench.fresh("gateway")
    shutil.copyfile(bench.site.registry, data / "devices.json")
    return data


@contextmanager
def run_gateway(
    bench: Bench, data: Path, *, certificate: str = "ec", environment: Mapping[str, str] = NOTHING
) -> Iterator[Running]:
    """`gateway run` over a data folder."""
    chain, key = bench.site.certificate(certificate)
    port = free_port()
    settings = {
        "GATEWAY_DATA_DIR": str(data),
        "GATEWAY_ADDRESS": "127.0.0.1",
        "GATEWAY_MQTT_PORT": str(port),
        "GATEWAY_AMQP_PORT": "0",
        "GATEWAY_WEBSOCKET_PORT": "0",
        "GATEWAY_METRICS_PORT": "0",
        "GATEWAY_CERTIFICATE_FILE": str(chain),
        "GATEWAY_KEY_FILE": str(key),
        "GATEWAY_HUB_NAME": HUB,
        "GATEWAY_HOST_NAME": "127.0.0.1",
        "GATEWAY_SETTINGS_FILE": str(bench.site.settings),
        "GATEWAY_MAX_CONNECTIONS": "10000",
        "GATEWAY_UPSTREAM": "none",
        **environment,
    }
    command = [str(OURS / "gateway"), "run"]
    log = bench.folder / "gateway.log"
    with running(command, core=SERVER_CORE, port=port, log=log, environment=settings) as server:
        yield server
