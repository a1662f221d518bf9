"""IoT Hub's MQTT topics, both ways, and the filters a device may subscribe.

A parser gives None for a topic that is not of its kind, and raises ProtocolError for one that is but breaks its form.
Ids stand in topics as they are: nothing is decoded, an empty one or one with `+` or `#` is no id.
Spec: edgehub.md §4.4, §4.5, iothub_wire.md §1.3 to §1.7.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.limits import MAX_METHOD_NAME_CHARS, MAX_REQUEST_ID_CHARS
from edgewire.line.escapes import percent_decode, percent_encode
from edgewire.message import Identity, identity

_EVENTS: Final = re.compile(r"devices/([^/+#]+)(?:/modules/([^/+#]+))?/messages/events(?:/(.*))?", re.DOTALL)
_DEVICEBOUND: Final = re.compile(r"devices/([^/+#]+)/messages/devicebound/([^/]*)", re.DOTALL)
_INPUT: Final = re.compile(r"devices/([^/+#]+)/modules/([^/+#]+)/inputs/([^/+#]+)/([^/]*)", re.DOTALL)
_VERSION: Final = re.compile(r"[0-9]{1,18}")
_STATUS: Final = re.compile(r"-?[0-9]{1,9}")

_TWIN_START: Final = "$iothub/twin/"
_TWIN_GET: Final = "$iothub/twin/GET/"
_TWIN_REPORTED: Final = "$iothub/twin/PATCH/properties/reported/"
_TWIN_DESIRED: Final = "$iothub/twin/PATCH/properties/desired/"
_TWIN_RESULT: Final = "$iothub/twin/res/"
_METHOD_CALL: Final = "$iothub/methods/POST/"
_METHOD_RESULT: Final = "$iothub/methods/res/"

NOT_A_STATUS: Final = 400_000
"""The status of a method whose answer has none: edgeHub's number for it."""


# --- messages -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventsTopic:
    """Telemetry of a device or module; `bag` is still encoded."""

    device: str
    module: str | None
    bag: str

    @property
    def identity(self) -> Identity:
        """Whose telemetry it claims to be."""
        return identity(self.device, self.module)


@dataclass(frozen=True, slots=True)
class DeviceboundTopic:
    """A message to a device; `bag` is still encoded."""

    device: str
    bag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTopic:
    """A message to an input of a module; `bag` is still encoded."""

    device: str
    module: str
    input: str
    bag: str


def parse_events_topic(topic: str) -> EventsTopic | None:
    """The parts of a telemetry topic: with or without a bag, with or without a slash after either.

    A slash inside the bag is part of a name or value: a bridge changes the beginning of its topics, and the rest of
    them comes to stand there.
    """
    found = _EVENTS.fullmatch(topic)
    if found is None:
        return None
    return EventsTopic(found[1], found[2], (found[3] or "").removesuffix("/"))


def format_events_topic(device: str, module: str | None = None, bag: str = "") -> str:
    """The telemetry topic, with the slash that all current clients send."""
    of_module = "" if module is None else f"/modules/{module}"
    return f"devices/{device}{of_module}/messages/events/{bag}"


def parse_devicebound_topic(topic: str) -> DeviceboundTopic | None:
    """The parts of a C2D topic."""
    found = _DEVICEBOUND.fullmatch(topic)
    return None if found is None else DeviceboundTopic(found[1], found[2])


def format_devicebound_topic(device: str, bag: str) -> str:
    """The C2D topic; the slash stays when the bag is empty, or Node drops the message."""
    return f"devices/{device}/messages/devicebound/{bag}"


def parse_input_topic(topic: str) -> InputTopic | None:
    """The parts of a module input's topic."""
    found = _INPUT.fullmatch(topic)
    if found is None:
        return None
    return InputTopic(
        device=found[1], module=found[2], input=percent_decode(found[3], "the input's name"), bag=found[4]
    )


