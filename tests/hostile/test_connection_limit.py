"""As many connections as the operator allows and an address may begin, and not one more."""

import asyncio

from support.gateway_site import GatewaySite
from support.process_watch import watched
from support.raw_peer import RawPeer

LIMIT = 5
SERIES = 'gateway_refused_connections_total{reason="too_many_connections"}'


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
GOOD_LOGIN_S = 5.0


async def test_an_address_full_of_silent_connections_lets_those_in_that_speak(site: GatewaySite) -> None:
    await site.gateway.start()
    loop = asyncio.get_running_loop()
    async with watched(site):
        silent = [await RawPeer.dial(site, source=SOURCE, plain=True) for _ in range(HANDSHAKES)]
        await asyncio.sleep(1.1)  # transport.limits.DISPLACEABLE_AFTER_S
        began_at = loop.time()
        peer = await RawPeer.login(site, "d1", source=SOURCE)
        assert loop.time() - began_at < GOOD_LOGIN_S
        assert await silent[0].reader.read() == b""
        await peer.close()
        for each in silent:
            each.abort()
