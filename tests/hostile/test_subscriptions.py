"""Subscriptions in masses, and filters without end."""

import sqlite3

import pytest

from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.process_watch import watched
from support.raw_mqtt import subscribe
from support.raw_peer import RawPeer, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWN = "devices/d2/messages/devicebound/#"
SUBSCRIPTIONS = 100_000
PER_PACKET = 64
AT_ONCE = 25


async def test_a_hundred_thousand_subscriptions_are_answered_and_the_five_that_mean_something_kept(
    running: GatewaySite,
) -> None:
    async with watched(running), GoodClient.running(running, "good") as good:
        peer = await RawPeer.dial(running)
        peer.send(hello(running, "d2", clean=False).wire)
        assert await peer.connack() == 0
        for first in range(0, SUBSCRIPTIONS // PER_PACKET, AT_ONCE):
            for packet_id in range(first + 1, first + AT_ONCE + 1):
                others = [f"devices/d2/x{packet_id}/{number}" for number in range(PER_PACKET - 1)]
                peer.send(subscribe([OWN, *others], packet_id=packet_id))
            for packet_id in range(first + 1, first + AT_ONCE + 1):
                answer = await peer.expect(raw_mqtt.SUBACK)
                assert answer == packet_id.to_bytes(2, "big") + b"\x01" + b"\x80" * (PER_PACKET - 1)
        await peer.close()
    assert good.held_up_s < HELD_UP_S
    with sqlite3.connect(f"file:{running.data}/sessions.db?mode=ro", uri=True) as database:
        rows = database.execute("SELECT subscriptions FROM session WHERE device = 'd2'").fetchall()
    database.close()
    assert rows == [(f'{{"{OWN}": 1}}',)]


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (["x" * 65_535], 0x8F),
        (["/" * 32_000], 0x8F),
        (["+/" * 32_000 + "#"], 0x8F),
        (["a"] * 65, 0x97),
        (["a"] * 60_000, 0x97),
        ([], 0x82),
        (["a#"], 0x81),
        (["a/#/b"], 0x81),
        ([""], 0x81),
    ],
    ids=["65,535 bytes", "32,000 levels", "32,000 wildcards", "65", "60,000", "none", "a#", "a/#/b", "empty"],
)
@pytest.mark.parametrize("first", [0x82, 0xA2])
async def test_filters_that_nobody_needs_end_the_connection(
    running: GatewaySite, first: int, filters: list[str], reason: int, level: int
) -> None:
    peer = await RawPeer.login(running, "d2", level=level)
    body = b"\x00\x01" + (b"\x00" if level == 5 else b"")
    options = b"\x01" if first == 0x82 else b""
    peer.send(raw_mqtt.packet(first, body + b"".join(raw_mqtt.text(one) + options for one in filters)))
    told = await peer.ended()
    assert [body[0] for _, body in told] == ([reason] if level == 5 else [])
