import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.message import read_message
from edgewire.session.amqp.events import LinkDrained
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link
from standin.eventhub import EventHub
from standin.eventhub_readers import MAX_READERS, READ_AT_ONCE, TURN_BYTES, Reader
from support.amqp_line import AmqpLine
from support.event_log import message
from support.hub_line import HUB_NAME, House, house
from support.service_line import attach_reader, bodies, enter, events_token, partition_address

DEVICE = "d1"


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    yield hall
    await hall.close()


@pytest.fixture
def events(hall: House) -> EventHub:
    return EventHub(hall.hub, hub_name=HUB_NAME)


async def arrive(hall: House, *messages: bytes) -> None:
    """Messages of one device arrive."""
    kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    hall.hub.receive_batch([message(body, DEVICE) for body in messages], kept.set_result)
    assert await kept


async def reading(
    hall: House,
    events: EventHub,
    *,
    level: int | None = None,
    credit: int = 100,
    line: AmqpLine | None = None,
) -> tuple[AmqpLine, Link]:
    """A reader of the device's partition, attached or refused."""
    if line is None:
        line = AmqpLine(hall, nodes=(events,))
    session = await enter(line, events_token(hall))
    address = partition_address(hall.hub.events.partition_of(DEVICE))
    return line, await attach_reader(line, session, address, level=level, credit=credit)


def reader_of(line: AmqpLine) -> Reader:
    """The stand-in's side of the only reader on a line."""
    [found] = [link.owner for each in line.server.sessions for link in each.links if isinstance(link.owner, Reader)]
    return found


async def test_no_more_comes_than_there_is_credit_for(hall: House, events: EventHub) -> None:
    await arrive(hall, *(str(number).encode() for number in range(5)))
    line, link = await reading(hall, events, credit=2)
    await line.until(lambda: len(line.messages(link)) == 2)
    line.client.grant(link, 2)
    await line.until(lambda: len(line.messages(link)) == 4)
    line.client.grant(link, 2)
    await line.until(lambda: len(line.messages(link)) == 5)
    assert bodies(line, link) == [b"0", b"1", b"2", b"3", b"4"]


async def test_more_than_is_read_at_once_comes_in_order(hall: House, events: EventHub) -> None:
    wanted = [str(number).encode() for number in range(3 * READ_AT_ONCE + 1)]
    await arrive(hall, *wanted)
    line, link = await reading(hall, events, credit=1_000)
    await line.until(lambda: len(line.messages(link)) == len(wanted))
    assert bodies(line, link) == wanted


async def test_much_comes_in_turns(hall: House, events: EventHub) -> None:
    wanted = [bytes([number]) * (TURN_BYTES // 2) for number in range(5)]
    for body in wanted:
        await arrive(hall, body)
    line, link = await reading(hall, events)
    await line.until(lambda: len(line.messages(link)) == len(wanted))
    assert bodies(line, link) == wanted


async def test_who_drains_gets_what_is_there_and_gives_up_the_rest(hall: House, events: EventHub) -> None:
    wanted = [bytes([number]) * (TURN_BYTES // 2) for number in range(4)]
    for body in wanted:
        await arrive(hall, body)
    line, link = await reading(hall, events, credit=1)
    line.client.grant(link, 10)
    line.client.drain(link)
    await line.until(lambda: any(isinstance(event, LinkDrained) for event in line.events))
    assert bodies(line, link) == wanted
    await arrive(hall, b"later")
    line.client.grant(link, 1)
    await line.until(lambda: len(line.messages(link)) == 5)


async def test_a_peer_that_reads_slowly_is_waited_for(hall: House, events: EventHub) -> None:
    line, link = await reading(hall, events)
    line.pump.sending_paused()
    await arrive(hall, b"one")
    await line.until(lambda: not reader_of(line)._sends)
    assert line.messages(link) == []
    line.pump.sending_resumed()
    await line.until(lambda: len(line.messages(link)) == 1)


async def test_a_window_that_is_used_up_is_waited_for(hall: House, events: EventHub) -> None:
    wanted = [str(number).encode() for number in range(20)]
    await arrive(hall, *wanted)
    line = AmqpLine(hall, nodes=(events,), client_limits=AmqpLimits(incoming_window=4))
    line, link = await reading(hall, events, line=line)
    await line.until(lambda: len(line.messages(link)) == len(wanted))
    assert bodies(line, link) == wanted


async def test_a_stalled_hub_sends_nothing(hall: House, events: EventHub) -> None:
    line, link = await reading(hall, events)
    hall.hub.faults.stalled = True
    await arrive(hall, b"one")
    await line.until(lambda: not reader_of(line)._sends)
    assert line.messages(link) == []
    hall.hub.faults.stalled = False
    await arrive(hall, b"two")
    await line.until(lambda: len(line.messages(link)) == 2)


async def test_an_event_that_the_link_has_no_room_for_ends_it(hall: House, events: EventHub) -> None:
    await arrive(hall, b"x" * 1_000)
    line, link = await reading(hall, events, credit=0)
    [server_side] = [each for each in line.server.sessions[0].links if isinstance(each.owner, Reader)]
    server_side.peer_max_message_size = 100
    line.client.grant(link, 1)
    assert await line.until_detached(link) == "amqp:link:message-size-exceeded"


async def test_the_end_of_the_partition_is_told_to_who_asks(hall: House, events: EventHub) -> None:
    await arrive(hall, b"one", b"two")
    line, link = await reading(hall, events, credit=0)
    reader_of(line)._tells_end = True
    line.client.grant(link, 1)
    await line.until(lambda: len(line.messages(link)) == 1)
    found = read_message(line.messages(link)[0].payload)
    assert found.delivery_annotations is not None
    assert found.delivery_annotations["last_enqueued_sequence_number"] == 1
    assert found.body == b"one"


async def test_readers_that_share_are_limited(hall: House, events: EventHub) -> None:
    sharing = [await reading(hall, events) for _ in range(MAX_READERS)]
    assert all(link.attached for _, link in sharing)
    line, link = await reading(hall, events)
    assert line.reason(link) == "amqp:resource-limit-exceeded"
    await arrive(hall, b"one")
    for each, own in sharing:
        await each.until(lambda each=each, own=own: len(each.messages(own)) == 1)  # type: ignore[misc]  # bound early


async def test_who_shares_gives_way_to_an_owner_and_comes_back_after_it(hall: House, events: EventHub) -> None:
    sharing, shared = await reading(hall, events)
    owner, owned = await reading(hall, events, level=0)
    assert await sharing.until_detached(shared) == "amqp:link:stolen"
    late, later = await reading(hall, events)
    assert late.reason(later) == "amqp:link:stolen"
    owner.client.detach(owned)
    await owner.until_detached(owned)
    again, back = await reading(hall, events)
    assert back.attached
    assert again.reason(back) == ""


async def test_of_two_equal_levels_the_newer_wins(hall: House, events: EventHub) -> None:
    old, older = await reading(hall, events, level=3)
    _, newer = await reading(hall, events, level=3)
    assert await old.until_detached(older) == "amqp:link:stolen"
    assert newer.attached
