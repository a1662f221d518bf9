import sys

from gateway.broker.limits import MESSAGE_OVERHEAD, PROPERTY_OVERHEAD
from gateway.broker.messages import Extras, LocalMessage


def test_a_message_counts_its_topic_payload_and_properties() -> None:
    extras = Extras(content_type="t" * 7, response_topic="r" * 11, correlation_data=bytes(13))
    assert LocalMessage(topic="abc", payload=b"12345", extras=extras).size == 3 + 5 + 31 + MESSAGE_OVERHEAD
    extras = Extras(user_properties=(("n", "vv"), ("", "")))
    assert LocalMessage(topic="", payload=b"", extras=extras).size == 3 + 2 * PROPERTY_OVERHEAD + MESSAGE_OVERHEAD


def test_a_message_counts_at_least_what_its_texts_take() -> None:
    """One character beyond the first 65,536 makes four bytes of each."""
    topic = "x" * 60_000 + "\N{GRINNING FACE}"
    assert LocalMessage(topic=topic, payload=b"").size >= sys.getsizeof(topic)


def test_a_message_without_an_expiry_never_expires() -> None:
    assert not LocalMessage(topic="a", payload=b"").has_expired(1e12)
    assert LocalMessage(topic="a", payload=b"", expires_at=5).has_expired(5)
