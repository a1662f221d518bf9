import asyncio
from functools import partial

import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import Error
from edgewire.iothub.amqp.addresses import Address, Purpose
from edgewire.iothub.amqp.twins import TwinOperation
from edgewire.message import Outcome, identity
from edgewire.session.amqp.limits import AmqpLimits
from gateway.observe.upstream import BackKind, BackRefused, BackRestored, DeviceRefusedUpstream, DevicesWithoutPlace
from gateway.upstream.amqp_back import MAX_TURNS
from gateway.upstream.amqp_proxy import AmqpTimes
from support.amqp_back_world import D1, D2, LIMIT_S, BackWorld, Device, back_world

BACK = (Purpose.DEVICEBOUND, Purpose.METHODS, Purpose.TWIN)


def listen_to_all(here: BackWorld, device: str) -> Device:
    """A device that takes all that there is."""
    who, made = identity(device), Device()
    here.listen(who, made)
    here.methods.subscribe(who, made)
    here.twins.subscribe(who, made)
    return made


def is_complete(here: BackWorld, device: str) -> bool:
    """Whether all that comes down for it can."""
    return all(here.hub.back.is_attached(identity(device), purpose) for purpose in BACK)


async def test_all_links_of_a_device_share_one_token_and_one_session() -> None:
    async with back_world() as here:
        assert (await here.send(D1, 1)).outcome is Outcome.ACCEPTED
        listen_to_all(here, "d1")
        await here.until(lambda: is_complete(here, "d1"))
        assert (await here.send(D1, 2)).outcome is Outcome.ACCEPTED
        assert len(here.hub.tokens) == 1
        sessions = {link.session for link in here.hub.back.links.values()} | {here.hub.connection.links[D1].session}
        assert len(sessions) == 1
        assert here.proxy.devices == 1


async def test_telemetry_that_is_idle_gives_its_link_back_and_the_others_stay() -> None:
    async with back_world(times=AmqpTimes(tend_s=0.01, idle_s=0.05)) as here:
        device = listen_to_all(here, "d1")
        assert (await here.send(D1, 1)).outcome is Outcome.ACCEPTED
        link = here.hub.connection.links[D1]
        await here.until(lambda: not link.attached)
        here.hub.back.keep(D1, b"x")
        await here.until(lambda: device.parcels)
        assert (await here.send(D1, 2)).outcome is Outcome.ACCEPTED
        assert len(here.hub.tokens) == 1
        assert here.hub.attached == [D1, D1]


async def test_a_token_is_renewed_once_and_all_links_stay() -> None:
    async with back_world() as here:
        device = listen_to_all(here, "d1")
        await here.until(lambda: is_complete(here, "d1"))
        here.keys.now += 3_010
        await here.until(lambda: len(here.hub.tokens) == 2)
        here.hub.back.keep(D1, b"x")
        await here.until(lambda: device.parcels)
        await asyncio.sleep(0.05)
        assert len(here.hub.tokens) == 2
        assert len(here.hub.back.attached) == 5


async def test_a_renewal_that_is_refused_costs_all_links_and_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.RETRY_FIRST_S", 0.05)
    async with back_world() as here:
        device = listen_to_all(here, "d1")
        await here.until(lambda: is_complete(here, "d1"))
        await here.send(D1, 1)
        here.hub.token_status["d1"] = 401
        here.keys.now += 3_010
        await here.until(lambda: here.seen(DeviceRefusedUpstream) and len(here.seen(BackRefused)) == 3)
        assert here.keys.refusals == [D1]
        here.hub.token_status.clear()
        await here.until(lambda: is_complete(here, "d1"))
        await here.until(lambda: {event.kind for event in here.seen(BackRestored)} == set(BackKind))
        here.hub.back.keep(D1, b"x")
        await here.until(lambda: device.parcels)


