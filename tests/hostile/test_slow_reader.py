"""A device that asks and never reads the answers: cut at the limit of what may wait for it, and nobody else waits."""

import asyncio
import socket

from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.process_watch import watched
from support.raw_mqtt import publish
from support.raw_peer import MQTT_PORT, RawPeer, hello

MOST_KB = 20 * 1024
CUT = 'gateway_cut_connections_total{reason="not_reading"}'
PATIENCE_S = 90.0
AHEAD_BYTES = 1 << 20
"""That a gateway on a busy machine has not taken yet: it is sent no more."""


async def test_answers_that_are_not_read_are_bounded_and_delay_nobody(site: GatewaySite) -> None:
    await site.gateway.start()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (site.address, MQTT_PORT))
    reader, writer = await asyncio.open_connection(
        sock=raw, ssl=site.client_tls(), server_hostname=site.address, limit=1024
    )
    peer = RawPeer(reader, writer)
    peer.send(hello(site, "d2").wire)
    assert await peer.connack() == 0
    writer.transport.pause_reading()  # type: ignore[attr-defined] # a transport of a stream reads, too
    request = publish("$iothub/twin/GET/?$rid=" + "r" * 200, b"", qos=0) * 200
    async with watched(site, MOST_KB), GoodClient.running(site, "d1") as good:
        async with asyncio.timeout(PATIENCE_S):
            while (await site.metrics()).get(CUT, 0) == 0:
                for _ in range(20 if peer.waiting_bytes < AHEAD_BYTES else 0):
                    peer.send(request)
                await asyncio.sleep(0.05)
        peer.abort()
    print(f"\nslowest good answer {good.slowest_s * 1000:.0f} ms")  # noqa: T201 — shown with -s
    assert good.held_up_s < HELD_UP_S
