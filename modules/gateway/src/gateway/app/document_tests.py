"""The section `tests` of the settings document: cases that stand beside routes and topic rules."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from edgewire.message import Message, local_topic, named_endpoint
from gateway.app.document_rows import Either, Elsewhere, Entries, Items, Row, Section, Text, names
from gateway.app.sample import EXPECT_ROW, SampleError, read_sample
from gateway.app.sample import ROWS as SAMPLE_ROWS
from gateway.routing.problems import near_match

if TYPE_CHECKING:
    from gateway.app.document_sequences import Sequence
    from gateway.app.topic_sample import TopicSample
    from gateway.topics.mapping import TopicMap

Problem = Callable[[str, str, str], None]
"""What is wrong: its path from the section's top, the message, what to write instead."""

_NAME: Final = Row(name="name", shape=Text(), help="what the case shows")
_BECOMES_ROWS: Final = (
    Row(name="device", shape=Text(), help="the device that a topic rule makes of it"),
    Row(name="properties", shape=Entries(shape=Text()), help="among its properties; null: there must be none such"),
)
_ONE_ROWS: Final = (
    _NAME,
    Row(
        name="message",
        shape=Either((Section(SAMPLE_ROWS), Elsewhere("gateway.app.topic_sample"))),
        required=True,
        help="a message, or a publication to a topic",
    ),
    Row(name="becomes", shape=Section(_BECOMES_ROWS), help="what the topic rules make of a publication"),
    replace(EXPECT_ROW, required=True),
    Row(name="routes", shape=Items(shape=Text()), help="the routes that must match, and no other"),
)
_SEVERAL_ROWS: Final = (
    _NAME,
    Row(
        name="messages",
        shape=Elsewhere("gateway.app.document_sequences", "STEPS_SHAPE"),
        required=True,
        help="messages in time",
    ),
    Row(
        name="made",
        shape=Elsewhere("gateway.app.document_sequences", "MADE_SHAPE"),
        help="what batches and windows must make of them",
    ),
)
SHAPE: Final = Items(shape=Either((Section(_ONE_ROWS), Section(_SEVERAL_ROWS))))
_KEYS: Final = tuple(dict.fromkeys((*names(_ONE_ROWS), *names(_SEVERAL_ROWS))))
_EXAMPLE: Final = 'write {"name": …, "message": …, "expect": […]}'
_ENDPOINTS: Final = '"$upstream", "/modules/m/inputs/i", "Endpoint(\'archive\')", "Topic(\'means/{device}\')"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Becomes:
    """What a topic must become: the device, and properties among others. None of a property: it must not be there."""

    device: str | None = None
    properties: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTest:
    """A case: where a message must go. `routes` is None if it does not matter which.

    A publication to a topic is a message by way of `topic`, or none if the rules make none of it. A case of several
    messages in time is a `sequence`, and nothing else.
    """

    name: str
    message: Message | None
    endpoints: frozenset[str]
    routes: frozenset[str] | None = None
    topic: "TopicSample | None" = None
    becomes: Becomes | None = None
    sequence: "Sequence | None" = None


def read_tests(
    given: Any, routes: Collection[str], topics: "TopicMap | None", problem: Problem
) -> tuple[RouteTest, ...]:
    """The cases; `routes` are the names there are, and `topics` the rules. All that is wrong is told to `problem`."""
    if given is None:
        return ()
    if not isinstance(given, list):
        problem("tests", "this must be a list of cases", 'write [{"name": …, "message": …, "expect": […]}]')
        return ()
    reader = _Reader(routes, topics, problem)
    cases = (reader.case(entry, number) for number, entry in enumerate(given))
    return tuple(case for case in cases if case is not None)


