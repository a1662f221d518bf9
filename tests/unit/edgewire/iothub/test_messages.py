import pytest

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import Bag, read_bag
from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.iothub.messages import DUPLICATE, RETAINED, WILL, check_size, envelope_for, message_size
from edgewire.message import Envelope, Message, MessageSource, identity


def test_the_sender_is_the_authenticated_one() -> None:
    envelope = envelope_for(identity("d", "m"), read_bag("$.cdid=other&$.ct=text&a=1"))
    assert envelope == Envelope(
        sender=identity("d", "m"),
        properties={"a": "1"},
        system={"contentType": "text", "connectionDeviceId": "d", "connectionModuleId": "m"},
        source=MessageSource.TELEMETRY,
    )


def test_whatever_a_bag_holds_the_sender_stays() -> None:
    envelope = envelope_for(identity("d"), Bag({}, {"connectionDeviceId": "other"}))
    assert envelope.system == {"connectionDeviceId": "d"}


def test_marks_win_over_the_senders_own() -> None:
    envelope = envelope_for(identity("d"), read_bag("MQTT-Dup=no&a=1"), marks={**DUPLICATE, **RETAINED})
    assert envelope.properties == {"a": "1", "mqtt-dup": "true", "mqtt-retain": "true"}
    assert envelope_for(identity("d"), Bag({}, {}), marks=WILL).properties == {"MessageType": "Will"}


def test_size_counts_body_bytes_and_the_characters_of_names_and_values() -> None:
    envelope = Envelope(sender=identity("d"), properties={"ab": "€", "n": None}, system={"cid": "12"})
    assert message_size(Message(envelope, b"\xe2\x82\xac")) == 3 + (2 + 1) + 1 + (3 + 2)


def test_a_message_may_be_as_large_as_the_limit_and_no_larger() -> None:
    envelope = Envelope(sender=identity("d"), properties={}, system={"connectionDeviceId": "d"})
    room = MAX_MESSAGE_BYTES - len("connectionDeviceId") - 1
    check_size(Message(envelope, bytes(room)))
    with pytest.raises(ProtocolError, match="262145 bytes"):
        check_size(Message(envelope, bytes(room + 1)))