def format_input_topic(device: str, module: str, input_name: str, bag: str) -> str:
    """The topic of a module's input; the slash stays when the bag is empty, or Node drops the message."""
    return f"devices/{device}/modules/{module}/inputs/{percent_encode(input_name)}/{bag}"


# --- twins and methods --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TwinGet:
    """A device asks for its twin; `rid` goes back untouched."""

    rid: str


@dataclass(frozen=True, slots=True)
class TwinReport:
    """A device patches its reported properties; without a `rid` it wants no answer."""

    rid: str | None


@dataclass(frozen=True, slots=True)
class MethodResult:
    """A device's answer to a method."""

    status: int
    rid: str


Request = TwinGet | TwinReport | MethodResult


@dataclass(frozen=True, slots=True)
class TwinResult:
    """The answer to a TwinGet or TwinReport."""

    status: int
    rid: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class DesiredPatch:
    """A change of the desired properties, pushed to the device."""

    version: int


@dataclass(frozen=True, slots=True)
class MethodCall:
    """A method called on the device."""

    name: str
    rid: str


Push = TwinResult | DesiredPatch | MethodCall


def parse_request_topic(topic: str) -> Request | None:
    """What a device asks or answers by this topic."""
    if topic.startswith(_TWIN_GET):
        return TwinGet(_rid(_query(topic, _TWIN_GET), topic))
    if topic.startswith(_TWIN_REPORTED):
        query = _query(topic, _TWIN_REPORTED)
        return TwinReport(_rid(query, topic) if "$rid" in query else None)
    if topic.startswith(_METHOD_RESULT):
        status, query = _word_and_query(topic, _METHOD_RESULT)
        return MethodResult(int(status) if _STATUS.fullmatch(status) else NOT_A_STATUS, _rid(query, topic))
    if topic.startswith(_TWIN_START):
        raise ProtocolError(f"no twin topic: '{topic[:80]}'; a device may GET or PATCH properties/reported")
    return None


def format_request_topic(request: Request) -> str:
    """The topic by which a device asks or answers this."""
    match request:
        case TwinGet(rid):
            return f"{_TWIN_GET}?$rid={rid}"
        case TwinReport(rid):
            return _TWIN_REPORTED + ("" if rid is None else f"?$rid={rid}")
        case MethodResult(status, rid):
            return f"{_METHOD_RESULT}{status}/?$rid={rid}"


def parse_push_topic(topic: str) -> Push | None:
    """What the hub tells a device by this topic."""
    if topic.startswith(_TWIN_RESULT):
        status, query = _word_and_query(topic, _TWIN_RESULT)
        if _STATUS.fullmatch(status) is None:
            raise ProtocolError(f"the status of a twin's answer is no number: '{status[:20]}'")
        return TwinResult(int(status), _rid(query, topic), _version(query) if "$version" in query else None)
    if topic.startswith(_TWIN_DESIRED):
        return DesiredPatch(_version(_query(topic, _TWIN_DESIRED)))
    if topic.startswith(_METHOD_CALL):
        name, query = _word_and_query(topic, _METHOD_CALL)
        return MethodCall(_method_name(name), _rid(query, topic))
    return None


def format_push_topic(push: Push) -> str:
    """The topic by which the hub tells a device this."""
    match push:
        case TwinResult(status, rid, version):
            with_version = "" if version is None else f"&$version={version}"
            return f"{_TWIN_RESULT}{status}/?$rid={rid}{with_version}"
        case DesiredPatch(version):
            return f"{_TWIN_DESIRED}?$version={version}"
        case MethodCall(name, rid):
            return f"{_METHOD_CALL}{percent_encode(name)}/?$rid={rid}"


def _word_and_query(topic: str, start: str) -> tuple[str, dict[str, str]]:
    """The word after `start`, and the query after that."""
    word, slash, _ = topic[len(start) :].partition("/")
    if not word or not slash:
        raise ProtocolError(f"the topic '{topic[:80]}' ends too early; expected '{start}…/?$rid=…'")
    return word, _query(topic, f"{start}{word}/")


