import uuid
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Int, Symbol, Timestamp, UInt, ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, read_message
from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.amqp.cbs import (
    PutToken,
    PutTokenReply,
    TokenKind,
    identities_of,
    read_put_token,
    read_reply,
    request_id,
    write_put_token,
    write_reply,
)
from edgewire.iothub.amqp.values import MessageId
from edgewire.iothub.limits import MAX_TOKEN_CHARS
from edgewire.message import Identity, identity

SERVICE_BUS = "servicebus.windows.net:sastoken"
TOKEN = "SharedAccessSignature sr=x"
UUID = uuid.UUID("36c49ad2-d1d7-4b5c-8f43-0e6bdf1d2a10")
IDS: list[MessageId] = ["a4614", ULong(0), ULong(2**64 - 1), UUID, b"\x00\x01"]


def request(message_id: MessageId | None = "1", body: object = TOKEN, **said: object) -> AmqpMessage:
    said = {"operation": "put-token", "type": SERVICE_BUS, "name": "hub/devices/dev1"} | said
    return AmqpMessage(properties=Properties(message_id=message_id), application_properties=said, body=Value(body))


class TestTheRequestsOfTheClients:
    def test_node(self) -> None:
        message = request("a4614", name="myhub.azure-devices.net%2Fdevices%2Fdev1")
        assert read_put_token(message) == PutToken(
            message_id="a4614", name="myhub.azure-devices.net%2Fdevices%2Fdev1", token=TOKEN
        )

    @pytest.mark.parametrize("message_id", IDS, ids=repr)
    def test_the_message_id_keeps_its_type(self, message_id: MessageId) -> None:
        found = read_put_token(request(message_id))
        assert found.message_id == message_id
        assert type(found.message_id) is type(message_id)

    def test_recorded_from_the_c_sdk(self) -> None:
        # The token's own bytes are replaced: 'x' for all of it.
        wire = bytes.fromhex(
            "005373c0020144005374c16106a1046e616d65a11b67772e6c6f63616c2e746573742f646576696365732f6c65616631"
            "a1096f7065726174696f6ea1097075742d746f6b656ea10474797065a11f736572766963656275732e77696e646f77732e"
            "6e65743a736173746f6b656e005377a10178"
        )
        found = read_put_token(read_message(wire))
        assert found == PutToken(message_id=ULong(0), name="gw.local.test/devices/leaf1", token="x")
        assert type(found.message_id) is ULong

    def test_dotnet_and_eventhub_say_when_it_ends(self) -> None:
        message = request(type="azure-devices.net:sastoken", expiration=Timestamp(1_999_999_999_000))
        assert read_put_token(message).kind is TokenKind.DEVICES

    def test_words_count_whatever_their_case(self) -> None:
        assert read_put_token(request(operation="Put-Token", type=SERVICE_BUS.upper())).kind is TokenKind.SERVICE_BUS

    def test_without_an_id(self) -> None:
        assert read_put_token(request(None)).message_id is None
        assert request_id(AmqpMessage(body=Value(None))) is None


@pytest.mark.parametrize(
    "said",
    [
        {"operation": None},
        {"operation": "delete-token"},
        {"operation": Int(1)},
        {"type": None},
        {"type": "jwt"},
        {"type": b"servicebus.windows.net:sastoken"},
        {"name": None},
        {"name": ""},
        {"name": "n" * (MAX_TOKEN_CHARS + 1)},
        {"body": None},
        {"body": ""},
        {"body": b"SharedAccessSignature"},
        {"body": "t" * (MAX_TOKEN_CHARS + 1)},
    ],
    ids=str,
)
def test_anything_else_is_refused_and_the_id_is_still_there(said: dict[str, Any]) -> None:
    message = request(ULong(3), **said)
    with pytest.raises(ProtocolError) as refused:
        read_put_token(message)
    assert refused.value.reply == INVALID_FIELD
    assert request_id(message) == ULong(3)


@pytest.mark.parametrize("message", [AmqpMessage(body=Value(TOKEN)), AmqpMessage(body=TOKEN.encode())])
def test_a_message_that_is_no_request_is_refused(message: AmqpMessage) -> None:
    with pytest.raises(ProtocolError):
        read_put_token(message)


