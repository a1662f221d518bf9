"""HTTPS against peers that flood, hoard and send nonsense: memory stays bounded, a good device is served meanwhile."""

import asyncio
import contextlib
import random
from collections.abc import Sequence

import pytest

from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.http_reading import read_answers
from support.process_watch import watched
from support.raw_peer import PATIENCE_S, RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PORT = 8443
CASES = 400
WORKERS = 4
HOARDERS = 60
BODY = 300_000
MEMORY_KB = 30 * 1024
PIECES = (
    b"POST ",
    b"GET ",
    b"/devices/d1/messages/events?api-version=2021-04-12",
    b"/devices/d1/messages/devicebound",
    b"%2e%2e%2f",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"Host: hub\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Authorization: SharedAccessSignature sr=x&sig=y&se=1\r\n",
    b"Expect: 100-continue\r\n",
    b"iothub-app-\xff: \x00\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"[" * 200,
    bytes(range(256)),
)


def head(site: GatewaySite, length: int | None, *lines: str, token: bool = True) -> bytes:
    """The head of a message from d1."""
    fields = [f"Host: {site.hub.hub_name}", *lines]
    if length is not None:
        fields.append(f"Content-Length: {length}")
    if token:
        fields.append(f"Authorization: {site.token('d1')}")
    return "\r\n".join(("POST /devices/d1/messages/events?api-version=2021-04-12 HTTP/1.1", *fields, "", "")).encode()


async def told(peer: RawPeer) -> bytes:
    """All that comes until the gateway ends the connection."""
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            while part := await peer.reader.read(65_536):
                found += part
    peer.abort()
    return found


async def statuses(peers: Sequence[RawPeer]) -> set[int]:
    """With what these were answered before they were closed."""
    return {answer.status for data in await asyncio.gather(*map(told, peers)) for answer in read_answers(data)}


async def test_nonsense_costs_its_connection_and_nothing_else(running: GatewaySite) -> None:
    async def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(CASES // WORKERS):
            peer = await RawPeer.dial(running, port=PORT, source=f"127.98.1.{seed}")
            peer.send(b"".join(dice.choices(PIECES, k=dice.randint(1, 12))))
            await peer.flush()
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.02):
                    await peer.reader.read(4096)
            peer.abort()

    async with watched(running), GoodClient.running(running, "good") as good:
        await asyncio.gather(*map(work, range(1, WORKERS + 1)))
    assert good.held_up_s < HELD_UP_S


async def test_who_is_not_let_in_holds_no_body(running: GatewaySite) -> None:
    async with watched(running, MEMORY_KB), GoodClient.running(running, "good"):
        peers = [await RawPeer.dial(running, port=PORT) for _ in range(HOARDERS)]
        for peer in peers:
            peer.send(head(running, BODY, token=False) + bytes(60_000))
        assert await statuses(peers) == {401}


async def test_one_device_holds_no_more_bodies_than_it_may(running: GatewaySite) -> None:
    async with watched(running, MEMORY_KB), GoodClient.running(running, "good"):
        peers = [await RawPeer.dial(running, port=PORT) for _ in range(HOARDERS)]
        for peer in peers:
            peer.send(head(running, BODY) + bytes(BODY - 1))
            await peer.flush()
        refused = list(peers[32:])
        assert await statuses(refused) == {503}
        peers[0].send(b"x")
        assert (await answer(peers[0])).startswith(b"HTTP/1.1 413 ")
        for peer in peers:
            peer.abort()
    peer = await RawPeer.dial(running, port=PORT)
    peer.send(head(running, 1) + b"x")
    assert (await answer(peer)).startswith(b"HTTP/1.1 204 ")
    peer.abort()


async def answer(peer: RawPeer) -> bytes:
    """The head of the next answer."""
    async with asyncio.timeout(PATIENCE_S):
        return await peer.reader.readuntil(b"\r\n\r\n")


async def test_what_opens_to_gigabytes_is_not_opened(running: GatewaySite) -> None:
    async with watched(running, MEMORY_KB):
        peer = await RawPeer.dial(running, port=PORT)
        peer.send(head(running, 10, "Content-Encoding: gzip") + bytes(10))
        assert await statuses([peer]) == {415}


async def test_a_slow_body_is_taken_and_keeps_nobody_waiting(running: GatewaySite) -> None:
    async with GoodClient.running(running, "good") as good:
        peer = await RawPeer.dial(running, port=PORT)
        for byte in head(running, None, "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 20 + b"0\r\n\r\n":
            peer.send(bytes((byte,)))
            await peer.flush()
        assert (await answer(peer)).startswith(b"HTTP/1.1 204 ")
        peer.abort()
    assert good.held_up_s < HELD_UP_S
