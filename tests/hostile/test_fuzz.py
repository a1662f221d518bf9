"""Bytes that are nearly MQTT, many of them, while a good device is served.

More of it: `make fuzz CASES=20000 SEED="1 2 3 4 5"`. A failure names its seed; the same seed gives the same cases.
"""

import asyncio
import os
import time

import pytest

from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.mqtt_fuzz import Case, Fuzz, asks_for_more
from support.process_watch import watched
from support.raw_peer import RawPeer, hello

SEEDS = [int(seed) for seed in os.environ.get("FUZZ_SEEDS", "1").split()]
CASES = int(os.environ.get("FUZZ_CASES", "2000"))
pytestmark = pytest.mark.timeout(300 + CASES // 5)  # for a busy machine: a free one takes some seconds per thousand
WORKERS = 8
ANSWER_S = 30.0


class Worker:
    """One fuzzing device: keeps its connection for as long as the gateway does."""

    def __init__(self, site: GatewaySite, device: str, seed: int, source: str) -> None:
        self._site = site
        self._source = source
        self._hellos = {level: hello(site, device, level=level) for level in (3, 4, 5)}
        self._fuzz = Fuzz(seed, device, self._hellos.__getitem__)
        self._tls = site.client_tls()
        self._peer: RawPeer | None = None
        self._level = 0
        self.logins = 0
        self.kept = 0

    async def run(self, cases: int) -> None:
        for number in range(cases):
            case = self._fuzz.case()
            try:
                await self._send(case)
            except Exception as error:
                error.add_note(f"case {number} ({case.kind}, level {case.level}): {case.wire[:200].hex()}")
                raise
        if self._peer is not None:
            self._peer.abort()

    async def _send(self, case: Case) -> None:
        peer = await self._connected(case)
        peer.send(case.wire + raw_mqtt.PINGREQ)
        if asks_for_more(case.wire):
            await peer.flush()
            peer.abort()
        elif await self._survives(peer):
            self.kept += 1
            if case.after_login:
                return
            peer.abort()
        self._peer = None

    async def _connected(self, case: Case) -> RawPeer:
        """A connection in the state that the case asks for, the one there is if it will do."""
        if self._peer is not None and case.after_login and case.level == self._level:
            return self._peer
        if self._peer is not None:
            self._peer.abort()
        self._peer = await RawPeer.dial(self._site, source=self._source, tls=self._tls)
        if case.after_login:
            self.logins += 1
            self._level = case.level
            self._peer.send(self._hellos[case.level].wire)
            assert await self._peer.connack() == 0
        return self._peer

    async def _survives(self, peer: RawPeer) -> bool:
        """Whether the ping behind the case is answered; else the connection has ended."""
        while (found := await peer.packet(ANSWER_S)) is not None:
            if found[0] == raw_mqtt.PINGRESP:
                return True
        return False


@pytest.mark.parametrize("seed", SEEDS)
async def test_nearly_mqtt_is_refused_or_served_and_disturbs_nobody(site: GatewaySite, seed: int) -> None:
    devices = [f"fuzz-{number}" for number in range(WORKERS)]
    site.register("good", *devices)
    await site.gateway.start()
    workers = [
        Worker(site, device, seed * 1_000 + number, f"127.99.{seed % 250}.{number + 1}")
        for number, device in enumerate(devices)
    ]
    began_at = time.monotonic()
    async with watched(site) as watch, GoodClient.running(site, "good") as good, asyncio.TaskGroup() as tasks:
        for worker in workers:
            tasks.create_task(worker.run(CASES // WORKERS))
    print(  # noqa: T201 — what a bounded run has to show; pytest keeps it unless asked
        f"\nseed {seed}: {CASES} cases in {time.monotonic() - began_at:.0f} s, "
        f"{sum(worker.logins for worker in workers)} logins, {sum(worker.kept for worker in workers)} cases survived; "
        f"slowest good answer {good.slowest_s * 1000:.0f} ms of {len(good.answers_s)}; "
        f"memory {watch.growth_kb:+} KB, at most {watch.peak_kb:+} KB; files {watch.files_more:+}"
    )
    assert good.held_up_s < HELD_UP_S
