"""The sections `topics` and `topicDevices` of the settings document: which topics become messages of which devices."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from edgewire.iothub.bag import WIRE_NAMES
from edgewire.iothub.messages import DUPLICATE, RETAINED
from gateway.app.document_rows import Choice, Entries, Items, Row, Section, Switch, Text, Whole, names
from gateway.routing.body import codec_of
from gateway.routing.problems import near_match
from gateway.topics.mapping import (
    DEFAULT_AT_MOST,
    LISTENERS,
    MAX_RULES,
    TOPIC_PROPERTY,
    TopicDevices,
    TopicMap,
    TopicRule,
    problem_with_id,
)
from gateway.topics.pattern import Pattern, PatternError, parse_pattern
from gateway.topics.template import Template, TemplateError, parse_template

MAX_RULE_PROPERTIES: Final = 64
"""Properties that one rule gives; a message may have 256, with those of its publisher."""
MAX_TOPIC_DEVICES: Final = 10_000
"""Devices made by topics: the whole file of devices is written for each few new ones."""

Say = Callable[[str, str, str], None]
"""A problem or a warning: its path from the section's top, the message, what to write instead."""

_ROWS: Final = (
    Row(name="listener", shape=Choice(LISTENERS), help="where the topic is heard; left out: everywhere"),
    Row(
        name="match",
        shape=Text(pattern=r"[\s\S]+", examples=("site/+room/+kind", "panel/#")),
        required=True,
        help="the topic with wildcards: + is a level, +room captures it, # at the end is the rest",
    ),
    Row(
        name="device",
        shape=Text(pattern=r"[\s\S]+", examples=("{room}",)),
        required=True,
        help="who speaks: an id, or one made of captures",
    ),
    Row(
        name="properties",
        shape=Entries(shape=Text(examples=("{kind}",)), most=MAX_RULE_PROPERTIES),
        help="application properties of the message, made of captures too",
    ),
    Row(
        name="contentType",
        shape=Text(examples=("application/json",)),
        help="what the body is; routes read it as application/json alone",
    ),
    Row(
        name="contentEncoding",
        shape=Text(examples=("utf-8",)),
        help="its encoding, without which routes cannot read it",
    ),
)
_DEVICES_ROWS: Final = (
    Row(
        name="create",
        shape=Switch(),
        default=False,
        help="a topic may name a device that is not there yet, and makes it",
    ),
    Row(
        name="atMost",
        shape=Whole(least=1, most=MAX_TOPIC_DEVICES),
        unit="devices",
        default=DEFAULT_AT_MOST,
        help="how many may be made so",
    ),
    Row(
        name="withCredentials",
        shape=Switch(),
        default=False,
        help="a topic may name a device that has credentials of its own",
    ),
)
SHAPE: Final = Items(shape=Section(_ROWS), most=MAX_RULES)
DEVICES_SHAPE: Final = Section(_DEVICES_ROWS)
_OTHER_KEYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("topic", "pattern", "filter", "topicfilter", "from", "source"), "match"),
    **dict.fromkeys(("deviceid", "identity", "leafdeviceid", "sender", "to"), "device"),
    **dict.fromkeys(("port", "from_listener", "input"), "listener"),
    **dict.fromkeys(("ct", "$.ct", "type", "mime", "mimetype"), "contentType"),
    **dict.fromkeys(("ce", "$.ce", "encoding", "charset"), "contentEncoding"),
    **dict.fromkeys(("tags", "headers", "userproperties", "applicationproperties"), "properties"),
}
_EXAMPLE: Final = 'write {"match": "site/+room/+kind", "device": "{room}", "properties": {"kind": "{kind}"}}'
_OF_THE_BODY: Final[Mapping[str, str]] = {
    **dict.fromkeys(("$.ct", "contenttype", "content-type"), "contentType"),
    **dict.fromkeys(("$.ce", "contentencoding", "content-encoding"), "contentEncoding"),
}
_LEAF_NAMES: Final = ("leafDeviceId", "leafModuleId", "leafOutputName", "leafGatewayId")
"""As `upstream.module_message` says who sent a message that leaves as the module's; that room needs the SDK."""
_GIVEN_NAMES: Final = frozenset(name.lower() for name in (TOPIC_PROPERTY, *RETAINED, *DUPLICATE, *_LEAF_NAMES))
_SYSTEM_NAMES: Final = frozenset(name.lower() for names in WIRE_NAMES.values() for name in names)


