import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, AmqpMessage, Properties, Value, write_batch, write_message
from edgewire.errors import ProtocolError
from edgewire.iothub.limits import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, MAX_MESSAGE_BYTES
from edgewire.iothub.messages import message_size
from edgewire.message import identity
from standin.amqp_telemetry import TelemetryReader, data_after

LEAF = identity("leaf")


def encoded(body: bytes, message_id: str | None = None, **properties: str) -> bytes:
    sections = AmqpMessage(
        properties=Properties(message_id=message_id), application_properties=dict(properties) or None, body=body
    )
    return write_message(sections)


def batch(*messages: bytes) -> bytes:
    return write_batch(messages)


def bodies(reader: TelemetryReader, *messages: bytes) -> list[bytes]:
    return [message.body for message in reader.read(MESSAGE_FORMAT_BATCH, batch(*messages))]


def test_a_message_names_its_sender_and_says_what_amqp_says() -> None:
    [message] = TelemetryReader(identity("d", "m")).read(0, encoded(b"b", "7", a="1", **{"iothub-outputname": "o"}))
    assert message.envelope.sender == identity("d", "m")
    assert message.envelope.properties == {"a": "1"}
    assert message.envelope.system == {
        "messageId": "7",
        "outputName": "o",
        "connectionDeviceId": "d",
        "connectionModuleId": "m",
    }
    assert message.body == b"b"


@pytest.mark.parametrize("size", [0, 1, 255, 256, 70_000])
def test_messages_that_repeat_themselves_share_an_envelope_and_keep_their_bodies(size: int) -> None:
    sent = [bytes([n]) * size for n in range(3)] + [b"short", b""]
    messages = TelemetryReader(LEAF).read(MESSAGE_FORMAT_BATCH, batch(*(encoded(each, a="1") for each in sent)))
    assert [message.body for message in messages] == sent
    assert len({id(message.envelope) for message in messages}) == 1


def test_messages_that_differ_before_the_body_have_their_own_envelopes() -> None:
    sent = [encoded(b"1", "1"), encoded(b"2", "2"), encoded(b"3", "1"), encoded(b"4"), encoded(b"5", a="1")]
    messages = TelemetryReader(LEAF).read(MESSAGE_FORMAT_BATCH, batch(*sent))
    assert [message.envelope.system.get("messageId") for message in messages] == ["1", "2", "1", None, None]
    assert [message.body for message in messages] == [b"1", b"2", b"3", b"4", b"5"]


LONG = b"\x00\x53\x75\xb0"
"""A data section whose size has four bytes, however small it is."""


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (b"\x00\x53\x75\xa0\x02ab\x00\x53\x75\xa0\x01c", b"abc"),
        (LONG + b"\x00\x00\x00\x02ab", b"ab"),
        (b"\x00\x53\x75\xa0\x01a" + write_message(AmqpMessage(footer={})), b"a"),
        (b"\x00\x80\x00\x00\x00\x00\x00\x00\x00\x75\xa0\x01a", b"a"),
        (write_message(AmqpMessage(body=Value("text"))), b"text"),
        (b"", b""),
        (b"\x00\x53\x75\xa0\x00", b""),
        # The first section is what the header of the second looks like.
        (b"\x00\x53\x75\xa0\x05\x00\x53\x75\xa0\x05" + b"\x00\x53\x75\xa0\x05hello", b"\x00\x53\x75\xa0\x05hello"),
    ],
)
def test_bodies_in_any_shape_are_read_the_same_twice_and_between_others(payload: bytes, body: bytes) -> None:
    reader = TelemetryReader(LEAF)
    usual = encoded(b"usual")
    expected = [body, body, b"usual", b"usual", body, b"usual"]
    assert bodies(reader, payload, payload, usual, usual, payload, usual) == expected


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.binary(max_size=400)), min_size=1, max_size=8))
def test_what_is_compared_is_what_would_be_read(sent: list[tuple[str, bytes]]) -> None:
    messages = [encoded(body, name or None) for name, body in sent]
    together = TelemetryReader(LEAF).read(MESSAGE_FORMAT_BATCH, batch(*messages))
    alone = [TelemetryReader(LEAF).read(0, message)[0] for message in messages]
    assert list(together) == alone


