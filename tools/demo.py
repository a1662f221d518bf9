"""`make run`: the stand-in, the gateway as an Edge module and three boards; shows what flows both ways until Ctrl-C.

Everything lives in run/: delete it to start from nothing.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boards import KINDS, Board, Site

from standin.client import Control

ROOT = Path(__file__).parents[1]
RUN = ROOT / "run"
BIN = Path(sys.executable).parent
CLOUD_ADDRESS = "127.0.0.7"
GATEWAY_ADDRESS = "127.0.0.8"
HUB = "standin-hub.test"
MODULE = "gateway"
START_S = 30.0
STOP_S = 10.0
UNPRIVILEGED_WEBSOCKET_PORT = 8443
CLOUD_HTTPS_PORT = 8443


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


ARRIVED = re.compile(r"\S+ (#\d+) (\S+) \[.*?\] (.*)")
"""The stand-in's line for a message of a device; the show leaves out what is the same on every line."""
TRY = (
    "standin send-c2d boiler on",
    "standin invoke-method boiler blink",
    """standin twin update gateway '{"routes": {"all": "FROM /messages/* INTO $upstream"}}'""",
)
"""What a person may type in another terminal."""


def say(who: str, text: str) -> None:
    """One line of the show, which ends when there is nobody to say it to."""
    try:
        print(f"{who:<8}│ {text}", flush=True)
    except OSError:  # the terminal is gone, or the reader of a pipe; make does not pass SIGHUP on
        os.kill(os.getpid(), signal.SIGHUP)


def shortened(line: str) -> str:
    """A line of a program as the show has room for it."""
    return ARRIVED.sub(r"\1 arrived from \2: \3", line)


class Program:
    """A program of the show: its lines appear under its name, and `stop` ends it as an operator would."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._name = name
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            arguments,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for the show, which then ends its programs in order
        )
        self._reader = threading.Thread(target=self._show_lines, name=f"lines-{name}")
        self._reader.start()

    def wait_ready(self) -> None:
        """Return when the program has said READY. Raises DemoError if it does not."""
        if not self._ready.wait(START_S) or self._process.poll() is not None:
            self.stop()
            raise DemoError(f"{self._name} did not start; its lines above say why")

    def stop(self) -> int:
        """End the program. Returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join()
        return code

    def _show_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            say(self._name, shortened(line.rstrip()))
            if line.startswith("READY"):
                self._ready.set()
        self._ready.set()


def may_bind(address: str, port: int) -> bool:
    """Whether this user may listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def websocket_port() -> int:
    """443 where that is permitted; else another, and says so."""
    if may_bind(GATEWAY_ADDRESS, 443):
        return 443
    say("demo", f"port 443 is not permitted to this user: WebSocket is on {UNPRIVILEGED_WEBSOCKET_PORT} instead")
    return UNPRIVILEGED_WEBSOCKET_PORT


def gateway_command(*arguments: str) -> Any:
    """Run a gateway command that answers in JSON. Returns the answer. Raises DemoError."""
    done = subprocess.run([BIN / "gateway", *arguments, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(done.stderr.strip())
    return json.loads(done.stdout)


def board_keys(data: Path) -> dict[str, str]:
    """The primary key of each board, in the gateway's registry; made at the first run."""
    known = {entry["deviceId"] for entry in gateway_command("devices", "list", "--data", str(data))["devices"]}
    for device in KINDS:
        if device not in known:
            gateway_command("devices", "add", device, "--data", str(data))
    shown = {device: gateway_command("devices", "show", device, "--keys", "--data", str(data)) for device in KINDS}
    return {device: entry["primaryKey"] for device, entry in shown.items()}


def tell_hub(keys: Mapping[str, str]) -> None:
    """The hub knows the boards by the same keys: the gateway sends on behalf of each, and what is for it comes back."""
    control = Control(RUN / "cloud")
    known = {entry["deviceId"] for entry in control.ask("GET", "/devices")["devices"]}
    for device in set(keys) - known:
        control.ask("POST", "/devices", {"identity": device, "keys": [keys[device]]})


def module_settings() -> Any:
    """The module twin that the deployment template gives the gateway."""
    template = json.loads((ROOT / "deployment.template.json").read_text())
    return template["modulesContent"][MODULE]["properties.desired"]