async def test_a_token_that_is_wrong_for_one_link_is_wrong_for_all_and_the_next_one_is_put(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.RETRY_FIRST_S", 0.02)
    async with back_world() as here:
        no = Error(condition=conditions.UNAUTHORIZED_ACCESS, description="no")
        here.hub.back.refused["d1", Purpose.DEVICEBOUND] = no
        device = here.listen(D1)
        await here.until(lambda: here.seen(BackRefused))
        assert here.keys.refusals[0] == D1
        here.hub.back.refused.clear()
        await here.until(lambda: here.hub.back.is_attached(D1, Purpose.DEVICEBOUND))
        here.hub.back.keep(D1, b"x")
        await here.until(lambda: device.parcels)
        assert len(here.hub.tokens) == len(here.keys.refusals) + 1


async def test_a_session_that_the_hub_ends_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.RETRY_FIRST_S", 0.01)
    monkeypatch.setattr("gateway.upstream.amqp_lane.RETRY_FIRST_S", 0.01)
    async with back_world() as here:
        listen_to_all(here, "d1")
        other = listen_to_all(here, "d2")
        await here.until(lambda: is_complete(here, "d1") and is_complete(here, "d2"))
        await here.send(D1, 1)
        far = here.hub.connection
        far.server.end(far.links[D1].session, "amqp:internal-error", "told to")
        far.pump.flush()
        await here.until(lambda: not is_complete(here, "d1"))
        await here.until(lambda: is_complete(here, "d1"))
        assert (await here.send(D1, 2)).outcome is Outcome.ACCEPTED
        here.hub.back.keep(D2, b"x")
        await here.until(lambda: other.parcels)
        assert len(here.hub.connections) == 1


async def test_links_that_are_not_answered_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.RETRY_FIRST_S", 0.01)
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.OPEN_S", 0.03)
    async with back_world() as here:
        here.hub.back.silent.add(Purpose.METHODS)
        listen_to_all(here, "d1")
        await here.until(lambda: here.hub.back.is_attached(D1, Purpose.DEVICEBOUND))
        await here.until(lambda: here.hub.back.attached.count(Address(D1, Purpose.METHODS)) >= 4)
        here.hub.back.silent.clear()
        await here.until(lambda: is_complete(here, "d1"))


def _have(devices: dict[str, Device], each: int) -> bool:
    """Whether so many messages and calls came to each of them."""
    return all(len(one.parcels) == len(one.calls) == each for one in devices.values())


async def test_two_hundred_devices_listen_on_one_connection_and_again_after_it_was_lost() -> None:
    async with back_world() as here:
        most = 0
        devices = {f"d{number}": listen_to_all(here, f"d{number}") for number in range(200)}
        for again in (1, 2):
            async with asyncio.timeout(LIMIT_S):
                while not all(is_complete(here, name) for name in devices):
                    most = max(most, len(here.back._turns))
                    await asyncio.sleep(0)
            assert len(here.hub.tokens) == 200 * again
            for name in devices:
                here.hub.back.keep(identity(name), name.encode())
                here.hub.back.call(identity(name), "ping", name.encode())
            await here.until(partial(_have, devices, again))
            if again == 1:
                here.hub.drop()
                await here.until(lambda: len(here.hub.connections) == 2)
        assert all(set(one.bodies) == {name.encode()} for name, one in devices.items())
        assert most <= MAX_TURNS
        assert here.seen(BackRefused) == []


async def test_telemetry_goes_while_many_begin_to_listen() -> None:
    async with back_world() as here:
        for number in range(300):
            listen_to_all(here, f"d{number}")
        assert (await here.send(identity("sends"), 1)).outcome is Outcome.ACCEPTED
        assert not all(is_complete(here, f"d{number}") for number in range(300))


async def test_more_who_listen_than_places_are_told_and_telemetry_of_all_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back.UNPLACED_S", 0.02)
    async with back_world(max_devices=5) as here:
        devices = {f"d{number}": here.listen(identity(f"d{number}")) for number in range(9)}
        await here.until(lambda: here.seen(DevicesWithoutPlace))
        [told] = here.seen(DevicesWithoutPlace)
        assert (told.devices, told.longest, told.places) == (5, ("d4", "d5", "d6"), 4)
        assert "'d4', 'd5', 'd6' and 2 more listen and have no place" in told.sentence()
        for number in (1, 2, 3):
            sent = await asyncio.gather(*(here.send(identity(name), number) for name in devices))
            assert {one.outcome for one in sent} == {Outcome.ACCEPTED}
        here.delivery.unsubscribe(identity("d0"), devices["d0"])
        await here.until(lambda: here.hub.back.is_attached(identity("d4"), Purpose.DEVICEBOUND))
        here.hub.back.keep(identity("d4"), b"x")
        await here.until(lambda: devices["d4"].parcels)
        assert here.proxy.devices <= 5


async def test_idle_telemetry_makes_room_for_one_that_listens() -> None:
    async with back_world(max_devices=3) as here:
        for number in range(3):
            await here.send(identity(f"d{number}"), 1)
        assert here.proxy.devices == 3
        device = here.listen(identity("listens"))
        here.hub.back.keep(identity("listens"), b"x")
        await here.until(lambda: device.parcels)
        assert here.proxy.devices == 3


async def test_a_peer_with_one_channel_for_devices_keeps_it_for_telemetry() -> None:
    made = BackWorld()
    made.hub.limits = AmqpLimits(channel_max=1)
    running = asyncio.create_task(made.proxy.run())
    await made.up()
    made.listen(D2)
    assert (await made.send(D1, 1)).outcome is Outcome.ACCEPTED
    assert (await made.send(D2, 1)).outcome is Outcome.ACCEPTED
    assert not made.hub.back.is_attached(D2, Purpose.DEVICEBOUND)
    running.cancel()
    await asyncio.wait([running])


async def test_one_that_is_wanted_twice_is_there_once() -> None:
    async with back_world() as here:
        device = here.listen(D1)
        await here.until(lambda: here.hub.back.is_attached(D1, Purpose.DEVICEBOUND))
        here.delivery.unsubscribe(D1, device)
        here.delivery.subscribe(D1, device, 10)
        here.hub.back.keep(D1, b"x")
        await here.until(lambda: device.parcels)
        await asyncio.sleep(0.02)
        assert device.bodies == [b"x"]
        assert len([link for link in here.hub.back.links.values() if link.attached]) == 1


async def test_without_anybody_who_listens_nothing_is_opened() -> None:
    async with back_world() as here:
        assert (await here.send(D1, 1)).outcome is Outcome.ACCEPTED
        assert here.hub.back.attached == []
        assert TwinOperation.GET not in here.hub.back.operations(D1)
