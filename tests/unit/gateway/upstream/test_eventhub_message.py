from edgewire.message import Envelope, Message, identity
from gateway.upstream.eventhub_message import event_of
from support.endpoint_links import Stored

AT = "2026-11-18T11:06:40.123Z"


def entry(system: dict[str, str], *, module: str | None = None, **properties: str | None) -> Stored:
    envelope = Envelope(sender=identity("d1", module), properties=properties, system=system)
    return Stored("store-7", Message(envelope, b"\x00body"))


def test_an_event_has_the_body_and_who_sent_it_and_when() -> None:
    event = event_of(entry({}, room="kitchen", flag=None))
    assert list(event.body) == [b"\x00body"]
    assert event.application_properties == {
        "room": "kitchen",
        "flag": "",
        "iothub-connection-device-id": "d1",
        "iothub-enqueuedtime": AT,
    }
    assert event.annotations == {"x-opt-partition-key": "d1"}


def test_a_message_without_an_id_has_the_stores_so_that_a_repeat_is_known() -> None:
    for system, wanted in (({}, "store-7"), ({"messageId": ""}, "store-7"), ({"messageId": "own"}, "own")):
        properties = event_of(entry(system)).properties
        assert properties is not None
        assert properties.message_id == wanted


def test_system_properties_have_their_places() -> None:
    system = {
        "cid": "c",
        "userId": "u",
        "to": "t",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "absolute-expiry-time": "2026-11-18T11:06:40.123Z",
    }
    properties = event_of(entry(system)).properties
    assert properties is not None
    assert (properties.correlation_id, properties.user_id, properties.to) == ("c", b"u", "t")
    assert (properties.content_type, properties.content_encoding) == ("application/json", "utf-8")
    assert properties.absolute_expiry_time == 1_795_000_000_123


def test_a_time_that_is_none_is_left_out() -> None:
    properties = event_of(entry({"absolute-expiry-time": "tomorrow"})).properties
    assert properties is not None
    assert properties.absolute_expiry_time is None
