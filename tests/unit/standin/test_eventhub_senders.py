"""Sending to an Event Hub of the namespace, and reading it back, over a line in memory."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.message import AmqpMessage, read_message, write_message
from edgewire.codec.amqp.performatives import Accepted, DeliveryState, Rejected
from edgewire.iothub import sas
from edgewire.iothub.partitions import partition_of_key
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.session import Session
from standin.eventhub import EventHub
from standin.eventhub_senders import MAX_EVENT_BYTES, MAX_KEY_CHARS, SenderAddress, parse_sender
from standin.namespace import Namespace
from support.amqp_line import AmqpLine
from support.hub_line import HUB_NAME, House, house
from support.service_line import attach_reader, bodies, enter, events_token, partition_address

HUB = "telemetry"


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    yield hall
    await hall.close()


@pytest.fixture
def namespace(hall: House, tmp_path: Path) -> Iterator[Namespace]:
    namespace = Namespace(tmp_path, hall.hub.documents, taken="hub", clock=hall.wall_clock)
    namespace.create(HUB, 4)
    hall.admission._event_hubs = namespace.policy
    yield namespace
    namespace.close()


def token(hall: House, namespace: Namespace, policy: str, path: str = HUB) -> str:
    """A token for the Event Hub, signed with the text of its policy's key."""
    event_hub = namespace.get(HUB)
    assert event_hub is not None
    key = event_hub.policies[policy].text_keys()[0]
    return sas.make(f"sb://{HUB_NAME}/{path}", key, int(hall.wall_clock.now) + 60, policy)


async def line_with(hall: House, namespace: Namespace, *policies: str) -> tuple[AmqpLine, Session]:
    """A line on which these policies were proven."""
    line = AmqpLine(hall, nodes=(EventHub(hall.hub, hub_name=HUB_NAME, namespace=namespace),))
    session = await line.open()
    for policy in policies:
        reply = await line.put(await line.cbs(session), token(hall, namespace, policy))
        assert reply.status == 200, reply.description
    return line, session


async def sender(hall: House, namespace: Namespace, address: str = HUB) -> tuple[AmqpLine, Link]:
    line, session = await line_with(hall, namespace, "send")
    link = await line.attach(session, address)
    await line.until(lambda: link.credit > 0 or line.detached(link) is not None)
    return line, link


def event(body: bytes, key: str | None = None, **annotations: object) -> bytes:
    noted = {**annotations, **({} if key is None else {"x-opt-partition-key": key})}
    return write_message(AmqpMessage(message_annotations=noted or None, body=body))


def kept(namespace: Namespace) -> list[tuple[int, object]]:
    """Partition and body of each event."""
    event_hub = namespace.get(HUB)
    assert event_hub is not None
    log = event_hub.log
    return [
        (partition, read_message(each.payload).body)
        for partition in range(log.partitions)
        for each in log.read_partition(partition, 0, 100)
    ]


def condition(state: DeliveryState | None) -> str:
    assert isinstance(state, Rejected)
    assert state.error is not None
    return str(state.error.condition)


def test_an_address_names_the_entity_and_perhaps_a_partition_or_a_publisher() -> None:
    assert parse_sender("amqps://host/telemetry") == SenderAddress("telemetry")
    assert parse_sender("/telemetry/partitions/1") == SenderAddress("telemetry", partition="1")
    assert parse_sender("telemetry/Publishers/d1") == SenderAddress("telemetry", publisher="d1")
    assert parse_sender("telemetry/ConsumerGroups/g/Partitions/1") is None
    assert SenderAddress("t", partition="1").below == ("Partitions", "1")
    assert SenderAddress("t", publisher="d").below == ("Publishers", "d")
    assert SenderAddress("t").below == ()


async def test_a_batch_for_a_partition_is_kept_there_and_read_back(hall: House, namespace: Namespace) -> None:
    line, link = await sender(hall, namespace, f"amqps://{HUB_NAME}/{HUB}/Partitions/1")
    assert link.peer_max_message_size == MAX_EVENT_BYTES
    assert isinstance(await line.settled_batch(link, [event(b"a", "d1"), event(b"b", "d2")]), Accepted)
    assert kept(namespace) == [(1, b"a"), (1, b"b")]
    reading, session = await line_with(hall, namespace, "listen")
    reader = await attach_reader(reading, session, partition_address(1, entity=HUB))
    await reading.until(lambda: len(reading.messages(reader)) == 2)
    assert bodies(reading, reader) == [b"a", b"b"]


