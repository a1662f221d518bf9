"""A local settings document (GATEWAY_SETTINGS_FILE) in place of the twin, read again when it changes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from gateway.app.configuration import Configuration, Document
from gateway.app.document import SettingsProblem
from gateway.observe.configuration import SettingsFileUnreadable, SettingsSource
from gateway.observe.events import Event

LOOK_EVERY_S: Final = 1.0
"""One stat each time; an editor's save shows within a second."""
MAX_FILE_BYTES: Final = 1 << 20
"""Far above the 32 KB of a twin, far below what a mistaken path might hold."""

_Stamp = tuple[int, int, int]


class SettingsFile:
    """Offers the file to the configuration at the start and after each change; `told` is called after each offer."""

    def __init__(
        self,
        *,
        path: Path,
        configuration: Configuration,
        emit: Callable[[Event], None],
        told: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._configuration = configuration
        self._emit = emit
        self._told = told
        self._sleep = sleep
        self._stamp: _Stamp | None = None
        self._complaint = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look()
            await self._sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Offer the file if it is not the one that was offered last."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            text = await asyncio.to_thread(_read, self._path)
        except OSError as error:
            self._complain(error.strerror or str(error))
            return
        self._stamp, self._complaint = stamp, ""
        await self._offer(text)
        self._told()

    async def _offer(self, text: bytes) -> None:
        if len(text) > MAX_FILE_BYTES:
            self._refuse(f"it is larger than {MAX_FILE_BYTES} bytes")
            return
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            self._refuse(f"not JSON: {error.msg}", where=f", line {error.lineno}, column {error.colno}")
            return
        except UnicodeDecodeError:
            self._refuse("it is not UTF-8 text")
            return
        except RecursionError:
            self._refuse("it is nested too deeply")
            return
        if not isinstance(document, dict):
            self._refuse("it is not a JSON object")
            return
        await self._configuration.offer(_without_own(document), None, SettingsSource.FILE)

    def _refuse(self, message: str, where: str = "") -> None:
        problem = SettingsProblem(path=f"{self._path}{where}", message=message)
        self._configuration.refuse(problem, None, SettingsSource.FILE)

    def _complain(self, reason: str) -> None:
        """Once, until the file is there again or something else is wrong."""
        self._stamp = None
        if reason != self._complaint:
            self._complaint = reason
            self._emit(SettingsFileUnreadable(str(self._path), reason))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _without_own(document: dict[str, Any]) -> Document:
    """A twin saved from a portal holds IoT Hub's own `$version` and `$metadata`."""
    return {name: value for name, value in document.items() if not name.startswith("$")}
