import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgewire.message import Envelope, Message, Outcome, identity, local_topic
from gateway.broker.broker import LocalBroker
from gateway.broker.disk import BROKER_FILE, BrokerDisk
from gateway.broker.messages import Parcel, Subscription
from gateway.upstream.local_topic import LocalTopic
from gateway.upstream.proxy import LinkState, Sent


@dataclass
class Stored:
    """What the store gives."""

    message: Message
    entry_id: str = "1"
    received_at_ms: int = 0


def entry(**properties: str | None) -> Stored:
    envelope = Envelope(sender=identity("d1"), properties=properties, system={"contentType": "application/json"})
    return Stored(Message(envelope, b"{}"))


class Line:
    """A client that takes everything."""

    def __init__(self) -> None:
        self.sent: list[Parcel] = []

    def send(self, parcel: Parcel, _packet_id: int | None) -> int | None:
        self.sent.append(parcel)
        return 0


@pytest.fixture
async def line() -> Line:
    return Line()


@pytest.fixture
async def broker(tmp_path: Path, line: Line) -> AsyncIterator[LocalBroker]:
    loop = asyncio.get_running_loop()
    disk = BrokerDisk(tmp_path / BROKER_FILE, lambda _: None)
    made = LocalBroker(disk, emit=lambda _: None, clock=lambda: 0.0, later=loop.call_soon)
    session, _ = made.enter(("u", "c"), line, clean=True, expiry_s=0, bridge=False)
    made.subscribe(session, [("#", Subscription(qos=1))], lambda _: None)
    yield made
    made.close()


async def test_a_message_is_published_on_the_topic_that_comes_of_it(broker: LocalBroker, line: Line) -> None:
    endpoint = local_topic("alerts/{device}/{kind}")
    proxy = LocalTopic(broker, endpoint, lambda: 7.0)
    assert await proxy.send(entry(kind="hot", none=None), endpoint) == Sent(Outcome.ACCEPTED)
    (parcel,) = line.sent
    assert (parcel.message.topic, parcel.message.payload, parcel.qos) == ("alerts/d1/hot", b"{}", 1)
    assert parcel.message.extras.content_type == "application/json"
    assert parcel.message.extras.user_properties == (("kind", "hot"),)
    assert proxy.status().last_success_at == 7.0


async def test_a_message_without_a_topic_is_rejected_with_the_reason(broker: LocalBroker, line: Line) -> None:
    endpoint = local_topic("alerts/{kind}")
    proxy = LocalTopic(broker, endpoint, lambda: 7.0)
    sent = await proxy.send(entry(), endpoint)
    assert sent.outcome is Outcome.REJECTED
    assert "{kind}" in sent.reason
    assert line.sent == []


async def test_a_topic_of_older_settings_that_is_none_rejects_what_waits(broker: LocalBroker) -> None:
    endpoint = local_topic("a/#")
    sent = await LocalTopic(broker, endpoint, lambda: 7.0).send(entry(), endpoint)
    assert (sent.outcome, "wildcard" in sent.reason) == (Outcome.REJECTED, True)


async def test_there_is_no_link_that_could_be_down(broker: LocalBroker) -> None:
    proxy = LocalTopic(broker, local_topic("a"), lambda: 7.0)
    await proxy.connected()
    proxy.on_wider(lambda: None)
    assert proxy.status().state is LinkState.CONNECTED
    assert proxy.window().max_messages > 0
    running = asyncio.ensure_future(proxy.run())
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
