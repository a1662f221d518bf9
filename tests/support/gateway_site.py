"""A site under test: a stand-in in this process, and a gateway's process that is a module of its edge device."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Registration, Roster, SymmetricKeys
from standin.app import DEFAULT_HUB, Ports, StandIn
from standin.dps import DEFAULT_OPTIONS, DpsOptions
from standin.events import Event
from support.gateway_process import GATEWAY, GatewayProcess, clean_environment
from support.whole_file import put

MODULE: Final = identity("edge-1", "gateway")
KEY: Final = b"0123456789abcdef" * 2
PATIENCE_S: Final = 45.0
BODY_ROUTES: Final = {
    "alerts": "FROM /messages/* WHERE $body.messageType = 'alert' INTO $upstream",
    "hot": "FROM /messages/* WHERE is_number($body.temperature) AND $body.temperature > 30 INTO $upstream",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    error: str


class GatewaySite:
    """One site; its devices have the key `KEY` unless a test gives them another."""

    def __init__(self, hub: StandIn, address: str, folder: Path) -> None:
        self.hub = hub
        self.address = address
        self.folder = folder
        self.data = folder / "gateway"
        self.gateway = GatewayProcess(
            {
                **hub.environment("gateway"),
                "EdgeDeviceHostName": address,
                "GATEWAY_DATA_DIR": str(self.data),
                "GATEWAY_ADDRESS": address,
                "GATEWAY_WEBSOCKET_PORT": "0",
                "GATEWAY_METRICS_ADDRESS": address,
            }
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        certificates: Path,
        hub_address: str,
        address: str,
        *,
        hub_name: str = DEFAULT_HUB,
        https_port: int | None = None,
        dps: DpsOptions = DEFAULT_OPTIONS,
    ) -> AsyncIterator[Self]:
        """A stand-in that runs and a gateway that does not yet; at the end neither may have had a fault."""
        hub = StandIn(
            folder / "hub",
            address=hub_address,
            hub_name=hub_name,
            modules=("gateway",),
            ports=Ports(websocket=https_port),
            dps=dps,
            certificates=certificates,
        )
        async with hub:
            site = cls(hub, address, folder)
            site.data.mkdir(mode=0o700)
            try:
                yield site
            finally:
                await site.gateway.kill()
            site.gateway.assert_no_fault()
            assert hub.counters["faults of the stand-in"] == 0

    @asynccontextmanager
    async def without_hub(self) -> AsyncIterator[None]:
        """Hub, edgeHub and workload API are stopped while the block runs; then they come back with all they had."""
        await self.hub.__aexit__(None, None, None)
        try:
            yield
        finally:
            await self.hub.__aenter__()

    # Before and beside the gateway

    @property
    def root_file(self) -> Path:
        """The root certificate of all servers here, in PEM."""
        return self.hub.directory / "trust-bundle.pem"

    def client_tls(self, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A device's TLS: the root is known, the name is checked; `version` is the only one it speaks."""
        context = ssl.create_default_context(cadata=self.hub.trust_bundle)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def register(self, *devices: str, key: bytes = KEY) -> None:
        """Add devices with this key, as `gateway devices add --key` does, but quickly."""
        for device in devices:
            entry = Registration(identity(device), SymmetricKeys(key, b"fedcba9876543210" * 2))
            Registry(self.data / FILE_NAME).edit(partial(Roster.with_registration, registration=entry))

    def token(self, device: str, *, key: bytes = KEY, life_s: float = 3600) -> str:
        """A token of this device."""
        return sas.make(sas.resource_of(self.hub.hub_name, identity(device)), key, int(time.time() + life_s))

    def username(self, device: str) -> str:
        """The user name of this device."""
        return f"{self.hub.hub_name}/{device}/?api-version=2021-04-12"

    def write_settings(self, **members: Any) -> Path:
        """A settings document in a file, for GATEWAY_SETTINGS_FILE."""
        path = self.folder / "settings.json"
        put(path, json.dumps({"schemaVersion": "1.0", **members}))
        return path

    async def command(self, *arguments: str) -> Answer:
        """Run a command of the gateway on its data folder, given by the environment."""
        process = await asyncio.create_subprocess_exec(
            GATEWAY,
            *arguments,
            env=clean_environment({"GATEWAY_DATA_DIR": str(self.data)}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            out, error = await process.communicate()
        assert process.returncode is not None
        return Answer(process.returncode, out.decode(), error.decode())

    # What became of it

    async def metrics(self) -> dict[str, int]:
        """The counters of the running gateway by `name{label="value"}`, read from its page."""
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.address}:9600/metrics") as page:
            text = await page.text()
        return {
            _series(sample.name, sample.labels): int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    async def counted(self, series: str, at_least: int = 1) -> int:
        """The value of a counter, once it is what is asked."""
        value = 0

        async def is_enough() -> bool:
            nonlocal value
            value = (await self.metrics()).get(series, 0)
            return value >= at_least

        await until(is_enough)
        return value

    async def connected(self, count: int = 1) -> None:
        """Return when so many devices are connected."""

        async def are_there() -> bool:
            return bool((await self.status())["devices"] == count)

        await until(are_there)

    async def method(self, name: str, payload: Any = None) -> tuple[int, Any]:
        """Call a direct method of the gateway through the hub."""
        result = await self.hub.hub.invoke_method(MODULE, name, payload, connect_timeout_s=PATIENCE_S)
        return result.status, json.loads(result.payload)

    async def status(self) -> Any:
        """What `getStatus` says."""
        code, status = await self.method("getStatus")
        assert code == 200
        return status

    async def nothing_waits(self) -> None:
        """Return when the store holds nothing for anybody: what ends now sends nothing again after its next start."""

        async def is_empty() -> bool:
            return not any(queue["messages"] for queue in (await self.status())["store"]["queues"])

        await until(is_empty)

    async def reported(self, wanted: Callable[[Any], bool]) -> Any:
        """The gateway's reported properties, once they are as wanted."""
        await until(lambda: wanted(self.hub.reported(MODULE)))
        return self.hub.reported(MODULE)

    async def arrived(self, count: int, *, after: int = 0) -> list[Event]:
        """What arrived upstream behind sequence number `after`, at the latest when there are `count`."""
        events = await self.hub.events.wait(after, count, timeout_s=PATIENCE_S)
        assert len(events) >= count, f"{len(events)} of {count} arrived\n{self.gateway.transcript()}"
        return events


async def until(condition: Callable[[], bool | Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    """Return when `condition` holds; for facts about the world that tell nobody."""
    async with asyncio.timeout(patience_s):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


def _series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name
