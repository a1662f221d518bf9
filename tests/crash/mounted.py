"""The fault disk as a test holds it: a mounted folder, and what may happen to it."""

import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

TESTS: Final = Path(__file__).resolve().parent.parent
PATIENCE_S: Final = 60.0
WRITING: Final = ("create", "write", "truncate", "allocate", "sync", "sync_names", "rename", "unlink")


class Disk:
    """A mounted fault disk."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self._process = process

    async def cut_after(self, changes: int, *, kill: Sequence[int]) -> None:
        """Arm: instead of the change after so many more, the power goes and takes these processes with it."""
        await self._tell(do="cut", after=changes, kill=list(kill))

    async def cut_now(self, *, kill: Sequence[int]) -> None:
        """The power goes, and takes these processes with it."""
        await self._tell(do="cut", after=None, kill=list(kill))

    async def power_on(self, seed: int) -> None:
        """What was synced is there; what was not is kept, dropped, torn or garbled, as the seed has it."""
        await self._tell(do="power on", seed=seed)

    async def lie(self, within: str) -> None:
        """From now on every sync in this directory claims success and does nothing."""
        await self._tell(do="lie", within=within)

    async def resize(self, capacity: int) -> None:
        """From now on the disk has room for so many bytes."""
        await self._tell(do="capacity", bytes=capacity)

    async def fail(
        self,
        kinds: Collection[str] = WRITING,
        *,
        ending: str = "",
        nth: int = 1,
        times: int = 1,
        error: int = errno.EIO,
    ) -> None:
        """Arm: the `nth` of these operations from now on fails, and `times` in all; a failed sync keeps nothing."""
        await self._tell(do="fail", kinds=sorted(kinds), ending=ending, nth=nth, times=times, error=error)

    def halt(self) -> None:
        """From now on it answers nothing: whoever reads or writes there waits."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again, also what was asked meanwhile."""
        self._process.send_signal(signal.SIGCONT)

    async def heal(self) -> None:
        """No more failures."""
        await self._tell(do="heal")

    async def told(self) -> dict[str, Any]:
        """`powered`, `counts` by kind, `injected`, `used`."""
        return await self._tell(do="tell")

    async def _tell(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next line of the process."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self._process.stdout.readline()
        assert line, (
            "the fault disk could not be mounted, or has ended: it needs /dev/fuse and fusermount3 (make peers)"
        )
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def fault_disk(folder: Path) -> AsyncIterator[Disk]:
    """An empty fault disk mounted at `folder`, which exists."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "crash.fault_disk",
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    disk = Disk(folder, process)
    try:
        await disk.answer()
        yield disk
    finally:
        unmount = await asyncio.create_subprocess_exec("fusermount3", "-u", "-z", "-q", str(folder))
        await unmount.wait()
        if process.returncode is None:
            process.kill()
        await process.wait()
