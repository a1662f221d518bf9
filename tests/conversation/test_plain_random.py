"""Bytes that are nearly MQTT at the plain head: it refuses or answers them, and has no fault of its own."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.broker.limits import BrokerLimits
from support.mqtt_fuzz import Fuzz
from support.plain_site import PASSWORD, Client, PlainSite, user
from support.raw_mqtt import Hello

SEEDS = [int(seed) for seed in os.environ.get("FUZZ_SEEDS", "1").split()]
CASES = min(int(os.environ.get("FUZZ_CASES", "600")), 20_000)
NARROW = BrokerLimits(
    max_retained=5,
    max_sessions=3,
    max_subscriptions=5,
    max_all_subscriptions=12,
    max_queued=4,
    max_all_queued_bytes=9_000,
)
"""So narrow that each bound is met."""


def connect(level: int) -> Hello:
    return Hello(client_id="d1", username="ann", password=PASSWORD, level=level, clean=level == 4)


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_bytes_of_a_client_are_a_fault_of_ours(tmp_path: Path, seed: int) -> None:
    fuzz = Fuzz(seed, "d1", connect)
    users = user("ann", publish=["#"], subscribe=["#"]), user("bob")
    async with PlainSite.open(tmp_path, *users, limits=NARROW) as site:
        site.map(("devices/+d/#", "{d}"), create=True, at_most=3)
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#", "+/+/#")
        faults: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, fault: faults.append(fault))
        client: Client | None = None
        level = 0
        for number in range(CASES):
            case = fuzz.case()
            if client is None or client.is_closed() or not case.after_login or case.level != level:
                if client is not None:
                    client.lose()
                client, level = site.dial(level=case.level), case.level
                if case.after_login:
                    client.pump.receive(connect(level).wire)
                    await asyncio.sleep(0.001)
            client.pump.receive(case.wire)
            if number % 20 == 0:
                await asyncio.sleep(0)
                site.clock.now += 1
                site.broker.sweep()
            assert (client.wire.crashed, faults) == (None, []), f"case {number} ({case.kind}): {case.wire[:200].hex()}"
            client.wire.written.clear()
            assert not hearer.is_closed()
        if client is not None:
            client.lose()
        await asyncio.sleep(0.01)
        hearer.lose()
        site.broker.sweep()
        assert site.broker.sessions <= NARROW.max_sessions
        assert site.broker.retained <= NARROW.max_retained
        assert site.broker.subscriptions <= NARROW.max_all_subscriptions
