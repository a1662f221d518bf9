"""Clients of the plain listener talk to each other: subscriptions, retained messages, sessions, wills."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgewire.codec.mqtt.packets import (
    Disconnect,
    Puback,
    Publish,
    Subscribe,
    SubscribeFilter,
    Unsuback,
    Unsubscribe,
    Will,
)
from edgewire.codec.mqtt.properties import DisconnectProperties, WillProperties
from gateway.broker.limits import BrokerLimits
from gateway.observe.broker import (
    DroppedLocal,
    LocalMessagesDropped,
    PlainClientDisconnected,
    PlainEchoesDropped,
    RetainedNotKept,
)
from gateway.observe.head import Leaving
from support.plain_site import PlainSite

LEVELS = pytest.mark.parametrize("level", [3, 4, 5])


def seen(messages: list[Publish]) -> list[tuple[str, bytes, int, bool]]:
    return [(each.topic, each.payload, each.qos, each.retain) for each in messages]


@LEVELS
async def test_a_message_reaches_who_subscribes_it_with_the_lower_quality_of_both(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", level=level)
        assert await hearer.subscribe("site/+/t", "only/one", qos=1) == [1, 1]
        assert await hearer.subscribe("zero/#", qos=0) == [0]
        teller = await site.login("ann", "t", level=level)
        teller.publish("site/a/t", b"1", qos=1, packet_id=9)
        teller.publish("site/a/t", b"2", qos=0)
        teller.publish("site/a/b/t", b"no", qos=1, packet_id=10)
        teller.publish("zero/x/y", b"3", qos=1, packet_id=11)
        found = await hearer.messages(3)
        assert seen(found) == [
            ("site/a/t", b"1", 1, False),
            ("site/a/t", b"2", 0, False),
            ("zero/x/y", b"3", 0, False),
        ]
        assert [packet.packet_id for packet in await teller.next(3) if isinstance(packet, Puback)] == [9, 10, 11]


@LEVELS
async def test_overlapping_filters_bring_a_message_once_with_the_highest_quality(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", level=level)
        await hearer.subscribe("a/#", qos=0)
        await hearer.subscribe("a/+", qos=1)
        teller = await site.login("ann", "t", level=level)
        teller.publish("a/b", qos=1)
        assert seen(await hearer.messages()) == [("a/b", b"x", 1, False)]
        await hearer.quiet()


async def test_no_wildcard_in_the_first_level_matches_the_servers_own_topics(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#", "+/broker/connection/b/state")
        bridge = await site.login("ann", "b", bridge=True)
        bridge.publish("$SYS/broker/connection/b/state", b"1", qos=1, retain=True)
        await bridge.next()
        await hearer.quiet()
        assert await hearer.subscribe("$SYS/broker/connection/#") == [1]
        assert seen(await hearer.messages()) == [("$SYS/broker/connection/b/state", b"1", 1, True)]


@LEVELS
async def test_a_retained_message_is_kept_replaced_and_deleted(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path) as site:
        teller = await site.login("ann", "t", level=level)
        for number, payload in enumerate((b"old", b"new"), 1):
            teller.publish("lamp", payload, qos=1, retain=True, packet_id=number)
            await teller.next()
        hearer = await site.login("bob", "h", level=level)
        await hearer.subscribe("lamp")
        assert seen(await hearer.messages()) == [("lamp", b"new", 1, True)]
        teller.publish("lamp", b"", qos=1, retain=True)
        await teller.next()
        assert seen(await hearer.messages()) == [("lamp", b"", 1, False)]
        later = await site.login("bob", "later", level=level)
        await later.subscribe("lamp")
        await later.quiet()
        assert site.broker.retained == 0


async def test_retained_messages_survive_a_restart(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        teller = await site.login("ann", "t", level=5)
        teller.publish("lamp", b"on", qos=1, retain=True, user_properties=(("a", "b"),), correlation_data=b"\x00\xff")
        await teller.next()
        site.restart()
        hearer = await site.login("bob", "h", level=5)
        await hearer.subscribe("#")
        (found,) = await hearer.messages()
        assert (found.payload, found.retain) == (b"on", True)
        assert found.properties is not None
        assert found.properties.user_properties == (("a", "b"),)
        assert found.properties.correlation_data == b"\x00\xff"


@pytest.mark.parametrize(("handling", "first", "second"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
async def test_a_client_says_when_it_wants_retained_messages(
    tmp_path: Path, handling: int, first: int, second: int
) -> None:
    """MQTT 5 §3.8.3.1, retain handling."""
    async with PlainSite.open(tmp_path) as site:
        teller = await site.login("ann", "t")
        teller.publish("lamp", b"on", qos=1, retain=True)
        await teller.next()
        hearer = await site.login("bob", "h", level=5)
        for wanted in (first, second):
            await hearer.subscribe("lamp", retain_handling=handling)
            await hearer.messages(wanted)
            await hearer.quiet()


async def test_a_client_says_that_it_wants_retain_as_it_was_and_nothing_of_its_own(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", level=5)
        await hearer.subscribe("a/#", retain_as_published=True, no_local=True, identifier=7)
        teller = await site.login("ann", "t")
        teller.publish("a/x", b"1", retain=True)
        (found,) = await hearer.messages()
        assert found.retain
        assert found.properties is not None
        assert found.properties.subscription_identifiers == (7,)
        hearer.publish("a/x", b"2")
        await hearer.quiet()


async def test_a_bridge_is_not_sent_what_it_brought_and_sees_retain_as_it_is(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        bridge = await site.login("bob", "b", bridge=True)
        await bridge.subscribe("#")
        teller = await site.login("ann", "t")
        teller.publish("lamp", b"on", retain=True)
        assert seen(await bridge.messages()) == [("lamp", b"on", 0, True)]
        bridge.publish("door", b"shut")
        await bridge.quiet()


@pytest.mark.parametrize("level", [4, 5])
async def test_a_bridge_without_the_bit_is_known_by_its_will(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path) as site:
        will = Will(topic="$SYS/broker/connection/b/state", payload=b"0", qos=1, retain=True)
        bridge = await site.login("bob", "b", level=level, will=will)
        await bridge.subscribe("#")
        bridge.publish("door", b"shut")
        await bridge.quiet()


async def test_what_a_bridge_brings_back_ends_here(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        bridge = await site.login("bob", "b", bridge=True)
        await bridge.subscribe("#")
        teller = await site.login("ann", "t")
        await teller.subscribe("lamp")
        teller.publish("lamp", b"on")
        assert len(await bridge.messages()) == len(await teller.messages()) == 1
        bridge.publish("lamp", b"on", qos=1, packet_id=5)
        (answer,) = await bridge.next()
        assert isinstance(answer, Puback)
        await teller.quiet()
        assert [event.count for event in site.of(PlainEchoesDropped)] == [1]


async def test_where_a_broker_is_heard_all_that_leaves_is_remembered_and_only_bridges_bring_echoes(
    tmp_path: Path,
) -> None:
    async with PlainSite.open(tmp_path) as site:
        site.head.hears_a_broker = True
        hidden = await site.login("bob", "b")
        await hidden.subscribe("lamp")
        teller = await site.login("ann", "t")
        now = asyncio.get_running_loop().time()  # before it is sent: what comes round is known for a second
        teller.publish("lamp", b"on")
        await hidden.messages()
        assert [site.head.echoes.has_come_round("lamp", b"on", now) for _ in range(2)] == [True, False]
        hidden.publish("lamp", b"on")
        assert [message.payload for message in await hidden.messages()] == [b"on"]
        assert site.of(PlainEchoesDropped) == []


async def test_in_mqtt_5_no_local_makes_a_bridge_whose_messages_carry_our_name(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        bridge = await site.login("bob", "b", level=5)
        await bridge.subscribe("#", no_local=True)
        teller = await site.login("ann", "t")
        teller.publish("lamp", b"on")
        (sent,) = await bridge.messages()
        assert sent.properties is not None
        assert sent.properties.user_properties == (("edge-gateway-via", "here"),)
        bridge.publish("other", b"changed", user_properties=sent.properties.user_properties)
        bridge.publish("lamp", b"on")
        await teller.quiet()
        assert sum(event.count for event in site.of(PlainEchoesDropped)) == 2


async def test_a_message_that_names_this_gateway_has_been_here(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        teller = await site.login("ann", "t", level=5)
        teller.publish("a", user_properties=(("edge-gateway-via", "there;here"),))
        await hearer.quiet()


@LEVELS
async def test_a_session_keeps_what_came_while_its_client_was_away(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path) as site:
        how: dict[str, Any] = {"level": level, "clean": False} | ({"expiry_s": 600} if level == 5 else {})
        hearer = await site.login("bob", "h", **how)
        await hearer.subscribe("a", qos=1)
        hearer.lose()
        teller = await site.login("ann", "t")
        for number in range(3):
            teller.publish("a", b"%d" % number, qos=1, packet_id=number + 1)
        teller.publish("a", b"zero", qos=0)
        await teller.next(3)
        hearer, present = await site.come("bob", "h", **how)
        assert present == (level > 3)
        assert [each.payload for each in await hearer.messages(3)] == [b"0", b"1", b"2"]
        await hearer.quiet()


async def test_what_was_not_acknowledged_comes_again_marked_and_in_order(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", clean=False)
        await hearer.subscribe("a")
        teller = await site.login("ann", "t")
        for number in range(3):
            teller.publish("a", b"%d" % number, qos=1, packet_id=number + 1)
        first = await hearer.messages(3)
        hearer.send(Puback(packet_id=first[0].packet_id))
        hearer.lose()
        hearer, _ = await site.come("bob", "h", clean=False)
        again = await hearer.messages(2)
        assert [(each.payload, each.dup, each.packet_id) for each in again] == [
            (each.payload, True, each.packet_id) for each in first[1:]
        ]


async def test_sessions_and_what_waits_survive_a_stop(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", clean=False)
        await hearer.subscribe("a/+")
        teller = await site.login("ann", "t")
        teller.publish("a/x", b"on its way", qos=1)
        await hearer.messages()
        hearer.lose()
        teller.publish("a/x", b"waits", qos=1)
        await teller.next(2)
        site.restart()
        hearer, present = await site.come("bob", "h", clean=False)
        assert present
        assert [each.payload for each in await hearer.messages(2)] == [b"on its way", b"waits"]
        teller = await site.login("ann", "t")
        teller.publish("a/y", b"live")
        assert [each.payload for each in await hearer.messages()] == [b"live"]


async def test_a_clean_start_forgets_the_session(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", clean=False)
        await hearer.subscribe("a")
        hearer.lose()
        await site.login("bob", "h", clean=True)
        assert site.broker.subscriptions == 0


async def test_a_session_ends_with_its_time(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", level=5, clean=False, expiry_s=60)
        await hearer.subscribe("a")
        hearer.send(Disconnect(0, DisconnectProperties(session_expiry_s=30)))
        hearer.lose()
        site.clock.now += 29
        site.broker.sweep()
        assert site.broker.sessions == 1
        site.clock.now += 1
        site.broker.sweep()
        assert site.broker.sessions == 0


async def test_a_full_queue_loses_its_oldest_and_says_so(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path, limits=BrokerLimits(max_queued=3)) as site:
        hearer = await site.login("bob", "h", clean=False)
        await hearer.subscribe("a")
        hearer.lose()
        teller = await site.login("ann", "t")
        for number in range(5):
            teller.publish("a", b"%d" % number, qos=1, packet_id=number + 1)
        await teller.next(5)
        site.broker.report()
        assert site.of(LocalMessagesDropped) == [LocalMessagesDropped(DroppedLocal.QUEUE_FULL, 2)]
        hearer, _ = await site.come("bob", "h", clean=False)
        assert [each.payload for each in await hearer.messages(3)] == [b"2", b"3", b"4"]


async def test_a_message_past_its_time_is_not_brought(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", level=5, clean=False, expiry_s=600)
        await hearer.subscribe("a")
        hearer.lose()
        teller = await site.login("ann", "t", level=5)
        teller.publish("a", b"short", qos=1, message_expiry_s=10)
        teller.publish("a", b"long", qos=1, packet_id=2, message_expiry_s=100)
        await teller.next(2)
        site.clock.now += 30
        hearer, _ = await site.come("bob", "h", level=5, clean=False, expiry_s=600)
        (found,) = await hearer.messages()
        assert found.payload == b"long"
        assert found.properties is not None
        assert found.properties.message_expiry_s == 70


async def test_no_more_is_on_its_way_than_the_client_takes(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h", level=5, receive_maximum=2)
        await hearer.subscribe("a")
        teller = await site.login("ann", "t")
        for number in range(4):
            teller.publish("a", b"%d" % number, qos=1, packet_id=number + 1)
        found = await hearer.messages(2)
        await hearer.quiet()
        hearer.send(Puback(packet_id=found[0].packet_id))
        assert [each.payload for each in await hearer.messages()] == [b"2"]


@pytest.mark.parametrize("way", ["lost", "broken", "taken over"])
async def test_a_will_is_published_for_who_goes_without_a_word(tmp_path: Path, way: str) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("gone/#")
        will = Will(topic="gone/d", payload=b"bye", qos=1, retain=True)
        dying = await site.login("ann", "d", will=will)
        match way:
            case "lost":
                dying.lose()
            case "broken":
                dying.pump.receive(b"\xf0\x00")
                dying.lose()
            case _:
                await site.login("ann", "d")
                dying.lose()
        assert seen(await hearer.messages()) == [("gone/d", b"bye", 1, False)]
        assert site.broker.retained == 1


async def test_a_goodbye_takes_the_will_back(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        leaving = await site.login("ann", "d", will=Will(topic="gone", payload=b"", qos=0, retain=False))
        leaving.send(Disconnect())
        leaving.lose()
        await hearer.quiet()
        assert [event.reason for event in site.of(PlainClientDisconnected)] == [Leaving.GOODBYE]


async def test_a_will_waits_as_long_as_it_says_and_is_void_when_its_client_is_back(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        properties = WillProperties(will_delay_s=60)
        will = Will(topic="gone", payload=b"bye", qos=0, retain=False, properties=properties)
        dying = await site.login("ann", "d", level=5, will=will, expiry_s=600)
        dying.lose()
        await hearer.quiet()
        again, _ = await site.come("ann", "d", level=5, clean=False, will=will, expiry_s=600)
        await hearer.quiet()
        again.lose()
        site.head.wills.publish_all()
        assert [each.payload for each in await hearer.messages()] == [b"bye"]


async def test_unsubscribing_what_was_never_there_is_confirmed(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        client = await site.login(level=5)
        await client.subscribe("a")
        client.send(Unsubscribe(packet_id=3, filters=("a", "never/#")))
        (answer,) = await client.next()
        assert isinstance(answer, Unsuback)
        assert answer.codes == (0x00, 0x11)
        client.publish("a", qos=1)
        (answer,) = await client.next()
        assert isinstance(answer, Puback)


async def test_one_write_may_subscribe_and_publish(tmp_path: Path) -> None:
    """What a client sends is done in its order."""
    async with PlainSite.open(tmp_path) as site:
        client = await site.login()
        first = Publish("a", b"before", 0, False, False, 0)
        second = Publish("a", b"behind", 0, False, False, 0)
        subscribe = Subscribe(packet_id=1, filters=(SubscribeFilter(filter="a", qos=0),))
        client.send(first, subscribe, second)
        await client.next()
        assert [each.payload for each in await client.messages()] == [b"behind"]
        await client.quiet()


async def test_too_many_retained_messages_are_delivered_and_not_kept(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path, limits=BrokerLimits(max_retained=2)) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        teller = await site.login("ann", "t")
        for number in range(3):
            teller.publish(f"t{number}", qos=1, retain=True, packet_id=number + 1)
        assert len(await teller.next(3)) == len(await hearer.messages(3)) == 3
        assert site.broker.retained == 2
        assert [event.topic for event in site.of(RetainedNotKept)] == ["t2"]
        teller.publish("t0", b"changed", qos=1, retain=True)
        await teller.next()
        assert site.broker.retained == 2


async def test_many_retained_messages_come_in_turns_and_all_of_them(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path, limits=BrokerLimits(retained_per_turn=10)) as site:
        teller = await site.login("ann", "t")
        for number in range(95):
            teller.publish(f"t/{number}", retain=True)
        hearer = await site.login("bob", "h")
        await hearer.subscribe("t/+")
        found = await hearer.messages(95)
        assert [each.topic for each in found] == [f"t/{number}" for number in range(95)]
