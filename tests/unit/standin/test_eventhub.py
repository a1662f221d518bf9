import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.kinds import UShort
from edgewire.codec.amqp.performatives import SETTLED
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.session import Session
from standin.eventhub import EventHub, connection_string, entity_of
from support.amqp_line import AmqpLine
from support.event_log import message
from support.hub_line import HUB_NAME, House, house
from support.service_line import (
    ENTITY,
    attach_reader,
    bodies,
    enter,
    events_token,
    hub_token,
    partition_address,
    read_messages,
)

DEVICE = "d1"


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    yield hall
    await hall.close()


@pytest.fixture
def events(hall: House) -> EventHub:
    return EventHub(hall.hub, hub_name=HUB_NAME, groups=("$Default", "live"))


async def arrive(hall: House, *messages: bytes) -> None:
    """Messages of one device arrive."""
    kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    hall.hub.receive_batch([message(body, DEVICE) for body in messages], kept.set_result)
    assert await kept


def partition_of(hall: House, device: str = DEVICE) -> int:
    return hall.hub.events.partition_of(device)


async def reading(
    hall: House, events: EventHub, selector: str = "x-opt-offset > '-1'", *, level: int | None = None
) -> tuple[AmqpLine, Link]:
    """A reader of the device's partition."""
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall))
    return line, await attach_reader(line, session, partition_address(partition_of(hall)), selector, level=level)


async def test_what_has_arrived_is_read_and_what_arrives_then(hall: House, events: EventHub) -> None:
    await arrive(hall, b"one", b"two")
    line, link = await reading(hall, events)
    await line.until(lambda: len(line.messages(link)) == 2)
    await arrive(hall, b"three")
    await line.until(lambda: len(line.messages(link)) == 3)
    assert bodies(line, link) == [b"one", b"two", b"three"]
    numbers = [(each.message_annotations or {})["x-opt-sequence-number"] for each in read_messages(line, link)]
    assert numbers == [0, 1, 2]


async def test_events_are_sent_settled_and_the_attach_says_so(hall: House, events: EventHub) -> None:
    await arrive(hall, b"one")
    line, link = await reading(hall, events)
    await line.until(lambda: len(line.messages(link)) == 1)
    assert line.messages(link)[0].settled
    assert link.snd_settle_mode == SETTLED


async def test_a_reader_of_the_end_hears_only_what_comes(hall: House, events: EventHub) -> None:
    await arrive(hall, b"old")
    line, link = await reading(hall, events, "x-opt-offset > '@latest'")
    await arrive(hall, b"new")
    await line.until(lambda: len(line.messages(link)) == 1)
    assert bodies(line, link) == [b"new"]


async def test_events_of_other_partitions_do_not_come(hall: House, events: EventHub) -> None:
    await arrive(hall, b"elsewhere")
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall))
    here = partition_of(hall)
    links = [await attach_reader(line, session, partition_address(each)) for each in range(4) if each != here]
    own = await attach_reader(line, session, partition_address(here))
    await line.until(lambda: len(line.messages(own)) == 1)
    assert [line.messages(link) for link in links] == [[], [], []]


@pytest.mark.parametrize(
    "path",
    [ENTITY, f"{ENTITY.upper()}/consumergroups/$Default", f"{ENTITY}/ConsumerGroups/$Default/Partitions/0"],
)
async def test_a_token_may_be_for_all_or_for_a_part(hall: House, events: EventHub, path: str) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall, path))
    assert (await attach_reader(line, session, partition_address(0))).attached


@pytest.mark.parametrize("path", [f"{ENTITY}/consumergroups/live", "other"])
async def test_a_token_for_another_part_is_none(hall: House, events: EventHub, path: str) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall, path))
    assert line.reason(await attach_reader(line, session, partition_address(0))) == "amqp:unauthorized-access"


async def test_a_reader_without_the_right_is_refused(hall: House, events: EventHub) -> None:
    for token in (events_token(hall, policy="registryRead"), hub_token(hall)):
        line = AmqpLine(hall, nodes=(events,))
        session = await enter(line, token)
        assert line.reason(await attach_reader(line, session, partition_address(0))) == "amqp:unauthorized-access"


