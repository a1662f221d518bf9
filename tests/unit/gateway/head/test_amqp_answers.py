from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.conditions import MESSAGE_SIZE_EXCEEDED
from edgewire.iothub.amqp.cbs import PutToken, read_reply, write_put_token
from edgewire.session.amqp.limits import AmqpLimits
from gateway.head.amqp_answers import MAX_REQUEST_BYTES, MAX_WAITING_ANSWERS
from support.amqp_site import CBS, AmqpSite


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        yield site


def request(token: str) -> bytes:
    return write_put_token(PutToken(message_id="1", name="n", token=token))


async def test_who_asks_and_does_not_listen_is_not_read_further(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests, answers = client.sender(session, CBS), client.receiver(session, CBS, credit=0)
    payload = request(site.sas("d1"))
    assert requests.credit == MAX_WAITING_ANSWERS
    for _ in range(MAX_WAITING_ANSWERS):
        client.send(requests, payload)
    assert client.engine.send(requests, payload) is None
    client.engine.grant(answers, 1000)
    client.transfer()
    assert len(client.received(answers)) == MAX_WAITING_ANSWERS
    assert requests.credit == MAX_WAITING_ANSWERS


async def test_answers_go_by_the_link_that_came_last(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests, first = client.cbs(session)
    second = client.receiver(session, CBS, "another")
    client.send(requests, request(site.sas("d1")))
    assert (len(client.received(first)), len(client.received(second))) == (0, 1)
    client.engine.detach(first)
    client.transfer()
    client.send(requests, request(site.sas("d1")))
    assert len(client.received(second)) == 2


async def test_answers_wait_while_there_is_no_link_for_them(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests, first = client.cbs(session)
    client.engine.detach(first)
    client.transfer()
    client.send(requests, request(site.sas("d1")))
    second = client.receiver(session, CBS, "another")
    assert [read_reply(each).status for each in client.received(second)] == [200]


async def test_requests_come_by_another_link_when_one_is_gone(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests, answers = client.cbs(session)
    client.engine.detach(requests)
    client.transfer()
    again = client.sender(session, CBS, "another")
    client.send(again, request(site.sas("d1")))
    assert len(client.received(answers)) == 1


async def test_a_request_beyond_all_measure_ends_its_link(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests, answers = client.cbs(session)
    requests.peer_max_message_size = 0  # a client that does not care
    client.send(requests, bytes(MAX_REQUEST_BYTES + 1))
    refusal = client.refusal_of(requests)
    assert refusal is not None
    assert refusal.condition == MESSAGE_SIZE_EXCEEDED
    assert client.refusal_of(answers) is None


async def test_an_answer_that_the_client_has_no_room_for_ends_its_link(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests = client.sender(session, CBS)
    client.engine._limits = AmqpLimits(max_message_size=10)
    answers = client.receiver(session, CBS)
    client.send(requests, request(site.sas("d1")))
    refusal = client.refusal_of(answers)
    assert refusal is not None
    assert refusal.condition == MESSAGE_SIZE_EXCEEDED
    client.engine._limits = AmqpLimits()
    again = client.receiver(session, CBS, "another")
    assert len(client.received(again)) == 1


async def test_a_client_that_drains_gets_its_credit_back(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    _, answers = client.cbs(session)
    client.engine.drain(answers)
    client.transfer()
    assert answers.credit == 0
