import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp.conditions import ARGUMENT_ERROR, MESSAGE_SIZE_EXCEEDED
from edgewire.codec.amqp.kinds import (
    Byte,
    Char,
    Decimal32,
    Described,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)
from edgewire.codec.amqp.message import (
    MESSAGE_FORMAT_BATCH,
    AmqpMessage,
    Properties,
    Sequence,
    Value,
    read_batch,
    read_message,
    write_batch,
    write_message,
)
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.messages import (
    Batch,
    Content,
    read_content,
    read_telemetry,
    read_transfer,
    write_batches,
    write_body,
    write_envelope,
    write_sections,
    write_telemetry,
)
from edgewire.iothub.bag import WIRE_NAMES, Bag, Direction, read_bag, write_bag
from edgewire.iothub.limits import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, MAX_TRANSFER_BYTES
from edgewire.iothub.messages import envelope_for, message_size
from edgewire.message import Message, identity
from project_sources import ROOT

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/amqp_messages.json").read_text())
OWNER = identity("d", "m")

MAKE: dict[str, Callable[[Any], object]] = {
    "ubyte": UByte,
    "ushort": UShort,
    "uint": UInt,
    "ulong": ULong,
    "byte": Byte,
    "short": Short,
    "int": Int,
    "long": int,
    "float": Float,
    "double": float,
    "timestamp": Timestamp,
    "symbol": Symbol,
    "char": Char,
    "uuid": uuid.UUID,
    "binary": bytes.fromhex,
    "decimal32": lambda text: Decimal32(bytes.fromhex(text)),
    "described": lambda text: Described(Symbol("x"), text),
    "list": list,
    "map": dict,
}


def value_of(given_value: Any) -> Any:
    """A value of the vectors, which name its AMQP type."""
    if isinstance(given_value, dict):
        ((kind, value),) = given_value.items()
        return MAKE[kind](value)
    return given_value


def message_of(row: dict[str, Any]) -> AmqpMessage:
    said = row["message"]
    return AmqpMessage(
        message_annotations={Symbol(name): value_of(value) for name, value in said["annotations"].items()} or None,
        properties=Properties(**{name: value_of(value) for name, value in said["properties"].items()}),
        application_properties={name: value_of(value) for name, value in said["application"]} or None,
        body=b"",
    )


def content_of(expected: dict[str, Any]) -> Content:
    return Content(Bag(expected["properties"], expected["system"]), expected["body"].encode("utf-8"))


class TestReading:
    @pytest.mark.parametrize("row", VECTORS["recorded"], ids=lambda row: row["rule"])
    def test_what_real_clients_sent(self, row: dict[str, Any]) -> None:
        contents = read_transfer(row["format"], bytes.fromhex(row["wire"]))
        assert contents == [content_of(expected) for expected in row["expect"]]

    @pytest.mark.parametrize("row", VECTORS["service"], ids=lambda row: row["rule"])
    def test_what_a_service_sent_to_a_device(self, row: dict[str, Any]) -> None:
        message = read_message(bytes.fromhex(row["wire"]))
        assert read_content(message, Direction.TO_DEVICE) == content_of(row["expect"])

    @pytest.mark.parametrize("row", VECTORS["read"], ids=lambda row: row["rule"])
    def test_every_property_has_its_text(self, row: dict[str, Any]) -> None:
        bag = read_content(message_of(row), Direction(row["direction"])).bag
        assert bag == Bag(row["properties"], row["system"])
        texts = [*bag.properties, *bag.system, *bag.properties.values(), *bag.system.values()]
        assert {type(text) for text in texts} <= {str, type(None)}

    @pytest.mark.parametrize("row", VECTORS["read"], ids=lambda row: row["rule"])
    def test_the_codec_carries_it_as_it_is(self, row: dict[str, Any]) -> None:
        message = read_message(write_message(message_of(row)))
        assert read_content(message, Direction(row["direction"])).bag == Bag(row["properties"], row["system"])

    @pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: row["rule"])
    def test_what_has_no_place_is_refused(self, row: dict[str, Any]) -> None:
        with pytest.raises(ProtocolError) as refused:
            read_content(message_of(row), Direction(row["direction"]))
        assert refused.value.reply == ARGUMENT_ERROR

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"\x00\xff", b"\x00\xff"),
            (Value("é"), b"\xc3\xa9"),
            (Value(b"\xff"), b"\xff"),
            (Value(None), b""),
            (Value(Symbol("s")), b"s"),
        ],
        ids=repr,
    )
    def test_bodies(self, body: Any, expected: bytes) -> None:
        assert read_telemetry(AmqpMessage(body=body)).body == expected

    def test_data_sections_are_joined(self) -> None:
        assert read_telemetry(read_message(bytes.fromhex("005375a00161 005375a00162"))).body == b"ab"

    @pytest.mark.parametrize("body", [Value(Int(1)), Value(True), Value([]), Value({}), Sequence([])], ids=repr)
    def test_a_body_that_is_neither_data_nor_text_is_refused(self, body: Any) -> None:
        with pytest.raises(ProtocolError, match="send data") as refused:
            read_telemetry(AmqpMessage(body=body))
        assert refused.value.reply == ARGUMENT_ERROR


