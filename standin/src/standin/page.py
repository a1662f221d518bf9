"""The stand-in's page: who is registered, what arrives, messages, twins and methods, without a terminal.

Its views are drawn by scripts from the control API, which is served below /api/ to whoever has the page's token: it
can do everything, as the control socket can.
"""

import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from edgepage.assets import PREFIX, add_assets
from edgepage.guard import API, Guard, House, Refusal, shown
from edgepage.template import Markup, Shell, View, page

TOKEN_FILE: Final = "page-token"  # noqa: S105 - the name of a file
"""In the run directory, mode 0600; the login stays the same over restarts."""
TOKEN_BYTES: Final = 24
CLOSE_S: Final = 2.0

HOUSE: Final = House(
    name="Stand-in",
    cookie="standin-page",
    home="/",
    names="127.0.0.1, localhost and the address of the stand-in",
    ending="Run standin page where the stand-in runs: it shows the address to open.",
)
ASSETS: Final = Path(__file__).parent / "assets"
_OURS: Final = PREFIX + "standin/"
VIEWS: Final = (
    View(path="/#/", name="Overview", icon="overview"),
    View(path="/#/events", name="Events", icon="flow"),
    View(path="/#/devices", name="Devices", icon="devices"),
    View(path="/#/notes", name="Log", icon="events"),
    View(path="/#/faults", name="Faults", icon="warn"),
)
SHELL: Final = Shell(name=HOUSE.name, views=VIEWS, styles=(_OURS + "standin.css",), script=_OURS + "standin.js")


class PageError(Exception):
    """The page cannot be served; the sentence says what to do."""


class StandInPage:
    """Serves the page on `address`. `api` is the control API's routes; `note` hears who comes and who is refused."""

    def __init__(self, directory: Path, address: str, api: web.Application, note: Callable[[str], None]) -> None:
        self._address = address
        self._token = page_token(directory)
        self._note = note
        guard = Guard(HOUSE, token=lambda: self._token, address=address, witness=self)
        self._application = web.Application()
        guard.add_to(self._application)
        add_assets(self._application, ASSETS, _OURS)
        self._application.router.add_get("/", _front)
        self._application.add_subapp(API, api)
        self._runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=CLOSE_S)

    async def open(self, port: int) -> int:
        """Listen; 0 takes a free port. Returns the port; raises PageError."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            what = error.strerror or error
            raise PageError(
                f"the page cannot be served on {self._address} port {port}: {what}; take another with --page-port, or "
                "-1 to do without."
            ) from error
        sockets: Sequence[socket.socket] = site._server.sockets  # type: ignore[union-attr]  # noqa: SLF001 - aiohttp tells the port nowhere else
        found: int = sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """Stop."""
        await self._runner.cleanup()

    def entered(self, address: str) -> None:
        """Somebody logged in."""
        self._note(f"page: somebody at {address} logged in")

    def refused(self, address: str, refusal: Refusal) -> None:
        """Somebody was not let in."""
        self._note(f"page: somebody at {address} was refused: {refusal.value}")


def page_token(directory: Path) -> str:
    """The token of the run directory's page, made if there is none."""
    path = directory / TOKEN_FILE
    try:
        token = path.read_text().strip()
    except FileNotFoundError:
        token = ""
    if token:
        return token
    token = secrets.token_urlsafe(TOKEN_BYTES)
    path.touch(mode=0o600)
    path.write_text(token + "\n")
    return token


async def _front(_request: web.Request) -> web.Response:
    return shown(page(SHELL, "Overview", Markup('<div id="view"></div>\n'), here="/#/"))
