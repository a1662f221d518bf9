"""Rules for a way in that is switched off are told."""

from typing import Any

import pytest

from gateway.app.document import read_settings
from gateway.app.settings import read_environment
from gateway.app.unheard import UnheardRules
from gateway.observe.events import Event
from gateway.observe.topics import TopicListener, TopicRulesUnheard

RULES: list[dict[str, Any]] = [
    {"listener": "plain", "match": "a/+room", "device": "{room}"},
    {"listener": "broker", "match": "b/+room", "device": "{room}"},
    {"listener": "broker", "match": "c/+room", "device": "{room}"},
    {"match": "d/+room", "device": "{room}"},
]
PLAIN, BROKER = TopicRulesUnheard(TopicListener.PLAIN, 1), TopicRulesUnheard(TopicListener.BROKER, 2)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, [PLAIN, BROKER]),
        ({"GATEWAY_PLAIN_PORT": "1883"}, [BROKER]),
        ({"GATEWAY_BROKER": "mqtt://b"}, [PLAIN]),
        ({"GATEWAY_PLAIN_PORT": "1883", "GATEWAY_BROKER": "mqtt://b"}, []),
    ],
)
def test_each_way_that_is_missing_is_told_with_its_rules(environ: dict[str, str], told: list[Event]) -> None:
    settings = read_settings({"schemaVersion": "1.0", "topics": RULES}).settings
    assert settings is not None
    events: list[Event] = []
    UnheardRules(read_environment(environ), events.append).use(settings)
    assert events == told


def test_settings_without_topics_are_silent() -> None:
    settings = read_settings({"schemaVersion": "1.0"}).settings
    assert settings is not None
    events: list[Event] = []
    UnheardRules(read_environment({}), events.append).use(settings)
    assert events == []
