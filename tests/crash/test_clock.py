"""The machine's clock is set while the gateway runs, by libfaketime: no token counts outside its time, nothing storms.

What is measured on the other clock (keep-alive, back-off, checkpoints) goes on as before.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from crash.campaign import PADDING
from crash.counts import count
from support.gateway_site import GatewaySite
from support.numbered_devices import NumberedDevice, numbered, progress, sending
from support.paho_device import Dial, dial, let_in
from support.whole_file import put

pytestmark = pytest.mark.timeout(300)  # some wait for a busy machine to do what takes ten seconds of a free one

LIBRARIES: Final = "/usr/lib"
HOUR_S: Final = 3600
TEN_YEARS_S: Final = 10 * 365 * 86_400
NOT_AUTHORIZED: Final = 5
FOR_EVER: Final = MappingProxyType({"timeToLiveSecs": 2_000_000_000})
"""Else a jump of ten years rightly expires what is stored."""
MOST_TRIES: Final = 5
"""To connect upstream, in the first seconds."""
PATIENCE_S: Final = 60.0


class SetClock:
    """The gateway's clock, ahead of the true one by what the file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, ahead_s: int) -> None:
        """From the next look at the clock on."""
        put(self._file, f"{ahead_s:+d}")

    def environment(self) -> dict[str, str]:
        """For the gateway's process."""
        library = next(Path(LIBRARIES).glob("*/faketime/libfaketime.so.1"), None)
        assert library is not None, "libfaketime is not installed (make peers)"
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "0.1",
            "DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clock(tmp_path: Path) -> SetClock:
    return SetClock(tmp_path / "clock")


@asynccontextmanager
async def started(site: GatewaySite, clock: SetClock, store: Mapping[str, int] = FOR_EVER) -> AsyncIterator[None]:
    site.write_settings(routes={"all": "FROM /messages/* INTO $upstream"}, storeAndForward=dict(store))
    await site.gateway.start(**clock.environment(), GATEWAY_SETTINGS_FILE=str(site.folder / "settings.json"))
    yield
    await site.gateway.stop()


async def everything_arrived(site: GatewaySite, devices: Sequence[NumberedDevice]) -> None:
    """All that was acknowledged is in the hub, in order. The link may have been renewed, as the SDK's token was old."""
    async with asyncio.timeout(PATIENCE_S):
        while (counts := count(devices, site.hub.events.read(0, 1_000_000), [], PADDING)).lost:  # noqa: ASYNC110
            await asyncio.sleep(0.2)  # the gateway's methods are no witness: an answer is lost with its link
    assert (counts.out_of_order, counts.never_sent) == (0, 0)
    assert counts.duplicated == counts.repeated, "what came twice came with the same id"


async def test_a_token_counts_only_in_its_time_however_the_clock_is_set(site: GatewaySite, clock: SetClock) -> None:
    async with started(site, clock):
        async with (
            let_in(site, "d1") as device,
            let_in(site, "d2", Dial(token=site.token("d2", life_s=9 * HOUR_S))) as long,
        ):
            clock.set(2 * HOUR_S)
            assert await device.disconnects.next() != 0
            assert "was set ahead by 7,200 s" in await site.gateway.said("the clock was set")
            async with dial(site, "d1") as again:
                assert await again.connects.next() == NOT_AUTHORIZED
            await long.publish(b"still here")
        async with let_in(site, "d1", Dial(token=site.token("d1", life_s=3 * HOUR_S))) as device:
            clock.set(0)
            await site.gateway.said("was set back by 7,200 s")
            await device.publish(b"still here")
        clock.set(-TEN_YEARS_S)
        async with dial(site, "d1", Dial(token=site.token("d1", life_s=-TEN_YEARS_S + HOUR_S))) as old:
            assert await old.connects.next() == NOT_AUTHORIZED


async def test_a_token_that_ended_stays_ended_when_the_clock_is_set_back(site: GatewaySite, clock: SetClock) -> None:
    short = Dial(token=site.token("d1", life_s=HOUR_S / 3))
    async with started(site, clock):
        clock.set(HOUR_S // 2)
        await site.gateway.said("was set ahead")
        clock.set(0)
        await site.gateway.said("was set back")
        async with dial(site, "d1", short) as device:
            assert await device.connects.next() == NOT_AUTHORIZED
        await site.gateway.stop()
        await site.gateway.start()
        async with dial(site, "d1", short) as device:
            assert await device.connects.next() == NOT_AUTHORIZED
        async with let_in(site, "d2", Dial(token=site.token("d2"))) as device:
            await device.publish(b"made by the right clock")


async def test_a_wrong_future_locks_nobody_out_once_it_is_corrected(site: GatewaySite, clock: SetClock) -> None:
    async with started(site, clock):
        clock.set(TEN_YEARS_S)
        await site.gateway.said("was set ahead")
        await site.gateway.kill()
        clock.set(0)
        await site.gateway.start()
        async with let_in(site, "d1", Dial(token=site.token("d1"))) as device:
            await device.publish(b"after a restart")
        clock.set(TEN_YEARS_S)
        await site.gateway.said("was set ahead")
        clock.set(0)
        await site.gateway.said("was set back")
        async with let_in(site, "d1", Dial(token=site.token("d1"))) as device:
            await device.publish(b"without one")


async def test_what_is_stored_is_kept_for_its_time_by_the_calendar(site: GatewaySite, clock: SetClock) -> None:
    day = {"timeToLiveSecs": 24 * HOUR_S}
    async with (
        started(site, clock, day),
        let_in(site, "d1", Dial(token=site.token("d1", life_s=TEN_YEARS_S))) as device,
    ):
        async with site.without_hub():
            await device.publish(b"kept for a day")
            for ahead_s in (-HOUR_S, 0, 20 * HOUR_S, -20 * HOUR_S):
                before = len(site.gateway.lines)
                clock.set(ahead_s)
                await site.gateway.said("the clock was set", after=before)
                await device.publish(b"at %d" % ahead_s)
            clock.set(0)
        arrived = [event.body for event in await site.arrived(5)]
        assert (
            sorted(arrived, key=[b"kept for a day", b"at -3600", b"at 0", b"at 72000", b"at -72000"].index) == arrived
        )
        async with site.without_hub():
            await device.publish(b"for nobody")
            clock.set(25 * HOUR_S)
            await site.gateway.said("was set ahead by 90,000 s")
        assert ": 1 messages for $upstream" in await site.gateway.said("expired before it took them", PATIENCE_S)
        clock.set(0)
        await device.publish(b"the next")
        assert [event.body for event in await site.arrived(1, after=5)] == [b"the next"]


async def test_a_clock_that_is_set_storms_nothing_and_disturbs_no_order(
    site: GatewaySite, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "token", partial(site.token, life_s=2 * TEN_YEARS_S))
    jumps: Iterator[int] = iter((HOUR_S, -HOUR_S, TEN_YEARS_S, 0))
    async with started(site, clock):
        devices = numbered(site, 4, burst_pause_s=0.3, padding=PADDING)
        async with sending(devices):
            for ahead_s in jumps:
                await progress(devices, 20)
                clock.set(ahead_s)
                await asyncio.sleep(0.2)
            await progress(devices, 20)
        await everything_arrived(site, devices)
        before = len(site.gateway.lines)
        clock.set(TEN_YEARS_S)
        await site.gateway.said("the clock was set ahead", after=before)
        await asyncio.sleep(2)
        # By this clock the hub's certificate has expired, and the link is to be renewed.
        tries = sum("cannot connect upstream" in line for line in site.gateway.lines[before:])
        assert tries <= MOST_TRIES, "it backs off"
        clock.set(0)
