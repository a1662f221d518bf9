import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub import topics
from edgewire.iothub.topics import (
    DesiredPatch,
    DeviceboundTopic,
    EventsTopic,
    InputTopic,
    KnownFilter,
    MethodCall,
    MethodResult,
    Subscription,
    TwinGet,
    TwinReport,
    TwinResult,
)
from edgewire.message import identity
from project_sources import ROOT

VECTORS: dict[str, list[Any]] = json.loads((ROOT / "tests/vectors/topics.json").read_text())
KINDS = {kind.__name__: kind for kind in (TwinGet, TwinReport, MethodResult, TwinResult, DesiredPatch, MethodCall)}


def value(row: dict[str, list[Any]]) -> object:
    ((kind, fields),) = row.items()
    return KINDS[kind](*fields)


@pytest.mark.parametrize(("rule", "topic", "device", "module", "bag"), VECTORS["events"])
def test_a_telemetry_topic_is_read(rule: str, topic: str, device: str, module: str | None, bag: str) -> None:
    found = topics.parse_events_topic(topic)
    assert found == EventsTopic(device, module, bag), rule
    assert found is not None
    assert found.identity == identity(device, module)


@pytest.mark.parametrize(("rule", "topic"), VECTORS["notEvents"])
def test_any_other_topic_is_none(rule: str, topic: str) -> None:
    assert topics.parse_events_topic(topic) is None, rule


def test_telemetry_topics_are_written_with_the_slash() -> None:
    assert topics.format_events_topic("d") == "devices/d/messages/events/"
    assert topics.format_events_topic("d", "m", "a=1") == "devices/d/modules/m/messages/events/a=1"


def test_devicebound_topics() -> None:
    topic = "devices/d/messages/devicebound/%24.to=x"
    assert topics.parse_devicebound_topic(topic) == DeviceboundTopic("d", "%24.to=x")
    assert topics.format_devicebound_topic("d", "%24.to=x") == topic
    assert topics.format_devicebound_topic("d", "") == "devices/d/messages/devicebound/"
    assert topics.parse_devicebound_topic("devices/d/messages/events/") is None


def test_input_topics_keep_their_slash_and_escape_the_input() -> None:
    topic = "devices/d/modules/m/inputs/in%2F1/"
    assert topics.format_input_topic("d", "m", "in/1", "") == topic
    assert topics.parse_input_topic(topic) == InputTopic(device="d", module="m", input="in/1", bag="")
    assert topics.parse_input_topic("devices/d/modules/m/messages/events/") is None


@pytest.mark.parametrize(("rule", "topic", "expected"), VECTORS["requests"])
def test_requests_of_a_device(rule: str, topic: str, expected: dict[str, list[Any]]) -> None:
    assert topics.parse_request_topic(topic) == value(expected), rule


@pytest.mark.parametrize("topic", VECTORS["requestsRefused"])
def test_broken_requests_are_refused(topic: str) -> None:
    with pytest.raises(ProtocolError):
        topics.parse_request_topic(topic)


@pytest.mark.parametrize("topic", VECTORS["notRequests"])
def test_other_topics_are_no_requests(topic: str) -> None:
    assert topics.parse_request_topic(topic) is None


@pytest.mark.parametrize(("rule", "topic", "expected"), VECTORS["pushes"])
def test_pushes_to_a_device(rule: str, topic: str, expected: dict[str, list[Any]]) -> None:
    push = topics.parse_push_topic(topic)
    assert push == value(expected), rule
    assert push is not None
    assert topics.format_push_topic(push) == topic


@pytest.mark.parametrize("topic", VECTORS["pushesRefused"])
def test_broken_pushes_are_refused(topic: str) -> None:
    with pytest.raises(ProtocolError):
        topics.parse_push_topic(topic)


def test_other_topics_are_no_pushes() -> None:
    assert topics.parse_push_topic("devices/d/messages/devicebound/") is None


@pytest.mark.parametrize(
    ("request_", "topic"),
    [
        (TwinGet("1"), "$iothub/twin/GET/?$rid=1"),
        (TwinReport("1"), "$iothub/twin/PATCH/properties/reported/?$rid=1"),
        (TwinReport(None), "$iothub/twin/PATCH/properties/reported/"),
        (MethodResult(200, "1"), "$iothub/methods/res/200/?$rid=1"),
    ],
)
def test_requests_are_written(request_: topics.Request, topic: str) -> None:
    assert topics.format_request_topic(request_) == topic


@pytest.mark.parametrize(("rule", "text", "kind", "device", "module"), VECTORS["filters"])
def test_known_filters(rule: str, text: str, kind: str, device: str | None, module: str | None) -> None:
    whose = None if device is None else identity(device, module)
    assert topics.classify_filter(text) == KnownFilter(Subscription[kind], whose), rule


@pytest.mark.parametrize("text", VECTORS["unknownFilters"])
def test_unknown_filters(text: str) -> None:
    assert topics.classify_filter(text) is None


@pytest.mark.parametrize("subscription", Subscription)
def test_filters_are_written_as_they_are_read(subscription: Subscription) -> None:
    known = topics.classify_filter(topics.filter_for(subscription, identity("d", "m")))
    assert known is not None
    assert known.subscription is subscription


@given(st.text(st.sampled_from("devices/modules/messages/events/$iothub/twin/GET/PATCH?$rid=&%#+\0"), max_size=60))
def test_any_topic_is_read_or_refused(topic: str) -> None:
    for parse in (
        topics.parse_events_topic,
        topics.parse_devicebound_topic,
        topics.parse_input_topic,
        topics.parse_request_topic,
        topics.parse_push_topic,
        topics.classify_filter,
    ):
        with suppress(ProtocolError):
            parse(topic)


@given(st.sampled_from(VECTORS["requests"] + VECTORS["pushes"]), st.integers(0, 60))
def test_topics_cut_anywhere_are_read_or_refused(row: list[Any], cut: int) -> None:
    for parse in (topics.parse_request_topic, topics.parse_push_topic):
        with suppress(ProtocolError):
            parse(row[1][:cut])
