"""AMQP clients that others wrote, each as a process of its own with a bounded time: uamqp may crash at its end."""

import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from edgeca.credential import Credential
from edgewire.iothub import sas
from support.gateway_site import KEY, GatewaySite

PEERS: Final = Path(__file__).parents[1] / "peers"
PATIENCE_S: Final = 60.0
AMQPS: Final = 5671
MAX_LINE: Final = 1 << 20
"""Of what a client says: a body may be in it."""

NODE_DEVICE: Final = ("node", "node/device.js")
NODE_HTTP: Final = ("node", "node/http_device.js")
NODE_PROVISIONING: Final = ("node", "node/provisioning.js")
RHEA: Final = ("node", "node/rhea_sender.js")
RHEA_MANY: Final = ("node", "node/rhea_many.js")
RHEA_HUB: Final = ("node", "node/rhea_hub.js")
UAMQP: Final = (sys.executable, "programs/uamqp_device.py")
PYAMQP: Final = (sys.executable, "programs/pyamqp_sender.py")
PROTON: Final = ("/usr/bin/python3", "programs/proton_sender.py")
"""Debian's proton is for Debian's Python: no wheel of it exists for Linux."""

UAMQP_RUNS_HERE: Final = platform.machine() == "x86_64" and sys.version_info < (3, 14)
"""uamqp is archived: its last wheels are for nothing else (amqp.md §3), and the lock file asks for it nowhere else."""

_QUIET: Final = {"NODE_NO_WARNINGS": "1", "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"}

Program = tuple[str, str]
Plan = Mapping[str, Any]


@dataclass(slots=True)
class Peer:
    """A running client, and the lines it has given."""

    name: str
    process: asyncio.subprocess.Process
    said: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, event: str) -> dict[str, Any]:
        """The next line of this kind; what comes before is in `said`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := await self.process.stdout.readline():
                self.said.append(json.loads(line))
                if self.said[-1]["event"] == event:
                    return self.said[-1]
        raise AssertionError(f"{self.name} ended without {event!r}: {self.said}\n{await self._errors()}")

    async def end(self) -> int:
        """Its exit code, after all it has to say."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while line := await self.process.stdout.readline():
                    self.said.append(json.loads(line))
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} did not end within {PATIENCE_S} s: {self.said}") from None

    async def succeed(self) -> list[dict[str, Any]]:
        """All lines of a client that ends well."""
        code = await self.end()
        assert code == 0, f"{self.name} ended with {code}: {self.said}\n{await self._errors()}"
        assert self.said[-1]["event"] == "closed", self.said
        return self.said

    async def _errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode(errors="replace")


@asynccontextmanager
async def peer(program: Program, plan: Plan) -> AsyncIterator[Peer]:
    """The client, started; killed at the end if it still runs."""
    runner, file = program
    process = await asyncio.create_subprocess_exec(
        runner,
        str(PEERS / file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | _QUIET | ({"NODE_EXTRA_CA_CERTS": str(plan["ca"])} if "ca" in plan else {}),
        limit=MAX_LINE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(dict(plan), default=list).encode())
    process.stdin.close()
    try:
        yield Peer(file, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def succeed(program: Program, plan: Plan) -> list[dict[str, Any]]:
    """Run a client that must end well; all it said."""
    async with peer(program, plan) as running:
        return await running.succeed()


async def fail(program: Program, plan: Plan) -> dict[str, Any]:
    """Run a client that must fail; what it said of the reason."""
    async with peer(program, plan) as running:
        code = await running.end()
        failures = [line for line in running.said if line["event"] == "failed"]
        assert code != 0, running.said
        assert len(failures) == 1, f"{running.said}\n{await running._errors()}"
        return failures[0]


MESSAGES: Final[Sequence[Mapping[str, Any]]] = (
    {
        "body": '{"t":31}',
        "id": "m 1",
        "correlation": "c-1",
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "properties": {"a b": "c/d&e"},
    },
    {"body": "and one more"},
)
"""What most tests send."""
BODIES: Final = [b'{"t":31}', b"and one more"]


def accepted(said: Sequence[Mapping[str, Any]]) -> int:
    """How many messages the client knows to be accepted."""
    return sum(line["event"] == "accepted" for line in said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a client must know to reach one of ours."""

    hub: str
    address: str
    root: Path

    @classmethod
    def of(cls, site: GatewaySite) -> Self:
        """The gateway of a site."""
        return cls(hub=site.hub.hub_name, address=site.address, root=site.root_file)

    @property
    def label(self) -> str:
        """The hub's first name, which is all that a PLAIN user name has of it."""
        return self.hub.partition(".")[0]

    def device(self, device: str, **more: Any) -> dict[str, Any]:
        """The plan of any client, without a credential."""
        base = {"ca": str(self.root), "host": self.address, "port": AMQPS, "hub": self.hub, "device": device}
        return {**base, "address": f"/devices/{device}/messages/events", **more}

    def node(self, device: str, *, key: bytes = KEY, **more: Any) -> dict[str, Any]:
        """A device of the Node SDK with a key, by GatewayHostName."""
        return self.device(device, key=sas.encode_key(key), gateway=self.address, **more)

    def token(self, device: str, *, key: bytes = KEY, login: str = "plain", **more: Any) -> dict[str, Any]:
        """A device with a token, by SASL PLAIN or CBS."""
        expires_at = int(time.time()) + 3600
        token = sas.make(f"{self.hub}/devices/{device}", key, expires_at)
        plan = self.device(device, token=token, password=token, expires_at=expires_at, login=login, **more)
        return plan | ({"user": f"{device}@sas.{self.label}"} if login == "plain" else {})

    def certificate(self, device: str, credential: Credential, folder: Path, **more: Any) -> dict[str, Any]:
        """A device with a certificate, whose files are written into `folder`."""
        chain, key = folder / f"{device}-chain.pem", folder / f"{device}-key.pem"
        chain.write_bytes(credential.chain_pem)
        key.write_bytes(credential.key_pem)
        files = {"certificate": str(chain), "certificate_key": str(key)}
        return self.device(device, gateway=self.address, **files, **more)
