from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from edgewire.codec.amqp.kinds import Timestamp, ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, read_message, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, RELEASED, DeliveryState, Error, Modified, Rejected
from edgewire.iothub.amqp.values import parse_time
from edgewire.iothub.limits import MAX_C2D_MESSAGE_BYTES
from edgewire.message import identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link, Role
from standin.amqp_service import DEVICEBOUND, FEEDBACK, FILE_NOTIFICATIONS, ServiceMessaging
from standin.feedback import CONTENT_TYPE
from standin.locked import Settlement
from standin.registry import symmetric_entry
from support.amqp_line import AmqpLine
from support.hub_line import House, house
from support.service_line import enter, events_token, hub_token

LEAF = identity("leaf")
TO = "/devices/leaf/messages/devicebound"


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    for who in (LEAF, identity("edge-1"), identity("edge-1", "m1")):
        hall.hub.add(symmetric_entry(who))
    yield hall
    await hall.close()


@pytest.fixture
async def line(hall: House) -> AmqpLine:
    return AmqpLine(hall, nodes=(ServiceMessaging(hall.hub),))


def c2d(body: bytes = b"hello", *, to: str | None = TO, expires_ms: int | None = None, **said: str) -> bytes:
    """A message to a device, as the service writes it."""
    expiry = None if expires_ms is None else Timestamp(expires_ms)
    properties = Properties(message_id="m1", to=to, absolute_expiry_time=expiry)
    names = {name.replace("_", "-"): value for name, value in said.items()}
    return write_message(AmqpMessage(properties=properties, application_properties=names or None, body=body))


def error_of(verdict: DeliveryState | None) -> Error:
    assert isinstance(verdict, Rejected)
    assert verdict.error is not None
    return verdict.error


async def sender(hall: House, line: AmqpLine, policy: str = "service") -> Link:
    session = await enter(line, hub_token(hall, policy=policy))
    return await line.attach(session, f"/{DEVICEBOUND}")


async def feedback(hall: House, line: AmqpLine, *, credit: int = 10) -> Link:
    session = await enter(line, hub_token(hall))
    link = line.client.attach_receiver(session, "feedback", f"/{FEEDBACK}", credit=credit)
    await line.until(lambda: link.attached)
    return link


def finish(hall: House, settlement: Settlement = Settlement.COMPLETED) -> None:
    """The device settles the oldest message, and the feedback of it leaves."""
    locked = hall.hub.lock_c2d(LEAF)
    assert locked is not None
    hall.hub.settle_c2d(LEAF, locked.lock_token, settlement)
    hall.hub.feedback.flush()


async def test_a_message_waits_for_its_device_once_it_is_accepted(hall: House, line: AmqpLine) -> None:
    link = await sender(hall, line)
    assert await line.settled(link, c2d(b"hello", a="b", iothub_ack="full")) == ACCEPTED
    locked = hall.hub.lock_c2d(LEAF)
    assert locked is not None
    assert (locked.body, locked.properties) == (b"hello", {"a": "b", "iothub-ack": "full"})
    assert (locked.system["messageId"], locked.system["to"]) == ("m1", TO)


@pytest.mark.parametrize("address", [f"amqps://hub.test/{DEVICEBOUND}", f"/{DEVICEBOUND}", "messages/deviceBound"])
async def test_the_address_counts_in_every_form(hall: House, line: AmqpLine, address: str) -> None:
    session = await enter(line, hub_token(hall))
    assert (await line.attach(session, address)).attached


@pytest.mark.parametrize("policy", ["device", "registryRead", "registryReadWrite"])
async def test_a_policy_without_the_right_sends_nothing(hall: House, line: AmqpLine, policy: str) -> None:
    assert line.reason(await sender(hall, line, policy)) == "amqp:unauthorized-access"


async def test_a_token_for_the_events_is_none_for_the_service(hall: House, line: AmqpLine) -> None:
    session = await enter(line, events_token(hall))
    assert line.reason(await line.attach(session, f"/{DEVICEBOUND}")) == "amqp:unauthorized-access"


@pytest.mark.parametrize(
    ("address", "role"),
    [(DEVICEBOUND, Role.RECEIVER), (FEEDBACK, Role.SENDER), (FILE_NOTIFICATIONS, Role.SENDER)],
)
async def test_each_address_has_one_direction(hall: House, line: AmqpLine, address: str, role: Role) -> None:
    session = await enter(line, hub_token(hall))
    assert line.reason(await line.attach(session, f"/{address}", role)) == "amqp:not-allowed"


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        (c2d(to="/devices/nobody/messages/devicebound"), "amqp:not-found"),
        (c2d(to=None), "com.microsoft:argument-error"),
        (c2d(to="/devices/leaf"), "com.microsoft:argument-error"),
        (c2d(to="/devices/leaf/messages/events"), "com.microsoft:argument-error"),
        (c2d(to="/devices/edge-1/modules/m1/messages/devicebound"), "com.microsoft:argument-error"),
        (c2d(iothub_ack="perhaps"), "com.microsoft:argument-error"),
        (c2d(expires_ms=4_000_000_000_000), "com.microsoft:argument-error"),
        (c2d(b"x" * MAX_C2D_MESSAGE_BYTES), "amqp:link:message-size-exceeded"),
        (b"\x00\x53\x75", "amqp:decode-error"),
    ],
)
async def test_what_the_hub_does_not_take_is_rejected_and_the_link_stays(
    hall: House, line: AmqpLine, payload: bytes, condition: str
) -> None:
    link = await sender(hall, line)
    assert error_of(await line.settled(link, payload)).condition == condition
    assert await line.settled(link, c2d()) == ACCEPTED


