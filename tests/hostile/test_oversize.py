"""Packets that claim to be, or are, larger than anybody may send: refused from their header, at no cost in memory."""

import asyncio

import pytest

from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.good_client import GoodClient
from support.process_watch import watched
from support.raw_mqtt import packet, publish, varint
from support.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEERS = 14  # mosquitto's rule: as many first packets that claim 243 MB each may cost 20 MB
CLAIM = 243_000_000
MOST_KB = 10 * 1024
BROKEN = "gateway_broken_protocols_total"
TOPIC = "devices/d2/messages/events/"


@pytest.mark.parametrize("first", [0x10, 0x32])
async def test_first_packets_that_claim_243_mb_cost_nothing(running: GatewaySite, first: int) -> None:

    async def claim() -> None:
        peer = await RawPeer.dial(running)
        peer.send(bytes((first,)) + varint(CLAIM) + bytes(1_000_000))
        assert await peer.ended() == []

    before = (await running.metrics()).get(BROKEN, 0)
    async with watched(running, MOST_KB), GoodClient.running(running, "good"):
        await asyncio.gather(*(claim() for _ in range(PEERS)))
    assert await running.counted(BROKEN, before + PEERS) == before + PEERS


@pytest.mark.parametrize("size", [327_693, CLAIM, 268_435_455])
@pytest.mark.parametrize("level", [4, 5])
async def test_a_message_that_claims_more_than_the_limit_is_refused_from_its_header(
    running: GatewaySite, level: int, size: int
) -> None:
    before = (await running.metrics()).get(BROKEN, 0)
    peer = await RawPeer.login(running, "d2", level=level)
    peer.send(b"\x32" + varint(size))
    told = await peer.ended()
    assert [body[0] for _, body in told] == ([0x95] if level == 5 else [])
    assert await running.counted(BROKEN, before + 1) == before + 1


async def test_the_largest_packet_that_is_no_message_is_refused_by_name(running: GatewaySite) -> None:
    peer = await RawPeer.login(running, "d2", level=5)
    peer.send(publish(TOPIC, bytes(262_145), properties=b""))
    assert await peer.expect(raw_mqtt.PUBACK) == b"\x00\x01\x97"
    peer.send(publish(TOPIC, bytes(250_000), packet_id=2, properties=b""))
    assert await peer.expect(raw_mqtt.PUBACK) == b"\x00\x02"
    await peer.close()


async def test_packets_that_stop_one_byte_before_their_end_hold_no_more_than_themselves(running: GatewaySite) -> None:
    names = [f"stall-{number}" for number in range(PEERS)]
    running.register(*names)

    async def stall(name: str) -> RawPeer:
        peer = await RawPeer.login(running, name)
        peer.send(publish(f"devices/{name}/messages/events/", bytes(250_000))[:-1])
        await peer.flush()
        return peer

    async with watched(running, MOST_KB), GoodClient.running(running, "good"):
        for peer in await asyncio.gather(*map(stall, names)):
            peer.abort()


async def test_what_comes_behind_a_connect_that_is_not_answered_yet_is_bounded(running: GatewaySite) -> None:
    wrong = packet(0x10, raw_mqtt.text("MQTT") + b"\x04\xc2\x00\x3c" + raw_mqtt.text("d2") * 2 + raw_mqtt.text("p"))
    async with watched(running, MOST_KB), GoodClient.running(running, "good"):
        for number in range(15):  # from the eleventh on, the answer is held back
            peer = await RawPeer.dial(running)
            peer.send(wrong + (publish(TOPIC, bytes(100_000), qos=0) * 5 if number == 14 else b""))
            await peer.flush()
            told = await peer.ended()
            assert [body for _, body in told] in ([b"\x00\x04"], [])
