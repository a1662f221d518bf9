"""`make board-sim`: boards by the dozen against the real gateway, and what they answer."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any, Final

from edgewire.message import identity
from project_sources import ROOT
from support.gateway_site import GatewaySite, until

BOARDS: Final = 5
SECONDS: Final = 100
"""More than a test takes, which ends them when it has seen enough."""
SENT: Final = 40
MOST_TWICE: Final = 20
"""What the board that is updated may have sent and not heard of when it goes: it comes again."""
PATIENCE_S: Final = 40.0


async def boards(site: GatewaySite, *more: str) -> Process:
    """The program, started as the Makefile does; the stand-in knows the boards."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "tools/board_sim.py"),
        *("--boards", str(BOARDS), "--seconds", str(SECONDS), "--interval", "0.2", "--data", str(site.data)),
        *("--address", site.address, "--hub", site.hub.hub_name, "--root", str(site.root_file), *more),
        stdout=PIPE,
        stderr=PIPE,
    )


async def ended(process: Process, *, told: bool = False) -> tuple[int, str]:
    """How it ended and what it said; `told` to end."""
    if told:
        process.terminate()
    async with asyncio.timeout(PATIENCE_S):
        out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode() + error.decode()


async def call(site: GatewaySite, name: str, payload: Any = None) -> tuple[int, Any]:
    result = await site.hub.hub.invoke_method(identity("sim-0000"), name, payload, connect_timeout_s=PATIENCE_S)
    return result.status, json.loads(result.payload)


async def test_boards_send_listen_answer_and_take_an_update(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub")
    process = await boards(site, "--cloud", str(site.hub.directory), "--json")
    try:
        await site.connected(BOARDS)
        first = identity("sim-0000")
        await until(lambda: "firmware" in site.hub.reported(first))
        assert (await call(site, "blink")) == (200, {"blinked": True})
        site.hub.send_c2d(first, b"on")

        async def lit() -> bool:
            return bool((await call(site, "status"))[1]["led"])

        await until(lit)
        assert (await call(site, "explode"))[0] == 404
        assert (await call(site, "update", {"version": "1.1.0"})) == (200, {"accepted": True})
        await until(lambda: site.hub.reported(first)["firmware"]["version"] == "1.1.0")
        await site.arrived(SENT + MOST_TWICE)
        code, said = await ended(process, told=True)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = json.loads(said)
    assert code == 0, said
    assert found["connected"] == BOARDS
    assert found["sent"] == found["acknowledged"] >= SENT
    assert found["messages"] == 1
    assert found["calls"] >= 4
    assert found["reports"] >= BOARDS + 1
    assert "sim" not in (await site.command("devices", "list", "--json")).out


async def test_boards_come_back_to_a_gateway_that_was_killed_and_lose_nothing(site: GatewaySite) -> None:
    await site.gateway.start()
    process = await boards(site, "--json")
    try:
        await site.connected(BOARDS)
        await site.gateway.kill()
        await site.gateway.start()
        await site.connected(BOARDS)
        code, said = await ended(process, told=True)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = json.loads(said)
    assert code == 0, said
    assert found["losses"] >= BOARDS
    assert found["sent"] == found["acknowledged"]


async def test_it_says_what_it_needs(site: GatewaySite) -> None:
    assert await ended(await boards(site, "--boards", "3000")) == (
        2,
        "board-sim: --boards is 1 to 2000: all are in one process\n",
    )
    code, said = await ended(await boards(site, "--root", str(site.folder / "none.pem")))
    assert (code, "does `make run` run?" in said) == (2, True)
