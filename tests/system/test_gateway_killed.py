"""The gateway is killed, or told to stop, under load: what it acknowledged arrives, in order, and only once."""

import pytest

from support.gateway_site import GatewaySite
from support.numbered_devices import all_arrived, judge, kill_cycles, numbered, progress, sending


async def test_kill_9_at_any_instant_loses_nothing_that_was_acknowledged(site: GatewaySite) -> None:
    devices = numbered(site, 4, burst_pause_s=0.02)
    findings = await kill_cycles(site, devices, cycles=8, seed=2)
    findings.assert_none()
    assert sum(len(device.acknowledged) for device in devices) > 1000
    assert all(device.connects > 1 for device in devices)
    await site.gateway.stop()


@pytest.mark.parametrize("times", [3])
async def test_sigterm_under_load_ends_in_time_and_loses_nothing(site: GatewaySite, times: int) -> None:
    devices = numbered(site, 4)
    async with sending(devices):
        for _ in range(times):
            await site.gateway.start()
            await progress(devices, 100)
            await site.gateway.stop()
        await site.gateway.start()
    findings = judge(devices, await all_arrived(site, devices))
    findings.assert_none()
    assert findings.repeated == 0, "a clean stop waits for what is on its way upstream"
