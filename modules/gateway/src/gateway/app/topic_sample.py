"""A publication written down as JSON, for `explain` and for tests: the rules make a message of it, or say why not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgewire.message import Message
from gateway.app.document_rows import Anything, Choice, Entries, Row, Section, Text, names
from gateway.app.sample import BODY_ROWS, NOTE_ROWS, SampleError, body_of, object_of, text_of
from gateway.routing.problems import near_match
from gateway.topics.mapping import LISTENERS, PLAIN, Mapped, TopicMap
from gateway.topics.publication import Publication, TooLargeError, check_size, envelope_of, shown_topic
from gateway.topics.why import why_not

ROWS: Final = (
    Row(name="topic", shape=Text(pattern=r"[^+#\0]+"), required=True, help="where it was published"),
    Row(name="listener", shape=Choice(LISTENERS), default=PLAIN, help="where it is heard"),
    *BODY_ROWS,
    Row(name="retain", shape=Anything(), help="true: it was retained"),
    Row(name="userProperties", shape=Entries(shape=Text()), help="of MQTT 5"),
    *NOTE_ROWS,
)
SHAPE: Final = Section(ROWS)
_OF_RULES: Final = ("device", "module", "output", "properties", "systemProperties", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSample:
    """What the rules make of a publication: `mapped` None if no rule takes it, `message` None with the reasons why."""

    listener: str
    topic: str
    mapped: Mapped | None
    message: Message | None
    reasons: tuple[str, ...] = ()


def is_topic_sample(sample: Any) -> bool:
    """Whether it is a publication to a topic instead of a message."""
    return isinstance(sample, Mapping) and "topic" in sample


def read_topic_sample(sample: Mapping[str, Any], topics: TopicMap | None) -> TopicSample:
    """What these rules make of the publication that `sample` describes. Raises SampleError.

    `body` is text, or any other JSON value, which is written as JSON: what it is, the rule says.
    """
    _check_keys(sample)
    topic = text_of(sample["topic"], "topic")
    _check_topic(topic)
    listener = _listener(sample.get("listener"))
    user = object_of(sample.get("userProperties"), "userProperties")
    publication = Publication(
        topic=topic,
        payload=body_of(sample)[0],
        retain=sample.get("retain") is True,
        user_properties=tuple((name, text_of(text, f"userProperties.{name}")) for name, text in user.items()),
    )
    topics = topics or TopicMap()
    mapped = topics.map(listener, topic)
    if mapped is None:
        return TopicSample(
            listener=listener, topic=topic, mapped=None, message=None, reasons=_why_unmatched(topics, listener, topic)
        )
    message, reason = _message(mapped, publication)
    return TopicSample(
        listener=listener, topic=topic, mapped=mapped, message=message, reasons=(reason,) if reason else ()
    )


def _check_keys(sample: Mapping[str, Any]) -> None:
    for key in sample:
        if key in _OF_RULES:
            raise SampleError(key, "a publication to a topic has none: the rule under 'topics' says it. Remove it")
        if key not in names(ROWS):
            near = near_match(key, names(ROWS))
            hint = f"did you mean '{near}'?" if near else "the keys are " + ", ".join(names(ROWS)[:6])
            raise SampleError(key, f"a publication has no '{key}'; {hint}")


def _check_topic(topic: str) -> None:
    if not topic or "\0" in topic:
        raise SampleError("topic", "no topic is empty, or has a character of value 0")
    if "+" in topic or "#" in topic:
        raise SampleError("topic", "nobody can publish to a topic with + or # in it; write one as a device would")


def _listener(value: Any) -> str:
    if value is None:
        return PLAIN
    if value in LISTENERS:
        return str(value)
    near = near_match(value, LISTENERS) if isinstance(value, str) else None
    raise SampleError("listener", f"did you mean '{near}'?" if near else f"this must be {' or '.join(LISTENERS)}")


def _message(mapped: Mapped, publication: Publication) -> tuple[Message | None, str]:
    if mapped.problem:
        return None, f"'{shown_topic(mapped.device)}' is no id of a device: {mapped.problem}"
    try:
        envelope, size = envelope_of(mapped, publication)
        check_size(size, publication.payload)
    except TooLargeError as error:
        return None, str(error)
    return Message(envelope, publication.payload), ""


def _why_unmatched(topics: TopicMap, listener: str, topic: str) -> tuple[str, ...]:
    if not topics.rules:
        return ('the document has no rules: write them under "topics"',)
    return tuple(f"{rule.place} ('{rule.match.text}'): {why_not(rule, listener, topic)}" for rule in topics.rules)
