"""What a node sees of a connection, and what a connection does for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import ACCEPTED
from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.session.amqp.events import CreditReceived, DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Link, Role
from edgewire.transport.pump import Peer
from standin.admission import Realm
from standin.amqp import AmqpConnection
from standin.amqp_nodes import AmqpLine as NodeLine
from standin.amqp_nodes import Attached, Need
from standin.policies import Right
from support.amqp_line import AmqpLine, text_message
from support.hub_line import HUB_NAME, House, house

SERVICE = Need(right=Right.SERVICE_CONNECT)
EVENTS = Need(right=Right.SERVICE_CONNECT, realm=Realm.EVENTS, path=("hub", "Partitions", "0"))


class Heard(Attached):
    """A link that notes what it hears."""

    __slots__ = ("heard", "line", "link")

    def __init__(self, line: NodeLine, link: Link, need: Need | None) -> None:
        super().__init__(need)
        self.line = line
        self.link = link
        self.heard: list[str] = []

    def take(self, event: MessageReceived) -> None:
        self.heard.append("message")
        self.line.session.settle(event.link, (event.delivery_id,), ACCEPTED)
        self.line.flush_soon()

    def on_credit(self, event: CreditReceived) -> None:
        if self.heard:
            return  # one answer is enough
        self.heard.append("credit")
        self.line.session.send(event.link, b"answer")

    def on_state(self, event: DeliveryStateChanged) -> None:
        self.heard.append(f"settled {event.settled}")

    def on_writable(self) -> None:
        self.heard.append("writable")

    def on_detached(self) -> None:
        self.heard.append("detached")


class Echo:
    """A node at `/echo`."""

    def __init__(self, need: Need | None = None) -> None:
        self._need = need
        self.attached: list[Heard] = []

    def claims(self, address: str) -> bool:
        return address.startswith("/echo")

    def attach(self, line: NodeLine, link: Link) -> None:
        if link.address == "/echo/bad":
            raise ProtocolError("a bad echo")
        if self._need is not None and not line.may(self._need):
            line.refuse(link, conditions.UNAUTHORIZED_ACCESS, "no policy allows it")
            return
        self.attached.append(Heard(line, link, self._need))
        link.owner = self.attached[-1]
        line.session.accept_link(link)


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    yield hall
    await hall.close()


def policy_token(hall: House, resource: str = HUB_NAME, policy: str = "service", life_s: int = 3600) -> str:
    found = hall.hub.policies.get(policy)
    assert found is not None
    keys = found.text_keys() if resource.startswith("sb") else found.signing_keys()
    return sas.make(resource, keys[0], int(hall.wall_clock.now) + life_s, policy)


async def test_a_node_has_the_links_of_its_addresses(hall: House) -> None:
    echo = Echo()
    line = AmqpLine(hall, nodes=(echo,))
    session = await line.open()
    sender = await line.attach(session, "/echo")
    await line.until(lambda: sender.credit > 0)
    assert await line.settled(sender, text_message()) == ACCEPTED
    receiver = await line.attach(session, "/echo", Role.RECEIVER)
    await line.until(lambda: len(line.messages(receiver)) == 1)
    line.client.settle(receiver, (line.messages(receiver)[0].delivery_id,), ACCEPTED)
    line.carry()
    line.owner.on_sending_paused()
    assert echo.attached[0].line.is_choked
    line.owner.on_sending_resumed()
    line.client.detach(sender)
    await line.until_detached(sender)
    line.abort()
    await line.until_closed()
    assert [each.heard for each in echo.attached] == [
        ["message", "writable", "detached"],
        ["credit", "settled True", "writable", "detached"],
    ]
    assert echo.attached[0].line.is_closing


async def test_a_node_sees_who_is_there(hall: House) -> None:
    echo = Echo()
    line = AmqpLine(hall, nodes=(echo,))
    await line.attach(await line.open(), "/echo")
    seen = echo.attached[0].line
    assert (seen.hostname, seen.peer.address, seen.guest) == (HUB_NAME, "127.0.0.1", None)


@pytest.mark.parametrize("address", ["/echo/bad", "/elsewhere"])
async def test_an_address_of_nobody_is_refused(hall: House, address: str) -> None:
    line = AmqpLine(hall, nodes=(Echo(),))
    link = await line.attach(await line.open(), address)
    assert await line.until_detached(link) == conditions.NOT_ALLOWED


@pytest.mark.parametrize(
    ("need", "resource", "policy", "allowed"),
    [
        (SERVICE, HUB_NAME, "service", True),
        (SERVICE, f"https://{HUB_NAME}", "iothubowner", True),
        (SERVICE, HUB_NAME, "registryRead", False),
        (SERVICE, f"sb://{HUB_NAME}/hub", "service", False),
        (EVENTS, f"sb://{HUB_NAME}/HUB", "service", True),
        (EVENTS, f"sb://{HUB_NAME}/hub/partitions/0", "service", True),
        (EVENTS, f"sb://{HUB_NAME}/hub/partitions/1", "service", False),
        (EVENTS, HUB_NAME, "iothubowner", False),
    ],
)
async def test_a_token_of_a_policy_gives_what_it_is_for(
    hall: House, need: Need, resource: str, policy: str, *, allowed: bool
) -> None:
    line = AmqpLine(hall, nodes=(Echo(need),))
    session = await line.open()
    assert (await line.put(await line.cbs(session), policy_token(hall, resource, policy))).status == 200
    link = await line.attach(session, "/echo")
    if allowed:
        assert link.credit > 0
    else:
        assert await line.until_detached(link) == conditions.UNAUTHORIZED_ACCESS


async def test_a_policy_logs_in_by_plain(hall: House) -> None:
    response = f"\0service@sas.root.hub\0{policy_token(hall)}".encode()
    line = AmqpLine(hall, sasl="PLAIN", response=response, nodes=(Echo(SERVICE),))
    link = await line.attach(await line.open(), "/echo")
    assert link.credit > 0


async def test_a_policy_with_another_token_is_turned_away(hall: House) -> None:
    response = f"\0iothubowner@sas.root.hub\0{policy_token(hall)}".encode()
    line = AmqpLine(hall, sasl="PLAIN", response=response)
    await line.until_closed()
    assert hall.hub.counters["refused: token for another audience"] == 1


async def test_a_link_ends_with_the_token_it_needs_unless_there_is_a_newer_one(hall: House) -> None:
    echo = Echo(SERVICE)
    line = AmqpLine(hall, nodes=(echo,))
    session = await line.open()
    cbs = await line.cbs(session)
    hall.wall_clock.now += 0.98
    assert (await line.put(cbs, policy_token(hall, life_s=1))).status == 200
    link = await line.attach(session, "/echo")
    hall.wall_clock.now += 0.1
    assert await line.until_detached(link) == conditions.UNAUTHORIZED_ACCESS
    assert echo.attached[0].heard[-1] == "detached"
    assert (await line.put(cbs, policy_token(hall))).status == 200
    assert (await line.attach(session, "/echo")).attached


class Doorkeeper:
    """Knows guests by their names."""

    def knows(self, name: str) -> bool:
        return name.startswith("guest/")

    def log_in(self, name: str, token: str, peer: Peer) -> object | None:
        return (name, peer.address) if token == "good" else None


@pytest.mark.parametrize(("token", "guest"), [("good", ("guest/1", "127.0.0.1")), ("bad", None)])
async def test_a_name_of_others_is_for_them_to_judge(hall: House, token: str, guest: object) -> None:
    echo = Echo()
    line = AmqpLine(hall, sasl="PLAIN", response=f"\0guest/1\0{token}".encode(), nodes=(echo,))
    line.owner._guests = (Doorkeeper(),)
    assert isinstance(line.owner, AmqpConnection)
    if guest is None:
        await line.until_closed()
        return
    await line.attach(await line.open(), "/echo")
    assert echo.attached[0].line.guest == guest
