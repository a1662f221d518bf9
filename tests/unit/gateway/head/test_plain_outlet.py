import asyncio
from typing import Any

import pytest

from edgewire.codec.mqtt.properties import PublishProperties
from gateway.broker.messages import Extras, LocalMessage, Parcel
from gateway.broker.sessions import TooLargeError
from gateway.head.plain_outlet import MAX_UNSENT_BYTES, PlainOutlet


class World:
    """A session and its pump."""

    level = 5
    dead = False
    window = 1

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.flushes = 0
        self.room = 0
        self.takes = True
        anything: Any = self
        self.outlet = PlainOutlet(anything, anything, clock=lambda: 100.0, on_room=self.on_room)

    def publish(self, topic: str, _payload: bytes, **how: Any) -> int | None:
        self.sent.append({"topic": topic, **how})
        return how["qos"] if self.takes else None

    def flush(self) -> None:
        self.flushes += 1

    def on_room(self) -> None:
        self.room += 1


def parcel(qos: int = 0, payload: bytes = b"x", **how: Any) -> Parcel:
    return Parcel(LocalMessage(topic="t", payload=payload, qos=qos, **how), qos)


async def test_nothing_leaves_before_the_client_is_let_in_or_after_it_is_gone() -> None:
    world = World()
    assert world.outlet.send(parcel(), None) is None
    world.outlet.open()
    assert world.outlet.send(parcel(), None) == 0
    world.outlet.close()
    assert world.outlet.send(parcel(), None) is None


async def test_writes_of_one_turn_leave_as_one_and_no_more_than_some_bytes() -> None:
    world = World()
    world.outlet.open()
    big = parcel(payload=bytes(MAX_UNSENT_BYTES))
    assert world.outlet.send(parcel(), None) == 0
    assert world.outlet.send(big, None) == 0
    assert world.outlet.send(parcel(), None) is None
    await asyncio.sleep(0)
    assert (world.flushes, world.room) == (1, 1)
    assert world.outlet.send(parcel(), None) == 0


async def test_a_client_that_reads_slowly_gets_no_more_until_it_has_caught_up() -> None:
    world = World()
    world.outlet.open()
    world.outlet.on_sending_paused()
    assert world.outlet.send(parcel(), None) is None
    world.outlet.on_sending_resumed()
    assert world.room == 1
    assert world.outlet.send(parcel(), None) == 0


async def test_without_a_window_quality_1_waits_and_what_is_too_large_is_said() -> None:
    world = World()
    world.outlet.open()
    world.window = 0
    assert world.outlet.send(parcel(qos=1), None) is None
    world.window, world.takes = 1, False
    with pytest.raises(TooLargeError):
        world.outlet.send(parcel(qos=1), None)


async def test_what_was_sent_before_is_marked() -> None:
    world = World()
    world.outlet.open()
    world.outlet.send(parcel(qos=1), 7)
    assert (world.sent[0]["dup"], world.sent[0]["packet_id"]) == (True, 7)


async def test_mqtt_5_hears_all_that_the_message_says_and_the_time_that_is_left() -> None:
    world = World()
    world.outlet.open()
    heard: list[LocalMessage] = []
    world.outlet.on_sent = heard.append
    message = LocalMessage(topic="t", payload=b"", extras=Extras(content_type="a"), expires_at=130.9)
    world.outlet.send(Parcel(message, 0, False, (3, 4)), None)
    world.outlet.send(parcel(), None)
    wanted = PublishProperties(content_type="a", message_expiry_s=30, subscription_identifiers=(3, 4))
    assert [each["properties"] for each in world.sent] == [wanted, None]
    assert heard[0] is message


async def test_what_goes_to_a_bridge_carries_our_name_behind_those_of_others() -> None:
    world = World()
    world.outlet.open()
    world.outlet.gateway = "here"
    world.outlet.send(parcel(), None)
    world.outlet.send(parcel(extras=Extras(user_properties=(("unit", "C"), ("edge-gateway-via", "there")))), None)
    assert [each["properties"].user_properties for each in world.sent] == [
        (("edge-gateway-via", "here"),),
        (("unit", "C"), ("edge-gateway-via", "there;here")),
    ]
