"""Topic names and topic filters. Spec: MQTT 3.1.1 §4.7; MQTT 5 §4.7, §4.8.2."""

from typing import Final

from edgewire.codec.mqtt.wire import malformed, write_text
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.names import check_topic_name

SHARE_PREFIX: Final = "$share/"


def write_topic_name(topic: str) -> bytes:
    """A topic name of ours as it stands in a packet."""
    try:
        return write_text(check_topic_name(topic))
    except ProtocolError as exc:
        raise UsageError(f"we name a topic {topic!r}: {exc.what}") from exc


def check_topic_filter(text: str) -> str:
    """`text`, if it is a topic filter: `#` alone at the end, `+` alone in its level. Spec: 4.7.1-1 to -3, 4.7.3-1."""
    if not text:
        raise malformed("an empty topic filter", "MQTT5-4.7.3-1, MQTT311-4.7.3-1")
    if "#" in text and (text.index("#") != len(text) - 1 or not (text == "#" or text.endswith("/#"))):
        raise malformed("'#' that is not the last level of its filter", "MQTT5-4.7.1-1, MQTT311-4.7.1-2")
    if "+" in text and any("+" in level and level != "+" for level in text.split("/")):
        raise malformed("'+' that is not a whole level of its filter", "MQTT5-4.7.1-2, MQTT311-4.7.1-3")
    return text


def check_subscription(text: str) -> str:
    """`text`, if MQTT 5 allows it in SUBSCRIBE: a topic filter, or `$share/{name}/{filter}`. Spec: MQTT5-4.8.2-1."""
    check_topic_filter(text)
    if is_shared(text):
        _, name, inner = (*text.split("/", 2), "")[:3]
        if not name or "+" in name or "#" in name:
            raise malformed("a shared subscription without a proper name", "MQTT5-4.8.2-1")
        if not inner:
            raise malformed("a shared subscription without a filter", "MQTT5-4.8.2-2")
        check_topic_filter(inner)
    return text


def is_shared(text: str) -> bool:
    """Whether a filter asks for a shared subscription; only MQTT 5 gives the prefix this meaning."""
    return text.startswith(SHARE_PREFIX)


def has_wildcard(text: str) -> bool:
    """Whether a filter holds `#` or `+`."""
    return "#" in text or "+" in text
