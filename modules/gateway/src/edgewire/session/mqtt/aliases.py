"""Topic aliases that a peer has set. Spec: MQTT 5 §3.3.2.3.4."""

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError


class TopicAliases:
    """A peer's abbreviations for topics, at most `maximum`, for as long as its connection lives (MQTT5-3.3.2-7)."""

    __slots__ = ("_maximum", "_topics")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._topics: dict[int, str] = {}

    def resolve(self, alias: int, topic: str) -> str:
        """The topic of a PUBLISH with this alias; a topic beside it sets the alias anew.

        Raises ProtocolError for an alias over the maximum (MQTT5-3.3.2-9), and for one that stands for nothing.
        """
        if alias > self._maximum:
            what = f"topic alias {alias}, where {self._maximum} is the most"
            raise ProtocolError(what, reply=ReasonCode.TOPIC_ALIAS_INVALID, spec="MQTT5-3.3.2-9")
        if topic:
            self._topics[alias] = topic
            return topic
        known = self._topics.get(alias)
        if known is None:
            what = f"topic alias {alias} was never set"
            raise ProtocolError(what, reply=ReasonCode.PROTOCOL_ERROR, spec="MQTT5 §3.3.2.3.4")
        return known
