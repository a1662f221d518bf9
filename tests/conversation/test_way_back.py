"""A hub's queue, and a device that comes and goes by MQTT and AMQP: each message is completed once, in its order."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.codec.amqp.performatives import ACCEPTED, RELEASED, DeliveryState, Modified
from edgewire.codec.mqtt.packets import Puback, Publish
from edgewire.message import identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from gateway.dispatch.delivery import Settlement
from gateway.dispatch.presence import Ending
from support.amqp_site import AmqpSite, Client
from support.mqtt_site import Device, subscription
from support.way_back import QueueSource, cloud_message

D1 = identity("d1")
C2D = "devices/d1/messages/devicebound/#"
DEVICEBOUND = "/devices/d1/messages/devicebound"
GIVEN_BACK: tuple[DeliveryState, ...] = (RELEASED, Modified(delivery_failed=True))
Action = tuple[str, int]


class MqttSide:
    """The device by MQTT; it acknowledges when it is told to."""

    def __init__(self, site: AmqpSite) -> None:
        self._device: Device = site.login()
        self._device.send(subscription(C2D))
        self._held: list[Publish] = []
        self.got: list[int] = []

    def look(self) -> None:
        """What has come."""
        publishes = [packet for packet in self._device.received() if isinstance(packet, Publish)]
        self._held += publishes
        self.got += [int(publish.payload) for publish in publishes]

    def settle(self, count: int) -> None:
        """Acknowledge the oldest."""
        self.look()
        for publish in self._held[:count]:
            self._device.send(Puback(packet_id=publish.packet_id))
        del self._held[:count]

    def give_back(self, count: int) -> None:
        """MQTT has no word for it."""

    def lose(self) -> None:
        """The socket is gone."""
        self.look()
        self._device.lose()


class AmqpSide:
    """The device by AMQP, with some credit or more."""

    def __init__(self, site: AmqpSite, credit: int) -> None:
        self._client: Client
        self._client, session = site.by_token("d1")
        self._link: Link = self._client.receiver(session, DEVICEBOUND, credit=credit)
        self._credit = credit
        self._held: list[MessageReceived] = []
        self._seen = 0
        self.got: list[int] = []

    def look(self) -> None:
        """What has come."""
        events = [event for event in self._client.said(MessageReceived) if event.link is self._link]
        messages = self._client.received(self._link)
        self.got += [int(message.body) for message in messages[self._seen :] if isinstance(message.body, bytes)]
        self._held += events[self._seen :]
        self._seen = len(events)

    def settle(self, count: int) -> None:
        """Accept the oldest, and ask for more."""
        self._answer(count, ACCEPTED)

    def give_back(self, count: int) -> None:
        """Give back the oldest."""
        self._answer(count, GIVEN_BACK[count % 2])

    def lose(self) -> None:
        """The socket is gone."""
        self.look()
        self._client.lose()

    def _answer(self, count: int, state: DeliveryState) -> None:
        self.look()
        for event in self._held[:count]:
            self._client.engine.settle(self._link, [event.delivery_id], state)
        del self._held[:count]
        self._client.engine.grant(self._link, self._credit)
        self._client.transfer()


class World:
    """A site, a hub's queue, and the connections of one device, newest last."""

    def __init__(self, site: AmqpSite) -> None:
        self.site = site
        self.source = QueueSource(site.delivery)
        site.delivery.use(self.source)
        self.sides: list[MqttSide | AmqpSide] = []
        self.sent = 0

    def do(self, action: str, number: int) -> None:
        """One thing that may happen."""
        match action:
            case "send":
                for _ in range(number):
                    self.sent += 1
                    self.source.send(D1, cloud_message(b"%d" % self.sent, sequence_number=self.sent))
            case "mqtt":
                self.sides.append(MqttSide(self.site))
            case "amqp":
                self.sides.append(AmqpSide(self.site, number))
            case "reconnect":
                self.source.reconnect()
            case "end":
                self.site.presence.end([D1], Ending.CREDENTIALS_CHANGED)
            case _ if self.sides:
                self.do_to(self.sides[-1], action, number)

    def do_to(self, side: MqttSide | AmqpSide, action: str, number: int) -> None:
        """One thing that the device may do."""
        match action:
            case "settle":
                side.settle(number)
            case "give back":
                side.give_back(number)
            case _:
                side.lose()

    def finish(self) -> None:
        """A device that takes all that is left."""
        last = MqttSide(self.site)
        while (before := len(completed(self.source))) < self.sent:
            last.settle(50)
            assert len(completed(self.source)) > before, f"{before} of {self.sent} completed, and nothing comes"


async def live(actions: list[Action]) -> None:
    """Do it all, then let the device settle whatever is left."""
    with tempfile.TemporaryDirectory() as folder:
        async with AmqpSite.open(Path(folder)) as site:
            world = World(site)
            for action, number in actions:
                world.do(action, number)
                check_order(world.sides)
            world.finish()
            assert sorted(completed(world.source)) == list(range(1, world.sent + 1))
            assert world.source.waiting(D1) == []


def completed(source: QueueSource) -> list[int]:
    return [int(message.body) for message, how in source.settled if how is Settlement.COMPLETED]


def check_order(sides: list[MqttSide | AmqpSide]) -> None:
    """Who is new on a connection, is new in the queue's order; only what was there before comes again."""
    for side in sides:
        side.look()
        firsts = list(dict.fromkeys(side.got))
        assert firsts == sorted(firsts)


ACTIONS = st.tuples(
    st.sampled_from(["send", "send", "mqtt", "amqp", "settle", "settle", "give back", "lose", "end", "reconnect"]),
    st.integers(1, 12),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTIONS, max_size=40))
def test_each_message_is_completed_once_whatever_happens_to_its_device(actions: list[Action]) -> None:
    asyncio.run(live(actions))
