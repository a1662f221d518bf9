"""Topic rules for a way in that this gateway does not have: they take nothing, which nobody may find out by waiting."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.app.settings import Environment
from gateway.observe.events import Event
from gateway.observe.topics import TopicListener, TopicRulesUnheard

if TYPE_CHECKING:
    from gateway.app.document import GatewaySettings


class UnheardRules:
    """Looks at settings that come into force."""

    def __init__(self, environment: Environment, emit: Callable[[Event], None]) -> None:
        self._missing = {
            TopicListener.PLAIN: not environment.plain_port,
            TopicListener.BROKER: not environment.broker,
        }
        self._emit = emit

    def use(self, settings: "GatewaySettings") -> None:
        """Say which rules nobody hears."""
        rules = () if settings.topics is None else settings.topics.rules
        for listener, is_missing in self._missing.items():
            count = sum(rule.listener == listener.value for rule in rules)
            if is_missing and count:
                self._emit(TopicRulesUnheard(listener, count))
