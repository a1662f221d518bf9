"""Two engines do whatever comes: nothing is lost, doubled or out of order, and neither finds fault with the other."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.codec.amqp.performatives import ACCEPTED, RELEASED, SECOND, Accepted, Released
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import (
    AmqpEvent,
    AttachReceived,
    CreditReceived,
    DeliveryStateChanged,
    LinkDetached,
    MessageReceived,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery, Link
from edgewire.session.amqp.server import AmqpServer
from edgewire.session.amqp.session import Session
from support.amqp_pair import Pair

Engine = AmqpClient | AmqpServer
Action = tuple[str, int, int]

TIGHT = AmqpLimits(max_frame=512, incoming_window=4, max_unsettled=6)


@dataclass(eq=False)
class Lane:
    """One link, from its sender's end to its receiver's, and what went over it."""

    sender: Engine
    receiver: Engine
    out: Link
    into: Link | None = None
    sent: list[bytes] = field(default_factory=list)
    arrived: list[bytes] = field(default_factory=list)
    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    deliveries: dict[bytes, Delivery] = field(default_factory=dict)
    decided: dict[bytes, Accepted | Released] = field(default_factory=dict)


class World:
    """Both engines, and an owner on each side that keeps book."""

    def __init__(self, limits: AmqpLimits) -> None:
        self.pair = Pair(client_limits=limits, server_limits=limits)
        self.pair.open()
        self.sessions: list[Session] = [self.pair.begin()]
        self.lanes: list[Lane] = []
        self.ends: dict[Link, Lane] = {}
        self.count = 0

    def carry(self) -> None:
        """All bytes, and what the owners do about what they mean; until it is quiet."""
        while True:
            self.pair.transfer()
            client, server = [*self.pair.client_events], [*self.pair.server_events]
            self.pair.forget()
            if not client and not server:
                return
            for event in server:
                if isinstance(event, AttachReceived):
                    self._accept(event.link)
            for engine, events in ((self.pair.client, client), (self.pair.server, server)):
                for event in events:
                    self._note(engine, event)

    def _accept(self, link: Link) -> None:
        lane = self.lanes[int(link.name)]
        if lane.into is None:
            lane.into = link
        else:
            lane.out = link
        self.ends[link] = lane
        self.pair.server.accept_link(link, credit=2)

    def _note(self, engine: Engine, event: AmqpEvent) -> None:
        match event:
            case MessageReceived():
                lane = self.ends[event.link]
                lane.arrived.append(event.payload)
                lane.waiting.append((event.delivery_id, event.payload))
            case DeliveryStateChanged():
                lane = self.ends[event.link]
                [payload] = [one for one, delivery in lane.deliveries.items() if delivery is event.delivery]
                assert event.state == lane.decided[payload]
                engine.settle_sent(event.link, event.delivery, event.state)
                assert payload in lane.deliveries
            case CreditReceived() if event.drain:
                engine.drained(event.link)
            case LinkDetached() | SessionEnded():
                assert event.error is None
            case _:
                pass

    def do(self, action: Action) -> None:
        """One thing that an owner may want at any time."""
        name, a, b = action
        if name == "carry":
            self.carry()
        elif name == "begin" and len(self.sessions) < 4:
            self.sessions.append(self.pair.client.begin())
        elif name == "attach":
            self._attach(self.sessions[a % len(self.sessions)], b)
        elif name == "end":
            session = self.sessions[a % len(self.sessions)]
            theirs = [one for one in self.pair.server.sessions if one.channel == session.peer_channel]
            if b % 2 and theirs:
                self.pair.server.end(theirs[0])
            else:
                self.pair.client.end(session)
        elif self.lanes:
            self._do_with(self.lanes[a % len(self.lanes)], name, b)

    def _attach(self, session: Session, kind: int) -> None:
        if len(self.lanes) >= 8:
            return
        client, server, name = self.pair.client, self.pair.server, str(len(self.lanes))
        if kind % 3 == 0:
            link = client.attach_sender(session, name, "a")
            lane = Lane(client, server, link)
        else:
            mode = SECOND if kind % 3 == 2 else 0
            link = client.attach_receiver(session, name, "a", rcv_settle_mode=mode, credit=2)
            lane = Lane(server, client, link, link)
        self.lanes.append(lane)
        self.ends[link] = lane

    def _do_with(self, lane: Lane, name: str, b: int) -> None:
        if name == "send":
            self.count += 1
            payload = b"%d " % self.count + bytes(b * 13)
            delivery = lane.sender.send(lane.out, payload) if lane.out is not lane.into else None
            if delivery is not None:
                lane.sent.append(payload)
                lane.deliveries[payload] = delivery
        elif lane.into is None:
            return
        elif name == "settle":
            self.settle(lane, b)
        elif name == "grant":
            lane.receiver.grant(lane.into, b % 4)
        elif name == "drain":
            lane.receiver.drain(lane.into)
        elif name == "detach":
            lane.sender.detach(lane.out) if b % 2 else lane.receiver.detach(lane.into)

    def settle(self, lane: Lane, count: int) -> None:
        """Answer some of what has arrived."""
        if lane.into is None:
            return
        part, lane.waiting = lane.waiting[:count], lane.waiting[count:]
        state = RELEASED if count % 2 else ACCEPTED
        lane.decided |= {payload: state for _, payload in part}
        lane.receiver.settle(lane.into, [one for one, _ in part], state)


actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["carry", "send", "send", "send", "settle", "grant", "attach", "drain", "detach", "begin", "end"]
        ),
        st.integers(0, 7),
        st.integers(0, 200),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(actions, st.sampled_from([TIGHT, AmqpLimits()]))
def test_two_engines_never_find_fault_with_each_other(steps: list[Action], limits: AmqpLimits) -> None:
    world = World(limits)
    world._attach(world.sessions[0], 0)
    world._attach(world.sessions[0], 1)
    world.carry()
    for step in steps:
        world.do(step)
    for _ in range(60):
        world.carry()
        for lane in world.lanes:
            world.settle(lane, len(lane.waiting))
    for lane in world.lanes:
        assert lane.arrived == lane.sent[: len(lane.arrived)]
        if lane.into is not None and lane.into.attached and lane.out.attached:
            assert lane.arrived == lane.sent
            assert lane.into.unsettled == set()
            assert lane.out.deliveries == {}
            assert {payload: one.state for payload, one in lane.deliveries.items()} == lane.decided
    world.pair.client.close()
    world.carry()
    assert (world.pair.client.dead, world.pair.server.dead) == (True, True)
