"""A JSON file that is a memory: written a moment after each change; one that cannot be read is begun anew.

What must not be lost is kept by `locked_file` instead. Mode 0600: what is remembered may hold tokens.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gateway.identity.locked_file import LockedFileError, replace_file

VERSION: Final = 1
SAVE_EVERY_S: Final = 2.0
"""How long a change may stay unwritten: who it is about has its answer, and could get it again."""


class MemoryFile:
    """One such file: `{"version": 1, <name>: …}`. `run` beside the gateway; `tell` hears a problem, once."""

    def __init__(self, path: Path, name: str, content: Callable[[], Any], tell: Callable[[str], None]) -> None:
        """`content` gives what is to be kept, as JSON has it."""
        self._path = path
        self._name = name
        self._content = content
        self._tell = tell
        self._complaint = ""
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """What is kept is not what the file holds any more."""
        self._changed.set()

    async def run(self) -> None:
        """Write after each change, until cancelled; the last one then."""
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(SAVE_EVERY_S)
                self._changed.clear()
                text = self._text()
                self._report(await asyncio.to_thread(self._write, text))
        finally:
            if self._changed.is_set():
                self._report(self._write(self._text()))

    def read(self, understand: Callable[[Any], None]) -> None:
        """Hand what was kept to `understand`, whose ValueError, KeyError, TypeError or AttributeError is damage."""
        try:
            said = json.loads(self._path.read_bytes())
            if said["version"] != VERSION:
                raise ValueError("another version")  # noqa: TRY301 - handled as any other that cannot be read
            understand(said[self._name])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._report("it cannot be read and is begun anew")

    def _report(self, problem: str) -> None:
        if problem and problem != self._complaint:
            self._tell(problem)
        self._complaint = problem

    def _text(self) -> bytes:
        return json.dumps({"version": VERSION, self._name: self._content()}).encode()

    def _write(self, text: bytes) -> str:
        """Put the file in place. Gives what went wrong."""
        try:
            replace_file(self._path, text)
        except LockedFileError as error:
            return str(error)
        return ""
