from edgewire.codec.mqtt.packets import Connect, PacketType, Publish, Will
from edgewire.codec.mqtt.properties import WillProperties


def test_a_password_does_not_show_in_a_text() -> None:
    connect = Connect(client_id="d", level=4, clean_start=True, keep_alive_s=60, username="u", password=b"SharedAccess")
    assert "SharedAccess" not in repr(connect)


def test_a_will_waits_only_where_it_says_so() -> None:
    will = Will(topic="t", payload=b"", qos=0, retain=False)
    assert will.delay_s == 0
    delayed = Will(topic="t", payload=b"", qos=0, retain=False, properties=WillProperties(will_delay_s=5))
    assert delayed.delay_s == 5


def test_a_will_is_as_large_as_all_that_is_published_of_it() -> None:
    said = WillProperties(
        content_type="a", response_topic="bc", correlation_data=b"def", user_properties=(("gh", "ij"), ("", "k"))
    )
    assert Will(topic="t", payload=b"xy", qos=0, retain=False, properties=said).size == 3 + 6 + 5
    assert Will(topic="t", payload=b"xy", qos=0, retain=False).size == 3


def test_publish_is_compared_by_value() -> None:
    assert Publish("t", b"x", 1, False, False, 7) == Publish("t", b"x", 1, False, False, 7)


def test_packet_types_are_numbered_as_in_the_specification() -> None:
    names = (
        "CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP"
    )
    assert " ".join(kind.name for kind in PacketType) == f"{names} DISCONNECT AUTH"
    assert [int(kind) for kind in PacketType] == list(range(1, 16))
