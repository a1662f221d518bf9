"""What conversations do not reach: limits of the session, and connections that end before their login."""

import asyncio
from pathlib import Path

import pytest

from edgewire.codec.mqtt.packets import Will
from edgewire.codec.mqtt.properties import WillProperties
from gateway.dispatch.presence import Ending
from gateway.head import plain
from gateway.head.plain import EVENTS_PER_TURN, MAX_LATE_ANSWERS, MAX_SILENCE_S, plain_limits
from gateway.observe.broker import PlainClientConnected, PlainClientDisconnected
from gateway.observe.head import ClosedBeforeLogin, ConnectionRefused, Leaving, ProtocolBroken
from support import raw_mqtt
from support.plain_site import PlainSite


def test_no_keep_alive_is_cut_short() -> None:
    limits = plain_limits(600)
    assert limits.keep_alive_ceiling_s == MAX_SILENCE_S >= 1.5 * 65_535
    assert limits.max_session_expiry_s == 600
    assert limits.bridge_bit
    assert not limits.shared_subscriptions


async def test_who_says_nothing_is_cut_and_counted(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        client = site.dial()
        client.pump.wake(asyncio.get_running_loop().time() + 60)
        assert client.is_closed()
        client.lose()
        assert [event.reason for event in site.of(ConnectionRefused)] == [ClosedBeforeLogin.TIMEOUT]


async def test_what_is_no_mqtt_is_ended(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        client = site.dial()
        client.pump.receive(b"GET / HTTP/1.1\r\n\r\n")
        assert client.is_closed()
        client.lose()
        assert len(site.of(ProtocolBroken)) == 1


async def test_a_client_that_left_before_its_password_was_checked_is_not_let_in(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        client = site.connect()
        client.lose()
        await site.login("ann", "other")
        assert [event.client for event in site.of(PlainClientConnected)] == ["other"]


async def test_the_end_of_the_gateway_ends_who_is_not_let_in_yet(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        client = site.dial()
        client.owner.on_stopping()
        assert client.is_closed()
        here = await site.login(level=5)
        here.owner.end(Ending.SHUTDOWN)
        assert here.is_closed()


async def test_many_packets_of_one_write_are_handled_in_turns_and_in_order(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        client = await site.login()
        count = 3 * EVENTS_PER_TURN
        written = b"".join(raw_mqtt.publish("a", b"%d" % number, qos=0) for number in range(count))
        client.pump.receive(written)
        assert client.wire.paused
        found = await hearer.messages(count)
        assert [int(each.payload) for each in found] == list(range(count))
        assert not client.wire.paused


async def test_the_last_words_of_who_went_at_once_are_heard(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        client = await site.login()
        count = 2 * EVENTS_PER_TURN
        written = b"".join(raw_mqtt.publish("a", b"%d" % number, qos=0) for number in range(count))
        client.pump.receive(written + raw_mqtt.GOODBYE)
        client.lose()
        assert len(await hearer.messages(count)) == count
        assert [event.reason for event in site.of(PlainClientDisconnected)] == [Leaving.GOODBYE]


async def test_wills_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MAX_DELAYED_WILLS", 1)
    async with PlainSite.open(tmp_path) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        for client_id in ("first", "second"):
            will = Will(topic=client_id, payload=b"", qos=0, retain=False, properties=WillProperties(will_delay_s=60))
            (await site.login("ann", client_id, level=5, will=will, expiry_s=600)).lose()
        assert [each.topic for each in await hearer.messages()] == ["second"]
        site.head.wills.publish_all()


async def test_subscriptions_that_wait_for_the_disk_stop_the_reading(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        client = await site.login(clean=False)
        count = MAX_LATE_ANSWERS + 1
        client.pump.receive(b"".join(raw_mqtt.subscribe(["a"], packet_id=number + 1) for number in range(count)))
        assert client.wire.paused
        await client.next(count)
        assert not client.wire.paused