class TestBatchesReceived:
    def test_one_bad_message_refuses_the_whole_and_is_named(self) -> None:
        good = write_message(AmqpMessage(body=b"x"))
        bad = write_message(AmqpMessage(application_properties={"$.ct": "x"}, body=b"x"))
        with pytest.raises(ProtocolError, match="message 2 of 3 in the batch: the property") as refused:
            read_transfer(MESSAGE_FORMAT_BATCH, write_batch([good, bad, good]))
        assert refused.value.reply == ARGUMENT_ERROR

    def test_a_message_that_is_none_refuses_the_whole(self) -> None:
        with pytest.raises(ProtocolError, match="message 1 of 1 in the batch"):
            read_transfer(MESSAGE_FORMAT_BATCH, write_batch([b"\x00"]))

    def test_as_many_as_the_limit_says(self) -> None:
        one = write_message(AmqpMessage(body=b""))
        assert len(read_transfer(MESSAGE_FORMAT_BATCH, write_batch([one] * MAX_BATCH_MESSAGES))) == MAX_BATCH_MESSAGES
        with pytest.raises(ProtocolError, match="more than 500 messages") as refused:
            read_transfer(MESSAGE_FORMAT_BATCH, write_batch([one] * (MAX_BATCH_MESSAGES + 1)))
        assert refused.value.reply == MESSAGE_SIZE_EXCEEDED

    @pytest.mark.parametrize("message_format", [0, MESSAGE_FORMAT_BATCH])
    def test_a_transfer_over_the_limit_is_refused_unread(self, message_format: int) -> None:
        with pytest.raises(ProtocolError, match="614401 bytes") as refused:
            read_transfer(message_format, bytes(MAX_TRANSFER_BYTES + 1))
        assert refused.value.reply == MESSAGE_SIZE_EXCEEDED


class TestBatchesSent:
    def test_they_hold_all_messages_in_their_order(self) -> None:
        messages = [bytes([number]) * (number * 40) for number in range(1, 60)]
        batches = list(write_batches(messages, 1000))
        assert [part for batch in batches for part in read_batch(batch.payload)] == messages
        assert [batch.message_count for batch in batches] == [len(read_batch(batch.payload)) for batch in batches]
        assert all(len(batch.payload) <= 1000 or batch.message_count == 1 for batch in batches)

    def test_they_are_filled(self) -> None:
        (batch,) = write_batches([bytes(92)] * 10, 1000)
        assert batch.message_count == 10
        assert [batch.message_count for batch in write_batches([bytes(93)] * 10, 1000)] == [9, 1]

    def test_one_message_that_is_too_large_travels_alone(self) -> None:
        counts = [batch.message_count for batch in write_batches([b"a", bytes(MAX_BATCH_BYTES), b"b"])]
        assert counts == [1, 1, 1]

    def test_never_more_messages_than_may_be_in_one(self) -> None:
        counts = [batch.message_count for batch in write_batches([b""] * (MAX_BATCH_MESSAGES + 1))]
        assert counts == [MAX_BATCH_MESSAGES, 1]

    def test_nothing_makes_no_batch(self) -> None:
        assert list(write_batches([])) == []

    def test_a_batch_says_how_many_it_holds(self) -> None:
        assert list(write_batches([b"a"])) == [Batch(write_batch([b"a"]), 1)]


# --- the trip: MQTT and AMQP, both ways ---------------------------------------------------------------------------

