"""The settings in force: from a checked document to the rooms that use them."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from edgewire.message import Endpoint
from gateway.app.document import GatewaySettings
from gateway.dispatch.ingress import Ingress
from gateway.routing.table import Route, Table
from gateway.store.store import Store

if TYPE_CHECKING:
    from gateway.dispatch.filters import Filters


class InForce:
    """Puts checked settings in force: new messages follow them at once, connections and the backlog are not touched.

    `serve` is told the endpoints that the routes name.
    """

    def __init__(self, ingress: Ingress, store: Store, serve: Callable[[Iterable[Endpoint]], None]) -> None:
        self._ingress = ingress
        self._store = store
        self._serve = serve
        self._listeners: list[Callable[[GatewaySettings], None]] = []
        self._filters: Filters | None = None
        self.endpoints: frozenset[Endpoint] = frozenset()
        self.board_settings: Mapping[str, Any] = {}
        self.settings = GatewaySettings()
        self.routes: tuple[Route, ...] = ()

    def tell(self, listener: Callable[[GatewaySettings], None]) -> None:
        """`listener` hears of settings when they come into force; it cannot refuse them any more."""
        self._listeners.append(listener)

    def apply(self, settings: GatewaySettings, table: Table) -> None:
        """From the next message on these hold."""
        self._filters = self._make_filters(settings, table)
        self._ingress.use(table, self._filters)
        self.board_settings = settings.board_settings
        self.settings, self.routes = settings, table.routes
        self._store.use(max_bytes=settings.max_bytes, when_full=settings.when_full)
        self.endpoints = frozenset(route.endpoint for route in table.routes)
        if self._filters is not None:
            self.endpoints |= self._filters.stages
        for listener in self._listeners:
            listener(settings)
        self._serve(self.endpoints)

    def _make_filters(self, settings: GatewaySettings, table: Table) -> "Filters | None":
        """The filters of the routes; they remember what those before them did, where a route is the same."""
        if not settings.sending:
            return None
        from gateway.dispatch.filters import Filters  # noqa: PLC0415 — most settings have no `send`

        filters = Filters(settings.sending, time.monotonic)
        filters.use_routes(table.routes)
        if self._filters is not None:
            filters.adopt(self._filters)
        return filters
