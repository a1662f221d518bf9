"""A gateway's HTTPS head in memory, beside the MQTT head of `mqtt_site`, and clients without sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from edgewire.iothub import sas
from edgewire.iothub.http.paths import API_VERSION
from edgewire.message import identity
from edgewire.session.http.limits import HttpLimits
from edgewire.transport.pump import Peer, Pump
from gateway.head.http import HttpHead
from gateway.head.http_services import HttpService
from gateway.identity.authenticator import Authenticator
from gateway.identity.vouching import Vouchers
from gateway.store.values import StoreLimits
from support.http_reading import Answer, read_answers
from support.mqtt_site import EVERYTHING, HUB, KEY, MemoryWire, Site

ADDRESS: Final = "127.0.0.97"
EDGE_DEVICE: Final = "edge-1"
EVENTS: Final = f"/devices/{{}}/messages/events?api-version={API_VERSION}"
DEVICEBOUND: Final = f"/devices/{{}}/messages/devicebound{{}}?api-version={API_VERSION}"
PATIENCE_S: Final = 45.0


class HttpClient:
    """One connection, driven by the test."""

    def __init__(self, site: "HttpSite", peer: Peer) -> None:
        self.site = site
        self.wire = MemoryWire()
        self.session, self.owner = site.http.accept(peer)
        clock = asyncio.get_running_loop().time
        self.pump: Pump[Any] = Pump(self.wire, self.session, self.owner, peer=peer, clock=clock)
        self.pump.begin()

    def say(self, data: bytes) -> None:
        """Send these bytes."""
        self.pump.receive(data)
        if self.wire.crashed is not None:
            raise self.wire.crashed

    def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] = {},
        token: str | None = "",
        device: str = "d1",
    ) -> None:
        """Send one request, with a good token of `device` unless another is given; None for none."""
        fields = {"Host": HUB, "Content-Length": str(len(body)), **headers}
        if token is not None:
            fields["Authorization"] = token or self.site.sas(device)
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self.say("\r\n".join(lines).encode("latin-1") + body)

    def answers(self) -> list[Answer]:
        """What has been answered since the last call."""
        told = read_answers(bytes(self.wire.written))
        self.wire.written.clear()
        return told

    async def answer(self) -> Answer:
        """The one answer, once it is there; it may take a disk."""
        await until(lambda: bool(self.wire.written))
        [told] = self.answers()
        return told

    def is_closed(self) -> bool:
        """Whether the gateway has closed it."""
        return self.wire.closed

    def lose(self) -> None:
        """The socket is gone."""
        self.pump.lost()


class HttpSite(Site):
    """Both heads and all behind them."""

    http: HttpHead

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *,
        routes: Mapping[str, str] = EVERYTHING,
        limits: StoreLimits | None = None,
        vouchers: Vouchers | None = None,
        http: HttpLimits = HttpLimits(),  # noqa: B008 — a value
        services: Sequence[HttpService] = (),
    ) -> AsyncIterator[Self]:
        """A site with the devices `d1` and `d2`."""
        async with super().open(folder, routes=routes, limits=limits) as site:
            site.http = HttpHead(
                authenticator=Authenticator(site.registry, [HUB, "edge-box.local"], None, vouchers=vouchers),
                ingress=site.ingress,
                delivery=site.delivery,
                methods=site.methods,
                emit=site.events.append,
                clock=site.clock,
                edge_device=EDGE_DEVICE,
                limits=http,
                services=services,
            )
            try:
                yield site
            finally:
                site.http.close()

    def sas(self, device: str, module: str | None = None, *, key: bytes = KEY, life_s: float = 3600) -> str:
        """A token as text."""
        resource = sas.resource_of(HUB, identity(device, module))
        return sas.make(resource, key, int(self.clock.now + life_s))

    def dial_http(self, *, certificates: tuple[bytes, ...] = ()) -> HttpClient:
        """A connection that has said nothing yet."""
        return HttpClient(self, Peer(address=ADDRESS, port=5000, certificates=certificates))


async def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; it may take a disk."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)
