import orjson
import pytest

from edgewire.codec.amqp.kinds import Symbol, Timestamp
from edgewire.codec.amqp.message import read_message
from standin.eventhub_messages import annotations_of, write_event, write_runtime_metric
from standin.events import End, Event, Numbered

NOW_MS = 1_700_000_000_125


def numbered(**changes: object) -> Numbered:
    event = {
        "sequence": 42,
        "enqueued_at": NOW_MS / 1000,
        "device": "d1",
        "module": None,
        "properties": {"alert": "yes", "none": None},
        "system": {
            "connectionDeviceId": "d1",
            "contentType": "application/json",
            "contentEncoding": "utf-8",
            "messageId": "m-1",
            "cid": "c-1",
            "userId": "u",
            "outputName": "out",
            "dt-subject": "part",
            "creationTime": "2023-11-14T22:13:20Z",
        },
        "body": b'{"t":1}',
    }
    fields = {"partition": 2, "number": 7, "proof": "sas 123"} | {k: v for k, v in changes.items() if k == "proof"}
    event |= {key: value for key, value in changes.items() if key != "proof"}
    return Numbered(event=Event(**event), **fields)  # type: ignore[arg-type]  # fields by name, for the test's brevity


def test_what_the_hub_knows_stands_in_annotations_of_the_right_types() -> None:
    found = read_message(write_event(numbered())).message_annotations
    assert found == {
        "x-opt-sequence-number": 7,
        "x-opt-offset": "42",
        "x-opt-enqueued-time": NOW_MS,
        "x-opt-partition-key": "d1",
        "iothub-connection-device-id": "d1",
        "iothub-connection-auth-method": (
            '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}'
        ),
        "iothub-connection-auth-generation-id": "123",
        "iothub-enqueuedtime": NOW_MS,
        "iothub-message-source": "Telemetry",
        "dt-subject": "part",
    }
    assert {type(key) for key in found} == {Symbol}
    types = {str(key): type(value) for key, value in found.items()}
    times = {"x-opt-enqueued-time", "iothub-enqueuedtime"}
    assert types == {name: Timestamp if name in times else int if "number" in name else str for name in types}


def test_what_the_sender_said_stands_where_a_device_says_it() -> None:
    found = read_message(write_event(numbered()))
    assert found.application_properties == {
        "alert": "yes",
        "none": None,
        "iothub-outputname": "out",
        "iothub-creation-time-utc": "2023-11-14T22:13:20Z",
    }
    assert found.properties is not None
    assert (found.properties.message_id, found.properties.correlation_id, found.properties.user_id) == (
        "m-1",
        "c-1",
        b"u",
    )
    assert (found.properties.content_type, found.properties.content_encoding) == ("application/json", "utf-8")
    assert found.body == b'{"t":1}'


@pytest.mark.parametrize(("proof", "kind"), [("selfSigned 9", "x509"), ("certificateAuthority 9", "x509")])
def test_who_shows_a_certificate_is_known_by_it(proof: str, kind: str) -> None:
    found = annotations_of(numbered(proof=proof))
    assert orjson.loads(str(found["iothub-connection-auth-method"]))["type"] == kind


def test_an_event_of_an_older_version_says_nothing_of_credentials() -> None:
    assert not [name for name in annotations_of(numbered(proof=None)) if "auth" in name]


def test_a_module_is_named() -> None:
    assert annotations_of(numbered(module="m1"))["iothub-connection-module-id"] == "m1"


def test_the_end_of_the_partition_stands_in_front() -> None:
    end = End(number=9, offset="77", enqueued_at_ms=NOW_MS - 5)
    found = read_message(write_runtime_metric(end, NOW_MS) + write_event(numbered()))
    assert found.delivery_annotations == {
        "last_enqueued_sequence_number": 9,
        "last_enqueued_offset": "77",
        "last_enqueued_time_utc": NOW_MS - 5,
        "runtime_info_retrieval_time_utc": NOW_MS,
    }
    assert found.body == b'{"t":1}'
