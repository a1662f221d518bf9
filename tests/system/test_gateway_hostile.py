"""Things that are no TLS or no MQTT on the TLS port: they are cut at once and counted, and nobody else notices.

More of the kind, and worse: tests/hostile.
"""

import asyncio
import contextlib
import random
import ssl

from edgewire.codec.mqtt.connect import write_connect
from edgewire.codec.mqtt.packets import Connect
from support.gateway_site import GatewaySite, until
from support.paho_device import let_in

PATIENCE_S = 30.0
HALVES = 20
NOISE = random.Random(1).randbytes(4000)
CONNECT = write_connect(Connect(client_id="d1", level=4, clean_start=True, keep_alive_s=60, username="hub/d1"))
NO_TLS = {
    "noise": (NOISE, "not_tls"),
    "plain MQTT": (CONNECT, "not_tls"),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "not_tls"),
    "a broken hello": (b"\x16\x03\x01" + NOISE, "tls_malformed"),
}
NO_MQTT = {
    "noise": NOISE,
    "a CONNECT of 256 MB": b"\x10\xff\xff\xff\x7f",
    "an empty CONNECT": b"\x10\x00",
    "a PUBLISH before CONNECT": b"\x30\x02\x00\x00",
    "two CONNECTs": CONNECT + CONNECT,
}


async def cut(site: GatewaySite, data: bytes, tls: ssl.SSLContext | None) -> None:
    """Connect, send `data`, and return when the gateway has closed."""
    reader, writer = await asyncio.open_connection(site.address, 8883, ssl=tls)
    writer.write(data)
    try:
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):  # cut is closed
                while await reader.read(65_536):
                    pass
    finally:
        writer.transport.abort()


async def test_what_is_no_tls_is_cut_and_counted(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d2") as bystander:
        await asyncio.gather(*(cut(site, data, None) for data, _ in NO_TLS.values() for _ in range(5)))
        await bystander.publish("undisturbed")
    for reason in ("not_tls", "tls_malformed"):
        count = 5 * sum(each == reason for _, each in NO_TLS.values())
        assert await site.counted(f'gateway_refused_connections_total{{reason="{reason}"}}', count) == count


async def test_what_is_no_mqtt_is_cut(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d2") as bystander:
        await asyncio.gather(*(cut(site, data, site.client_tls()) for data in NO_MQTT.values() for _ in range(5)))
        await bystander.publish("undisturbed")
    assert len(await site.arrived(1)) == 1
    assert "no CONNECT within" not in site.gateway.transcript(), "at once, not for being slow"


async def test_half_a_connect_keeps_nobody_waiting(site: GatewaySite) -> None:
    await site.gateway.start()
    begun = 0

    async def be_half() -> None:
        """There is always half a CONNECT of this client: when the gateway has had enough of one, the next."""
        nonlocal begun
        while True:
            reader, writer = await asyncio.open_connection(site.address, 8883, ssl=site.client_tls())
            try:
                writer.write(CONNECT[:9])
                await writer.drain()
                begun += 1
                with contextlib.suppress(ConnectionError):
                    await reader.read()
            finally:
                writer.transport.abort()

    halves = [asyncio.ensure_future(be_half()) for _ in range(HALVES)]
    try:
        await until(lambda: begun >= HALVES)
        async with let_in(site, "d2") as bystander:
            await bystander.publish("undisturbed")
        assert len(await site.arrived(1)) == 1
        assert not any(half.done() for half in halves)
    finally:
        for half in halves:
            half.cancel()
        await asyncio.wait(halves)
