import uuid
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Int, Symbol, ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, read_message
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.twins import (
    DesiredChange,
    TwinAnswer,
    TwinOperation,
    TwinRequest,
    read_reply,
    read_request,
    write_answer,
    write_change,
    write_request,
)
from edgewire.iothub.amqp.values import MessageId

C_GET = (
    "005372c11102a3096f7065726174696f6ea103474554005373c02c064040404040"
    "a12464386535633934612d326365352d346366622d623037372d383666623265323438636335005375a00120"
)
C_PATCH = (
    "005372c13304a3096f7065726174696f6ea1055041544348a3087265736f75726365a1142f70726f706572746965732f7265706f72746564"
    "005373c02c064040404040a12463663063376339632d633362362d343830632d386461312d303532626237316666666163"
    "005375a00c7b226677223a22312e32227d"
)
NODE_PUT = (
    "00537045005372d10000004600000004a3096f7065726174696f6ea103505554a3087265736f75726365"
    "a1262f6e6f74696669636174696f6e732f7477696e2f70726f706572746965732f64657369726564"
    "005373d00000002f000000064040404040a12433373063363262622d363165652d343534342d623732652d383666373863326534643939"
    "005375a00120"
)
IDS: list[MessageId] = ["a1", ULong(0), uuid.UUID("d8e5c94a-2ce5-4cfb-b077-86fb2e248cc5"), b"\x01"]


@pytest.mark.parametrize(
    ("wire", "request_read"),
    [
        (C_GET, TwinRequest(operation=TwinOperation.GET, correlation_id="d8e5c94a-2ce5-4cfb-b077-86fb2e248cc5")),
        (
            C_PATCH,
            TwinRequest(
                operation=TwinOperation.REPORT,
                correlation_id="cf0c7c9c-c3b6-480c-8da1-052bb71fffac",
                patch=b'{"fw":"1.2"}',
            ),
        ),
        (
            NODE_PUT,
            TwinRequest(operation=TwinOperation.SUBSCRIBE, correlation_id="370c62bb-61ee-4544-b72e-86f78c2e4d99"),
        ),
    ],
    ids=["C SDK, get", "C SDK, patch", "Node, subscribe"],
)
def test_requests_of_real_clients_are_read(wire: str, request_read: TwinRequest) -> None:
    assert read_request(read_message(bytes.fromhex(wire))) == request_read


@pytest.mark.parametrize("operation", TwinOperation)
@pytest.mark.parametrize("correlation_id", IDS, ids=repr)
def test_a_request_that_is_written_is_read(operation: TwinOperation, correlation_id: MessageId) -> None:
    patch = b"{}" if operation is TwinOperation.REPORT else b""
    asked = TwinRequest(operation=operation, correlation_id=correlation_id, patch=patch)
    found = read_request(read_message(write_request(asked)))
    assert found == asked
    assert type(found.correlation_id) is type(correlation_id)


@pytest.mark.parametrize(
    ("operation", "resource"),
    [
        ("POST", None),
        (None, None),
        (Int(1), None),
        ([], None),
        ("GET", "/properties/desired"),
        ("PATCH", None),
        ("PATCH", "/properties/desired"),
        ("PUT", "/properties/reported"),
        ("DELETE", Int(1)),
    ],
)
def test_any_other_request_is_refused(operation: object, resource: object) -> None:
    annotations = {Symbol("operation"): operation, Symbol("resource"): resource}
    message = AmqpMessage(message_annotations=annotations, properties=Properties(correlation_id="1"), body=b"")
    with pytest.raises(ProtocolError) as refused:
        read_request(message)
    assert refused.value.reply == INVALID_FIELD


def test_a_request_whose_answer_would_repeat_a_long_id_is_refused() -> None:
    with pytest.raises(ProtocolError, match="257 characters") as refused:
        read_request(read_message(write_request(TwinRequest(operation=TwinOperation.GET, correlation_id="x" * 257))))
    assert refused.value.reply == INVALID_FIELD


@pytest.mark.parametrize("properties", [None, Properties()])
def test_a_request_that_cannot_be_answered_is_refused(properties: Properties | None) -> None:
    annotations: dict[Symbol, object] = {Symbol("operation"): "get"}
    with pytest.raises(ProtocolError, match="no correlation-id"):
        read_request(AmqpMessage(message_annotations=annotations, properties=properties, body=b""))


@pytest.mark.parametrize("correlation_id", IDS, ids=repr)
@pytest.mark.parametrize("version", [None, 7])
def test_an_answer_carries_the_id_in_the_requests_own_type(correlation_id: MessageId, version: int | None) -> None:
    answer = TwinAnswer(correlation_id=correlation_id, status=204, version=version, document=b"{}")
    message = read_message(write_answer(answer))
    found = read_reply(message)
    assert found == answer
    assert isinstance(found, TwinAnswer)
    assert type(found.correlation_id) is type(correlation_id)
    said = message.message_annotations or {}
    assert type(said["status"]) is Int
    assert type(said.get("version", 0)) is int


def test_a_change_has_no_correlation_id() -> None:
    change = DesiredChange(b'{"a":1,"$version":2}')
    message = read_message(write_change(change))
    assert message.message_annotations == {Symbol("resource"): "/notifications/twin/properties/desired"}
    assert read_reply(message) == change
    assert read_reply(AmqpMessage(body=b"{}")) == DesiredChange(b"{}")


@pytest.mark.parametrize("status", [None, "200", True])
def test_an_answer_without_a_status_is_refused(status: object) -> None:
    message = AmqpMessage(
        message_annotations={Symbol("status"): status}, properties=Properties(correlation_id="1"), body=b""
    )
    with pytest.raises(ProtocolError, match="no status"):
        read_reply(message)


VALUES: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-9, 300) | st.binary(max_size=4) | st.text(max_size=4) | st.just([])
)


@given(
    annotations=st.dictionaries(st.sampled_from(["operation", "resource", "status", "version"]), VALUES),
    body=VALUES,
)
def test_any_values_are_read_or_refused(annotations: dict[str, object], body: object) -> None:
    message = AmqpMessage(message_annotations=annotations, properties=Properties(correlation_id="1"), body=Value(body))
    for read in (read_request, read_reply):
        with suppress(ProtocolError):
            read(message)
