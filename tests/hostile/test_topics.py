"""Topics that never repeat, and long ones: what is remembered of them, for speed, is bounded in bytes too."""

import asyncio

import pytest

from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.process_watch import watched
from support.raw_mqtt import publish, user_property
from support.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOPICS = 1_100
FEW = 70  # more than one connection remembers
LONG = 60_000
MOST_KB = 16 * 1024
DEVICES = 12
UNIQUE = 63
LITTLE_KB = 6 * 1024


async def send_all(peer: RawPeer, packets: list[bytes]) -> None:
    for packet in packets:
        peer.send(packet)
        assert (await peer.expect(raw_mqtt.PUBACK))[2:] in (b"", b"\x00")


def name(number: int) -> str:
    return f"{number:06d}" + "x" * LONG


async def test_long_topics_that_never_repeat_leave_nothing_behind(running: GatewaySite) -> None:
    topic = "devices/d2/messages/events/"
    async with watched(running, MOST_KB), GoodClient.running(running, "good") as good:
        peer = await RawPeer.login(running, "d2")
        await send_all(peer, [publish(topic + name(number)) for number in range(TOPICS)])
        await peer.close()
    assert good.held_up_s < HELD_UP_S


async def test_user_properties_that_never_repeat_leave_nothing_behind(running: GatewaySite) -> None:
    topic = "devices/d2/messages/events/"
    async with watched(running, MOST_KB), GoodClient.running(running, "good"):
        peer = await RawPeer.login(running, "d2", level=5)
        for number in range(TOPICS):
            properties = user_property(f"{number}", "y" * 16_000)
            await send_all(peer, [publish(topic, properties=properties)])
        await peer.close()


async def test_many_devices_with_long_topics_are_held_to_little_each(running: GatewaySite) -> None:
    names = [f"long-{number}" for number in range(DEVICES)]
    running.register(*names)
    async with watched(running, MOST_KB):
        peers = [await RawPeer.login(running, device) for device in names]
        await asyncio.gather(
            *(
                send_all(peer, [publish(f"devices/{device}/messages/events/{name(number)}") for number in range(FEW)])
                for device, peer in zip(names, peers, strict=True)
            )
        )
        for peer in peers:
            await peer.close()


async def test_devices_that_number_their_messages_are_held_to_little_each(running: GatewaySite) -> None:
    """No attack: SDKs put an id of its own into the topic of each message, and there are thousands of devices."""
    names = [f"numbering-{number}" for number in range(2 * DEVICES)]
    running.register(*names)
    peers = [await RawPeer.login(running, device) for device in names]
    properties = "&".join(f"name{number}=value{number}" for number in range(25))
    async with watched(running, LITTLE_KB):
        await asyncio.gather(
            *(
                send_all(
                    peer,
                    [
                        publish(f"devices/{device}/messages/events/$.mid={number:032x}&{properties}")
                        for number in range(UNIQUE)
                    ],
                )
                for device, peer in zip(names, peers, strict=True)
            )
        )
    for peer in peers:
        await peer.close()
