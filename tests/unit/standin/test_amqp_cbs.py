from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, read_message, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, Rejected
from edgewire.iothub.amqp.addresses import CBS
from edgewire.iothub.amqp.cbs import PutToken, read_reply, write_put_token
from edgewire.iothub.amqp.values import MessageId
from edgewire.message import identity
from edgewire.session.amqp.events import DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Role
from standin import amqp_cbs
from standin.registry import symmetric_entry
from support.amqp_line import AmqpLine
from support.hub_line import House, house

LEAF = identity("leaf")


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    hall.hub.add(symmetric_entry(LEAF))
    yield hall
    await hall.close()


@pytest.mark.parametrize("message_id", ["text", ULong(7), UUID(int=5), b"bytes"])
async def test_the_answer_carries_the_id_in_its_own_type_and_comes_behind_the_settlement(
    hall: House, message_id: MessageId
) -> None:
    line = AmqpLine(hall)
    session = await line.open()
    reply = await line.put(await line.cbs(session), line.token(LEAF), message_id)
    assert (reply.correlation_id, reply.status, reply.description) == (message_id, 200, "OK")
    assert type(reply.correlation_id) is type(message_id) or isinstance(reply.correlation_id, type(message_id))
    order = [type(each) for each in line.events if isinstance(each, DeliveryStateChanged | MessageReceived)]
    assert order == [DeliveryStateChanged, MessageReceived]
    assert line.verdicts()[0].state == ACCEPTED


async def test_an_answer_waits_for_the_link_and_its_credit(hall: House) -> None:
    line = AmqpLine(hall)
    session = await line.open()
    sender = line.client.attach_sender(session, "out", CBS)
    await line.until(lambda: sender.credit > 0)
    await line.settled(sender, write_put_token(PutToken(message_id="1", name="n", token=line.token(LEAF))))
    receiver = line.client.attach_receiver(session, "in", CBS, credit=0)
    await line.until(lambda: receiver.attached)
    assert line.messages(receiver) == []
    line.client.grant(receiver, 1)
    await line.until(lambda: line.messages(receiver) != [])


async def test_an_answer_goes_to_the_session_of_its_request(hall: House) -> None:
    line = AmqpLine(hall)
    links = [await line.cbs(await line.open()), await line.cbs(await line.begin())]
    for cbs in reversed(links):
        assert (await line.put(cbs, line.token(LEAF))).status == 200
    line.client.detach(links[0][1])
    await line.until_detached(links[0][1])
    line.send(links[0][0], write_put_token(PutToken(message_id="last", name="n", token=line.token(LEAF))))
    await line.until(lambda: len(line.messages(links[1][1])) == 2)


@pytest.mark.parametrize(
    "message",
    [
        AmqpMessage(properties=Properties(message_id="1"), body=Value("token")),
        AmqpMessage(properties=Properties(message_id="1"), application_properties={"operation": "delete-token"}),
    ],
)
async def test_a_request_that_is_no_put_token_is_answered_with_400(hall: House, message: AmqpMessage) -> None:
    line = AmqpLine(hall)
    sender, receiver = await line.cbs(await line.open())
    assert await line.settled(sender, write_message(message)) == ACCEPTED
    await line.until(lambda: line.messages(receiver) != [])
    reply = read_reply(read_message(line.messages(receiver)[0].payload))
    assert (reply.status, reply.correlation_id) == (400, "1")


async def test_bytes_that_are_no_message_are_rejected_and_the_link_stays(hall: House) -> None:
    line = AmqpLine(hall)
    cbs = await line.cbs(await line.open())
    verdict = await line.settled(cbs[0], b"\x00\x53\x75")
    assert isinstance(verdict, Rejected)
    assert verdict.error is not None
    assert verdict.error.condition == conditions.DECODE_ERROR
    assert (await line.put(cbs, line.token(LEAF))).status == 200


async def test_an_answer_that_the_link_has_no_room_for_is_lost(hall: House) -> None:
    line = AmqpLine(hall)
    cbs = await line.cbs(await line.open())
    [answers] = [link for link in line.server.sessions[0].links if link.role is Role.SENDER]
    answers.peer_max_message_size = 10  # as an attach may say
    await line.settled(cbs[0], write_put_token(PutToken(message_id="lost", name="n", token=line.token(LEAF))))
    answers.peer_max_message_size = 0
    assert (await line.put(cbs, line.token(LEAF), "2")).correlation_id == "2"
    assert len(line.messages(cbs[1])) == 1


async def test_who_fetches_no_answers_is_closed(hall: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp_cbs, "MAX_REPLIES", 3)
    line = AmqpLine(hall)
    session = await line.open()
    sender = line.client.attach_sender(session, "out", CBS)
    await line.until(lambda: sender.credit > 0)
    for number in range(4):
        line.send(sender, write_put_token(PutToken(message_id=str(number), name="n", token=line.token(LEAF))))
    await line.until_closed()
