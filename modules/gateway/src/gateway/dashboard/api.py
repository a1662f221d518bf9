"""The page's JSON: what the gateway's state is, what routes would do, and what is sent to devices.

All of it stands behind the guard. What it tells and does comes from a desk that `app` implements.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Protocol

from aiohttp import web

from gateway.dashboard.answers import NotAnsweredError, answered, number_of, read_object, text_of
from gateway.observe.events import Event
from gateway.observe.page import DeviceAction, DeviceDeed, PageDeviceUsed

ROOT: Final = "/api"
MAX_LISTED_DEVICES: Final = 1_000
"""In one answer; a search finds the others."""
LISTED_DEVICES: Final = 200
MAX_LISTED: Final = 500
"""Messages or events in one answer: as many as are kept."""
LISTED: Final = 100
MAX_NAME_CHARS: Final = 257
"""Of a device and a module, with the slash between."""


class Shown(Enum):
    """Which devices are listed."""

    ALL = "all"
    CONNECTED = "connected"
    AWAY = "away"
    TROUBLE = "trouble"


Asked = Mapping[str, Any]
Told = Mapping[str, Any]


class Desk(Protocol):
    """What the gateway tells, and does for who is logged in. All of it may raise NotAnsweredError."""

    def overview(self) -> Told:
        """The state at a glance."""

    def devices(self, search: str, limit: int, shown: Shown) -> Told:
        """The devices whose name holds `search` and that are `shown`, the latest first; and how many there are."""

    def device(self, name: str) -> Told:
        """One device, `device` or `device/module`, with what else is known of it."""

    def routes(self) -> Told:
        """The routes in force."""

    def messages(self, last: int, device: str) -> Told:
        """The latest messages that were sampled, all or those of one device."""

    def message(self, number: int) -> Told:
        """One of them, whole."""

    def events(self, last: int) -> Told:
        """The latest events."""

    async def try_routes(self, asked: Asked) -> Told:
        """What routes make of a message."""

    async def replay(self, asked: Asked) -> Told:
        """What routes would have made of the messages that were sampled."""

    async def twin(self, name: str) -> Told:
        """The twin of a device."""

    async def edit_twin(self, name: str, asked: Asked) -> Told:
        """Change its desired properties."""

    async def send(self, name: str, asked: Asked) -> Told:
        """Send it a message."""

    async def call(self, name: str, asked: Asked) -> Told:
        """Call its method."""


class ApiPages:
    """Serves what `desk` has."""

    def __init__(self, desk: Desk, emit: Callable[[Event], None]) -> None:
        self._desk = desk
        self._emit = emit

    def add_to(self, application: web.Application) -> None:
        """Serve it there."""
        get, device = application.router.add_get, f"{ROOT}/devices/{{device}}"
        get(f"{ROOT}/overview", answered(self._overview))
        get(f"{ROOT}/devices", answered(self._devices))
        get(device, answered(self._device))
        get(f"{device}/twin", answered(self._twin))
        get(f"{ROOT}/routes", answered(self._routes))
        get(f"{ROOT}/messages", answered(self._messages))
        get(f"{ROOT}/messages/{{number:[0-9]{{1,15}}}}", answered(self._message))
        get(f"{ROOT}/events", answered(self._events))
        post = application.router.add_post
        post(f"{ROOT}/try", answered(self._try))
        post(f"{ROOT}/replay", answered(self._replay))
        post(f"{device}/messages", answered(self._send))
        post(f"{device}/methods", answered(self._call))
        application.router.add_patch(f"{device}/twin", answered(self._edit_twin))

    async def _overview(self, _request: web.Request) -> Told:
        return self._desk.overview()

    async def _devices(self, request: web.Request) -> Told:
        limit = number_of(request, "limit", default=LISTED_DEVICES, most=MAX_LISTED_DEVICES)
        return self._desk.devices(text_of(request, "search"), limit, _shown(request))

    async def _device(self, request: web.Request) -> Told:
        return self._desk.device(_named(request))

    async def _routes(self, _request: web.Request) -> Told:
        return self._desk.routes()

    async def _messages(self, request: web.Request) -> Told:
        last = number_of(request, "last", default=LISTED, most=MAX_LISTED)
        return self._desk.messages(last, text_of(request, "device", MAX_NAME_CHARS))

    async def _message(self, request: web.Request) -> Told:
        return self._desk.message(int(request.match_info["number"]))

    async def _events(self, request: web.Request) -> Told:
        return self._desk.events(number_of(request, "last", default=LISTED, most=MAX_LISTED))

    async def _try(self, request: web.Request) -> Told:
        return await self._desk.try_routes(await read_object(request))

    async def _replay(self, request: web.Request) -> Told:
        return await self._desk.replay(await read_object(request))

    async def _twin(self, request: web.Request) -> Told:
        return await self._desk.twin(_named(request))

    # What changes something is written down, done or not: who asked, for which device; never what was sent.

    async def _edit_twin(self, request: web.Request) -> Told:
        return await self._audited(request, DeviceAction.TWIN_EDITED, self._desk.edit_twin)

    async def _send(self, request: web.Request) -> Told:
        return await self._audited(request, DeviceAction.MESSAGE_SENT, self._desk.send)

    async def _call(self, request: web.Request) -> Told:
        return await self._audited(request, DeviceAction.METHOD_CALLED, self._desk.call)

    async def _audited(self, request: web.Request, action: DeviceAction, do: Callable[[str, Asked], Any]) -> Told:
        name, asked = _named(request), await read_object(request)
        outcome = DeviceDeed.REFUSED
        try:
            told: Told = await do(name, asked)
            outcome = DeviceDeed.DONE
        finally:
            address = request.remote or "somebody"
            self._emit(PageDeviceUsed(address=address, action=action, identity=name, outcome=outcome))
        return told


def _shown(request: web.Request) -> Shown:
    """Raises NotAnsweredError."""
    try:
        return Shown(text_of(request, "shown") or Shown.ALL.value)
    except ValueError:
        raise NotAnsweredError(400, f"shown must be one of {', '.join(each.value for each in Shown)}") from None


def _named(request: web.Request) -> str:
    """The device, or device/module with the slash escaped. Raises NotAnsweredError."""
    name: str = request.match_info["device"]
    parts = name.split("/")
    if len(parts) > 2 or not all(0 < len(part) <= 128 and part.isprintable() and part.isascii() for part in parts):
        raise NotAnsweredError(404, "that is no id of a device, nor of a module as device%2Fmodule")
    return name
