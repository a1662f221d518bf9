"""Peers that keep what they are given: links, half messages, answers that are never read. Each has a bound."""

import asyncio
import socket
from typing import Final

import pytest

from edgewire.codec.amqp.frames import AMQP_HEADER, write_frame
from edgewire.codec.amqp.performatives import Accepted, Attach, Close, Detach, Flow, Target
from edgewire.codec.amqp.types import Symbol
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.process_watch import watched
from support.raw_amqp import (
    AMQP_PORT,
    BEGIN,
    CBS,
    OPEN,
    AmqpPeer,
    GoodAmqpClient,
    attach_of,
    condition_of,
    put_token,
    transfer_of,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

MOST_KB: Final = 24 * 1024
LINKS: Final = 66  # gateway.head.amqp.MAX_UNCLAIMED_LINKS
NOBODIES: Final = 20
NOBODY_KB: Final = 800
HALF_A_REQUEST: Final = bytes(16_000)
HALF_A_MESSAGE: Final = bytes(60_000)
PIECES: Final = 16
WHOLE_HALVES: Final = 8  # AmqpLimits.max_partial_bytes in messages of that size
CUT: Final = 'gateway_cut_connections_total{reason="not_reading"}'
PATIENCE_S: Final = 90.0
AHEAD_BYTES: Final = 1 << 20
"""That a gateway on a busy machine has not taken yet: it is sent no more."""
TOO_MUCH: Final = "amqp:resource-limit-exceeded"


async def test_who_has_not_logged_in_holds_little(running: GatewaySite) -> None:
    async def hoard(number: int) -> AmqpPeer:
        peer = await AmqpPeer.opened(running, source=f"127.93.0.{number + 1}")
        for handle in range(LINKS):
            peer.send(write_frame(0, attach_of(handle, CBS, sends=handle % 2 == 0)))
        for handle in range(0, LINKS, 2):
            peer.send(transfer_of(handle, handle, HALF_A_REQUEST, more=True))
        await peer.ping()
        detached = [condition_of(said) for said in peer.said if isinstance(said, Detach)]
        assert detached.count(TOO_MUCH) > LINKS // 2 - 5, "one half of a request is kept, and some links had no credit"
        return peer

    async with watched(running, NOBODY_KB * NOBODIES), GoodAmqpClient.running(running, "good"):
        for peer in [await hoard(number) for number in range(NOBODIES)]:
            peer.send(write_frame(0, attach_of(LINKS, CBS)))
            *_, close = await peer.told()
            assert isinstance(close, Close)
            assert condition_of(close) == TOO_MUCH


async def test_what_an_attach_says_is_not_kept_with_its_link(running: GatewaySite) -> None:
    """A map of 60 kB takes two megabytes when it has been read."""
    properties = {Symbol(f"{number:05}"): None for number in range(7_000)}
    async with watched(running, MOST_KB), GoodClient.running(running, "good"):
        peer = await AmqpPeer.logged_in(running, "d2")
        for handle in range(1, 100):
            attach = Attach(
                name=f"n{handle}",
                handle=handle,
                role=False,
                target=Target(address=CBS),
                initial_delivery_count=0,
                properties=properties,
            )
            peer.send(write_frame(0, attach))
            await peer.flush()
        await peer.ping(PATIENCE_S)
        assert await peer.tell(0) == Accepted()
        await peer.close()


async def test_half_messages_of_many_devices_have_one_bound_for_their_connection(running: GatewaySite) -> None:
    names = [f"half-{number}" for number in range(WHOLE_HALVES + 1)]
    running.register(*names)
    async with watched(running, MOST_KB), GoodAmqpClient.running(running, "good"):
        peer = await AmqpPeer.with_tokens(running, *names, "d1")
        neighbour = GoodAmqpClient(peer, handle=len(names))
        for handle in range(len(names)):
            piece = transfer_of(handle, peer.skip_ids(1), HALF_A_MESSAGE, more=True)
            peer.send(piece * PIECES)
            await peer.flush()
            await neighbour.send()
        # 16 pieces of 60,000 bytes are 960,000: the ninth message is beyond 8 MiB.
        assert [condition_of(said) for said in peer.said if isinstance(said, Detach)] == [TOO_MUCH]
        await peer.close()


async def test_answers_that_are_not_read_are_bounded_and_delay_nobody(running: GatewaySite) -> None:
    before = (await running.metrics()).get(CUT, 0)
    peer = await deaf(running)
    peer.send(AMQP_HEADER + write_frame(0, OPEN) + write_frame(0, BEGIN))
    peer.send(write_frame(0, attach_of(1, CBS, sends=False)) + write_frame(0, attach_of(0, CBS)))
    flow = write_frame(0, Flow(incoming_window=9, next_outgoing_id=0, outgoing_window=9, next_incoming_id=0, echo=True))
    credit = Flow(
        next_incoming_id=0,
        incoming_window=1 << 30,
        next_outgoing_id=0,
        outgoing_window=9,
        handle=1,
        link_credit=1 << 30,
    )
    peer.send(write_frame(0, credit))
    requests = b"".join(transfer_of(0, number, put_token("x")) for number in range(50))
    async with watched(running, MOST_KB), GoodAmqpClient.running(running, "good") as good:
        peer.send(requests)
        async with asyncio.timeout(PATIENCE_S):
            while (await running.metrics()).get(CUT, 0) == before:
                if peer.waiting_bytes < AHEAD_BYTES:
                    peer.send(flow * 20_000)
                await asyncio.sleep(0.05)
        peer.abort()
    print(f"\nslowest good answer {good.slowest_s * 1000:.0f} ms")  # noqa: T201 — shown with -s
    assert good.held_up_s < HELD_UP_S


async def deaf(site: GatewaySite) -> AmqpPeer:
    """A connection whose answers are not read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (site.address, AMQP_PORT))
    reader, writer = await asyncio.open_connection(
        sock=raw, ssl=site.client_tls(), server_hostname=site.address, limit=1024
    )
    writer.transport.pause_reading()  # type: ignore[attr-defined] # a transport of a stream reads, too
    return AmqpPeer(reader, writer)
