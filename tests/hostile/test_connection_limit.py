"""As many connections as the operator allows, and not one more."""

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
