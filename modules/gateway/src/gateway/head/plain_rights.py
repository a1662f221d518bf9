"""What one client of the plain listener may publish and subscribe, by the rules of its user."""

from typing import Final

from gateway.broker.topics import covers, is_system
from gateway.identity.users import User, fill_pattern

BRIDGE_STATE: Final = "$SYS/broker/connection/"
"""Where mosquitto's bridge announces itself, before anything else. Kept for whoever looks: refusing it would make the
bridge loop for ever."""
READABLE: Final = "$SYS/"
"""What is there is no secret: which bridges are connected."""
MAX_KNOWN: Final = 256
"""Topics of a connection that were looked at and are remembered; beyond, they are looked at again."""
MAX_KNOWN_CHARS: Final = 512


class Rights:
    """The rules of `user` for the client `client_id`."""

    __slots__ = ("_known", "_publish", "_subscribe")

    def __init__(self, user: User, client_id: str) -> None:
        self._publish = _filled(user.publish, user.name, client_id)
        self._subscribe = _filled(user.subscribe, user.name, client_id)
        self._known: dict[str, bool] = {}

    def may_publish(self, topic: str) -> bool:
        """Whether it may publish to a topic. Those that begin with `$` are the server's, but for a bridge's state."""
        known = self._known.get(topic)
        if known is not None:
            return known
        if is_system(topic):
            allowed = topic.startswith(BRIDGE_STATE)
        else:
            allowed = any(covers(pattern, topic) for pattern in self._publish)
        if len(topic) <= MAX_KNOWN_CHARS:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[topic] = allowed
        return allowed

    def may_subscribe(self, topic_filter: str) -> bool:
        """Whether it may subscribe a filter: all that the filter matches must be allowed."""
        if is_system(topic_filter):
            return topic_filter.startswith(READABLE)
        return any(covers(pattern, topic_filter) for pattern in self._subscribe)


def _filled(patterns: tuple[str, ...], user: str, client_id: str) -> tuple[str, ...]:
    filled = (fill_pattern(pattern, user, client_id) for pattern in patterns)
    return tuple(pattern for pattern in filled if pattern is not None)