EXPIRY = "2026-11-21T02:33:02.1230000Z"
BOTH_WAYS = [
    ("$.mid", "messageId", "m 1/é"),
    ("$.cid", "cid", "36c49ad2-d1d7-4b5c-8f43-0e6bdf1d2a10"),
    ("$.uid", "userId", "élan"),
    ("$.to", "to", "/devices/d/messages/events"),
    ("$.ct", "contentType", "application/json"),
    ("$.ce", "contentEncoding", "utf-8"),
    ("$.exp", "absolute-expiry-time", EXPIRY),
    ("$.ctime", "creationTime", "2026-11-21T02:33:02.1234567Z"),
    ("$.schema", "messageSchema", "s v1"),
    ("$.sub", "dt-subject", "thermostat1"),
    ("ack", "ack", "full"),
    ("iothub-operation", "operation", "op"),
]
TRIPS = [
    *((Direction.FROM_DEVICE, *row) for row in BOTH_WAYS),
    (Direction.FROM_DEVICE, "$.ifid", "iothub-interface-id", "urn:x:y"),
    (Direction.FROM_DEVICE, "$.on", "outputName", "out 1"),
    *((Direction.TO_DEVICE, *row) for row in BOTH_WAYS),
    (Direction.TO_DEVICE, "$.cdid", "connectionDeviceId", "d"),
    (Direction.TO_DEVICE, "$.cmid", "connectionModuleId", "m"),
]


def over_amqp(bag: Bag, direction: Direction) -> Bag:
    return read_content(read_message(write_sections(bag, direction) + write_body(b"x")), direction).bag


@pytest.mark.parametrize(("direction", "wire", "system", "text"), TRIPS)
def test_each_system_property_survives_the_trip_and_stands_in_one_place(
    direction: Direction, wire: str, system: str, text: str
) -> None:
    bag = read_bag(write_bag({"a": "1"}, {system: text}, direction), direction)
    assert bag == Bag({"a": "1"}, {system: text})
    assert over_amqp(bag, direction) == bag
    by_mqtt = write_bag(*over_amqp(bag, direction), direction)
    assert by_mqtt == f"{quote(wire, safe='')}={quote(text, safe='')}&a=1"


@pytest.mark.parametrize("direction", Direction)
def test_the_table_of_trips_has_every_property_of_a_bag(direction: Direction) -> None:
    assert {(wire, system) for way, wire, system, _ in TRIPS if way is direction} == set(WIRE_NAMES[direction].items())


def test_all_of_them_together_from_mqtt_to_amqp_and_back() -> None:
    for direction in Direction:
        system = {name: text for way, _, name, text in TRIPS if way is direction}
        properties = {"plain": "1", "null": None, "empty": "", "blank é": "a=b&c/d"}
        bag = read_bag(write_bag(properties, system, direction), direction)
        assert over_amqp(bag, direction) == Bag(properties, system)


@pytest.mark.parametrize("row", VECTORS["read"], ids=lambda row: row["rule"])
def test_what_came_by_amqp_leaves_by_mqtt_and_by_amqp(row: dict[str, Any]) -> None:
    direction = Direction(row["direction"])
    bag = read_content(message_of(row), direction).bag
    assert read_bag(write_bag(bag.properties, bag.system, direction), direction) == bag
    assert over_amqp(bag, direction) == bag


def test_where_each_property_stands_in_a_message() -> None:
    system = {name: text for way, _, name, text in TRIPS if way is Direction.FROM_DEVICE}
    message = read_message(write_telemetry(envelope_for(OWNER, Bag({"a": "1"}, system)), b"body"))
    assert message.body == b"body"
    assert message.properties == Properties(
        message_id="m 1/é",
        correlation_id="36c49ad2-d1d7-4b5c-8f43-0e6bdf1d2a10",
        user_id="élan".encode(),
        to="/devices/d/messages/events",
        content_type=Symbol("application/json"),
        content_encoding=Symbol("utf-8"),
        absolute_expiry_time=Timestamp(1_795_228_382_123),
    )
    assert message.message_annotations == {
        Symbol("iothub-interface-id"): "urn:x:y",
        Symbol("dt-subject"): "thermostat1",
    }
    assert message.application_properties == {
        "iothub-message-schema": "s v1",
        "iothub-creation-time-utc": "2026-11-21T02:33:02.1234567Z",
        "iothub-operation": "op",
        "ack": "full",
        "iothub-outputname": "out 1",
        "a": "1",
    }


def test_what_is_written_of_an_envelope_serves_all_its_messages() -> None:
    envelope = envelope_for(OWNER, Bag({"a": "1"}, {"messageId": "1"}))
    before = write_envelope(envelope)
    for body in (b"", b"x", bytes(300)):
        assert before + write_body(body) == write_telemetry(envelope, body)
        assert read_message(before + write_body(body)).body == body