async def test_a_full_queue_is_told_in_the_words_of_the_hub(hall: House, line: AmqpLine) -> None:
    link = await sender(hall, line)
    verdicts = [await line.settled(link, c2d()) for _ in range(51)]
    assert verdicts[:50] == 50 * [ACCEPTED]
    error = error_of(verdicts[50])
    assert error.condition == "amqp:resource-limit-exceeded"
    assert (error.description or "").startswith("Error code: 403004, DeviceMaximumQueueDepthExceeded")
    assert error.info is not None
    assert error.info["com.microsoft:error-code"] == 403004


@pytest.mark.parametrize(
    ("fault", "condition", "code"),
    [
        ("throttling", "com.microsoft:device-container-throttled", "429001"),
        ("over_quota", "com.microsoft:quota-exceeded", "403002"),
    ],
)
async def test_a_hub_that_takes_no_message_takes_none_to_devices(
    hall: House, line: AmqpLine, fault: str, condition: str, code: str
) -> None:
    link = await sender(hall, line)
    hall.hub.faults.change({fault: True})
    error = error_of(await line.settled(link, c2d()))
    assert error.condition == condition
    assert code in (error.description or "")
    hall.hub.faults.clear()
    assert await line.settled(link, c2d()) == ACCEPTED


async def test_what_became_of_a_message_comes_as_a_batch_of_records(hall: House, line: AmqpLine) -> None:
    link = await feedback(hall, line)
    service = AmqpLine(hall, nodes=(ServiceMessaging(hall.hub),))
    assert await service.settled(await sender(hall, service), c2d(iothub_ack="full")) == ACCEPTED
    finish(hall)
    await line.until(lambda: len(line.messages(link)) == 1)
    [event] = line.messages(link)
    assert not event.settled
    found = read_message(event.payload)
    assert found.properties is not None
    assert (found.properties.content_type, found.properties.to) == (CONTENT_TYPE, f"/{FEEDBACK}")
    annotations = found.message_annotations or {}
    assert type(annotations["x-opt-sequence-number"]) is ULong
    assert type(annotations["iothub-enqueuedtime"]) is Timestamp
    assert isinstance(found.body, bytes)
    [record] = orjson.loads(found.body)
    entry = hall.hub.registry.get(LEAF)
    assert entry is not None
    assert parse_time(record.pop("enqueuedTimeUtc")) == pytest.approx(annotations["iothub-enqueuedtime"], abs=60_000)
    assert record == {
        "originalMessageId": "m1",
        "statusCode": "Success",
        "description": "Success",
        "deviceId": "leaf",
        "deviceGenerationId": entry.generation_id,
    }


async def one_batch(hall: House, line: AmqpLine, link: Link) -> MessageReceived:
    service = AmqpLine(hall, nodes=(ServiceMessaging(hall.hub),))
    assert await service.settled(await sender(hall, service), c2d(iothub_ack="full")) == ACCEPTED
    finish(hall, Settlement.REJECTED)
    await line.until(lambda: len(line.messages(link)) == 1)
    return line.messages(link)[0]


async def test_a_batch_that_is_accepted_does_not_come_again(hall: House, line: AmqpLine) -> None:
    link = await feedback(hall, line)
    event = await one_batch(hall, line, link)
    line.client.settle(link, (event.delivery_id,), ACCEPTED)
    line.carry()
    again = AmqpLine(hall, nodes=(ServiceMessaging(hall.hub),))
    other = await feedback(hall, again)
    assert again.messages(other) == []
    assert hall.hub.feedback.lock() is None


@pytest.mark.parametrize("state", [RELEASED, Modified(delivery_failed=True)])
async def test_a_batch_that_is_given_back_comes_again(hall: House, line: AmqpLine, state: DeliveryState) -> None:
    link = await feedback(hall, line)
    event = await one_batch(hall, line, link)
    line.client.settle(link, (event.delivery_id,), state)
    await line.until(lambda: len(line.messages(link)) == 2)
    assert read_message(line.messages(link)[1].payload).body == read_message(event.payload).body


async def test_a_batch_of_a_reader_that_is_gone_goes_to_the_next(hall: House, line: AmqpLine) -> None:
    link = await feedback(hall, line)
    await one_batch(hall, line, link)
    again = AmqpLine(hall, nodes=(ServiceMessaging(hall.hub),))
    other = await feedback(hall, again)
    assert again.messages(other) == []
    line.abort()
    await line.until_closed()
    await again.until(lambda: len(again.messages(other)) == 1)


async def test_a_batch_waits_for_credit(hall: House, line: AmqpLine) -> None:
    link = await feedback(hall, line, credit=0)
    service = AmqpLine(hall, nodes=(ServiceMessaging(hall.hub),))
    assert await service.settled(await sender(hall, service), c2d(iothub_ack="full")) == ACCEPTED
    finish(hall)
    assert line.messages(link) == []
    line.client.grant(link, 1)
    await line.until(lambda: len(line.messages(link)) == 1)


async def test_file_notifications_are_granted_and_silent(hall: House, line: AmqpLine) -> None:
    session = await enter(line, hub_token(hall))
    link = await line.attach(session, f"/{FILE_NOTIFICATIONS}", Role.RECEIVER)
    assert link.attached
    assert line.messages(link) == []


async def test_the_expiry_of_the_token_ends_both_links(hall: House, line: AmqpLine) -> None:
    session = await enter(line, hub_token(hall, life_s=1))
    links = [await line.attach(session, f"/{DEVICEBOUND}"), await line.attach(session, f"/{FEEDBACK}", Role.RECEIVER)]
    hall.wall_clock.now += 2
    assert [await line.until_detached(link) for link in links] == 2 * ["amqp:unauthorized-access"]
