"""What paho-mqtt does otherwise than this client: the rest is tried with a broker, in test_foreign_link.py."""

import socket
from collections.abc import Iterator

import pytest
from paho.mqtt import client as paho

from edgewire.codec.mqtt import v3
from edgewire.codec.mqtt.frames import FrameReader
from edgewire.codec.mqtt.packets import Connack, Connect, Puback, Publish, Subscribe
from gateway.head.foreign_client import MAX_FILTERS, BrokerClient, BrokerError, Connected
from gateway.observe.foreign import BrokerFault
from support.mqtt_reading import everything


class Pair:
    """A client and the other end of its socket."""

    def __init__(self) -> None:
        mine, self.peer = socket.socketpair()
        self.peer.settimeout(10)
        self.client = BrokerClient("gw", lambda: mine, is_5=False)
        self.client.connect_now("broker", 1883)
        self._frames = FrameReader(everything(4))

    def sent(self) -> list[object]:
        self._frames.push(self.peer.recv(65_536))
        return [v3.read(*frame, level=4) for frame in self._frames.rest()]

    def receive(self, *packets: Publish | Connack) -> None:
        self.peer.sendall(b"".join(map(v3.write, packets)))
        self.client.read()
        while self.client.has_more:
            self.client.read()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.client.close()
    pair.peer.close()


def publish(packet_id: int) -> Publish:
    return Publish("a/b", b"1", 1, retain=False, dup=False, packet_id=packet_id)


def test_this_is_the_version_whose_inside_is_known() -> None:
    assert vars(__import__("paho.mqtt", fromlist=["mqtt"]))["__version__"] == "1.6.1"
    assert "_send_puback" in paho.Client._handle_publish.__code__.co_names


def test_nothing_is_acknowledged_by_itself_and_all_in_one_piece_when_told(pair: Pair) -> None:
    (connect,) = pair.sent()
    assert isinstance(connect, Connect)
    pair.receive(Connack(session_present=True, code=0), publish(1), publish(2))
    assert pair.client.connected == Connected(0, session_present=True)
    assert [one.packet_id for one in pair.client.heard] == [1, 2]
    pair.client.acknowledge([1, 2])
    assert pair.sent() == [Puback(packet_id=1), Puback(packet_id=2)]


def test_what_was_read_ahead_is_told(pair: Pair) -> None:
    pair.peer.sendall(v3.write(Connack(session_present=False, code=0)) + v3.write(publish(1)))
    pair.client.read()
    more = [pair.client.has_more]
    pair.client.read()
    more.append(pair.client.has_more)
    pair.client.read()
    assert more == [True, False]
    assert [one.packet_id for one in pair.client.heard] == [1]


def test_a_broker_takes_a_few_filters_at_a_time(pair: Pair) -> None:
    pair.sent()
    pair.receive(Connack(session_present=False, code=0))
    filters = [f"t/{number}" for number in range(MAX_FILTERS + 1)]
    pair.client.want(filters)
    asked = [packet for packet in pair.sent() if isinstance(packet, Subscribe)]
    assert [len(packet.filters) for packet in asked] == [MAX_FILTERS, 1]


def test_the_end_of_the_connection_is_an_error(pair: Pair) -> None:
    pair.peer.shutdown(socket.SHUT_RDWR)
    with pytest.raises(BrokerError) as caught:
        pair.client.read()
    assert caught.value.fault is BrokerFault.DROPPED
