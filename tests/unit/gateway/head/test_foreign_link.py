"""The thread that is a client: what it says to a broker, and when; over breaks, refusals and nonsense."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgewire.codec.mqtt.packets import (
    Connack,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from edgewire.codec.mqtt.properties import ConnackProperties, PublishProperties
from edgewire.transport.backoff import Backoff
from gateway.head import foreign_client, foreign_link
from gateway.head.foreign_dialing import BrokerSettings
from gateway.head.foreign_known import KnownFilters
from gateway.head.foreign_link import BrokerLink
from gateway.head.foreign_session import Heard
from gateway.observe.events import Event
from gateway.observe.foreign import (
    BrokerConnected,
    BrokerFault,
    BrokerLost,
    BrokerNotesNotKept,
    BrokerSessionLost,
    BrokerSubscribed,
    BrokerSubscriptionRefused,
    BrokerTryFailed,
)
from support.gateway_site import until
from support.scripted_broker import ScriptedBroker

VERSIONS = pytest.mark.parametrize("level", [4, 5])


class Told:
    """Who is told by the thread."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.repeats = 0
        self.events: list[Event] = []

    def hear(self, heard: Sequence[Heard], repeats: int) -> None:
        self.repeats += repeats
        self.heard += heard  # last: it is what tests wait for

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def first(self, kind: type[Event]) -> Event | None:
        return next((event for event in self.events if isinstance(event, kind)), None)

    async def event(self, kind: type[Event]) -> Event:
        await until(lambda: self.first(kind) is not None)
        found = self.first(kind)
        assert found is not None
        return found


class Line:
    """A link and the broker at its other end."""

    def __init__(self, broker: ScriptedBroker, folder: Path) -> None:
        self.broker = broker
        self.told = Told()
        settings = BrokerSettings(
            host="127.0.0.1", port=broker.port, is_tls=False, client_id="gw", user="me", is_5=broker.level == 5
        )
        self.known = KnownFilters(folder / "known", settings.peer)
        self.link = BrokerLink(settings, folder / "notes", self.known, self.told)
        self.link._backoff = Backoff(first_s=0.01)
        self.link.want(("a/#",))

    async def heard(self, count: int) -> list[Heard]:
        await until(lambda: len(self.told.heard) >= count)
        return self.told.heard

    async def begin(self, *, session_present: bool = False) -> None:
        await self.broker.welcome(session_present=session_present)
        await self.broker.subscribed()


@asynccontextmanager
async def opened(folder: Path, level: int = 4) -> AsyncIterator[Line]:
    async with ScriptedBroker.open(level) as broker:
        line = Line(broker, folder)
        line.link.start()
        try:
            yield line
        finally:
            line.link.stop()
            assert await asyncio.to_thread(line.link.join, 20)


@VERSIONS
async def test_it_keeps_its_session_and_subscribes_with_qos_1(tmp_path: Path, level: int) -> None:
    async with opened(tmp_path, level) as line:
        connect = await line.broker.welcome()
        assert (connect.client_id, connect.username, connect.clean_start) == ("gw", "me", False)
        subscribe = await line.broker.subscribed()
        assert [(one.filter, one.qos) for one in subscribe.filters] == [("a/#", 1)]
        if level == 5:
            assert connect.properties is not None
            assert connect.properties.session_expiry_s == foreign_client.SESSION_EXPIRY_S
            assert connect.properties.receive_maximum == foreign_client.RECEIVE_MAXIMUM
            assert subscribe.filters[0].retain_handling == 1
        assert await line.told.event(BrokerSubscribed) == BrokerSubscribed(1, "a/#")


@VERSIONS
async def test_a_message_is_acknowledged_when_it_is_settled_and_not_before(tmp_path: Path, level: int) -> None:
    async with opened(tmp_path, level) as line:
        await line.begin()
        line.broker.publish(7, b"one")
        line.broker.publish(0, b"nobody acknowledges this")
        line.broker.publish(8, b"two")
        heard = await line.heard(3)
        assert [one.publication.payload for one in heard] == [b"one", b"nobody acknowledges this", b"two"]
        assert heard[0].publication.message_id
        assert not heard[1].publication.message_id
        # The link takes orders one behind the other: had it acknowledged by itself, that would be seen first.
        line.link.want(("a/#", "b"))
        await line.broker.subscribed()
        line.link.settle(heard)
        answers = [await line.broker.next(), await line.broker.next()]
        assert [answer.packet_id for answer in answers if isinstance(answer, Puback)] == [7, 8]
        assert line.link.unanswered == 0