def start_cloud() -> Program:
    """The stand-in, with the deployment's routes of edgeHub and the gateway's module twin."""
    arguments = ["run", "--dir", str(RUN / "cloud"), "--address", CLOUD_ADDRESS, "--hub", HUB, "--module", MODULE]
    arguments += [
        "--manifest",
        str(ROOT / "deployment.template.json"),
        "--websocket-port",
        str(CLOUD_HTTPS_PORT),
        "--show",
    ]
    cloud = Program("cloud", [str(BIN / "standin"), *arguments], {})
    cloud.wait_ready()
    Control(RUN / "cloud").ask("PATCH", "/twin", module_settings(), identity=MODULE)
    return cloud


def service_string() -> str:
    """By which the gateway's page changes twins: what the hub gives a program of the service side."""
    given: str = Control(RUN / "cloud").ask("GET", "/connection-string", policy="service")["connectionString"]
    return given.replace(f"HostName={CLOUD_ADDRESS};", f"HostName={CLOUD_ADDRESS}:{CLOUD_HTTPS_PORT};")


def start_gateway(data: Path) -> Program:
    """The gateway, with the environment that IoT Edge would give it."""
    environment = {
        **Control(RUN / "cloud").ask("GET", "/environment", module=MODULE),
        "EdgeDeviceHostName": GATEWAY_ADDRESS,
        "GATEWAY_DATA_DIR": str(data),
        "GATEWAY_ADDRESS": GATEWAY_ADDRESS,
        "GATEWAY_WEBSOCKET_PORT": str(websocket_port()),
        "GATEWAY_METRICS_ADDRESS": GATEWAY_ADDRESS,
        "GATEWAY_UPSTREAM_AMQP": "edgehub",
        "GATEWAY_SERVICE_CONNECTION_STRING": service_string(),
    }
    gateway = Program("gateway", [str(BIN / "gateway"), "run", "--show"], environment)
    gateway.wait_ready()
    return gateway


def pages(data: Path) -> Sequence[str]:
    """The addresses of both pages, with the tokens that log in there."""
    os.environ["GATEWAY_METRICS_ADDRESS"] = GATEWAY_ADDRESS
    ours: str = gateway_command("page", "--data", str(data))["url"]
    done = subprocess.run(
        [BIN / "standin", "page", "--dir", str(RUN / "cloud")], capture_output=True, text=True, check=False
    )
    return (ours, done.stdout.strip() or done.stderr.strip())


def end_by_signals(enough: threading.Event) -> None:
    """Ctrl-C, SIGTERM, or a terminal that was closed: its programs are in sessions of their own, and would live on."""

    def end(number: int, _: object) -> None:
        if number == signal.SIGHUP:
            write_to_nobody()
        enough.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def write_to_nobody() -> None:
    """A line to a terminal that is gone would be an error, in the middle of ending in order."""
    with Path(os.devnull).open("w") as nobody:
        os.dup2(nobody.fileno(), sys.stdout.fileno())
        os.dup2(nobody.fileno(), sys.stderr.fileno())


def show(seconds: float | None) -> None:
    """Start everything, let it run, and end it in order."""
    data = RUN / "gateway"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    enough = threading.Event()
    end_by_signals(enough)
    programs: list[Program] = []
    boards: list[Board] = []
    try:
        programs.append(start_cloud())
        keys = board_keys(data)
        tell_hub(keys)
        programs.append(start_gateway(data))
        site = Site(gateway=GATEWAY_ADDRESS, port=8883, hub=HUB, root=RUN / "cloud" / "trust-bundle.pem")
        for device, key in keys.items():
            board = Board(device, key, site, lambda text: say("board", text))
            board.start()
            boards.append(board)
        say("demo", "boards are connected; Ctrl-C ends the show. In another terminal, here:")
        for command in TRY:
            say("demo", f"  .venv/bin/{command} --dir run/cloud")
        say("demo", "In a browser here, the gateway's page and the stand-in's:")
        for address in pages(data):
            say("demo", f"  {address}")
        enough.wait(seconds)
        say("demo", "stopping")
    finally:
        for board in boards:
            board.stop()
        codes = [program.stop() for program in reversed(programs)]
    if any(codes):
        raise DemoError(f"a program ended with exit codes {codes}")
    say("demo", "all stopped; run/ keeps their state for the next run")


def main() -> int:
    """Run the show. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, help="end by itself after so long (default: Ctrl-C)")
    try:
        show(parser.parse_args().seconds)
    except DemoError as error:
        say("demo", str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