def test_the_sender_is_not_in_its_message_and_an_empty_text_is_no_property() -> None:
    envelope = envelope_for(OWNER, Bag({}, {"messageId": "", "contentType": "", "userId": "", "operation": ""}))
    assert read_telemetry(read_message(write_telemetry(envelope, b""))) == Content(Bag({}, {}), b"")


def test_what_amqp_cannot_hold_stays_behind() -> None:
    system = {"contentType": "é", "absolute-expiry-time": "tomorrow", "messageId": "1"}
    assert over_amqp(Bag({}, system), Direction.FROM_DEVICE).system == {"messageId": "1"}


def test_a_time_to_live_in_another_form_becomes_the_hubs() -> None:
    bag = over_amqp(Bag({}, {"absolute-expiry-time": "2026-11-21T03:33:02.123+01:00"}), Direction.FROM_DEVICE)
    assert bag.system == {"absolute-expiry-time": EXPIRY}


def test_the_hubs_own_property_wins_over_one_of_its_name_from_mqtt() -> None:
    bag = Bag({"IoTHub-OutputName": "x", "iothub-creation-time-utc": "y"}, {"outputName": "o"})
    assert over_amqp(bag, Direction.FROM_DEVICE) == Bag({}, {"outputName": "o", "creationTime": "y"})


def test_sizes_count_the_same_whichever_way_it_came() -> None:
    (row,) = (row for row in VECTORS["recorded"] if row["rule"].startswith("Node: header"))
    (content,) = read_transfer(row["format"], bytes.fromhex(row["wire"]))
    by_mqtt = read_bag(write_bag(*content.bag, Direction.FROM_DEVICE))
    sizes = {message_size(Message(envelope_for(OWNER, bag), content.body)) for bag in (content.bag, by_mqtt)}
    system = {"connectionDeviceId": "d", "connectionModuleId": "m", **row["expect"][0]["system"]}
    assert sizes == {len('{"t":21.5}') + len("a1") + sum(len(name) + len(text) for name, text in system.items())}


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8).map(
    lambda name: f"p{name}".lower()
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize("direction", Direction)
@given(properties=st.dictionaries(NAMES, st.none() | TEXTS, max_size=8), message_id=TEXTS, body=st.binary(max_size=300))
def test_what_is_written_is_read(
    properties: dict[str, str | None], message_id: str, body: bytes, direction: Direction
) -> None:
    if len({name.lower() for name in properties}) < len(properties):
        return
    system = {"messageId": message_id} if message_id else {}
    content = Content(Bag(properties, system), body)
    written = write_sections(content.bag, direction) + write_body(body)
    assert read_content(read_message(written), direction) == content


WIRES = [(row["format"], bytes.fromhex(row["wire"])) for row in VECTORS["recorded"]]


@pytest.mark.parametrize(("message_format", "wire"), WIRES)
def test_a_recorded_message_cut_at_every_byte_is_read_or_refused(message_format: int, wire: bytes) -> None:
    for end in range(len(wire)):
        with suppress(ProtocolError):
            read_transfer(message_format, wire[:end])


@given(st.sampled_from(WIRES), st.data())
def test_mangled_messages_are_read_or_refused(recorded: tuple[int, bytes], data: st.DataObject) -> None:
    message_format, wire = recorded
    mangled = bytearray(wire)
    for _ in range(data.draw(st.integers(1, 4))):
        mangled[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ProtocolError):
        for content in read_transfer(message_format, bytes(mangled)):
            write_telemetry(envelope_for(OWNER, content.bag), content.body)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-(2**63), 2**63 - 1).map(Timestamp)
    | st.floats()
    | st.floats(width=32).map(Float)
    | st.binary(max_size=8)
    | TEXTS
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
KNOWN = sorted(
    {name for way in Direction for name in WIRE_NAMES[way]} | {"dt-subject", "iothub-outputname", "iothub-ack"}
)


@given(
    annotations=st.dictionaries(st.sampled_from(KNOWN) | TEXTS, VALUES, max_size=4),
    application=st.dictionaries(st.sampled_from(KNOWN) | TEXTS, VALUES, max_size=4),
    body=VALUES,
    direction=st.sampled_from(Direction),
)
def test_any_values_are_read_or_refused_and_what_is_read_can_be_written(
    annotations: dict[str, object], application: dict[str, object], body: object, direction: Direction
) -> None:
    message = AmqpMessage(message_annotations=annotations, application_properties=application, body=Value(body))
    with suppress(ProtocolError):
        bag = read_content(message, direction).bag
        assert over_amqp(bag, direction) == bag
