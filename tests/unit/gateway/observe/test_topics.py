from gateway.observe.events import Level
from gateway.observe.topics import (
    PublicationsMapped,
    PublicationsRefused,
    PublicationsUnmatched,
    RefusedPublication,
    TopicDeviceMade,
    TopicDevicesNotKept,
    TopicListener,
    TopicRulesUnheard,
)
from gateway.topics.mapping import LISTENERS


def test_the_listeners_are_those_of_the_rules() -> None:
    assert tuple(listener.value for listener in TopicListener) == LISTENERS


def test_what_happened_is_said_with_what_to_do() -> None:
    plain = TopicListener.PLAIN
    assert "`gateway status` shows more" in PublicationsUnmatched(plain, 3, "a/b").sentence()
    assert "5 publications to topics (plain) became" in PublicationsMapped(plain, 5).sentence()
    refused = PublicationsRefused(plain, RefusedPublication.ILLEGAL_ID, 1, "a/b", "it is no id")
    assert refused.sentence() == "a publication was refused (plain), the latest to 'a/b': it is no id"
    assert refused.LEVEL is Level.WARNING
    many = PublicationsRefused(plain, RefusedPublication.STORE_FULL, 7, "a/b", "the store is full")
    assert many.sentence().startswith("7 publications were refused")
    made = TopicDeviceMade("lab", "site/lab/x", 3, 100).sentence()
    assert "number 3 of 100 without credentials" in made
    assert "gateway devices disable" in made
    assert "GATEWAY_PLAIN_PORT" in TopicRulesUnheard(plain, 1).sentence()
    assert "2 topic rules are" in TopicRulesUnheard(TopicListener.BROKER, 2).sentence()
    assert "2 devices that came by a topic" in TopicDevicesNotKept(2, "the disk is full").sentence()