def test_a_token_in_data_is_refused_without_the_token_in_the_sentence() -> None:
    message = AmqpMessage(application_properties=request().application_properties, body=b"secret")
    with pytest.raises(ProtocolError, match="no amqp-value") as refused:
        read_put_token(message)
    assert "secret" not in str(refused.value)
    assert TOKEN not in repr(read_put_token(request()))


@pytest.mark.parametrize("message_id", IDS, ids=repr)
def test_a_request_that_is_written_is_read(message_id: MessageId) -> None:
    put = PutToken(message_id=message_id, name="h/devices/d", token=TOKEN, kind=TokenKind.DEVICES)
    message = read_message(write_put_token(put, 1_999_999_999_000))
    assert read_put_token(message) == put
    assert message.properties is not None
    assert (message.properties.to, message.properties.reply_to) == ("$cbs", "cbs")
    assert message.application_properties is not None
    assert message.application_properties["expiration"] == Timestamp(1_999_999_999_000)
    assert "expiration" not in (read_message(write_put_token(put)).application_properties or {})


class TestTheAnswer:
    @pytest.mark.parametrize("message_id", [*IDS, None], ids=repr)
    def test_it_carries_the_id_in_the_requests_own_type(self, message_id: MessageId | None) -> None:
        found = read_reply(read_message(write_reply(PutTokenReply(correlation_id=message_id, status=200))))
        assert found.correlation_id == message_id
        assert type(found.correlation_id) is type(message_id)

    def test_its_status_is_an_int_and_nothing_else(self) -> None:
        message = read_message(write_reply(PutTokenReply(correlation_id=None, status=401, description="no")))
        assert message.application_properties is not None
        assert type(message.application_properties["status-code"]) is Int
        assert read_reply(message) == PutTokenReply(correlation_id=None, status=401, description="no")

    @pytest.mark.parametrize("status", [UInt(202), 202, ULong(202)], ids=repr)
    def test_any_number_is_read_as_a_status(self, status: int) -> None:
        message = AmqpMessage(application_properties={"status-code": status}, body=Value(None))
        assert read_reply(message) == PutTokenReply(correlation_id=None, status=202)

    @pytest.mark.parametrize("said", [None, {}, {"status-code": "200"}, {"status-code": True}], ids=str)
    def test_without_a_status_it_is_refused(self, said: dict[str, object] | None) -> None:
        with pytest.raises(ProtocolError, match="status-code"):
            read_reply(AmqpMessage(application_properties=said, body=Value(None)))

    def test_a_description_that_is_no_text_counts_as_none(self) -> None:
        said = {"status-code": Int(200), "status-description": Int(1)}
        assert read_reply(AmqpMessage(application_properties=said, body=Value(Symbol("x")))).description == ""


@pytest.mark.parametrize(
    ("resource", "owners"),
    [
        ("h/devices/d", (identity("d"),)),
        ("h%2Fdevices%2Fd%2Fmodules%2Fm", (identity("d", "m"),)),
        ("h%2Fdevices%2Fd%2Fmodules%2F%2524edgeHub", (identity("d", "%24edgeHub"), identity("d", "$edgeHub"))),
        ("h%2Fdevices%2F100%25", (identity("100%"),)),
        ("h", ()),
        ("h/messages/events", ()),
        ("h/devices/d/modules", ()),
        ("h/devices/d/modules/m/x", ()),
        ("h/devices/", ()),
        ("h/devices/a%20b", ()),
    ],
)
def test_whose_token_it_is_stands_in_the_token(resource: str, owners: tuple[Identity, ...]) -> None:
    audience = sas.audience(sas.parse(f"SharedAccessSignature sr={resource}&sig=x&se=1999999999"))
    assert identities_of(audience) == owners
    assert all(audience.covers(owner) for owner in owners)


VALUES: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-9, 300) | st.binary(max_size=4) | st.text(max_size=4) | st.just([])
)


@given(said=st.dictionaries(st.sampled_from(["operation", "type", "name", "status-code"]), VALUES), body=VALUES)
def test_any_values_are_read_or_refused(said: dict[str, object], body: object) -> None:
    with suppress(ProtocolError):
        read_put_token(request(None, body, **said))
    with suppress(ProtocolError):
        read_reply(request(None, body, **said))
