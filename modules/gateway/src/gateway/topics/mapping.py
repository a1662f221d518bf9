"""From a topic to the device that speaks there and to what the topic says: the first rule that matches decides."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edgewire.iothub.ids import is_id
from edgewire.iothub.limits import MAX_ID_CHARS
from edgewire.message import Identity, SystemProperties, identity
from gateway.topics.pattern import Pattern
from gateway.topics.template import Template

PLAIN: Final = "plain"
"""The listener without TLS."""
BROKER: Final = "broker"
"""The broker that the gateway is a client of."""
LISTENERS: Final = (PLAIN, BROKER)

TOPIC_PROPERTY: Final = "topic"
"""The application property that holds the topic as the device wrote it; in templates, `{topic}` is the same."""

MAX_RULES: Final = 1_000
"""Far beyond what the twin's 32 KB hold; a settings file may be larger."""
MAX_KNOWN_TOPICS: Final = 1_024
"""Topics of a listener whose result is remembered; devices repeat theirs."""
MAX_KNOWN_TOPIC_CHARS: Final = 512
"""Longer topics are looked at each time: with what is kept for each, so many of the longest are some megabytes."""
DEFAULT_AT_MOST: Final = 100
"""Devices made by topics, unless the settings say another number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRule:
    """One rule. `listener` None: topics of every listener. `place` is where it stands in the settings."""

    place: str
    match: Pattern
    device: Template
    listener: str | None = None
    properties: Mapping[str, Template] = field(default_factory=dict)
    content_type: Template | None = None
    content_encoding: Template | None = None

    @property
    def names_device(self) -> bool:
        """Whether the operator wrote the device out: no publisher chooses it."""
        return not self.device.names

    def serves(self, listener: str) -> bool:
        """Whether topics of this listener are its matter."""
        return self.listener is None or self.listener == listener

    @property
    def templates(self) -> Mapping[str, Template]:
        """All its templates by their keys."""
        found = {"device": self.device}
        found |= {f"properties.{name}": template for name, template in self.properties.items()}
        for key, template in (("contentType", self.content_type), ("contentEncoding", self.content_encoding)):
            if template is not None:
                found[key] = template
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDevices:
    """Who may speak by topics. `create`: on first contact a device is made, until there are `at_most` of them.

    `with_credentials`: a topic may also name a device that has keys or a certificate of its own.
    """

    create: bool = False
    at_most: int = DEFAULT_AT_MOST
    with_credentials: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What a rule makes of a topic. `problem` says why `device` cannot be an id, empty if it can."""

    rule: TopicRule
    device: str
    problem: str
    properties: Mapping[str, str]
    """Those of the rule, and the topic itself."""
    system: SystemProperties

    @property
    def identity(self) -> Identity:
        """Who speaks; to be asked only where there is no problem."""
        return identity(self.device)


class TopicMap:
    """The rules in force. What it finds is remembered, for devices repeat their topics."""

    def __init__(self, rules: Iterable[TopicRule] = ()) -> None:
        self.rules = tuple(rules)
        self._deepest = max((rule.match.depth for rule in self.rules), default=0) + 1
        self._lines = {listener: _Line(listener, self.rules) for listener in LISTENERS}

    def map(self, listener: str, topic: str) -> Mapped | None:
        """What the first matching rule makes of `topic`; None if no rule takes it."""
        line = self._lines[listener]
        known = line.known
        if topic in known:
            return known[topic]
        mapped = self._look(line, topic)
        if len(topic) <= MAX_KNOWN_TOPIC_CHARS:
            if len(known) >= MAX_KNOWN_TOPICS:
                known.clear()
            known[topic] = mapped
        return mapped

    def _look(self, line: "_Line", topic: str) -> Mapped | None:
        levels = topic.split("/", self._deepest)
        for rule in line.by_first.get(levels[0], line.others):
            captured = rule.match.match(levels)
            if captured is not None:
                return _mapped(rule, topic, captured)
        return None


class _Line:
    """The rules for one listener, by the first level of topics."""

    __slots__ = ("by_first", "known", "others")

    def __init__(self, listener: str, rules: Iterable[TopicRule]) -> None:
        mine = [rule for rule in rules if rule.serves(listener)]
        firsts = {rule.match.first for rule in mine} - {None}
        self.others = tuple(rule for rule in mine if rule.match.first is None)
        self.by_first = {
            first: tuple(rule for rule in mine if rule.match.first in (first, None)) for first in firsts if first
        }
        if "" in firsts:  # a topic that begins with '/'
            self.by_first[""] = tuple(rule for rule in mine if rule.match.first in ("", None))
        self.known: dict[str, Mapped | None] = {}


def _mapped(rule: TopicRule, topic: str, captured: Mapping[str, str]) -> Mapped:
    values = {**captured, TOPIC_PROPERTY: topic}
    device = rule.device.fill(values)
    system = {}
    if rule.content_type is not None:
        system["contentType"] = rule.content_type.fill(values)
    if rule.content_encoding is not None:
        system["contentEncoding"] = rule.content_encoding.fill(values)
    return Mapped(
        rule=rule,
        device=device,
        problem=problem_with_id(device),
        properties={TOPIC_PROPERTY: topic, **{name: text.fill(values) for name, text in rule.properties.items()}},
        system=system,
    )


def problem_with_id(device: str) -> str:
    """Why a topic may not name this device; empty if it may.

    IoT Hub's rule for ids, and two narrower ones for ids that publishers choose: `.` and `..` mean other places in
    paths, and what begins with `$` belongs to the system.
    """
    if not device:
        return "it is empty"
    if len(device) > MAX_ID_CHARS:
        return f"it has {len(device)} characters; the limit is {MAX_ID_CHARS}"
    if not is_id(device):
        return "it has a character that ids do not have"
    if not device.strip("."):
        return "it has only dots"
    return "it begins with '$'" if device[0] == "$" else ""
