from gateway.dispatch.presence import Ending
from gateway.head.mqtt_words import GOODBYES, PUBACK_REASONS
from gateway.observe.head import RefusedMessage


def test_every_goodbye_has_its_code() -> None:
    assert set(GOODBYES) == set(Ending)


def test_every_refusal_that_can_be_has_its_code() -> None:
    assert set(PUBACK_REASONS) == set(RefusedMessage) - {RefusedMessage.MALFORMED_MESSAGE}, "MQTT has no batches"
