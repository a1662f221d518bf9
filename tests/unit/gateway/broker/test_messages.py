from gateway.broker.limits import MESSAGE_OVERHEAD
from gateway.broker.messages import Extras, LocalMessage


def test_a_message_counts_its_topic_payload_and_properties() -> None:
    message = LocalMessage(topic="abc", payload=b"12345", extras=Extras(user_properties=(("n", "vv"),)))
    assert message.size == 3 + 5 + 3 + MESSAGE_OVERHEAD


def test_a_message_without_an_expiry_never_expires() -> None:
    assert not LocalMessage(topic="a", payload=b"").has_expired(1e12)
    assert LocalMessage(topic="a", payload=b"", expires_at=5).has_expired(5)