def _query(topic: str, start: str) -> dict[str, str]:
    """The fields after `start`, which must be a query or nothing; the first of two with one name counts."""
    rest = topic[len(start) :]
    if rest and not rest.startswith("?"):
        raise ProtocolError(f"expected '?' after '{start}' in the topic '{topic[:80]}'")
    fields: dict[str, str] = {}
    for field in rest[1:].split("&"):
        name, _, value = field.partition("=")
        fields.setdefault(name.replace("%24", "$"), value)
    return fields


def _rid(query: dict[str, str], topic: str) -> str:
    """The request id as it came: it is the peer's own text, and goes back untouched."""
    rid = query.get("$rid", "")
    if not rid or len(rid) > MAX_REQUEST_ID_CHARS:
        raise ProtocolError(f"the topic '{topic[:80]}' has no $rid of 1 to {MAX_REQUEST_ID_CHARS} characters")
    return rid


def _version(query: dict[str, str]) -> int:
    version = query.get("$version", "")
    if _VERSION.fullmatch(version) is None:
        raise ProtocolError(f"$version is no number: '{version[:20]}'")
    return int(version)


def _method_name(text: str) -> str:
    name = percent_decode(text, "the method's name")
    if len(name) > MAX_METHOD_NAME_CHARS:
        raise ProtocolError(f"the method's name has more than {MAX_METHOD_NAME_CHARS} characters")
    return name


# --- filters ------------------------------------------------------------------------------------------------------


class Subscription(Enum):
    """What a device can subscribe."""

    DEVICEBOUND = "C2D messages"
    INPUTS = "module inputs"
    TWIN_RESULTS = "answers to twin requests"
    TWIN_DESIRED = "desired properties"
    METHODS = "direct methods"


@dataclass(frozen=True, slots=True)
class KnownFilter:
    """A filter that means something, and whose it is; `identity` is None where the connection's own is meant."""

    subscription: Subscription
    identity: Identity | None = None


_DEVICE_FILTER: Final = re.compile(r"devices/([^/+#]+)/messages/devicebound/#")
_MODULE_FILTER: Final = re.compile(r"devices/([^/+#]+)/modules/([^/+#]+)/(?:inputs/)?#")
_OWN_FILTERS: Final = {
    f"{_TWIN_RESULT}#": KnownFilter(Subscription.TWIN_RESULTS),
    f"{_TWIN_DESIRED}#": KnownFilter(Subscription.TWIN_DESIRED),
    f"{_METHOD_CALL}#": KnownFilter(Subscription.METHODS),
}


def classify_filter(topic_filter: str) -> KnownFilter | None:
    """What a filter of a SUBSCRIBE asks for; None for a filter that IoT Hub does not know."""
    own = _OWN_FILTERS.get(topic_filter)
    if own is not None:
        return own
    if found := _DEVICE_FILTER.fullmatch(topic_filter):
        return KnownFilter(Subscription.DEVICEBOUND, identity(found[1]))
    if found := _MODULE_FILTER.fullmatch(topic_filter):
        return KnownFilter(Subscription.INPUTS, identity(found[1], found[2]))
    return None


def filter_for(subscription: Subscription, owner: Identity) -> str:
    """The filter by which `owner` subscribes this, as the official clients spell it."""
    match subscription:
        case Subscription.DEVICEBOUND:
            return f"devices/{owner.device}/messages/devicebound/#"
        case Subscription.INPUTS:
            return f"devices/{owner.device}/modules/{owner.module}/inputs/#"
        case Subscription.TWIN_RESULTS:
            return f"{_TWIN_RESULT}#"
        case Subscription.TWIN_DESIRED:
            return f"{_TWIN_DESIRED}#"
        case Subscription.METHODS:
            return f"{_METHOD_CALL}#"
