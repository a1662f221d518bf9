"""Limits of devices, with real clients over TLS: a device that floods is slowed or refused, and nobody else is."""

import asyncio
import statistics
import time
from typing import Any

import aiohttp
from paho.mqtt import client as paho

from support.gateway_site import GatewaySite
from support.paho_device import Dial, PahoDevice, let_in

EVERYTHING = {"everything": "FROM /messages/* INTO $upstream"}
QUOTA_EXCEEDED = 0x97
PER_SECOND = 50
FLOOD = 300
"""Messages as fast as the client can: some 2,500 in a second, fifty times the limit."""
FLOOD_S = 4.0
"""The least that they take at 50 in a second, after a burst of 50 and one read of the socket."""
SIZE = 2_000
"""Of each message of a flood: a read, 64 KiB, holds few of them, also where the gateway was late for it."""
LEAST = 10
"""Messages of a good device beside a flood, on a machine however slow."""


async def limited(site: GatewaySite, **limits: Any) -> None:
    """Start with these limits for `d1`, and none for others."""
    path = site.write_settings(routes=EVERYTHING, limits={"devices": {"d1": limits}})
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(path))


async def latencies(device: PahoDevice, count: int) -> list[float]:
    """How long each of so many messages took to be acknowledged, one after the other."""
    took = []
    for number in range(count):
        began_at = time.perf_counter()
        await device.publish(f"g{number}")
        took.append(time.perf_counter() - began_at)
    return took


async def flood(device: PahoDevice, *, qos: int = 1, count: int = FLOOD) -> None:
    """All at once; returns when all are acknowledged."""
    device.client.max_inflight_messages_set(count)
    for number in range(count):
        device.client.publish(device.events_topic, str(number).ljust(SIZE), qos=qos)
    for _ in range(count if qos else 0):
        await device.acknowledged.next()


async def test_a_device_that_floods_is_slowed_alone_and_loses_nothing(site: GatewaySite) -> None:
    await limited(site, messagesPerSecond=PER_SECOND, burst=PER_SECOND)
    async with let_in(site, "d1") as noisy, let_in(site, "d2") as good:
        alone = await latencies(good, 60)
        began_at = time.perf_counter()
        flooding = asyncio.create_task(flood(noisy))
        await site.gateway.said("is at its limit of 50 messages in a second")
        beside: list[float] = []
        while len(beside) < 60 and not flooding.done():
            beside += await latencies(good, 1)
        assert len(beside) > LEAST, "the good device was to send while the other was slowed"
        await flooding
        took_s = time.perf_counter() - began_at
    assert took_s > FLOOD_S, "the flood was not slowed"
    slower = statistics.median(beside) / statistics.median(alone)
    assert slower < 3 or statistics.median(beside) < 0.25, f"the good device was {slower:.1f} times slower"
    events = await site.arrived(FLOOD + len(alone) + len(beside))
    assert [int(event.body) for event in events if not event.body.startswith(b"g")] == list(range(FLOOD))
    assert await site.counted('gateway_limited_devices_total{limit="messages_per_second",when_over="slow"}') == 1
    assert "limit" not in str((await site.metrics()).get("gateway_refused_messages_total"))


async def test_qos_0_and_bytes_are_slowed_too_and_a_reconnect_does_not_help(site: GatewaySite) -> None:
    d1 = {"messagesPerSecond": PER_SECOND, "burst": PER_SECOND}
    path = site.write_settings(
        routes=EVERYTHING, limits={"perDevice": {"bytesPerSecond": 20_000, "burstBytes": 20_000}, "devices": {"d1": d1}}
    )
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(path))
    began_at = time.perf_counter()

    async def often() -> float:
        async with let_in(site, "d1") as noisy:
            await flood(noisy, qos=0)
            await site.arrived(FLOOD)
            return time.perf_counter() - began_at

    async def much() -> float:
        for number in range(4):
            async with let_in(site, "d2") as noisy:
                await noisy.publish(bytes([number]) * 30_000)
        return time.perf_counter() - began_at

    took_s = await asyncio.gather(often(), much())
    assert took_s[0] > FLOOD_S
    assert took_s[1] > 3.5, "120,000 bytes at 20,000 in a second, and as many at once"
    events = await site.arrived(FLOOD + 4)
    assert [int(event.body) for event in events if len(event.body) == SIZE] == list(range(FLOOD))
    assert len(events) == FLOOD + 4


