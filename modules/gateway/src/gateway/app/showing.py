"""What the gateway shows to people who run it: the page with the counters, and the control socket for commands."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.app.book import Book
from gateway.app.configuration import Configuration
from gateway.app.control import Answerer, ControlSocket, ControlSocketError
from gateway.app.in_force import InForce
from gateway.app.questions import answerers
from gateway.app.settings import ConfigError, Environment
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Presence
from gateway.identity.registry import Registry
from gateway.observe.app import ControlSocketNotOpened
from gateway.observe.metrics import Metrics
from gateway.observe.observer import Observer

if TYPE_CHECKING:
    from gateway.app.certificate_watch import WatchedCertificate
    from gateway.app.hub_service import HubService
    from gateway.app.overview import Overview
    from gateway.dashboard.server import Pages
    from gateway.dispatch.twins import Twins


# Neither compared nor shown: what that would take would be memory for nothing.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class House:
    """What is shown, and what is asked for on behalf of people."""

    environment: Environment
    environ: Mapping[str, str]
    data: Path
    book: Book
    observer: Observer
    metrics: Metrics
    registry: Registry
    presence: Presence
    delivery: Delivery
    methods: Methods
    twins: "Twins | None"
    """None where twins of devices are not served."""
    configuration: Configuration
    in_force: InForce
    trust_pem: Callable[[], bytes]
    """Authorities beside the system's."""
    status: Callable[[], Mapping[str, Any]]
    certificates: "Callable[[], Sequence[WatchedCertificate]]" = tuple
    health: Callable[[], Mapping[str, Any]] = dict
    """Whether the gateway lives and is ready, for probes that have not logged in."""
    is_limited: Callable[[str], bool] = lambda _: False
    """Whether a device sends more than it may, and is held back or refused now."""
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

        server = DashboardServer(house.metrics, self._pages, house.health)
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
        from gateway.app.page_deeds import Deeds  # noqa: PLC0415 — as above
        from gateway.app.page_desk import PageDesk  # noqa: PLC0415 — as above
        from gateway.dashboard.api import ApiPages  # noqa: PLC0415 — as above
        from gateway.dashboard.live import LivePages  # noqa: PLC0415 — as above

        house = self._house
        desk = PageDesk(
            book=house.book,
            overview=self._overview,
            registry=house.registry,
            presence=house.presence,
            delivery=house.delivery,
            methods=house.methods,
            configuration=house.configuration,
            in_force=house.in_force,
            deeds=Deeds(delivery=house.delivery, methods=house.methods, twins=house.twins, service=self._service()),
            is_limited=house.is_limited,
        )
        guard, *pages = open_pages(house.data, house.environment.metrics_address, house.observer.emit)
        return (guard, *pages, ApiPages(desk, house.observer.emit), LivePages(desk, guard.knows))

    def _service(self) -> "HubService | str":
        """The hub's service API, or why there is no way to it."""
        said = self._house.environment.service_connection_string
        if not said:
            from gateway.app.page_deeds import NO_SERVICE  # noqa: PLC0415 — as in _pages

            return NO_SERVICE
        from gateway.app.hub_service import HubService, ServiceStringError, read_service_string  # noqa: PLC0415 — as in _pages

        try:
            access = read_service_string(said)
        except ServiceStringError as error:
            return str(error)
        return HubService(access, trust_pem=self._house.trust_pem, environ=self._house.environ)

    @cached_property
    def _overview(self) -> "Overview":
        from gateway.app.overview import Overview  # noqa: PLC0415 — with the first who looks

        house = self._house
        return Overview(
            book=house.book,
            status=house.status,
            host_name=house.environment.host_name,
            configuration=house.configuration,
            in_force=house.in_force,
            certificates=house.certificates,
            registry=house.registry,
        )

    async def _tell_top(self, _question: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._overview.top()

    def _tap(self, question: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        from gateway.app.tapping import tap_of  # noqa: PLC0415 — with the first who taps

        return tap_of(self._house.book.watching)(question)

    async def _open_control(self, rooms: AsyncExitStack) -> None:
        """Let commands ask; a gateway that they cannot reach does its work all the same."""
        house = self._house
        answers = answerers(
            methods=house.methods,
            presence=house.presence,
            status=house.status,
            events=lambda count: [each.row() for each in house.book.timeline.last(count)],
        )
        control = ControlSocket({**answers, **house.answers, "top": self._tell_top}, {"tap": self._tap})
        try:
            await control.open(house.data)
        except ControlSocketError as error:
            house.observer.emit(ControlSocketNotOpened(str(error)))
        else:
            rooms.push_async_callback(control.close)
