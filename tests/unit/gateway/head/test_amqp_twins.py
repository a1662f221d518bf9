import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.codec.amqp.conditions import RESOURCE_LIMIT_EXCEEDED
from edgewire.codec.amqp.performatives import ACCEPTED, Rejected
from edgewire.iothub.amqp.twins import (
    DesiredChange,
    TwinAnswer,
    TwinOperation,
    TwinRequest,
    read_reply,
    write_request,
)
from edgewire.iothub.amqp.values import MessageId
from edgewire.message import identity
from edgewire.session.amqp.link import Link
from gateway.dispatch.presence import Ending
from gateway.head.amqp_twins import MAX_WAITING_CHANGES
from gateway.observe.head import MessageRefused, RefusedMessage
from support.amqp_site import AmqpSite, Client
from support.twin_cloud import FakeTwinCloud, served

D1 = identity("d1")
D2 = identity("d2")
TWIN = "/devices/d1/twin"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        yield site


@pytest.fixture
async def cloud(site: AmqpSite, tmp_path: Path) -> AsyncIterator[FakeTwinCloud]:
    async with served(site.twins, tmp_path) as cloud:
        yield cloud


class Pair:
    """The two links of a device's twin."""

    def __init__(self, site: AmqpSite, device: str = "d1", credit: int = 100) -> None:
        self.client: Client
        self.client, session = site.by_token(device)
        address = f"/devices/{device}/twin"
        self.requests: Link = self.client.sender(session, address)
        self.answers: Link = self.client.receiver(session, address, credit=credit)
        self._read = 0

    def ask(self, operation: TwinOperation, rid: MessageId, patch: bytes = b"") -> None:
        wire = write_request(TwinRequest(operation=operation, correlation_id=rid, patch=patch))
        assert self.client.send(self.requests, wire).state == ACCEPTED

    async def next(self) -> TwinAnswer | DesiredChange:
        await self.client.until(lambda: len(self.client.received(self.answers)) > self._read)
        self._read += 1
        return read_reply(self.client.received(self.answers)[self._read - 1])

    async def answer(self) -> TwinAnswer:
        reply = await self.next()
        assert isinstance(reply, TwinAnswer)
        return reply

    async def change(self) -> Any:
        reply = await self.next()
        assert isinstance(reply, DesiredChange)
        return orjson.loads(reply.patch)


@pytest.mark.parametrize("rid", ["1", uuid.UUID(int=7), b"\x01"], ids=repr)
async def test_a_reading_is_answered(site: AmqpSite, cloud: FakeTwinCloud, rid: MessageId) -> None:
    cloud.desire(D1, {"d": 1})
    pair = Pair(site)
    pair.ask(TwinOperation.GET, rid)
    answer = await pair.answer()
    assert (answer.correlation_id, answer.status, answer.version) == (rid, 200, None)
    assert orjson.loads(answer.document) == {"desired": {"d": 1, "$version": 2}, "reported": {"$version": 1}}


async def test_a_report_is_answered_with_its_version(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site)
    pair.ask(TwinOperation.REPORT, "1", b'{"a":1}')
    answer = await pair.answer()
    assert (answer.status, answer.version, answer.document) == (204, 2, b"")
    assert cloud.twin(D1).reported == {"a": 1}


async def test_what_is_refused_has_a_status_and_a_body(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site)
    pair.ask(TwinOperation.REPORT, "1", b'{"a.b":1}')
    answer = await pair.answer()
    assert answer.status == 400
    assert orjson.loads(answer.document)["errorCode"] == 400000
    assert not cloud.calls


async def test_the_link_for_answers_hears_changes_until_it_is_gone(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site)
    assert cloud.watched == {D1}
    cloud.desire(D1, {"d": 1})
    assert await pair.change() == {"d": 1, "$version": 2}
    pair.client.engine.detach(pair.answers)
    pair.client.transfer()
    assert cloud.watched == set()


async def test_changes_are_asked_for_and_declined_by_requests_too(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site)
    pair.ask(TwinOperation.UNSUBSCRIBE, "1")
    assert (await pair.answer()).status == 200
    assert cloud.watched == set()
    pair.ask(TwinOperation.SUBSCRIBE, "2")
    assert (await pair.answer()).status == 200
    assert cloud.watched == {D1}


async def test_an_identity_that_ends_hears_no_more(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site)
    pair.ask(TwinOperation.GET, "1")
    site.presence.end([D1], Ending.CREDENTIALS_CHANGED)
    assert cloud.watched == set()
    await pair.client.until(lambda: bool(cloud.calls))
    assert pair.client.received(pair.answers) == []


async def test_a_connection_that_is_lost_hears_no_more(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site)
    pair.ask(TwinOperation.GET, "1")
    pair.client.lose()
    assert cloud.watched == set()
    other = Pair(site)
    other.ask(TwinOperation.GET, "2")
    assert (await other.answer()).correlation_id == "2"


async def test_many_devices_on_one_connection_have_a_twin_each(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site)
    other = Pair(site, "d2")
    assert cloud.watched == {D1, D2}
    other.ask(TwinOperation.REPORT, "1", b'{"a":2}')
    await other.answer()
    assert cloud.twin(D1).reported == {}
    assert cloud.twin(D2).reported == {"a": 2}
    assert pair.client.received(pair.answers) == []


async def test_changes_that_nobody_takes_are_bounded(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site, credit=0)
    await pair.client.until(lambda: pair.answers.attached)
    for number in range(MAX_WAITING_CHANGES):
        site.twins._watchers[D1].desired(b'{"n":%d,"$version":2}' % number, 2)  # as if the cloud had told each
    assert cloud.watched == {D1}
    site.twins._watchers[D1].desired(b"{}", 2)
    assert cloud.watched == set()
    refusal = pair.client.refusal_of(pair.answers)
    assert refusal is not None
    assert refusal.condition == RESOURCE_LIMIT_EXCEEDED


async def test_what_is_no_request_is_rejected(site: AmqpSite, cloud: FakeTwinCloud) -> None:
    pair = Pair(site)
    state = pair.client.send(pair.requests, b"\xff").state
    assert isinstance(state, Rejected)
    assert site.reasons(MessageRefused) == [RefusedMessage.MALFORMED_MESSAGE]
    pair.ask(TwinOperation.GET, "1")
    assert (await pair.answer()).status == 200
    assert len(cloud.calls) == 1