@pytest.mark.parametrize(
    ("address", "selector", "condition"),
    [
        (partition_address(0, entity="other"), "x-opt-offset > '-1'", "amqp:not-found"),
        (partition_address(0, group="none"), "x-opt-offset > '-1'", "amqp:not-found"),
        (partition_address(4), "x-opt-offset > '-1'", "com.microsoft:argument-out-of-range"),
        (partition_address("x"), "x-opt-offset > '-1'", "com.microsoft:argument-out-of-range"),
        (partition_address(0), "x-opt-offset > '77'", "com.microsoft:argument-out-of-range"),
        (partition_address(0), "x-opt-offset > 'x'", "com.microsoft:argument-error"),
    ],
)
async def test_what_is_not_there_is_refused_with_its_condition(
    hall: House, events: EventHub, address: str, selector: str, condition: str
) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall))
    assert line.reason(await attach_reader(line, session, address, selector)) == condition


@pytest.mark.parametrize("level", [-1, True, "1"])
async def test_an_owner_level_is_a_number(hall: House, events: EventHub, level: int) -> None:
    line, link = await reading(hall, events, level=level)
    assert line.reason(link) == "com.microsoft:argument-error"


async def test_nobody_writes_to_a_partition(hall: House, events: EventHub) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall))
    assert line.reason(await line.attach(session, partition_address(0))) == "amqp:not-allowed"


async def test_a_higher_owner_level_takes_over_on_another_connection(hall: House, events: EventHub) -> None:
    low, lower = await reading(hall, events, level=1)
    high, higher = await reading(hall, events, level=2)
    assert await low.until_detached(lower) == "amqp:link:stolen"
    late, later = await reading(hall, events, level=1)
    assert late.reason(later) == "amqp:link:stolen"
    await arrive(hall, b"x")
    await high.until(lambda: len(high.messages(higher)) == 1)


async def test_the_expiry_of_the_token_ends_the_reader(hall: House, events: EventHub) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall, life_s=1))
    link = await attach_reader(line, session, partition_address(0))
    assert link.attached
    hall.wall_clock.now += 2
    assert await line.until_detached(link) == "amqp:unauthorized-access"
    assert events._compatible.readers.count("$Default", 0) == 0


async def test_a_reader_that_is_gone_is_forgotten(hall: House, events: EventHub) -> None:
    line, link = await reading(hall, events, level=5)
    assert link.attached
    line.abort()
    await line.until_closed()
    again, other = await reading(hall, events, level=1)
    assert other.attached
    assert again.reason(other) == ""


async def asked(line: AmqpLine, session: Session) -> tuple[Link, Link]:
    """Both links to the management."""
    return await line.attach(session, "$management"), await line.attach(session, "$management", Role.RECEIVER)


@pytest.mark.parametrize("path", [ENTITY, f"{ENTITY}/$management", f"{ENTITY}/consumergroups/$default"])
async def test_the_management_is_asked_with_any_token_for_the_entity(hall: House, events: EventHub, path: str) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall, path))
    assert all(link.attached for link in await asked(line, session))
    line.abort()
    await line.until_closed()
    assert events._desks == {}


async def test_the_management_is_not_for_others(hall: House, events: EventHub) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, hub_token(hall))
    assert [line.reason(link) for link in await asked(line, session)] == 2 * ["amqp:unauthorized-access"]


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/messages/events/ConsumerGroups/$Default/Partitions/1", f"{ENTITY}/ConsumerGroups/$Default/Partitions/1"),
        ("/messages/events/$management", f"{ENTITY}/$management"),
    ],
)
async def test_readers_of_the_first_years_are_sent_on(hall: House, events: EventHub, address: str, path: str) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, hub_token(hall))
    link = await line.attach(session, address, Role.RECEIVER)
    found = line.detached(link)
    assert found is not None
    assert found.error is not None
    assert found.error.condition == "amqp:link:redirect"
    assert found.error.info == {
        "hostname": HUB_NAME,
        "network-host": HUB_NAME,
        "port": UShort(5671),
        "address": f"amqps://{HUB_NAME}:5671/{path}",
    }


async def test_they_need_a_token_for_that(hall: House, events: EventHub) -> None:
    line = AmqpLine(hall, nodes=(events,))
    session = await line.open()
    link = await line.attach(session, "/messages/events/ConsumerGroups/$Default/Partitions/1", Role.RECEIVER)
    assert line.reason(link) == "amqp:unauthorized-access"


def test_the_connection_string_is_that_of_an_event_hub(hall: House) -> None:
    policy = hall.hub.policies.owner()
    assert connection_string(policy, "127.0.0.7", entity_of("standin-hub.test")) == (
        f"Endpoint=sb://127.0.0.7/;SharedAccessKeyName=iothubowner;SharedAccessKey={policy.primary_key};"
        "EntityPath=standin-hub"
    )