def test_a_cut_message_is_refused_also_behind_a_whole_one_of_its_kind() -> None:
    whole = encoded(b"x" * 300, a="1")
    for cut in range(1, len(whole)):
        reader = TelemetryReader(LEAF)
        reader.read(0, whole)
        try:
            [message] = reader.read(0, whole[:cut])
        except ProtocolError:
            continue
        # Cut behind a section it is a message, only another one.
        assert message.body == b""


@pytest.mark.parametrize(
    ("size", "binary"),
    [(0, b"\xa0\x00"), (3, b"\xa0\x03abc"), (3, b"\xb0\x00\x00\x00\x03abc"), (0, b"\xb0" + bytes(4))],
)
def test_a_binary_is_taken_only_whole_and_alone(size: int, binary: bytes) -> None:
    assert data_after(b"before" + binary, 6) == b"abc"[:size]
    for other in [binary + b"x", binary[:-1], b"\xa1" + binary[1:]]:
        assert data_after(b"before" + other, 6) is None


def refused(message_format: int, payload: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        TelemetryReader(LEAF).read(message_format, payload)
    return caught.value


def test_a_message_is_measured_as_iot_hub_measures_it() -> None:
    reader = TelemetryReader(LEAF)
    [small] = reader.read(0, encoded(b"", a="1"))
    room = MAX_MESSAGE_BYTES - message_size(small)
    [largest] = reader.read(0, encoded(bytes(room), a="1"))
    assert message_size(largest) == MAX_MESSAGE_BYTES
    error = refused(0, encoded(bytes(room + 1), a="1"))
    assert error.reply == conditions.MESSAGE_SIZE_EXCEEDED
    assert "262145 bytes" in error.what
    with pytest.raises(ProtocolError, match="262145 bytes"):
        reader.read(0, encoded(bytes(room + 1), a="1"))


def test_a_batch_is_measured_as_a_whole() -> None:
    part = encoded(bytes(1000))
    full = batch(*[part] * (MAX_BATCH_BYTES // (len(part) + 8) - 1))
    around = len(batch(encoded(bytes(300)))) - 300
    rest = encoded(bytes(MAX_BATCH_BYTES - len(full) - around))
    assert len(full + batch(rest)) == MAX_BATCH_BYTES
    assert len(TelemetryReader(LEAF).read(MESSAGE_FORMAT_BATCH, full + batch(rest))) > 200
    error = refused(MESSAGE_FORMAT_BATCH, full + batch(rest + b"1"))
    assert error.reply == conditions.MESSAGE_SIZE_EXCEEDED


def test_a_batch_has_five_hundred_messages_at_most_and_one_at_least() -> None:
    most = batch(*[b""] * MAX_BATCH_MESSAGES)
    assert len(TelemetryReader(LEAF).read(MESSAGE_FORMAT_BATCH, most)) == MAX_BATCH_MESSAGES
    assert refused(MESSAGE_FORMAT_BATCH, most + batch(b"")).reply == conditions.MESSAGE_SIZE_EXCEEDED
    assert refused(MESSAGE_FORMAT_BATCH, b"").reply == conditions.DECODE_ERROR


@pytest.mark.parametrize(
    "payload",
    [
        write_message(AmqpMessage(body=Value([1]))),
        write_message(AmqpMessage(application_properties={"a": "1", "A": "2"})),
        write_message(AmqpMessage(application_properties={"iothub-connection-device-id": "other"})),
        b"\x00\x53\x75\xa0\x05abc",
    ],
)
def test_what_is_no_message_from_a_device_refuses_its_batch(payload: bytes) -> None:
    refused(0, payload)
    refused(MESSAGE_FORMAT_BATCH, batch(encoded(b"good"), payload, encoded(b"good")))
