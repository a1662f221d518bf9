"""As many connections as the operator allows and an address may begin, and not one more."""

import asyncio

from support.gateway_site import GatewaySite, until
from support.process_watch import open_files, watched
from support.raw_peer import RawPeer

LIMIT = 5
SERIES = 'gateway_refused_connections_total{reason="too_many_connections"}'
TIMEOUT = 'gateway_refused_connections_total{reason="timeout"}'


async def test_one_connection_too_many_is_closed_before_tls_and_a_place_that_is_free_is_given(
    site: GatewaySite,
) -> None:
    site.register(*(f"c-{number}" for number in range(LIMIT)))
    await site.gateway.start(GATEWAY_MAX_CONNECTIONS=str(LIMIT))
    async with watched(site):
        peers = [await RawPeer.login(site, f"c-{number}") for number in range(LIMIT)]
        more = await RawPeer.dial(site, plain=True)
        assert await more.reader.read() == b""
        more.abort()
        assert await site.counted(SERIES) == 1
        for peer in peers:
            await peer.ping()
        await peers.pop().close()
        peers.append(await RawPeer.login(site, "d1"))
        for peer in peers:
            await peer.close()


HANDSHAKES = 512  # TransportLimits.max_handshakes_per_address
SOURCE = "127.94.0.1"


async def test_an_address_full_of_silent_connections_lets_those_in_that_speak(site: GatewaySite) -> None:
    await site.gateway.start()
    before = open_files(site.gateway.pid)
    async with watched(site):
        silent = [await RawPeer.dial(site, source=SOURCE, plain=True) for _ in range(HANDSHAKES)]
        await until(lambda: open_files(site.gateway.pid) > before + HANDSHAKES // 2)  # the kernel takes them first
        await asyncio.sleep(1.1)  # transport.limits.DISPLACEABLE_AFTER_S
        peer = await RawPeer.login(site, "d1", source=SOURCE)
        assert await silent[0].reader.read() == b""
        assert (await site.metrics()).get(TIMEOUT, 0) == 0, "it had to wait until they were cut for their silence"
        assert await site.counted(SERIES) == 1, "the one that has waited for longest gave way, and nobody else"
        await peer.close()
        for each in silent:
            each.abort()
