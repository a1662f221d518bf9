"""End to end: from the devices through a server to what stands behind it, the stand-in or a second mosquitto."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgewire.iothub import sas
from edgewire.message import identity
from sidebyside.load import Load
from sidebyside.machine import LOAD_CORE, SERVER_CORE, BenchError, usage_of
from sidebyside.measures import Context, Figures, make_backlog
from sidebyside.programs import Running, free_port, running
from sidebyside.site import HUB as DEVICES_HUB
from sidebyside.site import KEY, device_name
from sidebyside.targets import MOSQUITTO, OURS, Bench, gateway_data, mosquitto_configuration, run_gateway
from standin.client import Control, ControlError

ADDRESS: Final = "127.0.0.61"
"""The stand-in's own: the module's SDK knows no port but 8883."""
PORT: Final = 8883
AMQP_PORT: Final = 5671
SENDERS: Final = 100
"""Devices that send: of a load, and of a backlog."""
HUB: Final = "bench-cloud.test"
MODULE: Final = "gateway"
BRIDGE: Final = "bridge"
BRIDGE_TOPIC: Final = f"devices/{BRIDGE}/messages/events/"
LOOK_EVERY_S: Final = 0.02
PATIENCE_S: Final = 120.0
IDLE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """A stand-in that runs."""

    folder: Path
    control: Control

    @property
    def arrived(self) -> int:
        """Events that it took in so far."""
        return int(self.control.ask("GET", "/status")["lastSequence"])

    def wait_for(self, count: int) -> float:
        """Wait until so many arrived. Returns the clock at that moment. Raises BenchError if it takes too long."""
        give_up_at = time.monotonic() + PATIENCE_S
        while (arrived := self.arrived) < count:
            if time.monotonic() > give_up_at:
                raise BenchError(f"only {arrived} of {count} messages arrived at the stand-in")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic()


@contextmanager
def cloud(bench: Bench, hub: str = HUB) -> Iterator[Cloud]:
    """A stand-in on the load's core, with the gateway as a module and the bridge as a device."""
    folder = bench.fresh("cloud")
    command = [str(OURS / "standin"), "run", "--dir", str(folder), "--address", ADDRESS, "--hub", hub]
    command += ["--module", MODULE, "--device", BRIDGE, "--mqtt-port", str(PORT), "--websocket-port", "-1"]
    command += ["--amqp-port", str(AMQP_PORT)]
    log = bench.folder / "standin.log"
    with running(command, core=LOAD_CORE, port=PORT, log=log, address=ADDRESS):
        control = Control(folder)
        _ask_until_there(control)
        yield Cloud(folder, control)


def _ask_until_there(control: Control) -> None:
    give_up_at = time.monotonic() + IDLE
    while True:
        try:
            control.ask("GET", "/status")
        except ControlError:  # its sockets come after its port
            if time.monotonic() > give_up_at:
                raise
            time.sleep(LOOK_EVERY_S)
        else:
            return


@dataclass(frozen=True, slots=True)
class Above:
    """A stand-in, and the settings by which a gateway sends to it."""

    cloud: Cloud
    environment: Mapping[str, str]


Way = Callable[[Bench], AbstractContextManager[Above]]


@contextmanager
def as_module(bench: Bench) -> Iterator[Above]:
    """The gateway sends as the module, over MQTT."""
    with cloud(bench) as above:
        edge = above.control.ask("GET", "/environment", module=MODULE)
        yield Above(above, {**edge, "GATEWAY_UPSTREAM": "edgehub"})


@contextmanager
def on_behalf(bench: Bench) -> Iterator[Above]:
    """The gateway sends on behalf of its devices, whose keys it has, over one AMQP connection."""
    with cloud(bench, DEVICES_HUB) as above:
        keys = [sas.encode_key(KEY)] * 2
        for number in range(SENDERS):
            above.control.ask("POST", "/devices", {"identity": device_name(number), "keys": keys})
        bundle = above.folder / "trust-bundle.pem"
        target = {"GATEWAY_UPSTREAM_AMQP": f"{ADDRESS}:{AMQP_PORT}", "EdgeModuleCACertificateFile": str(bundle)}
        yield Above(above, {"GATEWAY_UPSTREAM": "none", **target})


def gateway_to_cloud(context: Context, load: Load, way: Way) -> Figures:
    """`gateway run`: every message stored, routed and sent on to the stand-in."""
    with way(context.bench) as above:
        data = gateway_data(context.bench)
        with run_gateway(context.bench, data, environment=above.environment) as server:
            return _through(context, server, load, "1.3", above.cloud.wait_for)


