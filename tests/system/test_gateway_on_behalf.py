"""Messages leave on behalf of their devices, over AMQP: whatever happens to the hub, all arrive as who sent them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from edgewire.iothub import sas
from gateway.identity.tokens import FILE_NAME
from standin.app import StandIn
from standin.events import Event
from support.gateway_site import KEY, GatewaySite, until
from support.hub_faults import back, drop, refuse, stall
from support.numbered_devices import NumberedDevice, judge, numbered, progress, sending
from support.raw_peer import RawPeer, hello
from support.tunnel import tunnel

UP = "connected upstream on behalf of devices"
KEYS = (sas.encode_key(KEY),)
Fault = Callable[[StandIn], object]


def at_the_hub(site: GatewaySite, count: int) -> list[NumberedDevice]:
    """So many devices, known to the gateway and to the hub with the same keys."""
    devices = numbered(site, count)
    for device in devices:
        site.hub.add_device(device.device, keys=KEYS)
    return devices


def senders(events: Sequence[Event]) -> set[tuple[str, str | None]]:
    """Whom the hub takes for the senders."""
    return {(event.device, event.module) for event in events}


@pytest.mark.parametrize("module", ["edgehub", "none"])
async def test_messages_arrive_as_their_devices(site: GatewaySite, module: str) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UPSTREAM=module)
    await site.gateway.said(UP)
    devices = at_the_hub(site, 3)
    async with sending(devices):
        await progress(devices, 50)
    events = await everything(site, devices)
    judge(devices, events).assert_none()
    assert senders(events) == {(device.device, None) for device in devices}
    assert not any("leafDeviceId" in event.properties for event in events)


@pytest.mark.parametrize(("fault", "times"), [(drop, 3), (refuse, 1), (stall, 1)])
async def test_a_hub_that_misbehaves_costs_devices_nothing(site: GatewaySite, fault: Fault, times: int) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UPSTREAM_STALL_S="1")
    await site.gateway.said(UP)
    devices = at_the_hub(site, 3)
    async with sending(devices):
        for _ in range(times):
            await progress(devices, 50)
            said = len(site.gateway.lines)
            fault(site.hub)
            await site.gateway.said("link upstream on behalf of devices lost", after=said)
            await progress(devices, 50)
            back(site.hub)
            await site.gateway.said(UP, after=said)
    events = await everything(site, devices)
    judge(devices, events).assert_none()
    assert senders(events) == {(device.device, None) for device in devices}
    assert [device.connects for device in devices] == [1, 1, 1]


async def test_throttled_messages_are_sent_again_in_order(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UPSTREAM="none")
    await site.gateway.said(UP)
    devices = at_the_hub(site, 2)
    async with sending(devices):
        await progress(devices, 20)
        site.hub.throttle()
        await progress(devices, 50)
        site.hub.behave()
    judge(devices, await everything(site, devices)).assert_none()


async def test_a_backlog_leaves_after_a_kill_while_the_hub_was_away(site: GatewaySite) -> None:
    devices = at_the_hub(site, 2)
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UPSTREAM="none")
    async with sending(devices):
        refuse(site.hub)
        await progress(devices, 100)
        await site.gateway.kill()
        await site.gateway.start()
        back(site.hub)
        await progress(devices, 20)
    judge(devices, await everything(site, devices)).assert_none()


@pytest.mark.parametrize("late", [False, True])
async def test_a_device_that_the_hub_refuses_goes_as_the_module_and_nobody_waits(
    site: GatewaySite, *, late: bool
) -> None:
    if late:
        site.hub.check_tokens_late()
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub")
    await site.gateway.said(UP)
    devices = at_the_hub(site, 1)
    strangers = [NumberedDevice(site, "stranger")]
    site.register("stranger")
    async with sending([*devices, *strangers]):
        await progress([*devices, *strangers], 50)
    events = await everything(site, [*devices, *strangers])
    judge([*devices, *strangers], events).assert_none()
    assert senders(events) == {("n0", None), ("edge-1", "gateway")}
    await site.gateway.said("'stranger' is not let in upstream")
    assert sum("'stranger' is not let in upstream" in line for line in site.gateway.lines) == 1


async def test_without_a_module_a_refused_device_waits_alone_and_goes_on_once_registered(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UPSTREAM="none")
    await site.gateway.said(UP)
    strangers = [NumberedDevice(site, "stranger")]
    site.register("stranger")
    devices = at_the_hub(site, 1)
    async with sending([*devices, *strangers]):
        await progress(strangers, 5)
        await site.gateway.said("'stranger' is not let in upstream")
        await progress(devices, 20)
    judge(devices, await everything(site, devices)).assert_none()
    site.hub.add_device("stranger", keys=KEYS)
    events = await everything(site, [*devices, *strangers])
    judge([*devices, *strangers], events).assert_none()
    await site.gateway.said("'stranger' is let in upstream again")


async def test_the_way_leads_through_a_proxy(site: GatewaySite) -> None:
    async with tunnel() as through:
        await site.gateway.start(
            GATEWAY_UPSTREAM_AMQP=site.hub.address,
            GATEWAY_UPSTREAM="none",
            HTTPS_PROXY=f"http://127.0.0.1:{through.port}",
        )
        await site.gateway.said(UP)
        devices = at_the_hub(site, 1)
        async with sending(devices):
            await progress(devices, 20)
        judge(devices, await everything(site, devices)).assert_none()
        assert through.requests[0].startswith(f"CONNECT {site.hub.address}:5671 ".encode())
        await site.gateway.stop()


# Devices that the gateway does not know.


async def test_a_device_unknown_here_is_let_in_by_the_hub_and_comes_back_while_it_is_away(site: GatewaySite) -> None:
    site.hub.add_device("new", keys=KEYS)
    devices = [NumberedDevice(site, "new")]
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UPSTREAM="none")
    await site.gateway.said(UP)
    token = site.token("new")
    site.token = lambda *_a, **_k: token  # type: ignore[method-assign] # one token for all of its connects
    async with sending(devices):
        await progress(devices, 20)
        await until((site.data / FILE_NAME).exists)  # written within two seconds, which nobody tells
        refuse(site.hub)
        await site.gateway.said("link upstream on behalf of devices lost")
        await site.gateway.kill()
        await site.gateway.start()
        await progress(devices, 20)
        back(site.hub)
    events = await everything(site, devices)
    judge(devices, events).assert_none()
    assert senders(events) == {("new", None)}
    assert devices[0].connects == 2


@pytest.mark.parametrize("late", [False, True])
async def test_what_the_hub_does_not_let_in_is_not_let_in_here(site: GatewaySite, *, late: bool) -> None:
    if late:
        site.hub.check_tokens_late()
    site.hub.add_device("new", keys=KEYS)
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub")
    await site.gateway.said(UP)
    for device, key in (("new", b"x" * 32), ("nobody", KEY), ("new", b"x" * 32)):
        assert await connack_code(site, device, key) == 5
    assert await connack_code(site, "new", KEY) == 0
    await site.gateway.said("edgeHub or the hub did not let it in either")


async def test_while_the_hub_is_away_an_unknown_device_is_told_to_try_again(site: GatewaySite) -> None:
    site.hub.add_device("new", keys=KEYS)
    site.hub.refuse_connections()
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UPSTREAM="none")
    assert await connack_code(site, "new", KEY) == 3
    site.hub.behave()

    async def is_let_in() -> bool:
        return await connack_code(site, "new", KEY) == 0

    await until(is_let_in)


async def test_unknown_devices_are_refused_if_the_settings_say_so(site: GatewaySite) -> None:
    site.hub.add_device("new", keys=KEYS)
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_UNKNOWN_DEVICES="refuse")
    await site.gateway.said(UP)
    assert await connack_code(site, "new", KEY) == 5


async def connack_code(site: GatewaySite, device: str, key: bytes) -> int:
    """What a login of this device with this key is answered."""
    peer = await RawPeer.dial(site)
    peer.send(replace(hello(site, device), password=site.token(device, key=key)).wire)
    code = await peer.connack()
    await peer.close()
    return code


async def everything(site: GatewaySite, devices: Sequence[NumberedDevice]) -> list[Event]:
    """All events, once all that was acknowledged is among them."""

    def is_there() -> bool:
        return not judge(devices, site.hub.events.read(0, 1_000_000)).lost

    await until(is_there)
    return site.hub.events.read(0, 1_000_000)
