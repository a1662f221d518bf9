"""Floods: connections that come and go, messages without end, two devices with one name. Others are served."""

import asyncio
import time

import pytest

from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.process_watch import watched
from support.raw_mqtt import publish
from support.raw_peer import RawPeer, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORM_S = 2.0
WORKERS = 8
LEAST = 100
MOST_KB = 12 * 1024
TAKEOVERS = 300


@pytest.mark.parametrize("password", ["right", "wrong"])
async def test_a_storm_of_connections_delays_nobody_for_long(running: GatewaySite, password: str) -> None:
    names = [f"storm-{number}" for number in range(WORKERS)]
    running.register(*names)
    tls = running.client_tls()
    began_at = time.monotonic()
    count = 0

    async def come_and_go(device: str, source: str) -> None:
        nonlocal count
        right = hello(running, device).wire
        wire = right if password == "right" else right[:-10] + b"AAAAAAAAAA"
        while time.monotonic() < began_at + STORM_S or count < LEAST:  # a machine may be too busy for a storm
            peer = await RawPeer.dial(running, source=source, tls=tls)
            peer.send(wire)
            if password == "right":
                assert await peer.connack() == 0
                peer.send(raw_mqtt.GOODBYE)
            peer.abort()
            count += 1

    async with watched(running, MOST_KB), GoodClient.running(running, "good") as good:
        storms = [come_and_go(name, f"127.97.0.{number + 1}") for number, name in enumerate(names)]
        await asyncio.gather(*storms)
        took_s = time.monotonic() - began_at
    print(f"\n{count / took_s:.0f} connections/s, slowest good answer {good.slowest_s * 1000:.0f} ms")  # noqa: T201 — shown with -s
    assert good.held_up_s < HELD_UP_S


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_flood_of_messages_of_one_device_leaves_room_for_another(running: GatewaySite, qos: int) -> None:
    flooder = await RawPeer.login(running, "d2")
    topic = "devices/d2/messages/events/"
    burst = b"".join(publish(topic, b"x" * 200, qos=qos, packet_id=number) for number in range(1, 501))
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            flooder.send(burst)
            await flooder.flush()
            sent += 500

    async def drain() -> None:
        while await flooder.reader.read(65_536):
            pass

    async with watched(running, MOST_KB), GoodClient.running(running, "good") as good:
        jobs = [asyncio.ensure_future(flood()), asyncio.ensure_future(drain())]
        await asyncio.sleep(STORM_S)
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
    flooder.abort()
    print(  # noqa: T201 — shown with -s
        f"\nQoS {qos}: {sent / STORM_S:.0f} messages/s; good answers: slowest {good.slowest_s * 1000:.0f} ms, "
        f"99 of 100 below {good.slowest_but_s(0.01) * 1000:.0f} ms"
    )
    assert good.held_up_s < HELD_UP_S


async def test_of_two_clients_with_one_name_the_last_one_stays(running: GatewaySite) -> None:
    series = 'gateway_disconnected_devices_total{reason="taken_over"}'
    before = (await running.metrics()).get(series, 0)
    old: list[RawPeer] = []
    reasons: list[int] = []

    async def watch_end(peer: RawPeer) -> None:
        reasons.extend(body[0] for first, body in await peer.ended() if first == raw_mqtt.DISCONNECT)

    async with watched(running, MOST_KB), GoodClient.running(running, "good"), asyncio.TaskGroup() as tasks:
        for _ in range(TAKEOVERS):
            peer = await RawPeer.login(running, "d1", level=5)
            if old:
                tasks.create_task(watch_end(old[-1]))
            old.append(peer)
    assert reasons == [0x8E] * (TAKEOVERS - 1)  # session taken over: MQTT 5 §3.14.2.1
    await old[-1].ping()
    await old[-1].close()
    assert await running.counted(series, before + TAKEOVERS - 1) == before + TAKEOVERS - 1
