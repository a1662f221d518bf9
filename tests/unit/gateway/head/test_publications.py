from dataclasses import dataclass

import pytest

from edgewire.message import Message, identity
from edgewire.session.mqtt.events import PublishReceived, Will
from gateway.head.publications import (
    KEPT_PROPERTIES,
    KEPT_TOPIC_CHARS,
    KEPT_TOPICS,
    Publications,
    RefusedPublishError,
)
from gateway.observe.head import RefusedMessage
from gateway.upstream.module_message import carry


@dataclass(frozen=True, slots=True)
class Taken:
    entry_id: str
    message: Message
    received_at_ms: int = 0


OWN = "devices/d1/messages/events/"


def publish(topic: str, body: bytes = b"{}") -> PublishReceived:
    return PublishReceived(topic, body, 1, False, False, 1)


def test_a_repeated_topic_gives_the_same_envelope() -> None:
    publications = Publications(identity("d1"))
    _, second, third = (publications.message(publish(OWN + "a=1")) for _ in range(3))
    assert second.envelope is third.envelope


def test_nothing_is_kept_of_topics_that_never_repeat() -> None:
    """SDKs put a message id of its own into each topic: thousands of devices do so, and nobody asks for it again."""
    publications = Publications(identity("d1"))
    for number in range(10 * KEPT_TOPICS):
        publications.message(publish(f"{OWN}n={number}"))
    assert publications._kept == {}
    assert len(publications._seen) <= KEPT_TOPICS


@pytest.mark.parametrize("properties", [1, 25, 250])
def test_topics_that_repeat_are_kept_up_to_a_number_of_properties(properties: int) -> None:
    publications = Publications(identity("d1"))
    for number in range(3 * KEPT_TOPICS):
        bag = "&".join(f"{each}" for each in range(number, number + properties))
        for _ in range(2):
            publications.message(publish(OWN + bag))
        held = sum(len(envelope.properties) for envelope, _ in publications._kept.values())
        assert properties <= held <= KEPT_PROPERTIES
        assert len(publications._kept) <= KEPT_TOPICS


def test_a_long_topic_is_read_each_time_and_not_kept() -> None:
    publications = Publications(identity("d1"))
    topic = OWN + "n=" + "x" * KEPT_TOPIC_CHARS
    first = publications.message(publish(topic))
    for _ in range(2):
        assert publications.message(publish(topic)).envelope == first.envelope
    assert publications._kept == {}


def test_a_module_publishes_as_itself_with_its_output() -> None:
    publications = Publications(identity("edge", "m"))
    message = publications.message(publish("devices/edge/modules/m/messages/events/%24.on=out1"))
    assert message.envelope.system == {
        "outputName": "out1",
        "connectionDeviceId": "edge",
        "connectionModuleId": "m",
    }


def test_a_module_may_not_publish_as_its_device() -> None:
    with pytest.raises(RefusedPublishError) as raised:
        Publications(identity("edge", "m")).message(publish("devices/edge/messages/events/"))
    assert raised.value.reason is RefusedMessage.FOREIGN_DEVICE


def test_a_will_is_marked_as_one() -> None:
    message = Publications(identity("d1")).will_message(Will(topic=OWN, payload=b"x", qos=0, retain=True))
    assert message.envelope.properties == {"MessageType": "Will", "mqtt-retain": "true"}


@pytest.mark.parametrize(
    ("bag", "body"),
    [
        ("", 262_144 - 4_096),
        ("a=" + "x" * 1_000, 262_144 - 4_096 - 1_002),
        ("%24.ct=application%2Fjson&%24.on=" + "o" * 100, 250_000),
        ("k=" + "ü" * 10_000, 10),
        ("k=" + "%20" * 20_000, 10),
    ],
)
@pytest.mark.parametrize("output", ["upstream", f"{'m' * 128}.{'i' * 128}"])
def test_whatever_is_taken_can_be_carried_upstream(bag: str, body: int, output: str) -> None:
    """Else a message would be acknowledged here and refused by edgeHub."""
    sender = identity("d" * 128, "m" * 128)
    topic = f"devices/{sender.device}/modules/{sender.module}/messages/events/{bag}"
    message = Publications(sender).message(publish(topic, bytes(body)))
    sdk = carry(Taken("0f2c1b52-2d2b-4f0e-8f52-3f7a64dfb1b9-18446744073709551615", message), output)
    assert len(sdk.data) == body


@pytest.mark.parametrize(("bag", "body"), [("", 262_144), ("k=" + "ü" * 11_000, 10), ("k=" + "%20" * 21_000, 10)])
def test_what_could_not_be_carried_is_refused_before_it_is_acknowledged(bag: str, body: int) -> None:
    with pytest.raises(RefusedPublishError) as raised:
        Publications(identity("d1")).message(publish(OWN + bag, bytes(body)))
    assert raised.value.reason is RefusedMessage.TOO_LARGE
