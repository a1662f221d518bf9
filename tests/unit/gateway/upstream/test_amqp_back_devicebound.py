import asyncio

import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import Error
from edgewire.iothub.amqp.addresses import Purpose
from gateway.dispatch.delivery import Settlement
from gateway.observe.upstream import BackKind, BackRefused, BackRestored, UnreadableFromCloud
from support.amqp_back_world import D1, D2, Device, back_world

TO_DEVICE = Purpose.DEVICEBOUND


@pytest.mark.parametrize(
    ("settlement", "says"),
    [(Settlement.COMPLETED, "accepted"), (Settlement.REJECTED, "rejected"), (Settlement.ABANDONED, "released")],
)
async def test_a_message_is_settled_at_the_hub_by_the_device_and_not_before(settlement: Settlement, says: str) -> None:
    async with back_world() as here:
        device = here.listen(D1, Device(None))
        here.hub.back.keep(D1, b"on")
        await here.until(lambda: device.parcels)
        await asyncio.sleep(0.05)
        assert here.hub.back.settled == []
        [parcel] = device.parcels
        assert parcel.message.body == b"on"
        assert parcel.message.bag.system["messageId"]
        assert parcel.message.delivery_count == 1
        assert parcel.message.lock_token
        assert parcel.settle(settlement)
        await here.until(lambda: here.hub.back.settled)
        assert here.hub.back.settled[0] == (D1, b"on", says)


async def test_no_more_come_than_the_window_allows_and_the_next_with_each_that_is_settled() -> None:
    async with back_world() as here:
        device = here.listen(D1, Device(None), window=2)
        here.hub.back.keep(D1, b"1", b"2", b"3", b"4")
        await here.until(lambda: len(device.parcels) == 2)
        await asyncio.sleep(0.02)
        assert device.bodies == [b"1", b"2"]
        device.parcels[0].settle(Settlement.COMPLETED)
        await here.until(lambda: len(device.parcels) == 3)
        await asyncio.sleep(0.02)
        assert device.bodies == [b"1", b"2", b"3"]
        here.delivery.subscribe(D1, device, 3)
        await here.until(lambda: b"4" in device.bodies)


async def test_a_window_of_one_keeps_the_order() -> None:
    async with back_world() as here:
        device = here.listen(D1, window=1)
        here.hub.back.keep(D1, *(b"%d" % number for number in range(20)))
        await here.until(lambda: len(device.parcels) == 20)
        assert device.bodies == [b"%d" % number for number in range(20)]


async def test_a_device_that_is_away_leaves_its_messages_in_the_hub() -> None:
    async with back_world() as here:
        here.hub.back.keep(D1, b"later")
        other = here.listen(D2)
        here.hub.back.keep(D2, b"now")
        await here.until(lambda: other.parcels)
        assert not here.hub.back.is_attached(D1, TO_DEVICE)
        assert [kept.body for kept in here.hub.back.queues[D1]] == [b"later"]
        device = here.listen(D1)
        await here.until(lambda: device.parcels)
        assert device.bodies == [b"later"]


async def test_a_device_that_leaves_gives_back_what_it_has_not_settled() -> None:
    async with back_world() as here:
        device = here.listen(D1, Device(None))
        here.hub.back.keep(D1, b"1", b"2")
        await here.until(lambda: len(device.parcels) == 2)
        device.parcels[0].settle(Settlement.COMPLETED)
        here.delivery.unsubscribe(D1, device)
        await here.until(lambda: not here.hub.back.is_attached(D1, TO_DEVICE))
        await here.until(lambda: len(here.hub.back.settled) == 2)
        assert [how for *_, how in here.hub.back.settled] == ["accepted", "released"]
        assert [kept.body for kept in here.hub.back.queues[D1]] == [b"2"]
        assert len(device.parcels) == 2
        assert here.proxy.devices == 0


@pytest.mark.parametrize("how", ["link", "connection"])
async def test_what_was_not_settled_when_the_link_went_comes_again_with_the_same_id(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.RETRY_FIRST_S", 0.01)
    async with back_world() as here:
        device = here.listen(D1, Device(None))
        here.hub.back.keep(D1, b"on")
        await here.until(lambda: device.parcels)
        if how == "link":
            here.hub.back.detach(D1, TO_DEVICE)
        else:
            here.hub.drop()
        await here.until(lambda: len(device.parcels) == 2)
        first, second = device.parcels
        assert not first.settle(Settlement.COMPLETED)
        assert second.message.bag.system["messageId"] == first.message.bag.system["messageId"]
        assert (first.message.delivery_count, second.message.delivery_count) == (1, 2)
        assert second.settle(Settlement.COMPLETED)
        await here.until(lambda: here.hub.back.settled)
        assert here.hub.back.settled == [(D1, b"on", "accepted")]


async def test_what_cannot_be_read_is_rejected_and_told_and_the_next_comes() -> None:
    async with back_world() as here:
        device = here.listen(D1, window=1)
        here.hub.back.keep_raw(D1, b"no message")
        here.hub.back.keep(D1, b"good")
        await here.until(lambda: device.parcels)
        assert here.hub.back.settled[0] == (D1, b"no message", "rejected")
        [told] = here.seen(UnreadableFromCloud)
        assert (told.kind, told.device) == (BackKind.MESSAGES, "d1")


async def test_a_link_that_is_refused_is_tried_again_and_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.RETRY_FIRST_S", 0.01)
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.RETRY_CAP_S", 0.01)
    async with back_world() as here:
        here.hub.back.refused["d1", TO_DEVICE] = Error(condition=conditions.NOT_FOUND, description="no")
        refused, other = here.listen(D1), here.listen(D2)
        here.hub.back.keep(D1, b"1")
        here.hub.back.keep(D2, b"2")
        await here.until(lambda: other.parcels and here.seen(BackRefused))
        sent = [await here.send(who, 1) for who in (D1, D2)]
        assert [one.outcome.name for one in sent] == ["ACCEPTED"] * 2
        assert here.keys.refusals == []
        [told] = here.seen(BackRefused)
        assert (told.kind, told.device) == (BackKind.MESSAGES, "d1")
        assert "amqp:not-found no" in told.reason
        here.hub.back.refused.clear()
        await here.until(lambda: refused.parcels)
        assert [event.device for event in here.seen(BackRestored)] == ["d1"]


async def test_the_subscriptions_from_before_the_connection_are_kept() -> None:
    async with back_world() as here:
        here.go.clear()
        here.hub.drop()
        await here.until(lambda: here.proxy.link() is None)
        device = here.listen(D1)
        here.hub.back.keep(D1, b"x")
        here.go.set()
        await here.until(lambda: device.parcels)
