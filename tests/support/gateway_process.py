"""`gateway run` as a process of its own, started and ended as an operator would."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

GATEWAY: Final = Path(sys.executable).parent / "gateway"
START_S: Final = 60.0
STOP_S: Final = 9.0
"""For its end: what the gateway promises, 5, and what a machine that is busy elsewhere may take. Short of the patience
of all that it could wait for, which is 10 and more."""
PATIENCE_S: Final = 30.0
_OURS: Final = ("GATEWAY_", "IOTEDGE_", "Edge", "EDGE")
"""Beginnings of the variables that a gateway reads: none of the machine's own may get into a test."""


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The machine's environment without anything that a gateway reads, and `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | dict(more)


class GatewayProcess:
    """One gateway, which may be started again after its end. `lines` is what all its starts have said."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.program: Sequence[str | Path] = (GATEWAY, "run")
        """What is started; a test may put something around it."""
        self.lines: list[str] = []
        self._first = 0
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Future[None] | None = None
        self._grown = asyncio.Event()

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not been ended by us."""
        return self._reading is not None

    async def start(self, **environment: str) -> None:
        """Start and wait for READY; `environment` is added for good."""
        await self.spawn(**environment)
        await self.said("READY ", START_S)

    async def spawn(self, **environment: str) -> None:
        """Start, and wait for nothing."""
        assert self._reading is None, "it runs already"
        self.environment |= environment
        self._first = len(self.lines)
        self._process = await asyncio.create_subprocess_exec(
            *self.program,
            env=clean_environment(self.environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.ensure_future(self._read_lines())

    async def said(self, text: str, patience_s: float = PATIENCE_S, *, after: int | None = None) -> str:
        """The first line of this start that holds `text`, or behind line number `after`; waits for it."""
        try:
            async with asyncio.timeout(patience_s):
                return await self._line_with(text, self._first if after is None else after)
        except TimeoutError:
            raise AssertionError(f"it did not say {text!r} within {patience_s} s:\n{self.transcript()}") from None

    async def _line_with(self, text: str, seen: int) -> str:
        while True:
            for line in self.lines[seen:]:
                if text in line:
                    return line
            seen = len(self.lines)
            assert self._reading is not None
            assert not self._reading.done(), f"it ended without saying {text!r}:\n{self.transcript()}"
            await self._grown.wait()

    async def exit_code(self, patience_s: float = START_S) -> int:
        """Wait until it ends by itself."""
        async with asyncio.timeout(patience_s):
            return await self._ended()

    async def stop(self) -> float:
        """SIGTERM. Returns how long it took; the exit code must be 0."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                code = await self._ended()
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"it did not end within {STOP_S} s:\n" + self.transcript()) from None
        assert code == 0, self.transcript()
        return loop.time() - began_at

    def hang_up(self) -> None:
        """SIGHUP: it looks at certificates and lists at once."""
        self._process.send_signal(signal.SIGHUP)

    def pause(self) -> None:
        """SIGSTOP: its sockets stay, it reads and answers nothing. It can be killed as it is."""
        self._process.send_signal(signal.SIGSTOP)

    async def kill(self) -> None:
        """SIGKILL: no flush, no goodbye."""
        if self._reading is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._ended()

    def transcript(self) -> str:
        """All lines of this start."""
        return "\n".join(self.lines[self._first :])

    def assert_no_fault(self) -> None:
        """Nothing of ours has failed in a way that nobody foresaw."""
        text = "\n".join(self.lines)
        for sign in ("Traceback", "a fault of ours", "never retrieved", "was never awaited"):
            assert sign not in text, text

    def rss_kb(self) -> int:
        """Resident memory of the process."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("the kernel does not say VmRSS")

    async def _ended(self) -> int:
        assert self._reading is not None
        await self._reading
        self._reading = None
        return await self._process.wait()

    async def _read_lines(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode().rstrip("\n"))
            self._tell_growth()
        await self._process.wait()
        self._tell_growth()

    def _tell_growth(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()
