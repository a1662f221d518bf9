"""The hub is away, in every way it can be: devices are served, and all arrives once it is back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeca.folder import Folder
from standin.app import StandIn
from support.gateway_site import GatewaySite
from support.hub_faults import back, drop, refuse, stall
from support.numbered_devices import all_arrived, judge, numbered, progress, sending

Fault = Callable[[StandIn], object]


@pytest.mark.parametrize(
    ("fault", "says", "times"), [(drop, "", 2), (refuse, "cannot connect upstream", 1), (stall, "for 1 s", 1)]
)
async def test_a_hub_that_misbehaves_costs_devices_nothing(
    site: GatewaySite, fault: Fault, says: str, times: int
) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM_STALL_S="1")
    await site.gateway.said("connected upstream")
    devices = numbered(site, 3)
    async with sending(devices):
        for _ in range(times):
            await progress(devices, 50)
            said = len(site.gateway.lines)
            fault(site.hub)
            await site.gateway.said("link upstream lost", after=said)
            await progress(devices, 50)
            if says:
                await site.gateway.said(says, after=said)
            back(site.hub)
            await site.gateway.said("connected upstream", after=said)
    findings = judge(devices, await all_arrived(site, devices))
    findings.assert_none()
    assert [device.connects for device in devices] == [1, 1, 1]


async def test_a_hub_that_is_stopped_and_started_gets_everything(site: GatewaySite) -> None:
    await site.gateway.start()
    devices = numbered(site, 3)
    async with sending(devices):
        await progress(devices, 50)
        async with site.without_hub():
            await progress(devices, 100)
            await site.gateway.said("cannot connect upstream")
            await progress(devices, 20)
    findings = judge(devices, await all_arrived(site, devices))
    findings.assert_none()
    assert [device.connects for device in devices] == [1, 1, 1]


async def test_a_gateway_restarted_while_the_hub_is_away_keeps_the_backlog_and_serves_devices(
    site: GatewaySite, certificates: Path
) -> None:
    made = Folder(certificates).server([site.address]).entry
    files = {"GATEWAY_CERTIFICATE_FILE": str(made.chain_path), "GATEWAY_KEY_FILE": str(made.key_path)}
    await site.gateway.start(**files)
    devices = numbered(site, 2)
    async with sending(devices), site.without_hub():
        await progress(devices, 50)
        await site.gateway.stop()
        await site.gateway.start()
        await progress(devices, 50)
    findings = judge(devices, await all_arrived(site, devices))
    findings.assert_none()


async def test_a_gateway_that_keeps_everything_here_sends_it_once_told_to(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM="none")
    devices = numbered(site, 2)
    async with sending(devices):
        await progress(devices, 50)
    await site.gateway.stop()
    assert site.hub.events.count() == 0
    await site.gateway.start(GATEWAY_UPSTREAM="edgehub")
    findings = judge(devices, await all_arrived(site, devices))
    findings.assert_none()
    assert findings.repeated == 0
