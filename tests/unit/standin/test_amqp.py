from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.performatives import ACCEPTED
from edgewire.message import identity
from standin.registry import symmetric_entry
from support.amqp_line import AmqpLine, text_message
from support.hub_line import House, house

LEAF = identity("leaf")


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    hall.hub.add(symmetric_entry(LEAF))
    yield hall
    await hall.close()


async def test_telemetry_is_accepted_once_it_is_kept(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    assert await line.settled(link, text_message(b"one", a="1")) == ACCEPTED
    [event] = hall.hub.events.read()
    assert (event.device, event.body, event.properties) == ("leaf", b"one", {"a": "1"})


async def test_a_batch_is_many_events_and_one_verdict(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    assert await line.settled_batch(link, [text_message(str(n).encode(), a="1") for n in range(300)]) == ACCEPTED
    assert [event.body for event in hall.hub.events.read()] == [str(n).encode() for n in range(300)]
    assert len(line.verdicts()) == 2
