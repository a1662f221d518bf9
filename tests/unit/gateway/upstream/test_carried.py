from edgewire.message import Envelope, Message, identity
from gateway.upstream.carried import application_properties
from support.endpoint_links import Stored


def entry(system: dict[str, str], *, module: str | None = None, **properties: str | None) -> Stored:
    envelope = Envelope(sender=identity("d1", module), properties=properties, system=system)
    return Stored("store-7", Message(envelope, b""))


def test_what_has_no_place_of_its_own_goes_by_a_name() -> None:
    system = {"creationTime": "now", "messageSchema": "s", "operation": "p", "outputName": "o", "dt-subject": "x"}
    said = dict(application_properties(entry(system | {"ack": "full"}, module="m", room="kitchen", flag=None)))
    assert said == {
        "room": "kitchen",
        "flag": "",
        "iothub-creation-time-utc": "now",
        "iothub-message-schema": "s",
        "iothub-operation": "p",
        "iothub-outputname": "o",
        "dt-subject": "x",
        "ack": "full",
        "iothub-connection-device-id": "d1",
        "iothub-connection-module-id": "m",
        "iothub-enqueuedtime": "2026-11-18T11:06:40.123Z",
    }


def test_nobody_passes_for_another_by_a_property() -> None:
    said = dict(application_properties(entry({}, **{"iothub-connection-device-id": "other"})))
    assert said["iothub-connection-device-id"] == "d1"
