"""A gateway that is stuck ends itself with a last word, and what it has acknowledged comes out after the next start."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

import pytest

from crash.mounted import fault_disk
from support import blockable_gateway
from support.gateway_site import GatewaySite
from support.paho_device import let_in

pytestmark = pytest.mark.timeout(300)  # some wait for a busy machine to do what takes ten seconds of a free one

STUCK: Final = 3
FAULT: Final = 1
PATIENCE_S: Final = 60.0
WATCHDOG_S: Final = 6
"""A loop or a disk that a busy machine holds up for some seconds has not hung."""
HALTED_S: Final = 6.5
"""Longer than the watchdog waits, and by seconds shorter than its second watch, which counts seconds: 12."""
EVERYTHING: Final = {"everything": "FROM /messages/* INTO $upstream"}


async def let_out(site: GatewaySite, count: int) -> None:
    """Start again with a way upstream: all that was acknowledged must come, in order."""
    await site.gateway.start(GATEWAY_UPSTREAM="edgehub")
    bodies = [event.body for event in await site.arrived(count)]
    assert bodies[:count] == [b"%d" % number for number in range(count)]
    await site.gateway.stop()


@pytest.mark.parametrize(
    ("sign", "code", "word"),
    [
        (signal.SIGUSR1, STUCK, f"its event loop has not turned for {WATCHDOG_S} s"),
        (signal.SIGUSR2, FAULT, f"Timeout (0:00:{2 * WATCHDOG_S})!"),
    ],
    ids=["the loop", "the interpreter"],
)
async def test_a_loop_that_does_not_turn(site: GatewaySite, sign: signal.Signals, code: int, word: str) -> None:
    path = site.write_settings(routes=EVERYTHING)
    site.gateway.program = (sys.executable, Path(blockable_gateway.__file__))
    site.gateway.environment["PYTHONPATH"] = str(Path(blockable_gateway.__file__).parents[1])
    watchdog = str(WATCHDOG_S)
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(path), GATEWAY_UPSTREAM="none", GATEWAY_WATCHDOG_SECS=watchdog)
    async with let_in(site, "d1") as device:
        for number in range(5):
            await device.publish(str(number))
        await halted_for_longer(site)
        os.kill(site.gateway.pid, sign)
        assert await site.gateway.exit_code(PATIENCE_S) == code
    assert word in site.gateway.transcript()
    assert "blockable_gateway.py" in site.gateway.transcript(), "it says where it stood"
    await let_out(site, 5)


async def test_a_disk_that_does_not_answer(site: GatewaySite) -> None:
    path = site.write_settings(routes=EVERYTHING)
    store = site.data / "store"
    store.mkdir(mode=0o700)
    async with fault_disk(store) as disk:
        await site.gateway.start(
            GATEWAY_SETTINGS_FILE=str(path), GATEWAY_UPSTREAM="none", GATEWAY_WATCHDOG_SECS=str(WATCHDOG_S)
        )
        async with let_in(site, "d1") as device:
            for number in range(5):
                await device.publish(str(number))
            disk.halt()
            device.client.publish(device.events_topic, "5", qos=1)
            await asyncio.wait_for(unhealthy(site), PATIENCE_S)
            word = f"a write of the message store has not come back from the disk for {WATCHDOG_S} s"
            await site.gateway.said(word, PATIENCE_S)
            disk.go_on()  # a process that ends closes its files, and Linux waits for FUSE's word on that
            assert await site.gateway.exit_code(PATIENCE_S) == STUCK
        await let_out(site, 5)


async def halted_for_longer(site: GatewaySite) -> None:
    """A process that was halted has not hung."""
    site.gateway.pause()
    await asyncio.to_thread(_wait_stopped, site.gateway.pid)
    os.kill(site.gateway.pid, signal.SIGCONT)
    assert (await site.command("health", "--ready")).out == "the gateway is ready\n"


async def unhealthy(site: GatewaySite) -> None:
    """Until the health check says that the disk does not answer, or there is nobody any more to say it."""
    while (answer := await site.command("health")).code == 0:
        pass
    assert "store stuck" in answer.out or answer.error


def _wait_stopped(pid: int) -> None:
    """Until the kernel has stopped it, and then for longer than the watchdog takes."""
    while "State:\tT" not in Path(f"/proc/{pid}/status").read_text():
        pass
    signal.sigtimedwait([], HALTED_S)
