"""What devices and modules are sent over AMQP, and what they ask and answer (iothub_wire.md §2.3, §2.4)."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import ULong
from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import (
    ACCEPTED,
    RELEASED,
    Accepted,
    DeliveryState,
    Modified,
    Received,
    Rejected,
)
from edgewire.iothub.amqp import methods, twins
from edgewire.iothub.amqp.addresses import Address, Purpose, format_address
from edgewire.iothub.amqp.devicebound import Devicebound, lock_token_of, read_devicebound
from edgewire.iothub.amqp.twins import DesiredChange, TwinAnswer, TwinOperation, TwinRequest
from edgewire.iothub.amqp.values import MessageId
from edgewire.iothub.bag import Bag
from edgewire.message import identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.session import Session
from standin.amqp_devices import may_have
from standin.devicebound import C2dMessage
from standin.hub import MethodError, MethodResult
from standin.registry import symmetric_entry
from standin.routes import parse_routes
from support.amqp_line import AmqpLine, text_message
from support.hub_line import House, house

LEAF = identity("leaf")
M1 = identity("edge-1", "m1")
ROUTES = parse_routes({"loop": 'FROM /messages/modules/m1/* INTO BrokeredEndpoint("/modules/m1/inputs/in put")'})


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1", routes=ROUTES)
    for who in (LEAF, identity("edge-1"), M1):
        hall.hub.add(symmetric_entry(who))
    yield hall
    await hall.close()


async def session_of(line: AmqpLine) -> Session:
    """A session on which LEAF has proven itself."""
    return (await line.enter(LEAF)).session


async def receiver(line: AmqpLine, session: Session, purpose: Purpose, *, credit: int = 10) -> Link:
    """A link on which we receive, with credit."""
    link = await line.attach(session, format_address(LEAF, purpose), Role.RECEIVER)
    line.client.grant(link, credit)
    line.carry()
    return link


async def nth(line: AmqpLine, link: Link, number: int) -> MessageReceived:
    await line.until(lambda: len(line.messages(link)) > number)
    return line.messages(link)[number]


def test_a_module_has_no_link_for_messages_from_the_cloud() -> None:
    assert may_have(Address(LEAF, Purpose.DEVICEBOUND), Role.SENDER)
    assert not may_have(Address(M1, Purpose.DEVICEBOUND), Role.SENDER)


# --- messages from the cloud ------------------------------------------------------------------------------------------


def queue(hall: House, *bodies: bytes) -> None:
    for body in bodies:
        hall.hub.send_c2d(LEAF, C2dMessage(Bag({"a b": "c"}, {"messageId": "m 1"}), body))


def read(event: MessageReceived) -> Devicebound:
    return read_devicebound(read_message(event.payload))


async def test_a_message_carries_its_lock_as_tag_and_notes(hall: House) -> None:
    queue(hall, b"on")
    line = AmqpLine(hall)
    link = await receiver(line, await session_of(line), Purpose.DEVICEBOUND)
    event = await nth(line, link, 0)
    message = read(event)
    assert message.body == b"on"
    assert message.bag == Bag({"a b": "c"}, {"messageId": "m 1", "to": "/devices/leaf/messages/devicebound"})
    assert (message.notes.sequence_number, message.notes.delivery_count) == (1, 0)
    assert message.notes.lock_token == lock_token_of(event.tag)
    assert not event.settled


@pytest.mark.parametrize(
    ("state", "counted", "waiting"),
    [
        (ACCEPTED, "completed", 0),
        (Rejected(), "rejected", 0),
        (RELEASED, "abandoned", 1),
        (Modified(delivery_failed=True), "abandoned", 1),
    ],
)
async def test_an_outcome_settles_at_the_hub(hall: House, state: DeliveryState, counted: str, waiting: int) -> None:
    queue(hall, b"on")
    line = AmqpLine(hall)
    link = await receiver(line, await session_of(line), Purpose.DEVICEBOUND, credit=1)
    event = await nth(line, link, 0)
    line.client.settle(link, (event.delivery_id,), state)
    line.carry()
    assert (hall.hub.counters[f"c2d {counted}"], hall.hub.c2d_waiting(LEAF)) == (1, waiting)
    line.client.grant(link, 1)
    if waiting:
        assert read(await nth(line, link, 1)).notes.delivery_count == 1


async def test_what_is_on_the_way_is_no_outcome(hall: House) -> None:
    queue(hall, b"on")
    line = AmqpLine(hall)
    link = await receiver(line, await session_of(line), Purpose.DEVICEBOUND)
    event = await nth(line, link, 0)
    line.client.settle(link, (event.delivery_id,), Received(0, 0))
    line.carry()
    assert hall.hub.c2d_waiting(LEAF) == 1


async def test_no_more_is_sent_than_there_is_credit_for(hall: House) -> None:
    queue(hall, b"0", b"1", b"2")
    line = AmqpLine(hall)
    link = await receiver(line, await session_of(line), Purpose.DEVICEBOUND, credit=2)
    await nth(line, link, 1)
    assert [each.payload[-1:] for each in line.messages(link)] == [b"0", b"1"]
    line.client.grant(link, 1)
    await nth(line, link, 2)


async def test_a_link_that_ends_gives_back_what_it_had(hall: House) -> None:
    queue(hall, b"on")
    line = AmqpLine(hall)
    session = await session_of(line)
    link = await receiver(line, session, Purpose.DEVICEBOUND)
    await nth(line, link, 0)
    line.client.detach(link)
    await line.until_detached(link)
    again = await receiver(line, session, Purpose.DEVICEBOUND)
    assert read(await nth(line, again, 0)).notes.delivery_count == 1


async def test_an_outcome_after_the_lock_is_lost_counts_for_nothing(hall: House) -> None:
    queue(hall, b"on")
    line = AmqpLine(hall)
    link = await receiver(line, await session_of(line), Purpose.DEVICEBOUND)
    event = await nth(line, link, 0)
    hall.hub.purge_c2d(LEAF)
    line.client.settle(link, (event.delivery_id,), ACCEPTED)
    line.carry()
    assert hall.hub.counters["c2d settled too late"] == 1


# --- methods ----------------------------------------------------------------------------------------------------------


async def test_a_method_goes_there_and_back(hall: House) -> None:
    line = AmqpLine(hall)
    session = await session_of(line)
    call = asyncio.create_task(hall.hub.invoke_method(LEAF, "re boot", {"in": 1}, connect_timeout_s=60))
    calls = await receiver(line, session, Purpose.METHODS)
    answers = await line.attach(session, format_address(LEAF, Purpose.METHODS))
    event = await nth(line, calls, 0)
    asked = methods.read_call(read_message(event.payload))
    assert (asked.name, asked.payload, event.settled) == ("re boot", b'{"in":1}', True)
    answer = methods.MethodAnswer(rid=str(asked.rid), status=207, payload=b"2")
    assert await line.settled(answers, methods.write_answer(answer)) == ACCEPTED
    assert await call == MethodResult(207, b"2")


async def test_a_device_with_half_a_pair_takes_no_methods(hall: House) -> None:
    line = AmqpLine(hall)
    await receiver(line, await session_of(line), Purpose.METHODS)
    with pytest.raises(MethodError) as raised:
        await hall.hub.invoke_method(LEAF, "reboot")
    assert raised.value.code == 404103


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        (text_message(b"{}"), conditions.INVALID_FIELD),
        (
            methods.write_answer(methods.MethodAnswer(rid=str(uuid.uuid4()), status=200, payload=bytes(131_073))),
            conditions.MESSAGE_SIZE_EXCEEDED,
        ),
    ],
)
async def test_what_is_no_answer_is_rejected(hall: House, payload: bytes, condition: str) -> None:
    line = AmqpLine(hall)
    answers = await line.attach(await session_of(line), format_address(LEAF, Purpose.METHODS))
    await line.until(lambda: answers.credit > 0)
    state = await line.settled(answers, payload)
    assert isinstance(state, Rejected)
    assert state.error is not None
    assert state.error.condition == condition


# --- twins ------------------------------------------------------------------------------------------------------------


class Twin:
    """Both links to a twin."""

    def __init__(self, line: AmqpLine, asks: Link, hears: Link) -> None:
        self.line = line
        self.asks = asks
        self.hears = hears
        self.heard = 0

    @classmethod
    async def of(cls, line: AmqpLine, *, credit: int = 10) -> "Twin":
        session = await session_of(line)
        hears = await receiver(line, session, Purpose.TWIN, credit=credit)
        asks = await line.attach(session, format_address(LEAF, Purpose.TWIN))
        await line.until(lambda: asks.credit > 0)
        return cls(line, asks, hears)

    async def next(self) -> TwinAnswer | DesiredChange:
        self.heard += 1
        event = await nth(self.line, self.hears, self.heard - 1)
        assert event.settled
        return twins.read_reply(read_message(event.payload))

    async def ask(self, operation: TwinOperation, patch: bytes = b"", rid: MessageId = "r1") -> TwinAnswer:
        request = TwinRequest(operation=operation, correlation_id=rid, patch=patch)
        assert isinstance(await self.line.settled(self.asks, twins.write_request(request)), Accepted)
        answer = await self.next()
        assert isinstance(answer, TwinAnswer)
        assert answer.correlation_id == rid
        return answer


async def test_a_twin_is_read_without_a_wrapper(hall: House) -> None:
    answer = await (await Twin.of(AmqpLine(hall))).ask(TwinOperation.GET, rid=ULong(7))
    assert answer.status == 200
    assert orjson.loads(answer.document) == {"desired": {"$version": 1}, "reported": {"$version": 1}}


async def test_a_report_is_merged_and_answered_with_its_version(hall: House) -> None:
    answer = await (await Twin.of(AmqpLine(hall))).ask(TwinOperation.REPORT, b'{"a":1}')
    assert (answer.status, answer.version) == (200, 2)
    assert hall.hub.twin(LEAF).reported == {"a": 1}


async def test_a_report_that_is_refused_says_why(hall: House) -> None:
    answer = await (await Twin.of(AmqpLine(hall))).ask(TwinOperation.REPORT, b"[]")
    assert answer.status == 400
    assert orjson.loads(answer.document)["errorCode"] == 400_000


async def test_changes_are_told_to_who_has_asked_for_them(hall: House) -> None:
    twin = await Twin.of(AmqpLine(hall))
    hall.hub.patch_desired(LEAF, {"before": 1})
    assert (await twin.ask(TwinOperation.SUBSCRIBE)).status == 200
    hall.hub.patch_desired(LEAF, {"a": 1})
    change = await twin.next()
    assert isinstance(change, DesiredChange)
    assert orjson.loads(change.patch) == {"a": 1, "$version": 3}
    assert (await twin.ask(TwinOperation.UNSUBSCRIBE)).status == 200
    hall.hub.patch_desired(LEAF, {"after": 1})
    assert (await twin.ask(TwinOperation.GET)).status == 200


async def test_answers_wait_for_credit(hall: House) -> None:
    line = AmqpLine(hall)
    twin = await Twin.of(line, credit=0)
    get = TwinRequest(operation=TwinOperation.GET, correlation_id="r1")
    assert await line.settled(twin.asks, twins.write_request(get)) == ACCEPTED
    assert line.messages(twin.hears) == []
    line.client.grant(twin.hears, 1)
    assert isinstance(await twin.next(), TwinAnswer)


async def test_who_takes_no_answers_loses_its_links(hall: House) -> None:
    line = AmqpLine(hall)
    twin = await Twin.of(line, credit=0)
    get = twins.write_request(TwinRequest(operation=TwinOperation.GET, correlation_id="r1"))
    for _ in range(101):
        line.send(twin.asks, get)
    assert await line.until_detached(twin.asks) == conditions.DEVICE_CONTAINER_THROTTLED
    assert hall.hub.connected() == ()


async def test_a_request_of_no_known_kind_is_rejected(hall: House) -> None:
    twin = await Twin.of(AmqpLine(hall))
    state = await twin.line.settled(twin.asks, text_message(b" "))
    assert isinstance(state, Rejected)


# --- module inputs ----------------------------------------------------------------------------------------------------


async def test_a_module_gets_its_inputs_where_it_sends_to(hall: House) -> None:
    line = AmqpLine(hall)
    telemetry = await line.enter(M1)
    inputs = await line.attach(telemetry.session, format_address(M1, Purpose.EVENTS), Role.RECEIVER)
    line.client.grant(inputs, 10)
    assert await line.settled(telemetry, text_message(b"hi", p="1")) == ACCEPTED
    event = await nth(line, inputs, 0)
    message = read(event)
    assert (message.body, message.notes.input_name, message.bag.properties) == (b"hi", "in put", {"p": "1"})
    assert message.bag.system["connectionModuleId"] == "m1"
    line.client.settle(inputs, (event.delivery_id,), RELEASED)
    again = await nth(line, inputs, 1)
    assert again.payload[-2:] == b"hi"
    assert hall.hub.inputs.waiting(M1) == 1
    line.client.settle(inputs, (again.delivery_id,), ACCEPTED)
    line.carry()
    assert hall.hub.inputs.waiting(M1) == 0
