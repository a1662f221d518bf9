"""The frame of the gateway's pages, and the page of views: scripts that draw what the JSON API gives."""

from pathlib import Path
from typing import Final

from aiohttp import web

from edgepage.assets import PREFIX, add_assets
from edgepage.guard import shown
from edgepage.template import Markup, Shell, View, page
from gateway.dashboard.door import CLAIMS, HOME

_VIEWS: Final = PREFIX + "gateway/"
_FOLDER: Final = Path(__file__).parent / "assets"

SHELL: Final = Shell(
    name="Gateway",
    views=(
        View(path="/#/", name="Overview", icon="overview"),
        View(path="/#/devices", name="Devices", icon="devices"),
        View(path="/#/flow", name="Live flow", icon="flow"),
        View(path="/#/routes", name="Routes", icon="routes"),
        View(path="/#/events", name="Events", icon="events"),
        View(path=CLAIMS, name="Codes", icon="codes"),
    ),
    styles=(_VIEWS + "views.css",),
)

_WITHOUT_SCRIPT: Final = Markup(
    '<noscript><div class="empty"><h3>This view needs JavaScript</h3>\n'
    '<p>The browser runs none here. <a href="/claims">Codes for new boards</a> work without it, and so do the commands '
    "gateway status, gateway top and gateway tap.</p></div></noscript>\n"
)


class ViewPages:
    """The page of views and the files that it loads."""

    def add_to(self, application: web.Application) -> None:
        """Serve them there."""
        application.router.add_get(HOME, _show)
        add_assets(application, _FOLDER, _VIEWS)


async def _show(_request: web.Request) -> web.Response:
    return shown(page(SHELL, "Overview", _WITHOUT_SCRIPT, here="/#/", script=_VIEWS + "views.js"))
