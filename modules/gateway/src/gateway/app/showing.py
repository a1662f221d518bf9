"""What the gateway shows to people who run it: the page with the counters, and the control socket for commands."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.app.control import Answerer, ControlSocket, ControlSocketError
from gateway.app.questions import answerers
from gateway.app.settings import ConfigError, Environment
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Presence
from gateway.observe.app import ControlSocketNotOpened
from gateway.observe.metrics import Metrics
from gateway.observe.observer import Observer

if TYPE_CHECKING:
    from gateway.dashboard.server import Pages


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What is shown, and what is asked for on behalf of people."""

    environment: Environment
    data: Path
    observer: Observer
    metrics: Metrics
    presence: Presence
    methods: Methods
    status: Callable[[], Mapping[str, Any]]
    answers: Mapping[str, Answerer]
    """Of other rooms, by the question's name."""


class Showing:
    """Opens what people look at. What is left open closes with `rooms`."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def open(self, rooms: AsyncExitStack) -> None:
        """Serve the page, unless it is switched off, and answer commands. Raises ConfigError."""
        await self._open_page(rooms)
        await self._open_control(rooms)

    async def _open_page(self, rooms: AsyncExitStack) -> None:
        house = self._house
        address, port = house.environment.metrics_address, house.environment.metrics_port
        if not port:
            return
        from gateway.dashboard.server import DashboardServer  # noqa: PLC0415 — 10 MB, if nothing else needs aiohttp

        server = DashboardServer(house.metrics, self._pages)
        try:
            await server.start(address, port)
        except OSError as error:
            raise ConfigError(
                f"the counters cannot be served on {address} port {port}: {error.strerror or error}. Set "
                "GATEWAY_METRICS_ADDRESS or GATEWAY_METRICS_PORT to a free one, or the port to 0 to do without"
            ) from error
        rooms.push_async_callback(server.stop)

    def _pages(self) -> "tuple[Pages, ...]":
        from gateway.app.claims_desk import open_pages  # noqa: PLC0415 — with the first visitor, see the server

        house = self._house
        return open_pages(house.data, house.environment.metrics_address, house.observer.emit)

    async def _open_control(self, rooms: AsyncExitStack) -> None:
        """Let commands ask; a gateway that they cannot reach does its work all the same."""
        house = self._house
        answers = answerers(methods=house.methods, presence=house.presence, status=house.status)
        control = ControlSocket({**answers, **house.answers})
        try:
            await control.open(house.data)
        except ControlSocketError as error:
            house.observer.emit(ControlSocketNotOpened(str(error)))
        else:
            rooms.push_async_callback(control.close)
