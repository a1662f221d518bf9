"""A site with devices that send, and somebody before its page in a browser."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser

from edgewire.iothub import sas
from support.browser import DESKTOP, Theme, Window, open_window
from support.gateway_site import KEY, GatewaySite, until
from support.page_client import PageClient
from support.paho_device import JSON, PahoDevice, let_in

DEVICES: Final = ("boiler-1", "cold-store", "greenhouse", "press-3", "weather")
SPARE: Final = "spare-7"
HOT: Final = "FROM /messages/* WHERE is_number($body.temperature) AND $body.temperature > 30 INTO $upstream"
ROUTES: Final[Mapping[str, Any]] = {
    "alerts": {
        "route": "FROM /messages/* WHERE $body.messageType = 'alert' INTO $upstream",
        "priority": 0,
        "timeToLiveSecs": 86_400,
    },
    "hot": {"route": HOT, "priority": 5},
    "vibration": "FROM /messages/* WHERE kind = 'vibration' INTO BrokeredEndpoint(\"/modules/detector/inputs/raw\")",
    "archive": 'FROM /messages/* INTO Endpoint("archive")',
}
ENDPOINTS: Final = {"archive": {"type": "kafka", "servers": ["127.0.0.1:1"], "topic": "telemetry", "login": "none"}}
"""Nobody is there: what is for it waits in the store."""


class PageSite:
    """The site, its devices by their names, and the page's address."""

    def __init__(self, site: GatewaySite, devices: Mapping[str, PahoDevice], login: str) -> None:
        self.site = site
        self.devices = devices
        self.login = login
        self.home = login.partition("/login")[0]
        self.sent = 0

    async def all_send(self, rounds: int = 1) -> None:
        """Each device sends so many messages; all are acknowledged."""
        for _ in range(rounds):
            for number, (name, device) in enumerate(self.devices.items()):
                kind, body = self._reading(name, number)
                await device.publish(json.dumps(body), f"{JSON}&kind={kind}")
            self.sent += 1

    async def remembers(self, count: int) -> None:
        """Devices send until the gateway's history has so many messages; it takes a few of each second."""
        page = await PageClient.at(self.site)

        async def has_enough() -> bool:
            await self.all_send()
            return bool((await page.get("/api/messages?last=1"))["kept"] >= count)

        await until(has_enough)

    def _reading(self, name: str, number: int) -> tuple[str, dict[str, Any]]:
        turn = self.sent
        if name == "boiler-1" and turn % 5 == 4:
            return "boiler", {"messageType": "alert", "text": "pressure 4.1 bar"}
        if name == "press-3":
            return "vibration", {"rms": round(0.4 + (turn * 7 % 11) / 10, 2), "peak": 1.8 + turn % 3}
        return "climate", {"temperature": 24 + (turn * 5 + number * 3) % 11, "humidity": 48 + turn % 9}


async def login_of(site: GatewaySite, *options: str) -> str:
    """The address that `gateway page` shows, at the site's own address."""
    said = await site.command("page", "--json", *options)
    assert said.code == 0, said.error
    url: str = json.loads(said.out)["url"]
    return url.replace("127.0.0.1", site.address)


@asynccontextmanager
async def open_page_site(site: GatewaySite) -> AsyncIterator[PageSite]:
    """The gateway runs with ROUTES, and DEVICES are connected by TLS."""
    site.register(*DEVICES, SPARE)
    for name in (*DEVICES, SPARE):
        site.hub.add_device(name, keys=(sas.encode_key(KEY),))
    site.write_settings(routes=ROUTES, endpoints=ENDPOINTS)
    await site.gateway.start(
        GATEWAY_SETTINGS_FILE=str(site.folder / "settings.json"),
        GATEWAY_SERVICE_CONNECTION_STRING=site.hub.service_connection_string(),
    )
    async with AsyncExitStack() as stack:
        devices = {name: await stack.enter_async_context(let_in(site, name)) for name in DEVICES}
        yield PageSite(site, devices, await login_of(site))


@asynccontextmanager
async def at_page(
    browser: Browser, house: PageSite, *, size: tuple[int, int] = DESKTOP, theme: Theme = "light"
) -> AsyncIterator[Window]:
    """Somebody who has logged in and looks at the overview."""
    async with open_window(browser, house.login, size=size, theme=theme) as window:
        await window.page.get_by_role("heading", name="Overview").wait_for()
        yield window


async def go(window: Window, path: str, heading: str) -> None:
    """To another view."""
    await window.page.evaluate("(path) => { location.hash = path; }", path)
    await window.page.get_by_role("heading", name=heading, level=1).wait_for()


__all__ = ["DEVICES", "HOT", "ROUTES", "SPARE", "PageSite", "at_page", "go", "login_of", "open_page_site", "until"]
