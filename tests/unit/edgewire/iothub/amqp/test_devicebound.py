import uuid
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Int, Symbol, Timestamp, UByte, UInt, ULong
from edgewire.codec.amqp.message import AmqpMessage, read_message
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.devicebound import (
    Devicebound,
    Notes,
    lock_token_of,
    read_devicebound,
    tag_of,
    write_devicebound,
)
from edgewire.iothub.bag import Bag

LOCK = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
FULL = Notes(
    lock_token=LOCK, sequence_number=2**64 - 1, enqueued_at_ms=1_795_228_382_123, delivery_count=1, input_name="in 1"
)


def test_a_message_is_written_in_the_types_that_all_clients_read() -> None:
    bag = Bag({"iothub-ack": "full"}, {"to": "/devices/d", "connectionDeviceId": "d", "outputName": "stays behind"})
    message = read_message(write_devicebound(bag, b"on", FULL))
    annotations = message.message_annotations
    assert annotations == {
        Symbol("iothub-connection-device-id"): "d",
        Symbol("x-opt-lock-token"): str(LOCK),
        Symbol("x-opt-sequence-number"): ULong(2**64 - 1),
        Symbol("iothub-enqueuedtime"): Timestamp(1_795_228_382_123),
        Symbol("iothub-deliverycount"): UByte(1),
        Symbol("x-opt-input-name"): "in 1",
    }
    assert {name: type(value) for name, value in annotations.items() if not isinstance(value, str)} == {
        "x-opt-sequence-number": ULong,
        "iothub-enqueuedtime": Timestamp,
        "iothub-deliverycount": UByte,
    }
    assert message.application_properties == {"iothub-ack": "full"}
    assert message.body == b"on"


@pytest.mark.parametrize("notes", [FULL, Notes(), Notes(delivery_count=0, sequence_number=0)], ids=repr)
def test_what_is_written_is_read(notes: Notes) -> None:
    bag = Bag({"a": None}, {"messageId": "1", "connectionModuleId": "m"})
    assert read_devicebound(read_message(write_devicebound(bag, b"x", notes))) == Devicebound(bag, b"x", notes)


def test_a_count_beyond_its_type_stays_at_the_last() -> None:
    found = read_devicebound(read_message(write_devicebound(Bag({}, {}), b"", Notes(delivery_count=300))))
    assert found.notes.delivery_count == 255


def test_a_lock_token_is_read_as_uuid_too_and_numbers_in_any_type() -> None:
    annotations: dict[Symbol, object] = {
        Symbol("x-opt-lock-token"): LOCK,
        Symbol("x-opt-sequence-number"): 7,
        Symbol("iothub-deliverycount"): UInt(2),
    }
    found = read_devicebound(AmqpMessage(message_annotations=annotations, body=b""))
    assert found.notes == Notes(lock_token=LOCK, sequence_number=7, delivery_count=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-opt-lock-token", "no uuid"),
        ("x-opt-lock-token", Int(1)),
        ("x-opt-sequence-number", "1"),
        ("x-opt-sequence-number", True),
        ("iothub-enqueuedtime", "2026-11-21"),
        ("iothub-deliverycount", 1.0),
        ("x-opt-input-name", Int(1)),
    ],
)
def test_notes_of_other_types_are_refused(name: str, value: object) -> None:
    with pytest.raises(ProtocolError, match=name) as refused:
        read_devicebound(AmqpMessage(message_annotations={Symbol(name): value}, body=b""))
    assert refused.value.reply == INVALID_FIELD


def test_the_delivery_tag_is_the_lock_token_in_the_order_of_dotnet() -> None:
    tag = bytes.fromhex("33221100 5544 7766 8899 aabbccddeeff")
    assert tag_of(LOCK) == tag
    assert lock_token_of(tag) == LOCK


@pytest.mark.parametrize("tag", [b"", b"0", bytes(15), bytes(17)])
def test_another_tag_is_no_lock_token(tag: bytes) -> None:
    assert lock_token_of(tag) is None


NAMES = ["x-opt-lock-token", "x-opt-sequence-number", "iothub-enqueuedtime", "iothub-deliverycount", "x-opt-input-name"]
VALUES: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-9, 300) | st.binary(max_size=4) | st.text(max_size=4) | st.just([])
)


@given(annotations=st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_notes_are_read_or_refused(annotations: dict[str, object]) -> None:
    with suppress(ProtocolError):
        read_devicebound(AmqpMessage(message_annotations=annotations, body=b""))
