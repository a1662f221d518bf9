"""The settings in force: from a checked document to the rooms that use them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edgewire.message import Endpoint
from gateway.app.document import GatewaySettings
from gateway.dispatch.ingress import Ingress
from gateway.routing.table import Table
from gateway.store.store import Store


class InForce:
    """Puts checked settings in force: new messages follow them at once, connections and the backlog are not touched.

    `serve` is told the endpoints that the routes name.
    """

    def __init__(self, ingress: Ingress, store: Store, serve: Callable[[Iterable[Endpoint]], None]) -> None:
        self._ingress = ingress
        self._store = store
        self._serve = serve
        self._listeners: list[Callable[[GatewaySettings], None]] = []
        self.endpoints: frozenset[Endpoint] = frozenset()
        self.board_settings: Mapping[str, Any] = {}

    def tell(self, listener: Callable[[GatewaySettings], None]) -> None:
        """`listener` hears of settings when they come into force; it cannot refuse them any more."""
        self._listeners.append(listener)

    def apply(self, settings: GatewaySettings, table: Table) -> None:
        """From the next message on these hold."""
        self._ingress.use(table)
        self.board_settings = settings.board_settings
        self._store.use(max_bytes=settings.max_bytes, when_full=settings.when_full)
        self.endpoints = frozenset(route.endpoint for route in table.routes)
        self._serve(self.endpoints)
        for listener in self._listeners:
            listener(settings)
