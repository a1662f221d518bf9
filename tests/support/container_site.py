"""A site whose gateway runs in a container, as IoT Edge would start it from the deployment template.

The stand-in is outside of that container: its servers are in the network of another one, as edgeHub's are. The test
itself is the host, whose ports the gateway's container publishes; its network is one that only this test has.
"""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from edgewire.iothub import sas
from standin.app import StandIn
from support.create_options import podman_options
from support.gateway_site import KEY, GatewaySite
from support.own_network import network_of

ROOT: Final = Path(__file__).parents[2]
PODMAN: Final = ROOT / "tools" / "podman"
TEMPLATE: Final = ROOT / "deployment.template.json"
SLIM: Final = "docker.io/amd64/python:3.11-slim-bookworm"
USER: Final = 13699
HOST: Final = "127.0.0.77"
"""Where devices find the gateway: an address of the host, whose ports the container publishes."""
WORKLOAD_INSIDE: Final = "/var/run/iotedge/workload.sock"
"""Where IoT Edge binds the socket of its workload API."""
GATEWAY: Final = "gateway"
ENGINE_S: Final = 90.0
"""podman waits for its storage while another builds."""


def podman(*words: str | Path, check: bool = True, timeout_s: float = ENGINE_S) -> str:
    """Run podman on the tests' own images; what it printed."""
    done = subprocess.run([PODMAN, *words], check=False, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0 or not check, f"podman {words}: {done.stderr}\n{done.stdout}"
    return done.stdout.strip()


async def podman_beside(*words: str | Path) -> str:
    """The same, while the stand-in goes on. Not in a thread: those of a pool may be in another network."""
    process = await asyncio.create_subprocess_exec(
        PODMAN, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(ENGINE_S):
        said, _ = await process.communicate()
    assert process.returncode == 0, f"podman {words}: {said.decode()}"
    return said.decode()


def gateway_in(template: Path) -> Any:
    """The module `gateway` of a template."""
    document = json.loads(template.read_text())
    return document["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"]["gateway"]


def inspected(name: str, template: str) -> str:
    """What podman knows of a container."""
    return podman("container", "inspect", "--format", template, name)


class ContainerProcess:
    """The gateway's container, with what tests ask of `GatewayProcess`."""

    def __init__(self, image: str, options: list[str], environment: Mapping[str, str]) -> None:
        self._options = [*options, *(word for pair in environment.items() for word in ("--env", "=".join(pair)))]
        self._image = image
        self.stop_timeout_s = 0.0
        self.is_made = False

    async def start(self) -> None:
        """Make the container if there is none, start it, and wait for READY of this start."""
        if not self.is_made:
            podman("create", "--name", GATEWAY, *self._options, self._image)
            self.stop_timeout_s = float(inspected(GATEWAY, "{{.Config.StopTimeout}}"))
            self.is_made = True
        starts = self.transcript().count("READY ")
        await podman_beside("start", GATEWAY)
        async with asyncio.timeout(ENGINE_S):
            while (await podman_beside("logs", GATEWAY)).count("READY ") == starts:
                assert self.state() == "running", f"{GATEWAY} has ended:\n{self.transcript()}"

    async def stop(self) -> float:
        """Stop it as the agent does: STOPSIGNAL, and SIGKILL after StopTimeout. Seconds; the exit code must be 0."""
        began_at = time.monotonic()
        await podman_beside("stop", GATEWAY)
        took_s = time.monotonic() - began_at
        assert inspected(GATEWAY, "{{.State.ExitCode}}") == "0", self.transcript()
        return took_s

    def kill(self) -> None:
        """Remove the container, running or not."""
        podman("rm", "--force", "--time", "0", GATEWAY, check=False)

    def state(self) -> str:
        """Whether it runs, in podman's words."""
        return inspected(GATEWAY, "{{.State.Status}}")

    def status(self) -> dict[str, str]:
        """What the kernel says of its process."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def pid(self) -> int:
        """Of the gateway's process, as the host sees it."""
        return int(inspected(GATEWAY, "{{.State.Pid}}"))

    def transcript(self) -> str:
        """All it has said, of all starts."""
        return podman("logs", GATEWAY, check=False)

    def run_inside(self, *words: str, check: bool = True) -> str:
        """Run a program in the container; what it printed."""
        return podman("exec", GATEWAY, *words, check=check)

    def assert_no_fault(self) -> None:
        """Nothing of ours has failed in a way that nobody foresaw."""
        for sign in ("Traceback", "a fault of ours", "never retrieved", "was never awaited"):
            assert sign not in self.transcript(), self.transcript()


@contextmanager
def edge_hubs_container() -> Iterator[tuple[str, int]]:
    """A container that only has a network: its address there and its process."""
    podman("run", "--detach", "--name", "edgeHub", "--entrypoint", "sleep", SLIM, "infinity")
    try:
        yield inspected("edgeHub", "{{.NetworkSettings.IPAddress}}"), int(inspected("edgeHub", "{{.State.Pid}}"))
    finally:
        podman("rm", "--force", "--time", "0", "edgeHub")


class ContainerSite(GatewaySite):
    """A site like the others, but for where its gateway runs: `container`, and no process of its own."""

    container: "ContainerProcess"

    @classmethod
    @asynccontextmanager
    async def open_image(
        cls, image: str, folder: Path, certificates: Path, template: Path = TEMPLATE
    ) -> AsyncIterator[Self]:
        """The stand-in runs; the gateway, made from `image` by the template's createOptions, does not yet."""
        with edge_hubs_container() as (address, pid):
            hub = StandIn(folder / "hub", address=address, modules=("gateway",), certificates=certificates)
            with network_of(pid):
                await hub.__aenter__()
            # Threads that this began are in that network, too; those of clients must not be.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
            site = cls(hub, HOST, folder)
            site.container = site._made_of(image, gateway_in(template))
            try:
                yield site
                site.container.assert_no_fault()
            finally:
                site.container.kill()
                await hub.__aexit__(None, None, None)
            assert hub.counters["faults of the stand-in"] == 0

    def _made_of(self, image: str, module: Any) -> ContainerProcess:
        """As the agent makes it from the template, with what the agent adds: its environment and the workload API."""
        self.data.mkdir(mode=0o700)
        os.chown(self.data, USER, USER)
        socket = self.hub.directory / "workload.sock"
        socket.chmod(0o666)  # as IoT Edge's own: who may speak to it is checked by the process that calls
        wanted = module["settings"]["createOptions"]
        [folder] = [bind.partition(":")[0] for bind in wanted["HostConfig"]["Binds"]]
        options = podman_options(wanted, {folder: str(self.data)})
        environment = {
            **self.hub.environment("gateway"),
            "IOTEDGE_WORKLOADURI": f"unix://{WORKLOAD_INSIDE}",
            "GATEWAY_HOST_NAME": self.address,
            **{name: str(row["value"]) for name, row in module.get("env", {}).items()},
        }
        return ContainerProcess(image, [*options, "--volume", f"{socket}:{WORKLOAD_INSIDE}"], environment)

    def register(self, *devices: str, key: bytes = KEY) -> None:
        """Add devices as an operator does: by the command, in the container."""
        for device in devices:
            self.container.run_inside("gateway", "devices", "add", device, "--key", sas.encode_key(key))