async def test_what_came_before_a_break_and_comes_again_is_taken_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as line:
        await line.begin()
        line.broker.publish(7)
        (one,) = await line.heard(1)
        line.broker.drop()
        await line.begin(session_present=True)
        line.broker.publish(7, dup=True)
        line.broker.publish(8, b"2")
        await line.heard(2)
        assert line.told.repeats == 1
        line.link.settle([one])
        assert await line.broker.next() == Puback(packet_id=7)
        lost = await line.told.event(BrokerLost)
        assert isinstance(lost, BrokerLost)
        assert (lost.fault, lost.unacknowledged) == (BrokerFault.DROPPED, 1)


async def test_what_may_have_been_acknowledged_comes_again_under_the_same_message_id(tmp_path: Path) -> None:
    async with opened(tmp_path) as line:
        await line.begin()
        line.broker.publish(7)
        line.link.settle(await line.heard(1))
        assert await line.broker.next() == Puback(packet_id=7)
        line.broker.drop()
        await line.begin(session_present=True)
        line.broker.publish(7, dup=True)
        first, again = await line.heard(2)
        assert again.publication.message_id == first.publication.message_id
        assert again.publication.dup


async def test_retain_and_user_properties_go_along(tmp_path: Path) -> None:
    async with opened(tmp_path, 5) as line:
        await line.begin()
        properties = PublishProperties(user_properties=(("unit", "C"),))
        line.broker.send(Publish("a/b", b"x", 1, retain=True, dup=False, packet_id=1, properties=properties))
        (one,) = await line.heard(1)
        assert one.publication.retain
        assert one.publication.user_properties == (("unit", "C"),)


async def test_with_too_much_unanswered_nothing_more_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_link, "MAX_UNANSWERED", 2)
    monkeypatch.setattr(foreign_link, "MAX_PACKETS_AT_ONCE", 1)
    monkeypatch.setattr(foreign_link, "LOOK_S", 0.01)
    async with opened(tmp_path) as line:
        await line.begin()
        for packet_id in (1, 2, 3, 4):
            line.broker.publish(packet_id)
        heard = list(await line.heard(2))
        monkeypatch.setattr(foreign_client, "KEEP_ALIVE_S", 0.5)  # not before: who reads gives up a silent broker
        # It keeps the connection alive all the same, without an answer that it does not read.
        assert [await line.broker.next() for _ in range(2)] == [Pingreq()] * 2
        assert len(line.told.heard) == 2
        line.link.settle(heard)
        await line.heard(4)


async def test_a_silent_broker_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_link, "LOOK_S", 0.01)
    monkeypatch.setattr(foreign_client, "KEEP_ALIVE_S", 1)
    async with opened(tmp_path) as line:
        await line.begin()
        assert await line.broker.next() == Pingreq()
        await line.told.event(BrokerLost)


async def test_the_broker_s_own_keep_alive_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_link, "LOOK_S", 0.01)
    async with opened(tmp_path, 5) as line:
        await line.broker.connect()
        properties = ConnackProperties(server_keep_alive_s=2)
        line.broker.send(Connack(session_present=False, code=0, properties=properties))
        await line.broker.subscribed()
        assert await line.broker.next() == Pingreq()


async def test_other_rules_change_the_subscriptions_on_the_same_connection(tmp_path: Path) -> None:
    async with opened(tmp_path) as line:
        await line.begin()
        await line.told.event(BrokerSubscribed)
        line.link.want(("b", "c"))
        packets: list[Packet] = [await line.broker.next(), await line.broker.next()]
        subscribe, unsubscribe = packets
        assert isinstance(subscribe, Subscribe)
        assert isinstance(unsubscribe, Unsubscribe)
        assert [one.filter for one in subscribe.filters] == ["b", "c"]
        assert unsubscribe.filters == ("a/#",)
        line.broker.send(Suback(packet_id=subscribe.packet_id, codes=(1, 1)))
        line.broker.send(Unsuback(packet_id=unsubscribe.packet_id))
        await until(lambda: line.known.filters == {"b", "c"})


async def test_what_an_earlier_start_subscribed_to_is_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as line:
        line.known.keep(frozenset({"old/#"}))
        await line.broker.welcome(session_present=True)
        await line.broker.subscribed()
        packet = await line.broker.next()
        assert isinstance(packet, Unsubscribe)
        assert packet.filters == ("old/#",)


async def test_a_session_that_the_broker_has_lost_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as line:
        await line.begin()
        assert line.told.first(BrokerSessionLost) is None
        line.broker.drop()
        await line.begin(session_present=False)
        await line.told.event(BrokerSessionLost)


