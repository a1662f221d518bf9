"""Batches of all devices that have no sender: they go as the gateway's module, which not every gateway is upstream."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgewire.message import UPSTREAM
from gateway.app.sending import own_identity
from gateway.app.settings import Environment
from gateway.app.upstream import has_upstream
from gateway.identity.registry import Registry
from gateway.identity.roster import SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.sending import BatchesWithoutSender

if TYPE_CHECKING:
    from gateway.app.document import GatewaySettings
    from gateway.dispatch.filters import Lessened


class UnsentBatches:
    """Looks at settings that come into force, where the only way upstream is the one on behalf of devices."""

    def __init__(
        self,
        environment: Environment,
        environ: Mapping[str, str],
        registry: Registry,
        emit: Callable[[Event], None],
    ) -> None:
        self._devices_only = bool(environment.upstream_amqp) and not has_upstream(environment, environ)
        self._module = own_identity(environ)
        self._registry = registry
        self._emit = emit
        self._routes: tuple[str, ...] = ()

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes whose batches wait, in order; none once the module has a key here."""
        return () if self._has_key() else self._routes

    def use(self, settings: "GatewaySettings") -> None:
        """Say whose batches wait until their time to live ends."""
        lessened = settings.sending.values() if self._devices_only else ()
        self._routes = tuple(each.route.name for each in lessened if _goes_as_module(each))
        for route in self.routes:
            self._emit(BatchesWithoutSender(route, str(self._module)))

    def _has_key(self) -> bool:
        entry = self._registry.find(self._module)
        return entry is not None and entry.enabled and isinstance(entry.credential, SymmetricKeys)


def _goes_as_module(lessened: "Lessened") -> bool:
    from gateway.sending.how import Batch, Per, how_of  # noqa: PLC0415 — most settings have no `send`

    how = None if lessened.stage is None else how_of(lessened.stage)
    if how is None or lessened.route.endpoint != UPSTREAM or not isinstance(how.making, Batch):
        return False
    return how.making.per is Per.ROUTE