def read_topics(given: Any, problem: Say, warn: Say) -> TopicMap | None:
    """The rules, None if there are none; all that is wrong is told to `problem`."""
    if given is None:
        return None
    if not isinstance(given, list):
        problem("topics", "this must be a list: the first rule that matches decides", f"write [ … ]; in it {_EXAMPLE}")
        return None
    if len(given) > MAX_RULES:
        problem("topics", f"there are {len(given)} rules; {MAX_RULES} are the most", "let captures say what is common")
        return None
    read = (_Reader(f"topics[{number}]", problem, warn).read(entry) for number, entry in enumerate(given))
    rules = [rule for rule in read if rule is not None]
    _find_hidden(rules, problem)
    return TopicMap(rules) if rules else None


def read_topic_devices(given: Any, problem: Say, warn: Say) -> TopicDevices | None:
    """Who may be named by a topic; None if nothing is said of it."""
    if given is None:
        return None
    path = "topicDevices"
    if not isinstance(given, Mapping):
        problem(path, "this must be an object", 'write {"create": true, "atMost": 100}')
        return None
    _check_keys(given, path, names(_DEVICES_ROWS), {"max": "atMost", "limit": "atMost", "auto": "create"}, problem)
    create = _switch(given, path, "create", problem)
    if given.get("atMost") is not None and not create:
        warn(f"{path}.atMost", "no device is made by a topic, so this limits nothing", 'write "create": true, too')
    return TopicDevices(
        create=create,
        at_most=_count(given.get("atMost"), f"{path}.atMost", problem),
        with_credentials=_switch(given, path, "withCredentials", problem),
    )


def _switch(given: Mapping[str, Any], path: str, key: str, problem: Say) -> bool:
    value = given.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    problem(f"{path}.{key}", f"{value!r:.40} is neither true nor false", "write true or false, without quotation marks")
    return False


def _count(value: Any, path: str, problem: Say) -> int:
    if value is None:
        return DEFAULT_AT_MOST
    whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (isinstance(value, int) or whole) or not 1 <= value <= MAX_TOPIC_DEVICES:
        what = f"{value!r:.40} is no whole number from 1 to {MAX_TOPIC_DEVICES}"
        problem(path, what, f"left out it is {DEFAULT_AT_MOST}")
        return DEFAULT_AT_MOST
    return int(value)


def _check_keys(
    value: Mapping[str, Any], path: str, known: tuple[str, ...], other: Mapping[str, str], problem: Say
) -> None:
    for key in value:
        if key in known or key in ("$version", "$metadata"):  # these belong to the twin
            continue
        near = other.get(key.lower()) or near_match(key, known)
        hint = f"did you mean '{near}'?" if near else "known here: " + ", ".join(known)
        problem(f"{path}.{key}", f"there is no setting '{key}'", hint)


def _find_hidden(rules: Iterable[TopicRule], problem: Say) -> None:
    """Rules that never get a topic, since an earlier one takes all of theirs."""
    earlier: list[TopicRule] = []
    for rule in rules:
        for other in earlier:
            if other.listener in (None, rule.listener) and other.match.covers(rule.match):
                what = f"it never matches: {other.place} ('{other.match.text}') takes all of its topics before it"
                problem(f"{rule.place}.match", what, f"move it above {other.place}, or remove it")
                break
        earlier.append(rule)


