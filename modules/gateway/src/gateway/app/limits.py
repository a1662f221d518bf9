"""What devices may send, in force: from the settings to the heads; and what they have sent today, across restarts.

`quotas.json` holds `{"format": 1, "day": days since 1970, "used": {name: messages}}`, of those with a limit per day,
written whole beside and renamed, mode 0600, at most every `KEEP_EVERY_S`: after a crash so much may be sent once more.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from gateway.app.document import GatewaySettings
from gateway.observe.events import Event
from gateway.observe.limits import QuotasNotKept, QuotasUnreadable

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Allowances

FILE_NAME: Final = "quotas.json"
KEEP_EVERY_S: Final = 30.0
"""Flash wears out; a device may send so long anew after a crash."""
MAX_FILE_BYTES: Final = 16_777_216
"""Far more than of all the devices that are counted."""
_FORMAT: Final = 1
_FILE_MODE: Final = 0o600


class LimitsRoom:
    """Holds the allowances of devices; nothing is loaded before settings limit somebody.

    `tell` hears what is in force: None while nobody is limited.
    """

    def __init__(self, folder: Path, emit: Callable[[Event], None], clock: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE_NAME
        self._emit = emit
        self._clock = clock
        self._allowances: Allowances | None = None
        self._tell: Callable[[Allowances | None], None] = lambda _: None
        self._kept_at = 0.0
        self._keeping: asyncio.Task[None] | None = None

    def tell(self, listener: "Callable[[Allowances | None], None]") -> None:
        """`listener` is told what is in force, now and whenever it changes."""
        self._tell = listener
        listener(self.in_force())

    def in_force(self) -> "Allowances | None":
        """What devices may send; None while nobody is limited."""
        return self._allowances if self._allowances is not None and self._allowances.on else None

    def limited(self) -> tuple[str, ...]:
        """Who is held back or refused now."""
        allowances = self.in_force()
        return () if allowances is None else allowances.limited()

    def is_limited(self, name: str) -> bool:
        """Whether this device or module is; `name` as `device` or `device/module`."""
        allowances = self.in_force()
        return allowances is not None and allowances.is_limited(name)

    def use(self, settings: GatewaySettings) -> None:
        """These settings are in force."""
        if self._allowances is None:
            if settings.limits is None:
                return
            self._allowances = self._make()
        self._allowances.use(settings.limits)
        self._tell(self.in_force())

    def look(self) -> None:
        """To be called each second: keep what was sent today, when it is time."""
        allowances, now = self._allowances, self._clock()
        if allowances is None or not allowances.changed or 0 <= now - self._kept_at < KEEP_EVERY_S:
            return
        if self._keeping is None or self._keeping.done():
            self._kept_at = now
            self._keeping = asyncio.create_task(self._keep(allowances), name="quotas of devices")

    async def close(self) -> None:
        """Keep what was sent today."""
        if self._keeping is not None:
            await self._keeping
        if self._allowances is not None and self._allowances.changed:
            await self._keep(self._allowances)

    def _make(self) -> "Allowances":
        from gateway.dispatch.allowance import Allowances  # noqa: PLC0415 — most sites limit nobody

        allowances = Allowances(self._emit, time.monotonic, self._clock)
        try:
            day, used = _load(self._path)
        except (OSError, ValueError) as error:
            self._emit(QuotasUnreadable(str(self._path), str(error)))
        else:
            allowances.restore(day, used)
        return allowances

    async def _keep(self, allowances: "Allowances") -> None:
        allowances.changed = False
        day, used = allowances.used()
        error = await asyncio.to_thread(_save, self._path, day, used)
        if error is not None:
            allowances.changed = True
            self._emit(QuotasNotKept(str(self._path), error.strerror or str(error)))


def _load(path: Path) -> tuple[int, dict[str, int]]:
    """The day, and what was sent on it. Raises OSError, ValueError."""
    try:
        with path.open("rb") as file:
            kept = orjson.loads(file.read(MAX_FILE_BYTES))
    except FileNotFoundError:
        return 0, {}
    match kept:
        case {"format": 1, "day": int() as day, "used": dict(used)} if all(type(each) is int for each in used.values()):
            return day, used
        case _:
            raise ValueError("this version of the gateway did not write it")


def _save(path: Path, day: int, used: dict[str, int]) -> OSError | None:
    """Write beside and rename, so that a crash leaves the old file or the new one. Gives the error, if any."""
    beside = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps({"format": _FORMAT, "day": day, "used": used}))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        return error
    return None
