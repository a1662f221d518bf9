"""Floods of AMQP: links and sessions that come and go, flows, verdicts, messages without end, of a device or of nobody.

Each is written as fast as the gateway takes it, its answers are read, and two good devices, one by AMQP and one by
MQTT, are served meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import pytest

from edgewire.codec.amqp.frames import EMPTY_FRAME, write_frame
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, write_batch
from edgewire.codec.amqp.performatives import (
    Detach,
    Disposition,
    End,
    Flow,
    Performative,
)
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S
from support.process_watch import watched
from support.raw_amqp import (
    BEGIN,
    CBS,
    MESSAGE,
    PING,
    AmqpPeer,
    GoodAmqpClient,
    attach_of,
    condition_of,
    credit_of,
    events_of,
    transfer_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLOOD_BYTES: Final = 100_000
MOST_KB: Final = 18 * 1024
PATIENCE_S: Final = 30.0
OTHER: Final = 5
"""A handle, and a channel, that no link and no session has."""
BIGGEST: Final = 0xFFFFFFFF
AT_ONCE: Final = 200

Burst = Callable[[Iterator[int]], bytes]
"""What is written next; it is given numbers, the next delivery ids."""


def frames(*performatives: Performative, channel: int = 0) -> bytes:
    return b"".join(write_frame(channel, one) for one in performatives)


def always(data: bytes) -> Burst:
    """The same again and again."""
    return lambda _: data * AT_ONCE


def transfers(payload: bytes = MESSAGE, at_once: int = AT_ONCE, **fields: Any) -> Burst:
    """Messages, one after the other."""
    return lambda ids: b"".join(transfer_of(0, next(ids), payload, **fields) for _ in range(at_once))


def flow(**fields: int) -> Flow:
    return Flow(**{"next_incoming_id": 0, "incoming_window": 9, "next_outgoing_id": 0, "outgoing_window": 9, **fields})  # type: ignore[arg-type] # all are numbers


def unfinished(ids: Iterator[int]) -> bytes:
    """One message, begun again after being given up."""
    number = next(ids)
    piece = transfer_of(0, number, bytes(20_000), more=True)
    return piece * 20 + transfer_of(0, number, b"", aborted=True)


@dataclass(frozen=True, slots=True)
class Flood:
    """`link_ends`: with what condition the link for telemetry does, if it does; the connection stays."""

    burst: Burst
    link_ends: str = ""


STOLEN: Final = "amqp:link:stolen"
NO_CREDIT: Final = "amqp:link:transfer-limit-exceeded"
FLOODS: dict[str, Flood] = {
    "links that come and go": Flood(always(frames(attach_of(OTHER, CBS), Detach(handle=OTHER, closed=True)))),
    "links that are refused": Flood(always(frames(attach_of(OTHER, "/nowhere"), Detach(handle=OTHER, closed=True)))),
    "links of somebody else": Flood(
        always(frames(attach_of(OTHER, events_of("d1")), Detach(handle=OTHER, closed=True)))
    ),
    "links that replace each other": Flood(
        always(frames(attach_of(OTHER, events_of("d2")), Detach(handle=OTHER))), STOLEN
    ),
    "sessions that come and go": Flood(always(frames(BEGIN, End(), channel=OTHER))),
    "sessions with a link": Flood(always(frames(BEGIN, attach_of(0, CBS), End(), channel=OTHER))),
    "flows that want an answer": Flood(always(write_frame(0, flow(echo=True)))),
    "credit for everything": Flood(always(write_frame(0, credit_of(0, BIGGEST)))),
    "verdicts over half of all numbers": Flood(
        always(frames(*(Disposition(role=role, first=1, last=1 << 31, settled=True) for role in (True, False))))
    ),
    "empty frames": Flood(always(EMPTY_FRAME)),
    "messages beyond the credit": Flood(transfers(), NO_CREDIT),
    "messages settled by their sender, beyond the credit": Flood(transfers(settled=True), NO_CREDIT),
    "messages of no byte": Flood(transfers(b""), NO_CREDIT),
    "pieces of no byte": Flood(
        lambda ids: transfer_of(0, next(ids), b"", more=True) * 2_000 + transfer_of(0, None, MESSAGE)
    ),
    "messages that are given up": Flood(unfinished),
    "batches of 500 messages": Flood(transfers(write_batch([MESSAGE] * 500), 20, message_format=MESSAGE_FORMAT_BATCH)),
    "batches of 500 messages of no byte": Flood(
        transfers(write_batch([b"\0\x53\x75\xa0\0"] * 500), 20, message_format=MESSAGE_FORMAT_BATCH)
    ),
}


async def flooded(peer: AmqpPeer, burst: Burst) -> list[Performative]:
    """Send bursts, reading all answers; what the gateway has said when it has read all of it."""
    ids = count(peer.skip_ids(1) + 1)
    reading = asyncio.ensure_future(peer.pinged(PATIENCE_S))
    sent = 0
    while sent < FLOOD_BYTES:
        data = burst(ids)
        peer.send(data)
        await peer.flush()
        sent += len(data)
    peer.send(PING)
    await reading
    return peer.said


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_of_one_device_leaves_room_for_others(running: GatewaySite, what: str) -> None:
    flood = FLOODS[what]
    peer = await AmqpPeer.logged_in(running, "d2")
    async with watched(running, MOST_KB) as watch, GoodAmqpClient.running(running, "good") as good:
        said = await flooded(peer, flood.burst)
        peer.abort()
    print(  # noqa: T201 — shown with -s
        f"\n{what}: {len(said)} answers; slowest good answer {good.slowest_s * 1000:.0f} ms; "
        f"at most {watch.peak_kb:+} KB"
    )
    ended = {condition_of(one) for one in said if isinstance(one, Detach) and one.handle == 0}
    assert ended == ({flood.link_ends} if flood.link_ends else set())
    assert good.held_up_s < HELD_UP_S