class _Reader:
    """Reads one rule."""

    def __init__(self, place: str, problem: Say, warn: Say) -> None:
        self._place = place
        self._tell = problem
        self._tell_warning = warn
        self._problems = 0

    def read(self, entry: Any) -> TopicRule | None:
        """The rule, None if something is wrong in it or it was removed."""
        if entry is None:
            return None
        if not isinstance(entry, Mapping):
            self._tell(self._place, "a rule is an object", _EXAMPLE)
            return None
        _check_keys(entry, self._place, names(_ROWS), _OTHER_KEYS, self._problem_at)
        match = self._match(entry.get("match"))
        device = self._device(entry.get("device"))
        rule = TopicRule(
            place=self._place,
            listener=self._listener(entry.get("listener")),
            match=match,
            device=device,
            properties=self._properties(entry.get("properties")),
            content_type=self._optional(entry.get("contentType"), "contentType"),
            content_encoding=self._optional(entry.get("contentEncoding"), "contentEncoding"),
        )
        return None if self._is_bad() else self._checked(rule)

    def _checked(self, rule: TopicRule) -> TopicRule | None:
        """What only the whole rule shows."""
        self._check_captures(rule)
        if not self._is_bad():
            self._check_device(rule)
        self._check_content(rule)
        return None if self._is_bad() else rule

    def _is_bad(self) -> bool:
        return self._problems > 0

    def _problem(self, key: str, message: str, fix: str) -> None:
        self._problem_at(f"{self._place}.{key}" if key else self._place, message, fix)

    def _problem_at(self, path: str, message: str, fix: str) -> None:
        self._problems += 1
        self._tell(path, message, fix)

    def _warn(self, key: str, message: str, fix: str) -> None:
        self._tell_warning(f"{self._place}.{key}", message, fix)

    # Fields

    def _listener(self, value: Any) -> str | None:
        if value is None or value in LISTENERS:
            return None if value is None else str(value)
        near = near_match(value, LISTENERS) if isinstance(value, str) else None
        known = " or ".join(f'"{name}"' for name in LISTENERS)
        hint = f"did you mean '{near}'?" if near else f"write {known}, or leave it out for both"
        self._problem("listener", f"there is no listener {value!r:.60} with topics", hint)
        return None

    def _match(self, value: Any) -> Pattern:
        text = self._required(value, "match", 'write the topic with wildcards: "match": "site/+room/+kind"')
        try:
            pattern = parse_pattern(text) if text else _NO_PATTERN
        except PatternError as error:
            self._problem("match", str(error), error.fix)
            return _NO_PATTERN
        for _, literal in pattern.literals:
            if literal.startswith("{") and literal.endswith("}"):
                fix = f"write +{literal[1:-1]} to capture the level"
                self._warn("match", f"'{literal}' stands for just these characters", fix)
            elif literal == "*":
                self._warn("match", "'*' stands for just this character", "write + for any level")
        return pattern

    def _device(self, value: Any) -> Template:
        text = self._required(value, "device", 'write who speaks: "device": "{room}", or an id as it stands')
        return self._template(text, "device")

    def _required(self, value: Any, key: str, fix: str) -> str:
        if isinstance(value, str) and value:
            return value
        what = "it is missing" if value is None else f"{value!r:.60} is no text" if value != "" else "it is empty"
        self._problem(key, what, fix)
        return ""

    def _optional(self, value: Any, key: str) -> Template | None:
        if value is None:
            return None
        if not isinstance(value, str):
            self._problem(key, f"{value!r:.60} is no text", f'write "{value}"' if _is_plain(value) else "write a text")
            return None
        return self._template(value, key)

    def _template(self, text: str, key: str) -> Template:
        try:
            return parse_template(text)
        except TemplateError as error:
            self._problem(key, str(error), error.fix)
            return Template("", frozenset())

    def _properties(self, value: Any) -> dict[str, Template]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._problem("properties", "this must be an object", 'write {"kind": "{kind}"}')
            return {}
        if len(value) > MAX_RULE_PROPERTIES:
            what = f"there are {len(value)}; {MAX_RULE_PROPERTIES} are the most"
            self._problem("properties", what, "put what is more into the body")
            return {}
        found: dict[str, Template] = {}
        for name, text in value.items():
            self._check_name(name, found)
            template = self._optional(text, f"properties.{name}")
            if template is not None:
                found[name] = template
        return found

    def _check_name(self, name: str, others: Iterable[str]) -> None:
        key, folded = f"properties.{name}", name.lower()
        if folded in _GIVEN_NAMES:
            self._problem(key, "the gateway gives this property to every such message", "choose another name")
        elif folded in _OF_THE_BODY:
            self._problem(key, "routes do not look for it here", f'write "{_OF_THE_BODY[folded]}" beside "properties"')
        elif not name or not name.isprintable() or folded.startswith(("$", "iothub-")) or folded in _SYSTEM_NAMES:
            self._problem(key, "this is no name of an application property", "choose another name, without $ in front")
        elif folded in {other.lower() for other in others}:
            self._problem(key, "two properties of one message may not differ only in case", "keep one of them")

    # What belongs together

    def _check_captures(self, rule: TopicRule) -> None:
        captured = rule.match.names | {TOPIC_PROPERTY}
        used: set[str] = set()
        for key, template in rule.templates.items():
            used |= template.names
            for name in sorted(template.names - captured):
                near = near_match(name, captured)
                known = ", ".join(f"{{{one}}}" for one in sorted(captured))
                hint = f"did you mean '{{{near}}}'?" if near else f"known here: {known}; +{name} captures a level"
                self._problem(key, f"'{{{name}}}' is not captured by '{rule.match.text}'", hint)
        for name in sorted(rule.match.names - used):
            sign = "#" if name in rule.match.rest_names else "+"
            fix = f"use {{{name}}} in device or properties, or write {sign} without a name"
            self._warn("match", f"'{name}' is captured and never used", fix)

    def _check_device(self, rule: TopicRule) -> None:
        """An id that no topic could make a legal one is told now, not with every message."""
        pattern, device = rule.match, rule.device
        why = problem_with_id(device.fill(dict.fromkeys(device.names, "x")))
        if why:
            self._problem("device", f"'{device.text}' never becomes the id of a device: {why}", _ID_FIX)
        elif TOPIC_PROPERTY in device.names and pattern.depth > 1:
            fix = "use the captures of single levels, as in {site}-{room}"
            self._problem("device", "the whole topic has '/' in it, which no id has", fix)
        elif pattern.takes_rest and device.names & {TOPIC_PROPERTY, *pattern.rest_names}:
            self._warn("device", "what # takes is part of an id only if it is a single level", "capture it with +")

    def _check_content(self, rule: TopicRule) -> None:
        kind, encoding = rule.content_type, rule.content_encoding
        if kind is None or kind.names or not kind.text.lower().startswith("application/json"):
            return
        if kind.text.lower() != "application/json":
            fix = 'write "contentType": "application/json", "contentEncoding": "utf-8"'
            self._warn("contentType", "routes read a body only as application/json, without parameters", fix)
        elif encoding is None:
            fix = 'write "contentEncoding": "utf-8"'
            self._warn("contentType", "without contentEncoding routes cannot read the body", fix)
        elif not encoding.names and codec_of(kind.text, encoding.text) is None:
            what = f"routes read a body only as utf-8, utf-16 or utf-32, not as '{encoding.text}'"
            self._warn("contentEncoding", what, 'write "utf-8"')


_NO_PATTERN: Final = parse_pattern("#")
_ID_FIX: Final = "ids have letters, digits and - . % _ * ? ! ( ) , : = @ $ ': join captures with one of these"


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
