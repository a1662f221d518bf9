from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.mqtt import properties as props
from edgewire.codec.mqtt.wire import Reader
from edgewire.errors import ProtocolError, UsageError
from support.mqtt_reading import refusal_of

TABLES = {
    "CONNECT": props.CONNECT,
    "WILL": props.WILL,
    "CONNACK": props.CONNACK,
    "PUBLISH": props.PUBLISH,
    "ACK": props.ACK,
    "SUBSCRIBE": props.SUBSCRIBE,
    "UNSUBSCRIBE": props.UNSUBSCRIBE,
    "DISCONNECT": props.DISCONNECT,
    "AUTH": props.AUTH,
}

# MQTT 5 §2.2.2.2, table 2-4, by hand: which identifier belongs to which packet, and a value for it.
TABLE_2_4 = {
    0x01: ("01", {"PUBLISH", "WILL"}),
    0x02: ("00000001", {"PUBLISH", "WILL"}),
    0x03: ("000161", {"PUBLISH", "WILL"}),
    0x08: ("000161", {"PUBLISH", "WILL"}),
    0x09: ("000161", {"PUBLISH", "WILL"}),
    0x0B: ("01", {"PUBLISH", "SUBSCRIBE"}),
    0x11: ("00000001", {"CONNECT", "CONNACK", "DISCONNECT"}),
    0x12: ("000161", {"CONNACK"}),
    0x13: ("0001", {"CONNACK"}),
    0x15: ("000161", {"CONNECT", "CONNACK", "AUTH"}),
    0x16: ("000161", {"CONNECT", "CONNACK", "AUTH"}),
    0x17: ("01", {"CONNECT"}),
    0x18: ("00000001", {"WILL"}),
    0x19: ("01", {"CONNECT"}),
    0x1A: ("000161", {"CONNACK"}),
    0x1C: ("000161", {"CONNACK", "DISCONNECT"}),
    0x1F: ("000161", {"CONNACK", "ACK", "DISCONNECT", "AUTH"}),
    0x21: ("0001", {"CONNECT", "CONNACK"}),
    0x22: ("0001", {"CONNECT", "CONNACK"}),
    0x23: ("0001", {"PUBLISH"}),
    0x24: ("01", {"CONNACK"}),
    0x25: ("01", {"CONNACK"}),
    0x26: ("000161000162", set(TABLES)),
    0x27: ("00000001", {"CONNECT", "CONNACK"}),
    0x28: ("01", {"CONNACK"}),
    0x29: ("01", {"CONNACK"}),
    0x2A: ("01", {"CONNACK"}),
}
MANY = {(0x26, name) for name in TABLES} | {(0x0B, "PUBLISH")}


def read(name: str, body: bytes, limits: props.PropertyLimits | None = None) -> object:
    table = cast("props.PropertyTable[object]", TABLES[name])
    reader = Reader(bytes((len(body),)) + body)
    found = table.read(reader, limits or props.PropertyLimits())
    reader.done("")
    return found


@pytest.mark.parametrize("identifier", range(0x80))
@pytest.mark.parametrize("name", TABLES)
def test_a_packet_has_the_properties_of_the_table_and_no_others(name: str, identifier: int) -> None:
    value, where = TABLE_2_4.get(identifier, ("01", set()))
    body = bytes((identifier,)) + bytes.fromhex(value)
    if name in where:
        table = cast("props.PropertyTable[object]", TABLES[name])
        assert table.write(read(name, body)) == bytes((len(body),)) + body
    else:
        with pytest.raises(ProtocolError):
            read(name, body)


@pytest.mark.parametrize(("identifier", "name"), [(i, n) for i, (_, where) in TABLE_2_4.items() for n in sorted(where)])
def test_a_property_stands_once_unless_it_may_repeat(identifier: int, name: str) -> None:
    body = (bytes((identifier,)) + bytes.fromhex(TABLE_2_4[identifier][0])) * 2
    if (identifier, name) in MANY:
        read(name, body)
    else:
        with pytest.raises(ProtocolError, match="twice"):
            read(name, body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("CONNACK", "2402"),
        ("CONNACK", "2502"),
        ("CONNACK", "2802"),
        ("CONNACK", "2902"),
        ("CONNACK", "2a02"),
        ("CONNECT", "210000"),
        ("CONNECT", "2700000000"),
        ("CONNECT", "1702"),
        ("CONNECT", "1902"),
        ("PUBLISH", "0102"),
        ("PUBLISH", "0b00"),
        ("PUBLISH", "230000"),
        ("WILL", "0102"),
    ],
)
def test_values_out_of_range_are_refused(name: str, body: str) -> None:
    with pytest.raises(ProtocolError, match="may not be"):
        read(name, bytes.fromhex(body))


def test_nothing_is_the_one_empty_value() -> None:
    assert read("PUBLISH", b"") is props.PUBLISH.empty
    assert props.PUBLISH.write(None) == b"\0"


@pytest.mark.parametrize(
    "properties",
    [
        props.PublishProperties(topic_alias=0),
        props.PublishProperties(topic_alias=65_536),
        props.PublishProperties(message_expiry_s=-1),
        props.PublishProperties(payload_format=2),
        props.PublishProperties(content_type="a\0b"),
        props.PublishProperties(content_type=cast("str", 7)),
    ],
)
def test_we_cannot_write_what_may_not_be_sent(properties: props.PublishProperties) -> None:
    with pytest.raises(UsageError):
        props.PUBLISH.write(properties)


def test_credentials_do_not_show_in_a_text() -> None:
    shown = repr(props.ConnectProperties(authentication_method="m", authentication_data=b"secret"))
    assert "secret" not in shown


@given(st.sampled_from(sorted(TABLES)), st.binary(max_size=40))
def test_garbage_is_properties_or_a_protocol_error(name: str, body: bytes) -> None:
    error = refusal_of(lambda: read(name, body))
    assert error is None or error.reply is not None
