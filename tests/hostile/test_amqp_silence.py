"""AMQP peers that say nothing, half of it, or one byte at a time: cut in time, and a good device gets in meanwhile.

The gateway's clock runs three times as fast (libfaketime), so that nobody waits for all of its patience. Not more: a
device that a busy machine holds up for seconds must not be cut for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from edgewire.codec.amqp.frames import AMQP_HEADER, SASL_HEADER, write_frame
from edgewire.codec.amqp.performatives import Accepted, SaslInit
from edgewire.codec.amqp.types import Symbol
from support.gateway_site import GatewaySite
from support.process_watch import watched
from support.raw_amqp import OPEN, AmqpPeer
from support.span import Span, spanned, within

FASTER: Final = 3
CONNECT_S: Final = 20.0 / FASTER  # AmqpLimits.connect_timeout_s
UNCLAIMED_S: Final = 60.0 / FASTER  # gateway.head.amqp.UNCLAIMED_S
SLACK_S: Final = 15.0
EACH: Final = 10
GOOD_LOGIN_S: Final = 15.0
"""Before the last of the others are cut. Of one login it is no more than CONNECT_S by the gateway's own limit."""
ANONYMOUS: Final = write_frame(0, SaslInit(mechanism=Symbol("ANONYMOUS")))
PEERS: Final = {
    "nothing": b"",
    "half a header": AMQP_HEADER[:4],
    "the header": AMQP_HEADER,
    "the header of SASL": SASL_HEADER,
    "half an init": SASL_HEADER + ANONYMOUS[:-3],
    "SASL": SASL_HEADER + ANONYMOUS,
    "SASL and the header": SASL_HEADER + ANONYMOUS + AMQP_HEADER,
    "half an open": AMQP_HEADER + write_frame(0, OPEN)[:-5],
    "the header of a frame of 64 KiB": AMQP_HEADER + b"\0\1\0\0\2\0\0\0",
}
"""What is said before the silence."""
TRICKLE: Final = AMQP_HEADER + b"\0\0\x10\0\2\0\0\0" + bytes(4_000)


def accelerated() -> dict[str, str]:
    """The environment of a process whose clocks all run faster."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    assert library is not None, "libfaketime is not installed (make peers)"
    return {"LD_PRELOAD": str(library), "FAKETIME": f"+0 x{FASTER}"}


async def cut_after(peer: AmqpPeer) -> float:
    """How long it took until the gateway ended the connection."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    async with asyncio.timeout(UNCLAIMED_S + 2 * SLACK_S):
        while await peer.chunk():
            pass
    return loop.time() - began_at


async def test_silent_slow_and_half_finished_peers_are_cut_while_a_good_device_logs_in(site: GatewaySite) -> None:
    await site.gateway.start(**accelerated())
    tls = site.client_tls()

    async def silent_after(said: bytes, source: str) -> float:
        peer = await AmqpPeer.reach(site, source=source, tls=tls)
        peer.send(said)
        return await cut_after(peer)

    async def trickle(source: str) -> float:
        peer = await AmqpPeer.reach(site, source=source, tls=tls)
        sending = asyncio.ensure_future(send_on(peer))
        try:
            return await cut_after(peer)
        finally:
            sending.cancel()

    async def opened_only(source: str) -> float:
        return await cut_after(await AmqpPeer.opened(site, source=source))

    def many(start: Callable[[str], Awaitable[float]], number: int) -> asyncio.Future[list[Span]]:
        return asyncio.gather(*(spanned(start, f"127.92.{number}.{one + 1}") for one in range(EACH)))

    async with watched(site):
        early = [
            many(lambda source, said=said: silent_after(said, source), number)  # type: ignore[misc] # mypy has no type for a bound default
            for number, said in enumerate(PEERS.values())
        ]
        early.append(many(trickle, 100))
        unclaimed = many(opened_only, 101)
        logins = await good_logins(site, count=5)
        for found in await asyncio.gather(*early):
            within(found, CONNECT_S - 1, CONNECT_S + SLACK_S)
        within(await unclaimed, UNCLAIMED_S - 1, UNCLAIMED_S + SLACK_S)
    assert max(logins) < GOOD_LOGIN_S
    series = 'gateway_refused_connections_total{reason="timeout"}'
    assert await site.counted(series, (len(PEERS) + 2) * EACH) == (len(PEERS) + 2) * EACH


async def send_on(peer: AmqpPeer) -> None:
    for at in range(len(TRICKLE)):
        peer.send(TRICKLE[at : at + 1])
        await asyncio.sleep(0.2)


async def good_logins(site: GatewaySite, *, count: int) -> list[float]:
    """How long a good device needs to get in and to be told that its message is safe, time after time."""
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(count):
        began_at = loop.time()
        peer = await AmqpPeer.logged_in(site, "d1")
        assert await peer.tell(0) == Accepted()
        found.append(loop.time() - began_at)
        await peer.close()
        await asyncio.sleep(0.5)
    return found
