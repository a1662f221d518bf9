"""What devices may send, in each protocol's own words; the heads are real, sockets are not."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from edgewire.codec.amqp.conditions import RESOURCE_LIMIT_EXCEEDED
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, AmqpMessage, write_batch, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, Rejected
from edgewire.codec.mqtt.packets import Puback, Publish
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.session.mqtt.server import ServerSession
from gateway.dispatch.allowance import Allowance, Allowances, Limits, WhenOver
from gateway.head.amqp_telemetry import LINK_CREDIT
from gateway.observe.broker import PlainMessageRefused, RefusedPlain
from gateway.observe.events import Event
from gateway.observe.head import MessageRefused, RefusedMessage
from gateway.observe.limits import DeviceLimited
from support.amqp_site import AmqpSite
from support.mqtt_site import Site
from support.plain_site import PlainSite

SLOW = Allowance(messages_per_s=50, burst=5)
REFUSE = Allowance(messages_per_s=0.01, burst=5, when_over=WhenOver.REFUSE)
NEVER_AGAIN = Allowance(messages_per_s=0.01, burst=5)


class Watch:
    """A clock that stands until it is started: on a busy machine nothing more is allowed while a test prepares."""

    def __init__(self) -> None:
        self._started_at: float | None = None

    def __call__(self) -> float:
        return 0.0 if self._started_at is None else asyncio.get_running_loop().time() - self._started_at

    def start(self) -> None:
        self._started_at = asyncio.get_running_loop().time()


def limited(events: list[Event], limits: Limits, clock: Callable[[], float] | None = None) -> Callable[[], Allowances]:
    """Allowances in force, as heads ask for them."""
    allowances = Allowances(events.append, clock or asyncio.get_running_loop().time, lambda: 0.0)
    allowances.use(limits)
    return lambda: allowances


def of_d1(allowance: Allowance) -> Limits:
    return Limits(devices={"d1": allowance})


def limit_amqp(site: AmqpSite, allowance: Allowance) -> Allowances:
    """The same for the AMQP head, whose connections share it."""
    allowances = limited(site.events, of_d1(allowance))
    object.__setattr__(site.amqp.house, "allowances", allowances)  # frozen, and made before the test
    return allowances()


async def test_amqp_gives_a_limited_device_no_more_credit_than_it_may_send(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        limit_amqp(site, SLOW)
        client, session = site.by_token("d1", "d2")
        limited_link, free = client.telemetry(session, "d1"), client.telemetry(session, "d2")
        assert (limited_link.credit, free.credit) == (5, LINK_CREDIT)
        deliveries = [client.tell(limited_link, b"%d" % number) for number in range(5)]
        assert client.engine.send(limited_link, b"") is None, "the client is out of credit"
        assert await client.outcome(client.tell(free, b"free")) == ACCEPTED
        for number in range(5, 20):
            await client.until(lambda: limited_link.credit > 0)
            deliveries.append(client.tell(limited_link, b"%d" % number))
        for delivery in deliveries:
            assert await client.outcome(delivery) == ACCEPTED
        stored = [entry.message.body for entry in site.stored()]
        assert [body for body in stored if body != b"free"] == [b"%d" % number for number in range(20)]
        assert len([event for event in site.events if isinstance(event, DeviceLimited)]) == 1


async def test_amqp_charges_each_message_of_a_batch_and_waits_for_the_debt(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        allowances = limit_amqp(site, NEVER_AGAIN)
        client, session = site.by_token("d1")
        link = client.telemetry(session, "d1")
        batch = write_batch([write_message(AmqpMessage(body=b"%d" % number)) for number in range(20)])
        assert await client.outcome(client.send(link, batch, message_format=MESSAGE_FORMAT_BATCH)) == ACCEPTED
        await client.until(lambda: link.credit == 0)
        assert allowances.account("d1").wait_s() > 1500
        allowances.use(None)
        await client.until(lambda: link.credit == LINK_CREDIT)


async def test_amqp_rejects_what_is_above_where_it_is_to_be_refused(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        limit_amqp(site, REFUSE)
        client, session = site.by_token("d1")
        link = client.telemetry(session, "d1")
        states = [await client.outcome(client.tell(link, b"%d" % number)) for number in range(8)]
        assert states[:5] == [ACCEPTED] * 5
        for state in states[5:]:
            assert isinstance(state, Rejected)
            assert state.error is not None
            assert state.error.condition == RESOURCE_LIMIT_EXCEEDED
        assert client.refusal_of(link) is None, "the link stays"
        assert site.reasons(MessageRefused) == [RefusedMessage.OVER_LIMIT] * 3
        assert len(site.stored()) == 5


async def test_a_link_that_ends_is_not_looked_at_any_more(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        limit_amqp(site, NEVER_AGAIN)
        client, session = site.by_token("d1")
        link = client.telemetry(session, "d1")
        for number in range(5):
            await client.outcome(client.tell(link, b"%d" % number))
        await client.until(lambda: link.credit == 0)
        client.engine.detach(link)
        client.transfer()
        client.lose()


def publication(number: int, qos: int = 1) -> Publish:
    return Publish(topic="t", payload=b"%d" % number, qos=qos, retain=False, dup=False, packet_id=number if qos else 0)


async def test_a_plain_user_is_slowed_in_order_and_others_are_not(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        events, watch = list[Event](), Watch()
        site.head.allowances = limited(events, Limits(users={"ann": SLOW}), watch)
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#", qos=0)
        client = await site.login("ann", "c")
        client.send(*[publication(number) for number in range(1, 21)])
        paused = [client.wire.paused]
        watch.start()
        free = await site.login("bob", "f")
        free.send(publication(1))
        assert isinstance((await free.next())[0], Puback)
        answers = await client.next(20)
        assert [answer.packet_id for answer in answers if isinstance(answer, Puback)] == list(range(1, 21))
        assert [*paused, client.wire.paused] == [True, False]
        assert [type(event) for event in events] == [DeviceLimited]


async def test_a_plain_user_is_refused_in_turn(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        site.head.allowances = limited(site.events, Limits(users={"ann": REFUSE}))
        client = await site.login("ann", "c", level=5)
        client.send(*[publication(number) for number in range(1, 9)])
        answers = [answer for answer in await client.next(8) if isinstance(answer, Puback)]
        assert [answer.packet_id for answer in answers] == list(range(1, 9))
        assert [answer.reason for answer in answers[5:]] == [ReasonCode.QUOTA_EXCEEDED] * 3
        old = await site.login("ann", "d")
        old.send(publication(1))
        assert old.is_closed()
        assert {event.reason for event in site.of(PlainMessageRefused)} == {RefusedPlain.OVER_LIMIT}


async def test_what_a_plain_client_had_sent_before_it_went_is_heard(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        site.head.allowances = limited(site.events, Limits(users={"ann": NEVER_AGAIN}))
        client = await site.login("ann", "c")
        client.send(*[publication(number, qos=0) for number in range(20)])
        client.lose()
        assert [int(each.payload) for each in await hearer.messages(20)] == list(range(20))


async def test_mqtt_takes_what_a_held_device_had_sent_before_its_goodbye(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        site.head.allowances = limited(site.events, of_d1(NEVER_AGAIN))()
        device = site.login("d1")
        for number in range(20):
            device.publish("devices/d1/messages/events/", b"%d" % number, qos=0)
        assert device.wire.paused
        device.lose()
        await site.store.flush()
        assert [entry.message.body for entry in site.stored()] == [b"%d" % number for number in range(20)]
        again = site.login("d1")
        assert again.wire.paused, "the next connection pays for it"
        other = site.login("d2")
        assert not other.wire.paused


def test_a_device_that_is_held_is_not_taken_for_silent() -> None:
    session = ServerSession(ServerLimits(), 100.0)
    before = session.deadline()
    assert before is not None
    session.excuse(130.0)
    session.excuse(120.0)
    assert session.deadline() == before + 30.0
