"""Peers that say nothing, half of it, or one byte at a time: cut in time, and a good device gets in meanwhile."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from support.gateway_site import GatewaySite
from support.process_watch import watched
from support.raw_mqtt import Hello, publish
from support.raw_peer import RawPeer, hello
from support.span import Span, spanned, within

SILENT_BEFORE_TLS = 500
OTHERS = 40
CONNECT_S = 10.0  # ServerLimits.connect_timeout_s
HANDSHAKE_S = 20.0  # TransportLimits.handshake_timeout_s
KEEP_ALIVE_S = 4
SLACK_S = 15.0
GOOD_LOGIN_S = 9.0
"""Before any of the others is cut: it waits for none of them."""
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303")


async def cut_after(peer: RawPeer) -> float:
    """How long it took until the gateway ended the connection."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(HANDSHAKE_S + 2 * SLACK_S):
            while await peer.reader.read(4096):
                pass
    peer.abort()
    return loop.time() - began_at


async def dribbled(peer: RawPeer, data: bytes) -> float:
    """The same for a peer that sends byte by byte."""

    async def send_on() -> None:
        for at in range(len(data)):
            peer.send(data[at : at + 1])
            await asyncio.sleep(0.2)

    sending = asyncio.ensure_future(send_on())
    try:
        return await cut_after(peer)
    finally:
        sending.cancel()


async def many(count: int, start: Callable[[str], Awaitable[float]]) -> list[Span]:
    """`start` so many times at once, from two addresses."""
    return await asyncio.gather(*(spanned(start, f"127.98.0.{1 + number % 2}") for number in range(count)))


async def test_silent_slow_and_half_finished_peers_are_cut_while_a_good_device_logs_in(site: GatewaySite) -> None:
    await site.gateway.start()
    tls = site.client_tls()
    half = hello(site, "d2").wire[:-20]
    dribble = hello(site, "d2").wire

    async def before_tls(source: str) -> float:
        return await cut_after(await RawPeer.dial(site, source=source, plain=True))

    async def in_tls(source: str) -> float:
        return await dribbled(await RawPeer.dial(site, source=source, plain=True), CLIENT_HELLO + bytes(200))

    async def after_tls(source: str) -> float:
        return await cut_after(await RawPeer.dial(site, source=source, tls=tls))

    async def half_connect(source: str) -> float:
        peer = await RawPeer.dial(site, source=source, tls=tls)
        peer.send(half)
        return await cut_after(peer)

    async def slow_connect(source: str) -> float:
        return await dribbled(await RawPeer.dial(site, source=source, tls=tls), dribble)

    async def slow_publish(source: str) -> float:
        peer = await RawPeer.dial(site, source=source, tls=tls)
        right = hello(site, "d2")
        peer.send(
            Hello(client_id="d2", username=right.username, password=right.password, keep_alive_s=KEEP_ALIVE_S).wire
        )
        assert await peer.connack() == 0
        return await dribbled(peer, publish("devices/d2/messages/events/", bytes(100)))

    async with watched(site), asyncio.TaskGroup() as tasks:
        silent = tasks.create_task(many(SILENT_BEFORE_TLS, before_tls))
        others = {
            kind: tasks.create_task(many(count, kind))
            for kind, count in [(in_tls, 5), (after_tls, OTHERS), (half_connect, OTHERS), (slow_connect, 5)]
        }
        device = tasks.create_task(spanned(slow_publish, "127.98.0.3"))
        logins = tasks.create_task(good_logins(site))

    within([*silent.result(), *others[in_tls].result()], HANDSHAKE_S - 1, HANDSHAKE_S + SLACK_S)
    for kind in (after_tls, half_connect, slow_connect):
        within(others[kind].result(), CONNECT_S - 1, CONNECT_S + SLACK_S)
    within([device.result()], 1.5 * KEEP_ALIVE_S - 1, 1.5 * KEEP_ALIVE_S + SLACK_S)
    assert max(logins.result()) < GOOD_LOGIN_S
    wanted = SILENT_BEFORE_TLS + 5 + OTHERS + OTHERS + 5
    assert await site.counted('gateway_refused_connections_total{reason="timeout"}', wanted) == wanted
    assert await site.counted('gateway_disconnected_devices_total{reason="keep_alive_timeout"}') == 1


async def good_logins(site: GatewaySite) -> list[float]:
    """How long a good device needs to get in, time after time while the others are there."""
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(10):
        began_at = loop.time()
        peer = await RawPeer.login(site, "d1")
        await peer.ping()
        found.append(loop.time() - began_at)
        await peer.close()
        await asyncio.sleep(1)
    return found
