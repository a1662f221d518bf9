import uuid
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Int
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, read_message
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.methods import MethodAnswer, MethodCall, read_answer, read_call, write_answer, write_call

RID = uuid.UUID("afdbc48a-f383-4255-9917-fac1819ee9f8")
C_ANSWER = (
    "005373c01706404040404098afdbc48af38342559917fac1819ee9f8005374c11502a10d496f546875622d73746174757371000000c8"
    "005375a0087b226f6b223a317d"
)
NODE_ANSWER = (
    "00537045005373d00000001a00000006404040404098afdbc48af38342559917fac1819ee9f8"
    "005374d10000001800000002a10d496f546875622d73746174757371000000c8005375a0087b226f6b223a317d"
)
CALL = MethodCall(rid=RID, name="reboot", payload=b'{"delay":1}')


@pytest.mark.parametrize(
    "wire",
    [
        C_ANSWER,
        NODE_ANSWER,
    ],
    ids=["C SDK", "Node"],
)
def test_answers_of_real_clients_are_read(wire: str) -> None:
    assert read_answer(read_message(bytes.fromhex(wire))) == MethodAnswer(rid=str(RID), status=200, payload=b'{"ok":1}')


def test_a_call_is_written_as_all_clients_look_for_it() -> None:
    message = read_message(write_call(CALL))
    assert message.properties == Properties(correlation_id=RID)
    assert message.application_properties == {"IoThub-methodname": "reboot"}
    assert read_call(message) == CALL


@pytest.mark.parametrize("rid", [str(RID), "no uuid"])
def test_an_answer_that_is_written_is_read(rid: str) -> None:
    answer = MethodAnswer(rid=rid, status=-5, payload=b"null")
    message = read_message(write_answer(answer))
    assert read_answer(message) == answer
    assert message.application_properties is not None
    assert type(message.application_properties["IoThub-status"]) is Int


@pytest.mark.parametrize("status", [None, "200", True, 200.0])
def test_an_answer_without_a_number_is_refused(status: object) -> None:
    said = {"IoThub-status": status, "iothub-status": Int(200)}
    with pytest.raises(ProtocolError, match="IoThub-status") as refused:
        read_answer(AmqpMessage(properties=Properties(correlation_id=RID), application_properties=said, body=b""))
    assert refused.value.reply == INVALID_FIELD


@pytest.mark.parametrize("properties", [None, Properties()])
def test_an_answer_to_nothing_is_refused(properties: Properties | None) -> None:
    said = {"IoThub-status": Int(200)}
    with pytest.raises(ProtocolError, match="no correlation-id"):
        read_answer(AmqpMessage(properties=properties, application_properties=said, body=b""))


@pytest.mark.parametrize(
    ("name", "rid"), [(None, RID), ("", RID), ("n" * 101, RID), (Int(1), RID), ("reboot", "no uuid"), ("reboot", None)]
)
def test_a_call_without_a_name_or_an_id_is_refused(name: object, rid: uuid.UUID | str | None) -> None:
    said = {"IoThub-methodname": name}
    with pytest.raises(ProtocolError) as refused:
        read_call(AmqpMessage(properties=Properties(correlation_id=rid), application_properties=said, body=b""))
    assert refused.value.reply == INVALID_FIELD


VALUES: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-9, 300) | st.binary(max_size=4) | st.text(max_size=4) | st.just([])
)


@given(said=st.dictionaries(st.sampled_from(["IoThub-methodname", "IoThub-status"]), VALUES), body=VALUES)
def test_any_values_are_read_or_refused(said: dict[str, object], body: object) -> None:
    message = AmqpMessage(properties=Properties(correlation_id=RID), application_properties=said, body=Value(body))
    for read in (read_call, read_answer):
        with suppress(ProtocolError):
            read(message)
