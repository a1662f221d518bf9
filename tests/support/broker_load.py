"""Machines of a site that publish numbered messages to the broker beside them."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from paho.mqtt import client as paho

from standin.events import Event
from support.azure_device import blocking
from support.gateway_site import until


class Machine:
    """One client of the broker, without TLS."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._answered: set[int] = set()
        self._client = paho.Client()
        self._client.max_inflight_messages_set(0)  # paho's own bound is not what is tried
        self._client.on_publish = lambda _client, _data, packet_id: self._answered.add(packet_id)
        self._client.on_socket_register_write = lambda *_: None  # write in paho's own thread alone

    @property
    def acknowledged(self) -> set[int]:
        """The numbers that the broker has said it has."""
        return {number for packet_id, number in self._numbers.items() if packet_id in self._answered}

    @property
    def is_done(self) -> bool:
        """Whether the broker has said so of all."""
        return self._answered >= self._numbers.keys()

    def start(self, address: str) -> None:
        """Connect. Blocks."""
        self._client.connect(address, 1883)
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye. Blocks."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, number: int, *, retain: bool = False) -> None:
        """Say this number, with QoS 1."""
        sent = self._client.publish(topic, f'{{"n": {number}}}', qos=1, retain=retain)
        self._numbers[sent.mid] = number


@asynccontextmanager
async def machine(address: str) -> AsyncIterator[Machine]:
    """A machine that is connected to the broker; at the end the broker has acknowledged all it was sent."""
    mine = Machine()
    await blocking(mine.start, address)
    try:
        yield mine
        await until(lambda: mine.is_done)
    finally:
        await blocking(mine.stop)


def repeats_without_mark(events: Sequence[Event]) -> list[bytes]:
    """Bodies that came more than once as what the gateway took for new messages, more often than marks say.

    What the gateway itself sends again has the same message id, and counts once.
    """
    messages = {(event.body, event.system["messageId"]): event for event in events}
    new = Counter(
        body for (body, _), event in messages.items() if not {"mqtt-dup", "mqtt-retain"} & set(event.properties)
    )
    return [body for body, count in new.items() if count > 1]
