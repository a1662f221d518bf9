"""The gateway is killed, or told to stop, under load: what it acknowledged arrives, in order, and only once."""

from collections.abc import Sequence
from typing import Final

import pytest

from standin.events import Event
from support.gateway_site import GatewaySite
from support.numbered_devices import LOADED, all_arrived, judge, kill_cycles, numbered, progress, sender_of, sending

CYCLES: Final = 8
PROMISED_STOP_S: Final = 5.0
"""docs/images.md. One stop of several keeps to it, however busy the machine is with something else."""


@pytest.mark.timeout(300)  # nine starts of a process, on a machine that others use
async def test_kill_9_at_any_instant_loses_nothing_that_was_acknowledged(site: GatewaySite) -> None:
    devices = numbered(site, 4, burst_pause_s=0.02)
    findings = await kill_cycles(site, devices, cycles=CYCLES, seed=2)
    findings.assert_none()
    assert sum(len(device.acknowledged) for device in devices) >= CYCLES // 2 * LOADED * len(devices)
    assert all(device.connects > 1 for device in devices)
    await site.gateway.stop()


@pytest.mark.parametrize("times", [3])
async def test_sigterm_under_load_ends_in_time_and_loses_nothing(site: GatewaySite, times: int) -> None:
    devices = numbered(site, 4)
    ends: list[int] = []
    took_s: list[float] = []
    async with sending(devices):
        for _ in range(times):
            await site.gateway.start()
            await progress(devices, 100)
            took_s.append(await site.gateway.stop())
            ends.append(site.hub.events.last_sequence)
        await site.gateway.start()
    events = await all_arrived(site, devices)
    judge(devices, events).assert_none()
    assert min(took_s) < PROMISED_STOP_S, took_s
    # It waits for a second, in which a busy machine may not answer for all: but without waiting no stop would do.
    assert min(repeats(events, ends)) == 0, "a clean stop waits for what is on its way upstream"


def repeats(events: Sequence[Event], ends: Sequence[int]) -> list[int]:
    """How much came again of what had come first between these sequence numbers."""
    first: dict[tuple[str, str], int] = {}
    found = [0] * len(ends)
    for event in events:
        before = first.setdefault((sender_of(event), event.system["messageId"]), event.sequence)
        if before != event.sequence:
            found[min(sum(before > end for end in ends), len(ends) - 1)] += 1
    return found
