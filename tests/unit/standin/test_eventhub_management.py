from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from edgewire.codec.amqp.kinds import Array, Int, Timestamp, ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, read_message
from edgewire.iothub.amqp.values import MessageId
from standin.eventhub_management import EVENT_HUB, PARTITION, Management, partition_number
from standin.events import EventLog, partition_of
from support.event_log import keep_all, message


@pytest.fixture
async def management(tmp_path: Path) -> Iterator[Management]:  # type: ignore[misc]  # an async fixture that yields
    path = tmp_path / "events.db"
    log = EventLog(path)
    await keep_all(log, path, [message(b"1"), message(b"2")], 1_700_000_000.25)
    yield Management("hub", log)
    log.close()


def request(message_id: MessageId | None, said: dict[str, object]) -> AmqpMessage:
    properties = None if message_id is None else Properties(message_id=message_id)
    return AmqpMessage(properties=properties, application_properties={"operation": "READ", "name": "hub"} | said)


def asked(management: Management, **said: object) -> tuple[int, dict[str, Any] | None, str | None]:
    """The status, the body, and the condition."""
    reply = read_message(management.answer(request("1", said)))
    assert isinstance(reply.body, Value)
    told = reply.application_properties or {}
    assert type(told["status-code"]) is Int
    body = reply.body.value
    condition = told.get("error-condition")
    return told["status-code"], body if isinstance(body, dict) else None, None if condition is None else str(condition)


async def test_the_hub_tells_its_partitions(management: Management) -> None:
    status, body, _ = asked(management, type=EVENT_HUB)
    assert (status, body) == (
        200,
        {
            "name": "hub",
            "type": EVENT_HUB,
            "created_at": int(management.log.created_at * 1000),
            "partition_count": 4,
            "partition_ids": Array(("0", "1", "2", "3")),
        },
    )
    assert body is not None
    assert (type(body["created_at"]), type(body["partition_count"])) == (Timestamp, Int)


async def test_a_partition_tells_its_ends(management: Management) -> None:
    partition = partition_of("d1", 4)
    status, body, _ = asked(management, type=PARTITION, partition=str(partition))
    assert (status, body) == (
        200,
        {
            "name": "hub",
            "type": PARTITION,
            "partition": str(partition),
            "begin_sequence_number": 0,
            "last_enqueued_sequence_number": 1,
            "last_enqueued_offset": "2",
            "last_enqueued_time_utc": 1_700_000_000_250,
            "is_partition_empty": False,
        },
    )
    assert body is not None
    assert type(body["last_enqueued_sequence_number"]) is int
    assert type(body["last_enqueued_time_utc"]) is Timestamp


async def test_an_empty_partition_says_so(management: Management) -> None:
    empty = (partition_of("d1", 4) + 1) % 4
    _, body, _ = asked(management, type=PARTITION, partition=str(empty))
    assert body is not None
    assert (body["last_enqueued_sequence_number"], body["last_enqueued_offset"]) == (-1, "-1")
    assert body["is_partition_empty"] is True


@pytest.mark.parametrize(
    ("said", "status", "condition"),
    [
        ({"type": EVENT_HUB, "operation": "WRITE"}, 501, "amqp:not-implemented"),
        ({"type": "com.microsoft:queue"}, 501, "amqp:not-implemented"),
        ({"type": EVENT_HUB, "name": "other"}, 404, "amqp:not-found"),
        ({"type": EVENT_HUB, "name": 7}, 404, "amqp:not-found"),
        ({"type": PARTITION, "partition": "4"}, 400, "com.microsoft:argument-out-of-range"),
        ({"type": PARTITION, "partition": "00"}, 400, "com.microsoft:argument-out-of-range"),
        ({"type": PARTITION}, 400, "com.microsoft:argument-out-of-range"),
    ],
)
async def test_other_requests_are_refused(
    management: Management, said: dict[str, object], status: int, condition: str
) -> None:
    assert asked(management, **said) == (status, None, condition)


@pytest.mark.parametrize("message_id", ["text", ULong(7), UUID(int=5), None])
async def test_the_answer_carries_the_id_in_its_own_type(management: Management, message_id: MessageId | None) -> None:
    reply = read_message(management.answer(request(message_id, {"type": EVENT_HUB})))
    assert reply.properties is not None
    assert reply.properties.correlation_id == message_id
    assert type(reply.properties.correlation_id) is type(message_id)


def test_a_request_without_anything_is_answered() -> None:
    log: Any = None
    assert b"status-code" in Management("hub", log).answer(AmqpMessage())


@pytest.mark.parametrize(("named", "number"), [("0", 0), ("3", 3), ("4", None), ("-1", None), (0, None), (None, None)])
def test_partitions_are_named_by_their_number_as_text(named: object, number: int | None) -> None:
    assert partition_number(named, 4) == number