async def test_over_the_limit_each_protocol_has_its_own_word(site: GatewaySite) -> None:
    few = {"messagesPerSecond": 0.05, "burst": 2}
    path = site.write_settings(
        routes=EVERYTHING,
        limits={"devices": {"d1": {"messagesPerSecond": 0.01, "burst": 10, "whenOver": "refuse"}, "d2": few}},
    )
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(path), GATEWAY_WEBSOCKET_PORT="443")
    good = await mqtt_5_is_refused_message_by_message(site)
    await mqtt_3_is_closed(site)
    await https_is_told_when_to_come_again(site)
    assert len(await site.arrived(good + 2)) in (good + 2, good + 3), "what was acknowledged, and nothing else"


async def mqtt_5_is_refused_message_by_message(site: GatewaySite) -> int:
    """Returns how many were taken."""
    async with let_in(site, "d1", Dial(version=paho.MQTTv5)) as noisy:
        reasons: list[int] = []
        answered = asyncio.Event()
        loop = asyncio.get_running_loop()
        # paho 1.6 tells no reason of a PUBACK to `on_publish`: it is read where the packet comes in.
        heard = noisy.client._handle_pubackcomp

        def hear(command: str) -> Any:
            packet = bytes(noisy.client._in_packet["packet"])
            reasons.append(packet[2] if len(packet) > 2 else 0)
            if len(reasons) == 30:
                loop.call_soon_threadsafe(answered.set)
            return heard(command)

        noisy.client._handle_pubackcomp = hear
        for number in range(30):
            noisy.client.publish(noisy.events_topic, str(number), qos=1)
        await asyncio.wait_for(answered.wait(), 60)
    good = reasons.count(0)
    assert good in (10, 11)
    assert reasons.count(QUOTA_EXCEEDED) == 30 - good
    assert await site.counted('gateway_refused_messages_total{reason="over_limit"}', 30 - good) == 30 - good
    return good


async def mqtt_3_is_closed(site: GatewaySite) -> None:
    async with let_in(site, "d1") as noisy:
        for number in range(10):
            noisy.client.publish(noisy.events_topic, str(number), qos=1)
        await noisy.disconnects.next()
    await site.gateway.said("more messages per second than it is allowed")


async def https_is_told_when_to_come_again(site: GatewaySite) -> None:
    url = f"https://{site.address}/devices/d2/messages/events?api-version=2021-04-12"
    statuses = []
    async with aiohttp.ClientSession() as session:
        for _ in range(4):
            headers = {"Authorization": site.token("d2")}
            async with session.post(url, data=b"1", headers=headers, ssl=site.client_tls()) as answer:
                statuses.append(answer.status)
                retry_after = answer.headers.get("Retry-After")
    assert statuses == [204, 204, 429, 429]
    assert retry_after is not None
    assert 1 <= int(retry_after) <= 20


async def test_the_day_is_remembered_across_a_restart_and_a_change_frees_at_once(site: GatewaySite) -> None:
    await limited(site, messagesPerDay=5, whenOver="refuse")
    async with let_in(site, "d1", Dial(version=paho.MQTTv5)) as device:
        for number in range(3):
            await device.publish(str(number))
    await site.nothing_waits()
    await site.gateway.stop()
    await site.gateway.start()
    async with let_in(site, "d1") as device:
        for number in range(3, 5):
            await device.publish(str(number))
        device.client.publish(device.events_topic, "5", qos=1)
        await device.disconnects.next()
    assert len(await site.arrived(5)) == 5
    site.write_settings(routes=EVERYTHING)
    await site.gateway.said("settings", after=len(site.gateway.lines))
    async with let_in(site, "d1") as device:
        await device.publish("6")
