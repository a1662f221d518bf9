import pytest

from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.message import Envelope, identity
from gateway.topics.mapping import PLAIN, TopicMap, TopicRule
from gateway.topics.pattern import parse_pattern
from gateway.topics.publication import (
    MAX_SHOWN_TOPIC,
    Publication,
    TooLargeError,
    check_size,
    envelope_of,
    shown_topic,
)
from gateway.topics.template import parse_template

TOPICS = TopicMap(
    [
        TopicRule(
            place="topics[0]",
            match=parse_pattern("site/+room/#rest"),
            device=parse_template("{room}"),
            properties={"kind": parse_template("{rest}")},
            content_type=parse_template("text/plain"),
        )
    ]
)


def envelope(topic: str = "site/lab/climate", **publication: object) -> Envelope:
    mapped = TOPICS.map(PLAIN, topic)
    assert mapped is not None
    made = Publication(topic=topic, payload=b"", **publication)  # type: ignore[arg-type] # fields by name
    return envelope_of(mapped, made)[0]


def test_a_publication_becomes_a_message_of_its_device_with_its_topic() -> None:
    made = envelope()
    assert made.sender == identity("lab")
    assert made.properties == {"topic": "site/lab/climate", "kind": "climate"}
    assert made.system == {"contentType": "text/plain", "connectionDeviceId": "lab"}


def test_what_is_retained_repeated_or_has_an_id_says_so() -> None:
    assert envelope(retain=True).properties["mqtt-retain"] == "true"
    assert envelope(dup=True).properties["mqtt-dup"] == "true"
    assert envelope(message_id="m1").system["messageId"] == "m1"


def test_user_properties_go_along_and_never_over_what_the_rule_says() -> None:
    made = envelope(
        user_properties=(
            ("unit", "C"),
            ("Unit", "F"),
            ("KIND", "forged"),
            ("topic", "forged"),
            ("mqtt-retain", "true"),
            ("$.cdid", "other"),
            ("$body.temperature", "99"),
            ("$connectionDeviceId", "other"),
            ("iothub-connection-device-id", "other"),
            ("ack", "full"),
            ("", "nameless"),
            ("a\nb", "unseen"),
        )
    )
    assert made.properties == {"unit": "C", "topic": "site/lab/climate", "kind": "climate"}
    assert made.system == {"contentType": "text/plain", "connectionDeviceId": "lab"}


def test_what_is_too_large_is_told() -> None:
    with pytest.raises(TooLargeError, match="a topic holds 65535"):
        envelope("site/lab/" + "ü" * 20_000)
    with pytest.raises(TooLargeError, match="more than 256 user properties"):
        envelope(user_properties=tuple((f"n{number}", "") for number in range(257)))
    check_size(MAX_MESSAGE_BYTES - 3, b"123")
    with pytest.raises(TooLargeError, match=f"counts {MAX_MESSAGE_BYTES + 1} bytes"):
        check_size(MAX_MESSAGE_BYTES - 3, b"1234")


@pytest.mark.parametrize(
    ("topic", "shown"),
    [
        ("site/lab", "site/lab"),
        ("ü", "ü"),
        ("a\nb\x1b[31m", "a\\u000ab\\u001b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("x" * 500, "x" * MAX_SHOWN_TOPIC + "…"),
    ],
)
def test_a_topic_for_a_person_is_cut_and_can_be_seen(topic: str, shown: str) -> None:
    assert shown_topic(topic) == shown
    assert shown_topic(topic).isprintable()
