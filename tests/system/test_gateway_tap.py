"""`gateway tap` and `gateway top` beside a running gateway: what flows is seen, and never waits for who looks."""

import asyncio
import json
import os
import pty
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gateway.app.control import SOCKET_NAME
from support.gateway_process import GATEWAY, clean_environment
from support.gateway_site import GatewaySite, until
from support.paho_device import JSON, let_in

PATIENCE_S: Final = 60.0
FLOOD: Final = 3_000
BODY: Final = b"x" * 2_000
ROUTES: Final = {"hot": "FROM /messages/* WHERE $body.temperature > 30 INTO $upstream"}


@asynccontextmanager
async def tapping(site: GatewaySite, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`gateway tap` with these options, which follows already."""
    process = await asyncio.create_subprocess_exec(
        GATEWAY,
        "tap",
        *options,
        env=clean_environment({"GATEWAY_DATA_DIR": str(site.data)}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Where these tests run in the background SIGINT is ignored, and so it would be in all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        async with let_in(site, "d2") as probe:
            assert process.stdout is not None
            # Published until it is seen: from then on it follows.
            seen = asyncio.ensure_future(process.stdout.readline())
            while not seen.done():
                await probe.publish('{"temperature": 99, "probe": true}', JSON)
                await asyncio.wait([seen], timeout=0.1)
            assert b"probe" in seen.result(), seen.result()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_with(process: asyncio.subprocess.Process, text: bytes) -> str:
    """The next line of it that holds this."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        while text not in (line := await process.stdout.readline()):
            assert line, "it ended"
    return line.decode()


async def test_tap_shows_what_fits_until_ctrl_c(site: GatewaySite) -> None:
    site.write_settings(routes=ROUTES)
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(site.folder / "settings.json"))
    async with tapping(site, "--where", "$body.temperature > 30") as human, let_in(site, "d1") as device:
        await device.publish('{"temperature": 12, "place": "shed"}', JSON)
        await device.publish('{"temperature": 31, "place": "lab"}', f"{JSON}&kind=climate")
        line = await line_with(human, b"lab")
        assert "d1" in line
        assert '[kind=climate] {"temperature": 31, "place": "lab"} → hot → $upstream' in line
        human.send_signal(signal.SIGINT)
        out, error = await human.communicate()
        assert b"shed" not in out
        assert human.returncode == 0
        assert b"shown, 0 not shown" in error
        assert b"Traceback" not in error


async def test_tap_ends_by_itself_and_speaks_json(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1") as device:
        asked = asyncio.ensure_future(site.command("tap", "--json", "--no-body", "--count", "2", "--device", "d?"))
        while not asked.done():
            await device.publish("one", "kind=a")
            await asyncio.wait([asked], timeout=0.1)
    said = asked.result()
    assert said.code == 0, said.error
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [(row["device"], row["properties"]) for row in rows] == [("d1", {"kind": "a"})] * 2
    assert "body" not in rows[0]
    over = await site.command("tap", "--seconds", "0.2", "--route", "none")
    assert (over.code, over.out) == (0, "")
    bad = await site.command("tap", "--where", "lenght(body) > 3")
    assert bad.code == 1
    assert "the condition, column 1: unknown function 'lenght'; did you mean 'length'?" in bad.error


async def test_a_tap_that_does_not_read_holds_nothing_up_and_grows_nothing(site: GatewaySite) -> None:
    await site.gateway.start()
    stuck = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    with stuck:
        await asyncio.to_thread(stuck.connect, str(site.data / SOCKET_NAME))
        stuck.sendall(b'{"ask": "tap", "perSecond": 1000}\n')
        assert await asyncio.to_thread(stuck.recv, 1)
        async with let_in(site, "d1") as device:
            before = resident(site.gateway.pid)
            for _ in range(FLOOD):
                device.client.publish(device.events_topic, BODY, qos=1)
            for _ in range(FLOOD):
                await device.acknowledged.next()
            assert resident(site.gateway.pid) - before < 60_000_000
    assert await site.counted("gateway_received_messages_total", FLOOD) == FLOOD
    await site.arrived(FLOOD)


async def test_top_shows_the_gateway_once_without_a_terminal_and_ends_on_q_with_one(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1") as device:
        await device.publish("one")

        async def is_counted() -> bool:
            return bool(json.loads((await site.command("top", "--json")).out)["devices"][0]["messages"] == 1)

        await until(is_counted)
        once = await site.command("top")
        assert once.code == 0, once.error
        assert "1 connected, 2 known" in once.out
        assert " d1" in once.out
        assert "everything → $upstream" in once.out
        assert "\x1b" not in once.out
        assert await asyncio.to_thread(on_a_terminal, site.data, lambda _, terminal: os.write(terminal, b"q")) == 0
        code = await asyncio.to_thread(on_a_terminal, site.data, lambda pid, _: os.kill(pid, signal.SIGTERM))
        assert code == 128 + signal.SIGTERM  # as `timeout` ends it: the terminal is given back, too


def on_a_terminal(data: Path, end: Callable[[int, int], object]) -> int:
    """`gateway top` on a terminal of 80 by 24, with some keys, until it is ended so; its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover — another process
        os.execve(GATEWAY, [str(GATEWAY), "top"], clean_environment({"GATEWAY_DATA_DIR": str(data), "TERM": "xterm"}))
    try:
        shown = read_until(terminal, b"q quit")
        assert shown.startswith(b"\x1b[?1049h")
        frame = shown.split(b"\x1b[H")[-1]
        assert frame.count(b"\r\n") < 24
        os.write(terminal, b"dr")
        read_until(terminal, b"q quit")
        end(pid, terminal)
        assert b"\x1b[?1049l" in read_until(terminal, b"\x1b[?1049l")
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
    return code


def read_until(terminal: int, text: bytes) -> bytes:
    """What is shown, up to this."""
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 65_536)
    return shown


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
