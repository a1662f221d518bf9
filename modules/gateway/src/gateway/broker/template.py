"""The topic that a route names: text with placeholders for who sent a message and what it says of itself."""

from typing import Final

from edgewire.message import Envelope
from gateway.topics.mapping import TOPIC_PROPERTY
from gateway.topics.template import TemplateError, parse_template

MAX_TOPIC_BYTES: Final = 65_535
"""The longest topic there is (MQTT 3.1.1 §1.5.3)."""

__all__ = ["MAX_TOPIC_BYTES", "TemplateError", "TopicTemplate", "UnfilledError"]


class UnfilledError(Exception):
    """This message has no topic: what is missing or unfit in it."""


class TopicTemplate:
    """`{device}` and `{module}` are the sender's ids, `{topic}` the topic it came on, `{name}` an application property.

    Raises TemplateError for a text of which no topic can come.
    """

    __slots__ = ("_template", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._template = parse_template(text)
        _check(text, self._template.fill(dict.fromkeys(self._template.names, "x")))

    @property
    def names(self) -> frozenset[str]:
        """The placeholders."""
        return self._template.names

    def fill(self, envelope: Envelope) -> str:
        """The topic for a message. Raises UnfilledError."""
        topic = self._template.fill({name: _value(name, envelope) for name in self._template.names})
        # Of a text that is no Unicode (a lone surrogate) no topic can be written.
        size = len(topic.encode("utf-8", "surrogatepass"))
        if topic.startswith("$") or not topic or size > MAX_TOPIC_BYTES or not _is_text(topic):
            raise UnfilledError(f"its topic would be '{topic[:100]}', which is empty, too long, or the server's own")
        return topic


def _value(name: str, envelope: Envelope) -> str:
    match name:
        case "device":
            found: str | None = envelope.sender.device
        case "module":
            found = envelope.sender.module
        case _:
            found = envelope.properties.get(name)
    if not found:
        raise UnfilledError(f"{{{name}}} of the topic has no value in it")
    # A property of one level may not make two of it; the topic itself has levels, and no wildcards.
    if any(bad in found for bad in "+#\0") or ("/" in found and name != TOPIC_PROPERTY):
        raise UnfilledError(f"{{{name}}} of the topic would be '{found[:60]}', which is no level of a topic")
    return found


def _is_text(topic: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in topic)


def _check(text: str, filled: str) -> None:
    shown = text[:100]
    if not filled:
        raise TemplateError("a topic has at least one character", 'write INTO Topic("alerts/{device}")')
    if filled.startswith("$"):
        raise TemplateError(f"topic '{shown}' begins with '$': such topics are the server's own", "leave out the '$'")
    if "+" in filled or "#" in filled or "\0" in filled:
        raise TemplateError(
            f"topic '{shown}' holds a wildcard: a message is published on one topic",
            "write {device}, {topic} or the {name} of an application property where topics differ",
        )
