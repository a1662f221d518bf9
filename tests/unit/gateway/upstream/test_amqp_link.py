import asyncio
from collections.abc import Callable

import pytest

from edgewire.codec.amqp.performatives import Accepted, DeliveryState, Error
from edgewire.iothub import sas
from edgewire.message import Identity, identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery, Link
from edgewire.transport.pump import Accept
from gateway.identity.neighbours import Neighbours
from gateway.observe.upstream import LinkFault
from gateway.upstream.amqp_link import FLUSH_BYTES, MAX_PUTS, AmqpLink, LinkFailedError
from support.amqp_hub import FakeHub, HubConnection, unreachable

LIMIT_S = 10.0
D1 = identity("d1")
TOKEN = sas.make(sas.resource_of("hub.example", D1), b"k" * 32, 1_900_000_000)


class Listener:
    def __init__(self) -> None:
        self.lost: list[tuple[LinkFault, str]] = []
        self.heard = asyncio.Event()
        self.rooms = 0

    def on_lost(self, fault: LinkFault, reason: str) -> None:
        self.lost.append((fault, reason))
        self.heard.set()

    def on_room(self) -> None:
        self.rooms += 1


class LinkUser:
    """Writes down what a link tells."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.heard = asyncio.Event()

    def _note(self, what: object) -> None:
        self.calls.append(what)
        self.heard.set()

    def on_attached(self) -> None:
        self._note("attached")

    def on_credit(self) -> None:
        self._note("credit")

    def on_state(self, delivery: Delivery, state: DeliveryState | None) -> None:
        assert delivery.settled
        self._note(state)

    def on_detached(self, error: Error | None) -> None:
        self._note(None if error is None else error.condition)

    def on_ended(self, error: Error | None) -> None:
        self._note(("ended", None if error is None else error.condition))

    def on_message(self, event: MessageReceived) -> None:
        self._note(event.payload)


def attached(connection: AmqpLink, who: Identity, user: LinkUser) -> Link:
    """A link for telemetry in a session of its own."""
    session = connection.begin(user)
    assert session is not None
    return connection.attach(session, who, user)


async def opened(hub: FakeHub) -> tuple[AmqpLink, Listener]:
    listener = Listener()
    link = AmqpLink(listener, hub.dial, hostname="hub.example", limits=AmqpLimits())
    async with asyncio.timeout(LIMIT_S):
        await link.open()
    return link, listener


async def heard(user: LinkUser, count: int) -> list[object]:
    async with asyncio.timeout(LIMIT_S):
        while len(user.calls) < count:
            user.heard.clear()
            await user.heard.wait()
    return user.calls


async def test_more_tokens_than_go_at_once_are_all_put() -> None:
    hub = FakeHub()
    link, _ = await opened(hub)
    answers: list[int] = []
    done = asyncio.Event()

    def taken(status: int, _said: str) -> None:
        answers.append(status)
        if len(answers) == 3 * MAX_PUTS:
            done.set()

    for _ in range(3 * MAX_PUTS):
        link.put_token("hub.example/devices/d1", TOKEN, taken)
    link.flush()
    await asyncio.wait_for(done.wait(), LIMIT_S)
    assert answers == [200] * 3 * MAX_PUTS
    await link.close(1)


async def test_a_link_of_a_device_carries_and_ends() -> None:
    hub = FakeHub()
    listening, listener = await opened(hub)
    user = LinkUser()
    link = attached(listening, D1, user)
    listening.flush()
    assert await heard(user, 2) == ["attached", "credit"]
    assert listening.send(link, b"\x00Su\xa0\x01x", 0) is not None
    listening.flush()
    assert (await heard(user, 3))[2] == Accepted()
    assert hub.bodies("d1") == [b"x"]
    listening.end(link.session)
    listening.flush()
    await listening.close(1)
    assert user.calls[3:] == []
    assert listener.lost == []


async def test_much_is_given_to_the_transport_at_once_and_no_more_while_it_is_full() -> None:
    hub = FakeHub()
    listening, listener = await opened(hub)
    user = LinkUser()
    link = attached(listening, D1, user)
    listening.flush()
    await heard(user, 2)
    part = b"\x00Su\xb0" + (FLUSH_BYTES // 2).to_bytes(4, "big") + b"x" * (FLUSH_BYTES // 2)
    assert listening.send(link, part, 0) is not None
    assert listening.send(link, part, 0) is not None
    assert await heard(user, 4)
    listening.on_sending_paused()
    assert listening.send(link, part, 0) is None
    listening.on_sending_resumed()
    assert listener.rooms == 1
    assert listening.send(link, part, 0) is not None
    await listening.close(1)


async def test_a_refused_link_tells_why() -> None:
    hub = FakeHub(refused={"d1": Error(condition="amqp:not-allowed")})
    listening, _ = await opened(hub)
    user = LinkUser()
    attached(listening, D1, user)
    listening.flush()
    assert await heard(user, 1) == ["amqp:not-allowed"]
    await listening.close(1)


async def test_a_session_that_ends_takes_its_link_along() -> None:
    hub = FakeHub()
    listening, listener = await opened(hub)
    user = LinkUser()
    attached(listening, D1, user)
    listening.flush()
    await heard(user, 2)
    far = hub.connection
    far.server.end(far.links[D1].session, "amqp:session:window-violation", "told to")
    far.pump.flush()
    assert (await heard(user, 3))[2] == ("ended", "amqp:session:window-violation")
    assert listener.lost == []
    await listening.close(1)


async def test_a_peer_without_room_for_sessions_gives_none() -> None:
    hub = FakeHub(limits=AmqpLimits(channel_max=1))
    listening, _ = await opened(hub)
    assert listening.max_devices == 1
    assert listening.begin(LinkUser()) is not None
    assert listening.begin(LinkUser()) is None
    await listening.close(1)


def close_politely(far: HubConnection) -> None:
    far.server.close("amqp:connection:forced", "going down")
    far.pump.flush()


def break_the_protocol(far: HubConnection) -> None:
    far.wire.write(b"nonsense that is no frame")


def take_no_tokens(far: HubConnection) -> None:
    assert far.cbs is not None
    far.server.detach(far.cbs, "amqp:internal-error", "no more")
    far.pump.flush()


def end_the_tokens(far: HubConnection) -> None:
    assert far.cbs is not None
    far.server.end(far.cbs.session)
    far.pump.flush()


def vanish(far: HubConnection) -> None:
    far.wire.abort()


@pytest.mark.parametrize(
    ("how", "fault", "says"),
    [
        (close_politely, LinkFault.DROPPED, "closed the connection: amqp:connection:forced going down"),
        (break_the_protocol, LinkFault.OTHER, "broke the protocol"),
        (take_no_tokens, LinkFault.DROPPED, "takes no tokens any more: amqp:internal-error no more"),
        (end_the_tokens, LinkFault.DROPPED, "takes no tokens any more"),
        (vanish, LinkFault.DROPPED, "the connection to hub.example is gone"),
    ],
)
async def test_the_end_of_a_connection_is_told_once(
    how: Callable[[HubConnection], None], fault: LinkFault, says: str
) -> None:
    hub = FakeHub()
    link, listener = await opened(hub)
    how(hub.connection)
    await asyncio.wait_for(listener.heard.wait(), LIMIT_S)
    await asyncio.wait_for(hub.connection.closed.wait(), LIMIT_S)
    await link.close(1)
    [(lost, reason)] = listener.lost
    assert lost is fault
    assert says in reason


async def test_an_end_before_it_is_open_is_raised() -> None:
    class Vanishing(FakeHub):
        """Takes the connection and is gone."""

        async def dial(self, accept: Accept) -> None:
            await super().dial(accept)
            self.drop()

    link = AmqpLink(Listener(), Vanishing().dial, hostname="hub.example", limits=AmqpLimits())
    with pytest.raises(LinkFailedError, match="is gone"):
        await link.open()


async def test_a_way_that_leads_to_this_gateway_itself_is_none() -> None:
    neighbours = Neighbours()
    neighbours.name = "hub"  # as the other end calls itself
    link = AmqpLink(Listener(), FakeHub().dial, hostname="hub.example", limits=AmqpLimits(), neighbours=neighbours)
    with pytest.raises(LinkFailedError, match=r"hub\.example is this gateway itself: set another place"):
        await link.open()


async def test_it_is_known_where_the_way_leads() -> None:
    neighbours = Neighbours()
    link = AmqpLink(Listener(), FakeHub().dial, hostname="hub.example", limits=AmqpLimits(), neighbours=neighbours)
    await link.open()
    assert neighbours.is_above("hub")
    await link.close(1)


async def test_nobody_there_is_raised_as_it_is() -> None:
    hub = FakeHub(faults=[unreachable()])
    link = AmqpLink(Listener(), hub.dial, hostname="hub.example", limits=AmqpLimits())
    with pytest.raises(Exception, match="connection refused"):
        await link.open()
    await link.close(1)
    link.abort()
