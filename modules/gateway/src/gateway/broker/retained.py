"""The last retained message of each topic, bounded in number and bytes. Spec: MQTT 3.1.1 §3.3.1.3, MQTT 5 §3.3.1.3."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from gateway.broker.limits import BrokerLimits
from gateway.broker.messages import LocalMessage
from gateway.broker.topics import has_wildcard, matches

LOOK_BYTES: Final = 262_144
"""Of retained messages that one subscriber is given at once; the next ones when these are sent."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A retained message and its number, which grows with every message that is kept."""

    number: int
    message: LocalMessage


class RetainedMessages:
    """In the order in which they were kept: the oldest number first."""

    def __init__(self, limits: BrokerLimits) -> None:
        self._limits = limits
        self._by_topic: dict[str, Numbered] = {}
        self._number = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_topic)

    @property
    def last(self) -> int:
        """The number of the message that was kept last."""
        return self._number

    @property
    def size(self) -> int:
        """Bytes that they count."""
        return self._bytes

    def __iter__(self) -> Iterator[LocalMessage]:
        return (each.message for each in self._by_topic.values())

    def keep(self, message: LocalMessage) -> bool:
        """Keep it in the place of its topic's last one. False if there is no room: then the last one stays."""
        before = self._by_topic.get(message.topic)
        size = self._bytes - (0 if before is None else before.message.size) + message.size
        is_full = before is None and len(self._by_topic) >= self._limits.max_retained
        if is_full or size > self._limits.max_retained_bytes:
            return False
        self._by_topic.pop(message.topic, None)
        self._number += 1
        self._by_topic[message.topic] = Numbered(self._number, message)
        self._bytes = size
        return True

    def drop(self, topic: str) -> bool:
        """Forget a topic's message; an empty payload means that (MQTT311-3.3.1-10). False if there was none."""
        before = self._by_topic.pop(topic, None)
        if before is None:
            return False
        self._bytes -= before.message.size
        return True

    def find(self, topic: str) -> LocalMessage | None:
        """The message of one topic."""
        found = self._by_topic.get(topic)
        return None if found is None else found.message

    def look(self, topic_filter: str, after: int, until: int) -> tuple[list[LocalMessage], int | None]:
        """What matches a filter among some messages behind number `after`, up to number `until`.

        Returns them, and the number to go on behind, None when all were looked at. One call looks at no more than
        `retained_per_turn` messages, and gives little more than `LOOK_BYTES`: ten thousand at once would stop
        everybody else, and one slow reader may not hold all that ever was retained.
        """
        if not has_wildcard(topic_filter):
            exact = self._by_topic.get(topic_filter)
            return [exact.message] if exact is not None and after < exact.number <= until else [], None
        behind = (each for each in self._by_topic.values() if after < each.number <= until)
        found: list[LocalMessage] = []
        size = 0
        for each in islice(behind, self._limits.retained_per_turn):
            after = each.number
            if matches(topic_filter, each.message.topic):
                found.append(each.message)
                size += each.message.size
            if size >= LOOK_BYTES:
                break
        return found, None if after >= until or next(behind, None) is None else after

    def expired(self, now: float) -> list[str]:
        """The topics whose messages have had their time (MQTT5-3.3.2-5)."""
        return [each.message.topic for each in self._by_topic.values() if each.message.has_expired(now)]
