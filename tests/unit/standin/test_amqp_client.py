from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgewire.iothub.amqp.addresses import Purpose, format_address
from edgewire.iothub.bag import Bag
from edgewire.message import Identity, identity
from edgewire.session.amqp.link import Role
from standin.amqp import LIMITS
from standin.amqp_client import CONDITIONS, AmqpClient, serves
from standin.devicebound import C2dMessage
from standin.hub import Closing
from standin.registry import symmetric_entry
from support.amqp_line import AmqpLine
from support.hub_line import House, house

LEAF = identity("leaf")
MODULE = identity("edge-1", "m1")


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    hall.hub.add(symmetric_entry(LEAF))
    yield hall
    await hall.close()


class FakeConnection:
    def __init__(self, line: AmqpLine) -> None:
        self.session = line.server
        self.is_choked = False
        self.cuts: list[tuple[Identity, Closing]] = []
        self.aborted = 0
        self.flushed = 0

    def cut(self, who: Identity, reason: Closing) -> None:
        self.cuts.append((who, reason))

    def abort(self) -> None:
        self.aborted += 1

    def flush_soon(self) -> None:
        self.flushed += 1


@pytest.mark.parametrize(
    ("who", "purpose", "role", "served"),
    [
        (LEAF, Purpose.EVENTS, Role.RECEIVER, True),
        (LEAF, Purpose.EVENTS, Role.SENDER, False),
        (MODULE, Purpose.EVENTS, Role.SENDER, True),
        (LEAF, Purpose.DEVICEBOUND, Role.SENDER, True),
        (LEAF, Purpose.DEVICEBOUND, Role.RECEIVER, False),
        (MODULE, Purpose.DEVICEBOUND, Role.SENDER, False),
        *(
            (who, purpose, role, True)
            for who in (LEAF, MODULE)
            for purpose in (Purpose.METHODS, Purpose.TWIN)
            for role in Role
        ),
    ],
)
def test_links_have_their_directions(who: Identity, purpose: Purpose, role: Role, *, served: bool) -> None:
    assert serves(who, (purpose, role)) is served


async def test_closing_one_identity_is_for_the_connection_to_do(hall: House) -> None:
    connection = FakeConnection(AmqpLine(hall))
    client = AmqpClient(hall.hub, connection, LEAF)
    client.close(Closing.TAKEN_OVER)
    client.abort()
    assert (connection.cuts, connection.aborted) == ([(LEAF, Closing.TAKEN_OVER)], 1)
    assert client.identity == LEAF


async def test_without_links_nothing_is_sent(hall: House) -> None:
    client = AmqpClient(hall.hub, FakeConnection(AmqpLine(hall)), LEAF)
    hall.hub.send_c2d(LEAF, C2dMessage(Bag({}, {}), b"on"))
    client.wants_desired = True
    client.send_desired({"$version": 1})
    client.send_inputs()
    client.send_devicebound()
    assert client.send_method("1", "reboot", b"{}") is False
    message = hall.hub.lock_c2d(LEAF)
    assert message is not None
    assert message.delivery_count == 0


async def test_a_peer_that_does_not_read_is_sent_nothing(hall: House) -> None:
    line = AmqpLine(hall)
    session = (await line.enter(LEAF)).session
    link = await line.attach(session, format_address(LEAF, Purpose.DEVICEBOUND), Role.RECEIVER)
    line.client.grant(link, 10)
    line.carry()
    line.owner.on_sending_paused()
    hall.hub.send_c2d(LEAF, C2dMessage(Bag({}, {}), b"on"))
    line.carry()
    assert line.messages(link) == []
    line.owner.on_sending_resumed()
    await line.until(lambda: len(line.messages(link)) == 1)


async def test_what_the_peer_has_no_room_for_is_rejected(hall: House) -> None:
    line = AmqpLine(hall, client_limits=replace(LIMITS, max_message_size=1_000))
    session = (await line.enter(LEAF)).session
    link = await line.attach(session, format_address(LEAF, Purpose.DEVICEBOUND), Role.RECEIVER)
    for body in (bytes(1_000), b"on"):
        hall.hub.send_c2d(LEAF, C2dMessage(Bag({}, {}), body))
    await line.until(lambda: len(line.messages(link)) == 1)
    assert hall.hub.counters["messages larger than the peer takes"] == 1
    assert (hall.hub.counters["c2d rejected"], hall.hub.c2d_waiting(LEAF)) == (1, 1)


def test_every_reason_has_its_condition() -> None:
    assert set(CONDITIONS) == set(Closing)