@VERSIONS
async def test_a_refused_subscription_is_told(tmp_path: Path, level: int) -> None:
    async with opened(tmp_path, level) as line:
        await line.broker.welcome()
        await line.broker.subscribed(0x80 if level == 4 else 0x87)
        refused = await line.told.event(BrokerSubscriptionRefused)
        assert isinstance(refused, BrokerSubscriptionRefused)
        assert refused.topic_filter == "a/#"


@pytest.mark.parametrize(
    ("level", "code", "fault"),
    [
        (4, 1, BrokerFault.VERSION),
        (4, 5, BrokerFault.NOT_AUTHORISED),
        (5, 0x86, BrokerFault.CREDENTIALS),
        (5, 0x84, BrokerFault.VERSION),
    ],
)
async def test_a_refusal_is_told_and_tried_again(tmp_path: Path, level: int, code: int, fault: BrokerFault) -> None:
    async with opened(tmp_path, level) as line:
        await line.broker.connect()
        line.broker.send(Connack(session_present=False, code=code))
        failed = await line.told.event(BrokerTryFailed)
        assert isinstance(failed, BrokerTryFailed)
        assert (failed.fault, failed.failures) == (fault, 1)
        await line.broker.welcome()
        await line.told.event(BrokerConnected)


async def test_the_reason_of_a_goodbye_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path, 5) as line:
        await line.begin()
        line.broker.send(Disconnect(reason=0x8E))
        lost = await line.told.event(BrokerLost)
        assert isinstance(lost, BrokerLost)
        assert lost.fault is BrokerFault.TAKEN_OVER


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x00",
        b"\x30\x01\x00",  # PUBLISH that ends inside its topic
        b"\x32\x05\x00\x01a\x00\x00",  # packet id 0
        b"\x34\x07\x00\x01a\x00\x01xx",  # QoS 2
        b"\x30\x04\x00\x01\xff1",  # a topic that is not UTF-8
        b"\x90\x01\x00",  # SUBACK of one byte
        b"\xff\xff\xff\xff\xff\x7f",
    ],
)
@VERSIONS
async def test_nonsense_ends_the_connection_and_nothing_else(tmp_path: Path, nonsense: bytes, level: int) -> None:
    async with opened(tmp_path, level) as line:
        await line.begin()
        line.broker.send_bytes(nonsense + b"\0" * 100)
        await line.told.event(BrokerLost)
        await line.begin()
        line.broker.publish(7)
        assert (await line.heard(1))[0].publication.payload == b"1"


async def test_a_packet_that_is_too_large_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_client, "MAX_PACKET_BYTES", 100_000)
    async with opened(tmp_path) as line:
        await line.begin()
        line.broker.publish(7, b"x" * 200_000)
        lost = await line.told.event(BrokerLost)
        assert "the most that is read" in lost.sentence()


async def test_who_takes_the_connection_and_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_link, "CONNECT_S", 0.05)
    async with opened(tmp_path) as line:
        await line.broker.connect()
        failed = await line.told.event(BrokerTryFailed)
        assert isinstance(failed, BrokerTryFailed)
        assert failed.fault is BrokerFault.TIMED_OUT


async def test_at_the_end_what_was_heard_is_acknowledged_before_the_goodbye(tmp_path: Path) -> None:
    async with opened(tmp_path) as line:
        await line.begin()
        line.broker.publish(7)
        heard = await line.heard(1)
        line.link.leave()
        line.link.settle(heard)
        assert await line.broker.next() == Puback(packet_id=7)
        assert await line.broker.next() == Disconnect()
        assert await asyncio.to_thread(line.link.join, 20)
        assert line.link.state[0] == "closed"


async def test_without_notes_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    async with opened(tmp_path) as line:
        await line.begin()
        await line.told.event(BrokerNotesNotKept)
        line.broker.publish(7)
        assert (await line.heard(1))[0].publication.message_id == ""


def test_a_fault_of_ours_ends_the_thread_and_is_seen_in_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: BrokerLink) -> None:
        raise RuntimeError("ours")

    settings = BrokerSettings(host="127.0.0.1", port=1, is_tls=False, client_id="gw")
    link = BrokerLink(settings, tmp_path / "notes", KnownFilters(tmp_path / "known", "p"), Told())
    link._wake_end, link._woken = socket.socketpair()
    link._woken.setblocking(False)
    monkeypatch.setattr(BrokerLink, "_try_once", fail)
    with pytest.raises(RuntimeError, match="ours"):
        link._run()
    assert link.state[:2] == ("closed", "by a fault of ours, which the log has; restart the gateway")
