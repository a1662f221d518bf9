"""Which of the messages that a broker has retained are news.

A broker sends what it has retained whenever somebody subscribes, marked with RETAIN; a live message never has the mark
(MQTT 3.1.1 §3.3.1.3). So after each break a client hears of old states as of new ones. What was taken from a topic
last, live or retained, is remembered by its hash: the same, retained, is no news.
"""

from collections import OrderedDict
from enum import Enum
from typing import Final

MAX_TOPICS: Final = 10_000
"""Topics whose last message is remembered, as hashes: 2 MB. Beyond it the one that was silent longest is forgotten, and
what is retained there is taken once more, marked."""


class Policy(Enum):
    """What becomes of retained messages; the values are those of GATEWAY_BROKER_RETAINED."""

    NEW = "new"
    """They are taken, unless the same was the last that was taken from the topic."""
    ALL = "all"
    NONE = "none"


class Retained:
    """Judges messages by the policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._last: OrderedDict[int, int] = OrderedDict()

    def is_news(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Whether to take a message, with RETAIN or without."""
        if self._policy is not Policy.NEW:
            return not retain or self._policy is Policy.ALL
        # Python's hash of text and bytes is keyed anew in each process, and so is not to be guessed.
        where, now = hash(topic), hash(payload)
        before = self._last.pop(where, None)
        self._last[where] = now
        if len(self._last) > MAX_TOPICS:
            self._last.popitem(last=False)
        return not retain or before != now
