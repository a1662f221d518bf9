"""Routes to local topics: checked with the settings, and what becomes of them where there is no local broker."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgewire.message import Endpoint
from gateway.observe.events import Event

if TYPE_CHECKING:
    from gateway.upstream.proxy import MessageProxy


def topic_problem(text: str) -> tuple[str, str] | None:
    """What is wrong with the topic that a route names, and what to write instead; None if nothing is."""
    from gateway.broker.template import TemplateError, TopicTemplate  # noqa: PLC0415 — most sites have no such route

    try:
        TopicTemplate(text)
    except TemplateError as error:
        return str(error), error.fix
    return None


class WithoutBroker:
    """The way to local topics while the plain listener is off: none, and it is said, once for each."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._told: set[Endpoint] = set()

    def __call__(self, endpoint: Endpoint) -> "MessageProxy | None":
        """No way, for now."""
        from gateway.observe.broker import TopicRouteWaits  # noqa: PLC0415 — most sites have no such route

        if endpoint not in self._told:
            self._told.add(endpoint)
            self._emit(TopicRouteWaits(str(endpoint)))
        return None
