"""Resident memory of an idle `gateway run`, and how long it took to READY: alone, and as a module of the stand-in.

Alone: certificate in files, no upstream, no page with counters unless asked for. As a module: certificate and link from
the stand-in's workload API and edgeHub, page with counters; once more with the way on behalf of devices beside it. Each
start is new, in a folder that is removed afterwards.
With `--devices N` also with so many registered devices that are connected by TLS and silent; that needs
PYTHONPATH=bench and the load generator, which any `make bench` builds.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from standin.client import Control

BIN = Path(sys.executable).parent
MQLOAD = Path(__file__).parents[2] / "build" / "bench" / "mqload"
CLOUD_ADDRESS, GATEWAY_ADDRESS = "127.0.0.17", "127.0.0.18"
STOP_S = 10.0
COMMON = {
    "GATEWAY_HOST_NAME": GATEWAY_ADDRESS,
    "GATEWAY_HUB_NAME": "hub.test",
    "GATEWAY_ADDRESS": GATEWAY_ADDRESS,
    "GATEWAY_METRICS_ADDRESS": GATEWAY_ADDRESS,
}


@contextmanager
def running(*command: str, environment: Mapping[str, str]) -> Iterator[tuple[int, float]]:
    """A program that has said READY: its process id, and after how many seconds. Raises SystemExit if it says none."""
    begun_at = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        if not any(line.startswith("READY") for line in process.stdout):
            raise SystemExit(f"{' '.join(command)} did not start")
        yield process.pid, time.monotonic() - begun_at
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)


def resident_mb(pid: int) -> tuple[float, float]:
    """Resident memory and its anonymous part (not of files), in MB of 1024 KB as the benchmark counts; proc(5)."""
    lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    table = dict(line.split(":", 1) for line in lines)
    whole, anonymous = (int(table[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))
    return whole, anonymous


@dataclass(frozen=True, slots=True)
class Crowd:
    """Devices that connect and say nothing."""

    count: int
    site: Path

    def register(self, data: Path) -> dict[str, str]:
        """Put as many into the gateway's registry as will come. Returns settings under which they are let in."""
        data.mkdir(mode=0o700)
        known = json.loads((self.site / "devices.json").read_text())
        known["devices"] = dict(list(known["devices"].items())[: self.count])
        (data / "devices.json").write_text(json.dumps(known))
        return {"GATEWAY_HUB_NAME": "bench-hub.test", "GATEWAY_MAX_CONNECTIONS": str(self.count + 100)}

    @contextmanager
    def connected(self) -> Iterator[None]:
        """All of them, by TLS 1.3."""
        options = {
            "--host": GATEWAY_ADDRESS,
            "--port": "8883",
            "--credentials": str(self.site / "credentials.tsv"),
            "--connections": str(self.count),
            "--tls": "1.3",
        }
        command = [str(MQLOAD), "idle", *(word for option in options.items() for word in option)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            if not process.stdout.readline():
                raise SystemExit("the devices did not connect")
            yield
        finally:
            process.communicate("")


def measure(title: str, environment: Mapping[str, str], settle_s: float, crowd: Crowd | None = None) -> None:
    """Start a gateway, let it idle, and print its row."""
    with (
        running(str(BIN / "gateway"), "run", environment=environment) as (pid, ready_s),
        nullcontext() if crowd is None else crowd.connected(),
    ):
        time.sleep(settle_s)
        whole, anonymous = resident_mb(pid)
    print(
        f"{title:<28} VmRSS {whole:5.1f} MB   anonymous {anonymous:5.1f} MB   READY after {ready_s:.2f} s", flush=True
    )


def main() -> None:
    """Print a row for each way of running."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settle-s", type=float, default=5.0, help="how long it idles before it is looked at")
    parser.add_argument("--devices", type=int, default=0, help="also with so many silent devices, by TLS")
    arguments = parser.parse_args()
    settle_s: float = arguments.settle_s
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        cloud_command = ("run", "--dir", str(place / "cloud"), "--address", CLOUD_ADDRESS, "--module", "gateway")
        with running(str(BIN / "standin"), *cloud_command, "--websocket-port", "-1", environment={}):
            edge = Control(place / "cloud").ask("GET", "/environment", module="gateway")
            module = {**COMMON, **edge}
            measure("module, with counters", {**module, "GATEWAY_DATA_DIR": str(place / "module")}, settle_s)
            devices = {"GATEWAY_UPSTREAM_AMQP": "edgehub", "GATEWAY_DATA_DIR": str(place / "devices")}
            measure("module and for devices", module | devices, settle_s)
            if arguments.devices:
                from sidebyside.site import make_site  # noqa: PLC0415 — needs PYTHONPATH, which nothing else here does

                crowd = Crowd(arguments.devices, make_site(place / "site").folder)
                more = {"GATEWAY_DATA_DIR": str(place / "crowded")} | crowd.register(place / "crowded")
                measure(f"module, {arguments.devices:,} devices", {**module, **more}, settle_s, crowd)
        for command in (("init",), ("server", GATEWAY_ADDRESS)):
            subprocess.run([BIN / "edgeca", *command, "--dir", folder], check=True, stdout=subprocess.DEVNULL)
        for counters in ("9600", "0"):
            alone = {
                **COMMON,
                "GATEWAY_UPSTREAM": "none",
                "GATEWAY_DATA_DIR": str(place / f"alone-{counters}"),
                "GATEWAY_METRICS_PORT": counters,
                "GATEWAY_CERTIFICATE_FILE": str(place / "server" / f"{GATEWAY_ADDRESS}.full-chain.pem"),
                "GATEWAY_KEY_FILE": str(place / "server" / f"{GATEWAY_ADDRESS}.key.pem"),
            }
            measure("alone, with counters" if counters != "0" else "alone, without", alone, settle_s)


if __name__ == "__main__":
    main()
