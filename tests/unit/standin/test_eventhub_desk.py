from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.kinds import ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, read_message, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, Rejected
from edgewire.session.amqp.events import DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.session import Session
from standin import eventhub_desk
from standin.eventhub import EventHub
from standin.eventhub_management import EVENT_HUB
from support.amqp_line import AmqpLine
from support.hub_line import HUB_NAME, House, house
from support.service_line import ENTITY, enter, events_token

MANAGEMENT = "$management"


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    yield hall
    await hall.close()


@pytest.fixture
async def line(hall: House) -> AmqpLine:
    return AmqpLine(hall, nodes=(EventHub(hall.hub, hub_name=HUB_NAME),))


def request(number: int = 1, reply_to: str | None = None) -> bytes:
    said: dict[str, object] = {"operation": "READ", "type": EVENT_HUB, "name": ENTITY}
    properties = Properties(message_id=ULong(number), reply_to=reply_to)
    return write_message(AmqpMessage(properties=properties, application_properties=said))


def answers(line: AmqpLine, link: Link) -> list[object]:
    """The ids of the requests that were answered here."""
    found = [read_message(each.payload).properties for each in line.messages(link)]
    return [each.correlation_id for each in found if each is not None]


async def receiver(line: AmqpLine, session: Session, target: str | None = None, *, credit: int = 10) -> Link:
    link = line.client.attach_receiver(
        session, f"answers {len(session.links)}", MANAGEMENT, target_address=target, credit=credit
    )
    await line.until(lambda: link.attached)
    return link


async def test_a_request_is_settled_and_then_answered(hall: House, line: AmqpLine) -> None:
    session = await enter(line, events_token(hall))
    asking, answering = await line.attach(session, MANAGEMENT), await receiver(line, session)
    before = len(line.events)
    assert await line.settled(asking, request(7)) == ACCEPTED
    await line.until(lambda: answers(line, answering) == [7])
    order = [type(each) for each in line.events[before:] if isinstance(each, DeliveryStateChanged | MessageReceived)]
    assert order == [DeliveryStateChanged, MessageReceived]


async def test_an_answer_waits_for_its_link_and_for_credit(hall: House, line: AmqpLine) -> None:
    session = await enter(line, events_token(hall))
    asking = await line.attach(session, MANAGEMENT)
    assert await line.settled(asking, request(1)) == ACCEPTED
    answering = await receiver(line, session, credit=0)
    assert answers(line, answering) == []
    line.client.grant(answering, 1)
    await line.until(lambda: answers(line, answering) == [1])


async def test_an_answer_goes_to_who_is_named_or_into_the_session_of_its_request(hall: House, line: AmqpLine) -> None:
    first = await enter(line, events_token(hall))
    second = await line.begin()
    named = await receiver(line, second, "me")
    other = await receiver(line, first)
    asking = await line.attach(first, MANAGEMENT)
    await line.settled(asking, request(1, "me"))
    await line.settled(asking, request(2))
    await line.settled(asking, request(3, "nobody"))
    await line.until(lambda: len(answers(line, named)) + len(answers(line, other)) == 3)
    assert (answers(line, named), answers(line, other)) == ([1], [2, 3])


async def test_bytes_that_are_no_message_are_rejected_and_the_link_stays(hall: House, line: AmqpLine) -> None:
    session = await enter(line, events_token(hall))
    asking, answering = await line.attach(session, MANAGEMENT), await receiver(line, session)
    assert isinstance(await line.settled(asking, b"\x00\x53\x75"), Rejected)
    assert await line.settled(asking, request(2)) == ACCEPTED
    await line.until(lambda: answers(line, answering) == [2])


async def test_who_never_takes_answers_loses_the_link(
    hall: House, line: AmqpLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventhub_desk, "MAX_REPLIES", 3)
    session = await enter(line, events_token(hall))
    asking = await line.attach(session, MANAGEMENT)
    for number in range(4):
        line.send(asking, request(number))
    assert await line.until_detached(asking) == "amqp:resource-limit-exceeded"


async def test_links_that_are_gone_are_not_answered(hall: House, line: AmqpLine) -> None:
    session = await enter(line, events_token(hall))
    asking, gone = await line.attach(session, MANAGEMENT), await receiver(line, session, "me")
    line.client.detach(gone)
    await line.until_detached(gone)
    answering = await receiver(line, session)
    await line.settled(asking, request(1, "me"))
    await line.until(lambda: answers(line, answering) == [1])
    assert asking.role is Role.SENDER
