import pytest

from edgewire.message import identity
from edgewire.session.mqtt.events import PublishReceived, Will
from gateway.head.publications import KEPT_TOPICS, Publications, RefusedPublishError
from gateway.observe.head import RefusedMessage

OWN = "devices/d1/messages/events/"


def publish(topic: str, body: bytes = b"{}") -> PublishReceived:
    return PublishReceived(topic, body, 1, False, False, 1)


def test_a_repeated_topic_gives_the_same_envelope() -> None:
    publications = Publications(identity("d1"))
    first = publications.message(publish(OWN + "a=1"))
    second = publications.message(publish(OWN + "a=1"))
    assert first.envelope is second.envelope


def test_a_device_that_never_repeats_a_topic_does_not_grow() -> None:
    publications = Publications(identity("d1"))
    for number in range(10 * KEPT_TOPICS):
        publications.message(publish(f"{OWN}n={number}"))
    assert len(publications._kept) <= KEPT_TOPICS


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