async def test_a_reader_hears_of_what_is_sent_later(hall: House, namespace: Namespace) -> None:
    reading, session = await line_with(hall, namespace, "manage")
    reader = await attach_reader(reading, session, partition_address(2, entity=HUB))
    line, link = await sender(hall, namespace, f"{HUB}/Partitions/2")
    await line.settled(link, event(b"a"))
    await reading.until(lambda: bool(reading.messages(reader)))


async def test_a_key_decides_where_no_partition_is_named(hall: House, namespace: Namespace) -> None:
    line, link = await sender(hall, namespace)
    await line.settled_batch(link, [event(b"a", "d1"), event(b"b", "d1")])
    await line.settled(link, event(b"c", "d7"))
    where = partition_of_key("d1", 4), partition_of_key("d7", 4)
    assert set(kept(namespace)) == {(where[0], b"a"), (where[0], b"b"), (where[1], b"c")}


async def test_without_a_key_events_are_spread_and_a_publisher_is_one(hall: House, namespace: Namespace) -> None:
    line, link = await sender(hall, namespace)
    for _ in range(4):
        await line.settled(link, event(b"x"))
    assert {partition for partition, _ in kept(namespace)} == {0, 1, 2, 3}
    line, link = await sender(hall, namespace, f"{HUB}/Publishers/d1")
    await line.settled(link, event(b"p"))
    assert (partition_of_key("d1", 4), b"p") in kept(namespace)


@pytest.mark.parametrize(
    ("payloads", "wanted"),
    [
        ([event(b"a", "d1"), event(b"b", "d2")], "com.microsoft:argument-error"),
        ([event(b"a", "k" * (MAX_KEY_CHARS + 1))], "com.microsoft:argument-error"),
        ([event(b"a", **{"x-opt-offset": "1"})], "com.microsoft:argument-error"),
        ([event(b"a"), b"\x00"], "amqp:decode-error"),
        ([], "amqp:decode-error"),
    ],
)
async def test_what_the_service_would_not_take_is_refused_whole(
    hall: House, namespace: Namespace, payloads: list[bytes], wanted: str
) -> None:
    line, link = await sender(hall, namespace)
    assert condition(await line.settled_batch(link, payloads)) == wanted
    assert kept(namespace) == []


@pytest.mark.parametrize(("address", "wanted"), [(f"{HUB}/Partitions/4", "com.microsoft:argument-out-of-range")])
async def test_a_partition_that_is_not_there_is_refused(
    hall: House, namespace: Namespace, address: str, wanted: str
) -> None:
    line, link = await sender(hall, namespace, address)
    assert await line.until_detached(link) == wanted


async def test_who_may_only_read_may_not_send_and_the_other_way_round(hall: House, namespace: Namespace) -> None:
    line, session = await line_with(hall, namespace, "listen")
    assert await line.until_detached(await line.attach(session, HUB)) == "amqp:unauthorized-access"
    line, session = await line_with(hall, namespace, "send")
    reader = await attach_reader(line, session, partition_address(0, entity=HUB))
    assert await line.until_detached(reader) == "amqp:unauthorized-access"
    assert await line.until_detached(await line.attach(session, HUB, Role.RECEIVER)) == "amqp:not-allowed"


async def test_the_hubs_owner_is_nobody_at_an_event_hub_beside_it(hall: House, namespace: Namespace) -> None:
    line = AmqpLine(hall, nodes=(EventHub(hall.hub, hub_name=HUB_NAME, namespace=namespace),))
    session = await enter(line, events_token(hall))
    assert await line.until_detached(await line.attach(session, HUB)) == "amqp:unauthorized-access"


async def test_faults_are_in_force_here_too(hall: House, namespace: Namespace) -> None:
    line, link = await sender(hall, namespace)
    hall.hub.faults.throttling = True
    assert condition(await line.settled(link, event(b"x"))) == "com.microsoft:server-busy"
    hall.hub.faults.clear()
    hall.hub.faults.over_quota = True
    assert condition(await line.settled(link, event(b"x"))) == "com.microsoft:quota-exceeded"
    assert kept(namespace) == []
    hall.hub.faults.clear()
    hall.hub.faults.lose_acknowledgements = 1
    first = line.send(link, event(b"1"))
    assert isinstance(await line.settled(link, event(b"2")), Accepted)
    assert not first.settled
    assert len(kept(namespace)) == 2
    hall.hub.faults.drop_after = 1
    line.send(link, event(b"3"))
    await line.until_closed()
    assert len(kept(namespace)) == 3