class _Reader:
    """Reads cases one by one."""

    def __init__(self, routes: Collection[str], topics: "TopicMap | None", problem: Problem) -> None:
        self._routes = routes
        self._topics = topics
        self._problem = problem

    def case(self, entry: Any, number: int) -> RouteTest | None:
        """One case, None if nothing can be made of it."""
        path = f"tests[{number}]"
        if not isinstance(entry, dict):
            self._problem(path, "a case is an object", _EXAMPLE)
            return None
        self._check_keys(entry, path, _KEYS)
        if "messages" in entry:
            return self._sequence(entry, path, number)
        endpoints = self._expected(entry.get("expect"), f"{path}.expect")
        matching = self._route_names(entry.get("routes"), f"{path}.routes")
        name = self._name(entry, path, number)
        becomes = self._becomes(entry.get("becomes"), f"{path}.becomes", entry.get("message"))
        try:
            message, topic = self._message(entry.get("message"))
        except SampleError as error:
            self._problem(f"{path}.message", str(error), "")
            return None
        return RouteTest(name=name, message=message, endpoints=endpoints, routes=matching, topic=topic, becomes=becomes)

    def _sequence(self, entry: Mapping[str, Any], path: str, number: int) -> RouteTest:
        from gateway.app.document_sequences import SequenceReader  # noqa: PLC0415 — most cases are of one message

        reader = SequenceReader(self._problem, self._expected, endpoint_name, self._message_in_time)
        sequence = reader.read(entry, path)
        name = self._name(entry, path, number)
        return RouteTest(name=name, message=None, endpoints=frozenset(), sequence=sequence)

    def _name(self, entry: Mapping[str, Any], path: str, number: int) -> str:
        name = entry.get("name", f"case {number + 1}")
        if isinstance(name, str):
            return name
        self._problem(f"{path}.name", "the name of a case is text", "put it between quotation marks")
        return path

    def _message(self, sample: Any) -> tuple[Message | None, "TopicSample | None"]:
        if not (isinstance(sample, dict) and "topic" in sample):
            return read_sample(sample), None
        from gateway.app.topic_sample import read_topic_sample  # noqa: PLC0415 — most settings have no topics

        topic = read_topic_sample(sample, self._topics)
        return topic.message, topic

    def _message_in_time(self, sample: Mapping[str, Any]) -> Message:
        """One of several messages, which has to be one. Raises SampleError."""
        message, topic = self._message(sample)
        if message is None:
            reasons = () if topic is None else topic.reasons
            raise SampleError("topic", "; ".join(("the rules make no message of it", *reasons)))
        return message

    def _check_keys(self, value: Mapping[str, Any], path: str, known: tuple[str, ...]) -> None:
        for key in value:
            if key not in known and not key.startswith("$"):  # $version and $metadata belong to the twin
                near = near_match(key, known)
                hint = f"did you mean '{near}'?" if near else "known here: " + ", ".join(known)
                self._problem(f"{path}.{key}", f"there is no setting '{key}'", hint)

    def _expected(self, value: Any, path: str) -> frozenset[str]:
        fix = f"write the endpoints, as in [{_ENDPOINTS}], or [] for none"
        if not isinstance(value, list):
            self._problem(path, "this must be a list of endpoints", fix)
            return frozenset()
        found = set()
        for item in value:
            endpoint = endpoint_name(item) if isinstance(item, str) else None
            if endpoint is None:
                self._problem(path, f"{item!r} is no endpoint", fix)
            else:
                found.add(endpoint)
        return frozenset(found)

    def _route_names(self, value: Any, path: str) -> frozenset[str] | None:
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            self._problem(path, "this must be a list of route names", 'write ["alerts"]')
            return None
        for name in value:
            if name not in self._routes:
                near = near_match(name, self._routes)
                hint = f"did you mean '{near}'?" if near else "the routes are " + ", ".join(self._routes)
                self._problem(path, f"there is no route '{name}'", hint)
        return frozenset(value)

    def _becomes(self, value: Any, path: str, sample: Any) -> Becomes | None:
        if value is None:
            return None
        fix = 'write {"device": "lab", "properties": {"kind": "temperature"}}'
        if not isinstance(value, dict):
            self._problem(path, "this must be an object", fix)
            return None
        if not (isinstance(sample, dict) and "topic" in sample):
            self._problem(path, "only a publication to a topic becomes something else", 'give the message a "topic"')
        self._check_keys(value, path, names(_BECOMES_ROWS))
        device, properties = value.get("device"), value.get("properties")
        texts = properties.values() if isinstance(properties, dict) else () if properties is None else (0,)
        if not isinstance(device, str | None) or not all(isinstance(text, str | None) for text in texts):
            self._problem(path, "the device is a text, the properties are texts by their names", fix)
            return None
        return Becomes(device=device, properties=properties or {})


def endpoint_name(text: str) -> str | None:
    """An endpoint as it is shown everywhere, from any way to write it; None if it is none."""
    inner = text.strip()
    if inner.lower() == "$upstream":
        return "$upstream"
    for written, endpoint in (("endpoint(", named_endpoint), ("topic(", local_topic)):
        if inner.lower().startswith(written):
            return str(endpoint(inner[len(written) :].rstrip(")").strip().strip("\"'")))
    if inner.lower().startswith("brokeredendpoint("):
        inner = inner[len("brokeredendpoint(") :].rstrip(")").strip().strip("\"'")
    items = inner.removeprefix("/").removesuffix("/").split("/")
    if len(items) != 4 or items[0].lower() != "modules" or items[2].lower() != "inputs" or not all(items):
        return None
    return f"/modules/{items[1]}/inputs/{items[3]}"
