from dataclasses import dataclass

import pytest

from edgewire.codec.amqp.message import read_message
from edgewire.iothub.amqp.messages import read_telemetry, write_telemetry
from edgewire.message import Envelope, Message, SystemProperties, identity
from gateway.upstream.amqp_message import carry


@dataclass(frozen=True, slots=True)
class Stored:
    entry_id: str
    message: Message
    received_at_ms: int = 0


@pytest.mark.parametrize(
    ("system", "message_id"), [({}, "e7"), ({"messageId": ""}, "e7"), ({"messageId": "own"}, "own")]
)
def test_a_message_has_an_id_by_which_a_repetition_is_known(system: SystemProperties, message_id: str) -> None:
    envelope = Envelope(sender=identity("d1"), properties={}, system=system)
    for _ in range(2):
        content = read_telemetry(read_message(carry(Stored("e7", Message(envelope, b"x")))))
        assert content.bag.system == {"messageId": message_id}
    assert envelope.system is system


@pytest.mark.parametrize("size", [0, 1, 255, 256, 70_000])
@pytest.mark.parametrize("entry_id", ["0", "1", "s-9", "s-10", "0" * 300])
def test_what_is_put_together_is_what_is_written_at_once(entry_id: str, size: int) -> None:
    system = {"contentType": "text/plain", "dt-subject": "0" * 12}
    envelope = Envelope(sender=identity("d1"), properties={"0": "1" * 9}, system=system)
    body = b"0" * size
    for each in (entry_id, entry_id[::-1], f"{entry_id}1"):
        expected = write_telemetry(
            Envelope(sender=identity("d1"), properties={"0": "1" * 9}, system={**system, "messageId": each}), body
        )
        assert carry(Stored(each, Message(envelope, body))) == expected


def test_all_that_a_device_says_arrives_and_its_name_is_not_in_it() -> None:
    system = {
        "connectionDeviceId": "d1",
        "messageId": "m",
        "cid": "c",
        "userId": "u",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "creationTime": "2026-11-21T07:00:00Z",
        "messageSchema": "s",
        "outputName": "out",
        "iothub-interface-id": "i",
        "dt-subject": "part",
        "absolute-expiry-time": "2026-11-21T08:00:00.000Z",
    }
    envelope = Envelope(sender=identity("d1"), properties={"a": "1", "b": "ü", "none": None}, system=system)
    content = read_telemetry(read_message(carry(Stored("e1", Message(envelope, b"{}")))))
    assert content.body == b"{}"
    assert dict(content.bag.properties) == {"a": "1", "b": "ü", "none": None}
    del system["connectionDeviceId"]
    expiry, sent = content.bag.system["absolute-expiry-time"], system.pop("absolute-expiry-time")
    assert expiry[:19] == sent[:19]
    assert {name: content.bag.system[name] for name in system} == system
    assert "connectionDeviceId" not in content.bag.system