def drain_to_cloud(context: Context, size: int, way: Way) -> Figures:
    """A backlog in the store, sent to the stand-in after a start: what the link takes."""
    backlog, figures = make_backlog(context, size, "drain")
    with (
        way(context.bench) as above,
        run_gateway(context.bench, backlog, environment=above.environment) as server,
    ):
        there = above.cloud
        there.wait_for(max(there.arrived, 1) + 1)
        first, cpu_s = there.arrived, usage_of(server.pid).cpu_s
        started_at = time.monotonic()
        ended_at = there.wait_for(int(figures["messages"]))
        sent = figures["messages"] - first
        if not sent:
            raise BenchError(f"all {figures['messages']:,.0f} messages had arrived at the first look: too few")
        return {
            "per_s": sent / (ended_at - started_at),
            "server_cpu_us": (usage_of(server.pid).cpu_s - cpu_s) * 1e6 / sent,
            "drained": figures["messages"],
        }


def bridge_to_cloud(context: Context, load: Load) -> Figures:
    """Mosquitto and its bridge, to the stand-in as one device with a token."""
    with cloud(context.bench) as above:
        lines = _bridge_lines(f"{ADDRESS}:{PORT}") + _cloud_login(above)
        with _mosquitto(context.bench, "bridge", SERVER_CORE, lines) as server:
            return _through(context, server, load, None, above.wait_for)


def bridge_to_mosquitto(context: Context, load: Load) -> Figures:
    """Mosquitto and its bridge, to a second mosquitto over plain TCP, where one client takes everything."""
    with ExitStack() as stack:
        sink = stack.enter_context(_mosquitto(context.bench, "sink", LOAD_CORE, ""))
        lines = _bridge_lines(f"127.0.0.1:{sink.port}")
        server = stack.enter_context(_mosquitto(context.bench, "bridge", SERVER_CORE, lines))
        command = context.generator.command(
            "receive", sink.port, Load(connections=1, count=load.count), None, "--seconds", str(PATIENCE_S)
        )
        receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert receiver.stdout is not None
        receiver.stdout.readline()

        def wait_for(count: int) -> float:
            answer, _ = receiver.communicate()
            arrived = json.loads(answer)["arrived"]
            if arrived < count:
                raise BenchError(f"only {arrived} of {count} messages came through the bridge")
            return time.monotonic()

        return _through(context, server, load, None, wait_for)


def _through(
    context: Context, server: Running, load: Load, tls: str | None, wait_for: Callable[[int], float]
) -> Figures:
    """Publish `load.count` messages as fast as they are acknowledged, and wait until all are at the far end."""
    cpu_s, started_at = usage_of(server.pid).cpu_s, time.monotonic()
    generator = context.generator
    figures = generator.run("publish", port=server.port, pid=server.pid, load=load, tls=tls, seconds=PATIENCE_S, warm=0)
    ended_at = wait_for(load.count)
    used = usage_of(server.pid)
    return {
        "acknowledged_per_s": load.count / figures["total_s"],
        "per_s": load.count / (ended_at - started_at),
        "server_cpu_us": (used.cpu_s - cpu_s) * 1e6 / load.count,
        "resident_mb": used.resident_kb / 1024,
    }


@contextmanager
def _mosquitto(bench: Bench, name: str, core: str, lines: str) -> Iterator[Running]:
    folder, port = bench.fresh(name), free_port()
    (folder / "mosquitto.conf").write_text(mosquitto_configuration(folder, port) + lines)
    command = [MOSQUITTO, "-c", str(folder / "mosquitto.conf")]
    with running(command, core=core, port=port, log=folder / "log") as server:
        yield server


def _bridge_lines(address: str) -> str:
    """The lines that let mosquitto's bridge work with IoT Hub: docs/devices.md."""
    return (
        f"connection hub\naddress {address}\nremote_clientid {BRIDGE}\nbridge_protocol_version mqttv311\n"
        "try_private false\nnotifications false\nbridge_attempt_unsubscribe false\nbridge_outgoing_retain false\n"
        f"cleansession false\ntopic {BRIDGE_TOPIC}# out 1\n"
    )


def _cloud_login(above: Cloud) -> str:
    devices = above.control.ask("GET", "/devices")["devices"]
    key = next(entry["primaryKey"] for entry in devices if entry["identity"] == BRIDGE)
    resource = sas.resource_of(HUB, identity(BRIDGE))
    token = sas.make(resource, sas.decode_key(key), int(time.time()) + 3600)
    return (
        f"remote_username {HUB}/{BRIDGE}/?api-version=2021-04-12\nremote_password {token}\n"
        f"bridge_cafile {above.folder / 'trust-bundle.pem'}\n"
    )
