"""A board on this machine: its own programs, an interpreter with a board's heap, hardware that a test moves."""

import asyncio
import json
import mmap
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

import build

from project_sources import ROOT

FIRMWARE: Final = ROOT / "device-firmware"
MICROPYTHON: Final = ROOT / "build/micropython/micropython"
HEAP: Final = 32_000
"""Bytes of heap: with Debian's interpreter, whose TLS keeps its memory elsewhere, as much as a board's 38,912."""
MODEL: Final = "nodemcu"
BOARD_NEED: Final = 12_600
TLS_ELSEWHERE: Final = 9_450
"""Of the 11,900 bytes that a handshake takes from a board's own heap, what it takes from elsewhere here: 2,450 of them,
context and socket, stand in this heap, too. The board's file asks for so much less (`host_board`)."""
FLASH_BYTES: Final = 256 * 1024
WORLD_BYTES: Final = 1024
RESET, ASLEEP = 75, 76
"""How a process ends that is a board's reset, and one that is a deep sleep (host/hardware.py)."""
PATIENCE_S: Final = 60.0
PHASES: Final = ("HEAP ", "LEAF ", "RESCUE tls", "RESCUE trial")
"""How lines begin that end with the free bytes of the heap."""
NETWORKS: Final = ("shed", "house")
PASSWORD: Final = "correct horse"


class World:
    """What the hardware of a board sees: memory that is shared with the process (host/hardware.py has the layout)."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(WORLD_BYTES))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), WORLD_BYTES)
        self.networks = 0b11
        self.time_hosts = 0b11
        self._shared[1] = 1
        self._shared[5] = 21
        self._shared[6:8] = (900).to_bytes(2, "little")

    @property
    def networks(self) -> int:
        """Which networks are in range, a bit each."""
        return self._shared[0]

    @networks.setter
    def networks(self, bits: int) -> None:
        self._shared[0] = bits

    @property
    def time_hosts(self) -> int:
        """Which hosts of NTP answer, a bit each."""
        return self._shared[4]

    @time_hosts.setter
    def time_hosts(self, bits: int) -> None:
        self._shared[4] = bits

    @property
    def led(self) -> bool:
        """Whether it is lit: a NodeMCU's is by 0."""
        return self._shared[1] == 0

    def set_ntp_off(self, seconds: int) -> None:
        """By what the hosts of NTP are wrong."""
        self._shared[16:20] = seconds.to_bytes(4, "little", signed=True)

    def set_celsius(self, degrees: int) -> None:
        """The temperature at the sensor, but for its 0.54 degrees."""
        self._shared[5] = degrees

    def cut_power(self) -> None:
        """What a clock and a reset cause are after the power was away: it counts from 2000 again."""
        self._shared[3] = 0
        self._shared[8:12] = bytes(4)
        self._shared[12:16] = int(time.time()).to_bytes(4, "little")


def host_board(folder: Path) -> Path:
    """The board's own file, but for the memory that TLS does not take from this heap."""
    text = (FIRMWARE / f"boards/{MODEL}.py").read_text(encoding="utf-8")
    wanted = f"NEED = {BOARD_NEED}"
    assert wanted in text
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "board.py"
    path.write_text(text.replace(wanted, f"NEED = {BOARD_NEED - TLS_ELSEWHERE}"), encoding="utf-8")
    return path


def program_image(model: str, board: Path, folder: Path) -> Path:
    """The program of this model, with this file as its board's, as a ROMFS image."""
    build.compiled(build.program(model) | {"board": board}, folder / model)
    path = folder / f"{model}.romfs"
    path.write_bytes(build.image(folder / model))
    return path


@cache
def images(folder: Path) -> tuple[Path, Path]:
    """The doubles of the hardware and the program of a NodeMCU, as ROMFS images."""
    program = program_image(MODEL, host_board(folder), folder)
    doubles = {path.stem: path for path in (FIRMWARE / "host").glob("*.py") if path.stem != "run"}
    build.compiled(doubles, folder / "host")
    hardware = folder / "host.romfs"
    hardware.write_bytes(build.image(folder / "host").ljust(65_536, b"\xff"))
    return hardware, program


class LeafBoard:
    """One board. `lines` is what all its starts have said."""

    def __init__(self, folder: Path, pictures: tuple[Path, Path], heap: int = HEAP, *more: str) -> None:
        self.world = World(folder / "world")
        self.flash = folder / "flash"
        self.flash.write_bytes(b"\xff" * FLASH_BYTES)
        self._command = [
            *(str(MICROPYTHON), "-X", f"heapsize={heap}", str(FIRMWARE / "host/run.py")),
            *(str(path) for path in (pictures[0], self.flash, folder / "world", pictures[1])),
            *more,
        ]
        self.lines: list[str] = []
        self.starts = 0
        self.ended: int | None = None
        self._grown = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._living: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Power; from here on a reset starts it again, and a deep sleep is over at once."""
        assert self._living is None
        self._living = asyncio.ensure_future(self._live())

    async def stop(self) -> None:
        """Cut the power."""
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)
            self._living = None

    async def say(self, document: Any) -> None:
        """A line at its serial port."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document).encode() + b"\n")
        await self._process.stdin.drain()

    async def said(self, text: str, *, after: int = 0, patience_s: float = PATIENCE_S) -> int:
        """Wait for a line that holds `text` behind the first `after`; its number, from 1."""
        try:
            async with asyncio.timeout(patience_s):
                return await self._find(text, after)
        except TimeoutError:
            raise AssertionError(f"it has not said {text!r}:\n{self.transcript()}") from None

    async def _find(self, text: str, at: int) -> int:
        while True:
            for number, line in enumerate(self.lines[at:], at + 1):
                if text in line:
                    return number
            at = len(self.lines)
            assert self.ended is None, f"it ended ({self.ended}) without {text!r}:\n{self.transcript()}"
            await self._grown.wait()

    def transcript(self) -> str:
        """All that it has said."""
        return "\n".join(self.lines)

    def heap(self) -> dict[str, int]:
        """Free bytes of heap at the last time of each phase."""
        found = [line.split() for line in self.lines if line.startswith(PHASES)]
        names = {"HEAP": "started", "RESCUE": "updater "}
        return {names.get(words[0], "") + ("" if words[0] == "HEAP" else words[1]): int(words[-1]) for words in found}

    async def _live(self) -> None:
        while True:
            self.starts += 1
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                await self._read(self._process)
                code = await self._process.wait()
            finally:
                if self._process.returncode is None:
                    self._process.kill()
                    await self._process.wait()
            if code not in (RESET, ASLEEP):
                self.ended = code
                self._tell()
                return
            self.lines.append("RESET" if code == RESET else "ASLEEP")
            self._tell()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            self._tell()

    def _tell(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()
