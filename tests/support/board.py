"""Boards as a gateway sees them: they report their firmware, take the method `update`, and load what it names.

Each lives in a task: MQTT until it is told to update, then HTTPS alone, then MQTT again, as a board restarts.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from support import raw_mqtt
from support.bundles import MODEL, release_key
from support.gateway_site import GatewaySite
from support.raw_peer import RawPeer, hello

METHODS: Final = "$iothub/methods/POST/#"
RESULTS: Final = "$iothub/twin/res/#"
RETRY_S: Final = 0.2
"""A gateway that has just started does not serve twins yet, or is away."""
PATIENCE_S: Final = 50.0
"""For a packet: below the keep-alive of the connection, which nothing here has to last."""
REPORT: Final = "$iothub/twin/PATCH/properties/reported/?$rid={}"
PIECE_BYTES: Final = 4_096
HTTPS_PORT: Final = 443


class GoneError(Exception):
    """The gateway has ended the connection."""


class SimulatedBoard:
    """One board. `fails`: versions that do not start on it, after which it goes back to what it had."""

    def __init__(self, site: GatewaySite, device: str, *, version: str = "1.0.0", serial: int = 1) -> None:
        self.site = site
        self.device = device
        self.version = version
        self.serial = serial
        self.state = "running"
        self.failed: str | None = None
        self.fails: set[str] = set()
        self.updates: list[str] = []
        """The versions that it was told to run."""
        self.job: dict[str, Any] | None = None
        """What it is to load, which a restart does not make it forget."""
        self.holds: asyncio.Event | None = None
        """If there is one, it loads nothing before this is set."""

    async def live(self) -> None:
        """Go on until cancelled, whatever becomes of the gateway meanwhile."""
        while True:
            try:
                if self.job is None:
                    self.job = await self._serve()
                await self._update(self.job)
                self.job = None
            except (OSError, aiohttp.ClientError, GoneError):
                await asyncio.sleep(RETRY_S)

    async def fetch(self, path: str, *, token: str | None = None) -> tuple[int, bytes]:
        """GET from the gateway, as this device unless another token is given. Returns status and body."""
        headers = {"Authorization": self.site.token(self.device) if token is None else token}
        url = f"https://{self.site.address}:{HTTPS_PORT}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, ssl=self.site.client_tls()) as answer,
        ):
            return answer.status, await answer.read()

    async def _serve(self) -> dict[str, Any]:
        """Be connected until told to update. Returns what it was told."""
        link = await RawPeer.dial(self.site)
        try:
            link.send(hello(self.site, self.device).wire)
            await _next(link, raw_mqtt.CONNACK)
            link.send(raw_mqtt.subscribe([METHODS, RESULTS], qos=0))
            await _next(link, raw_mqtt.SUBACK)
            self._report(link)
            while True:
                topic, payload = _read_publish(await _next(link, raw_mqtt.PUBLISH))
                if topic.startswith(METHODS.removesuffix("#")):
                    if (told := await self._called(link, topic, payload)) is not None:
                        return told
                elif topic.split("/")[3] == "503":
                    await asyncio.sleep(RETRY_S)
                    self._report(link)
        finally:
            await link.close()

    async def _called(self, link: RawPeer, topic: str, payload: bytes) -> dict[str, Any] | None:
        """Answer a call; what `update` was told."""
        name, rid = topic.split("/")[3], topic.split("$rid=")[1]
        accepted = name == "update"
        answer = json.dumps({"accepted": accepted}).encode()
        link.send(raw_mqtt.publish(f"$iothub/methods/res/{200 if accepted else 404}/?$rid={rid}", answer))
        await _next(link, raw_mqtt.PUBACK)
        if not accepted:
            return None
        told: dict[str, Any] = json.loads(payload)
        self.updates.append(told["version"])
        return told

    def _report(self, link: RawPeer) -> None:
        said = {"version": self.version, "serial": self.serial, "state": self.state, "failed": self.failed}
        link.send(raw_mqtt.publish(REPORT.format(1), json.dumps({"firmware": said}).encode(), qos=0))

    async def _update(self, told: dict[str, Any]) -> None:
        if self.holds is not None:
            await self.holds.wait()
        status, text = await self.fetch(told["manifest"])
        assert status == 200, text
        manifest = json.loads(text)
        await self._load(manifest)
        if manifest["version"] in self.fails:
            self.state, self.failed = "rolled-back", manifest["version"]
        else:
            self.version, self.serial = manifest["version"], manifest["serial"]
            self.state, self.failed = "running", None

    async def _load(self, manifest: dict[str, Any]) -> None:
        """The image, in pieces, checked as a board checks it."""
        image = b""
        while len(image) < manifest["size"]:
            path = f"/firmware/v1/images/{manifest['sha256']}?offset={len(image)}&length={PIECE_BYTES}"
            status, piece = await self.fetch(path)
            assert status == 200, piece
            image += piece
        assert hashlib.sha256(image).hexdigest() == manifest["sha256"]
        names = ("model", "version", "serial", "size", "sha256", "format")
        text = "".join(f"{line}\n" for line in ("edge-firmware-1", *(manifest[name] for name in names)))
        signature = base64.b64decode(manifest["signature"])
        release_key().public_key().verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


async def _next(link: RawPeer, kind: int) -> bytes:
    """The body of the next packet, which is of this kind. Raises GoneError."""
    found = await link.packet(PATIENCE_S)
    if found is None:
        raise GoneError
    assert found[0] & 0xF0 == kind, f"0x{found[0]:02x} {found[1].hex()} where 0x{kind:02x} was expected"
    return found[1]


def _read_publish(body: bytes) -> tuple[str, bytes]:
    """Topic and payload, of QoS 0."""
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end].decode(), body[end:]


@asynccontextmanager
async def boards_alive(boards: Iterable[SimulatedBoard]) -> AsyncIterator[None]:
    """These boards live while the block runs; a board that breaks breaks the test."""
    async with asyncio.TaskGroup() as tasks:
        living = [tasks.create_task(board.live(), name=board.device) for board in boards]
        yield
        for task in living:
            task.cancel()


def board_ids(count: int) -> list[str]:
    """Ids as boards make them, of their model and their chip."""
    return [f"{MODEL}-{number:06x}" for number in range(count)]
