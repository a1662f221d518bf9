"""Bytes that are nearly AMQP, many of them, while good devices are served by AMQP and by MQTT.

More of it: `make fuzz CASES=20000 SEED="1 2 3 4 5"`. A failure names its seed; the same seed gives the same cases.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.performatives import Begin, End
from support.amqp_fuzz import MAX_FRAME, AmqpFuzz, Case, asks_for_more
from support.amqp_traces import HUB, SERVED
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.process_watch import watched
from support.raw_amqp import PING, PING_CHANNEL, AmqpPeer, GoodAmqpClient, plain_init

SEEDS = [int(seed) for seed in os.environ.get("FUZZ_SEEDS", "1").split()]
CASES = int(os.environ.get("FUZZ_CASES", "800"))
pytestmark = pytest.mark.timeout(300 + CASES // 5)  # for a busy machine: a free one takes some seconds per thousand
WORKERS = 8
ANSWER_S = 30.0
FILLER = b"\xff" * (MAX_FRAME + 16)
"""Ends whatever frame waits for its end, and then the connection: no frame begins so."""


class Worker:
    """One fuzzing device: keeps its connection for as long as the gateway leaves it and its session."""

    def __init__(self, site: GatewaySite, device: str, seed: int, number: int) -> None:
        self._site = site
        self._device = device
        self._number = number
        self._fuzz = AmqpFuzz(seed, device, plain_init(site, device), site.token(device))
        self._peer: AmqpPeer | None = None
        self._openings = 0
        self.logins = 0
        self.kept = 0

    async def run(self, cases: int) -> None:
        for number in range(cases):
            case = self._fuzz.case()
            try:
                if case.after_login:
                    await self._send(case)
                else:
                    await self._open_with(case)
            except BaseException as error:
                error.add_note(f"case {number} ({case.kind}): {case.wire[:400].hex()}")
                raise
        if self._peer is not None:
            self._peer.abort()

    async def _open_with(self, case: Case) -> None:
        """All of a connection, from an address of its own: whoever guesses is slowed. It must end."""
        self._openings += 1
        source = f"127.{100 + self._number}.{self._openings >> 8}.{self._openings & 0xFF}"
        peer = await AmqpPeer.reach(self._site, source=source)
        peer.send(case.wire + FILLER)
        async with asyncio.timeout(ANSWER_S):
            while await peer.chunk():
                pass

    async def _send(self, case: Case) -> None:
        peer = self._peer or await self._connected()
        self._peer = peer
        asks = asks_for_more(case.wire)
        peer.send(case.wire + (FILLER if asks else PING))
        if await self._survives(peer):
            self.kept += 1
            return
        peer.abort()
        self._peer = None

    async def _connected(self) -> AmqpPeer:
        """A device with telemetry on handle 0, `$cbs` on 1 and 2, its twin on 3."""
        self.logins += 1
        peer = await AmqpPeer.logged_in(self._site, self._device, source=f"127.99.{self._number}.1")
        await peer.attach_cbs(1)
        await peer.attach(3, f"/devices/{self._device}/twin", sends=False)
        return peer

    async def _survives(self, peer: AmqpPeer) -> bool:
        """Whether the ping behind the case is answered and session 0 lives; else the connection has ended."""
        lives = True
        pinged = False
        while (found := await peer.frame(ANSWER_S)) is not None:
            match found.performative:
                case Begin(remote_channel=channel) if channel == PING_CHANNEL:
                    pinged, channel_of_ping = True, found.channel
                case End() if pinged and found.channel == channel_of_ping:
                    return lives
                case End():
                    lives = False
        return False


@pytest.fixture
async def recorded_site(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[GatewaySite]:
    """A site of the hub that the recorded clients knew."""
    async with GatewaySite.open(tmp_path, certificates, next(loopback), next(loopback), hub_name=HUB) as site:
        yield site


@pytest.mark.parametrize("seed", SEEDS)
async def test_nearly_amqp_is_refused_or_served_and_disturbs_nobody(recorded_site: GatewaySite, seed: int) -> None:
    site = recorded_site
    devices = [f"fuzz-{number}" for number in range(WORKERS)]
    site.register("good", "good-2", *devices, *{recorded.who.device for recorded in SERVED.values()})
    await site.gateway.start()
    workers = [Worker(site, device, seed * 1_000 + number, number) for number, device in enumerate(devices)]
    began_at = time.monotonic()
    async with (
        watched(site) as watch,
        GoodClient.running(site, "good") as good,
        GoodAmqpClient.running(site, "good-2") as good_too,
        asyncio.TaskGroup() as tasks,
    ):
        for worker in workers:
            tasks.create_task(worker.run(CASES // WORKERS))
    print(  # noqa: T201 — what a bounded run has to show; pytest keeps it unless asked
        f"\nseed {seed}: {CASES} cases in {time.monotonic() - began_at:.0f} s, "
        f"{sum(worker.logins for worker in workers)} logins, {sum(worker.kept for worker in workers)} cases survived; "
        f"slowest good answers {good.slowest_s * 1000:.0f} and {good_too.slowest_s * 1000:.0f} ms "
        f"of {len(good.answers_s)} and {len(good_too.answers_s)}; "
        f"memory {watch.growth_kb:+} KB, at most {watch.peak_kb:+} KB; files {watch.files_more:+}"
    )
    assert good.held_up_s < HELD_UP_S
    assert good_too.held_up_s < HELD_UP_S
