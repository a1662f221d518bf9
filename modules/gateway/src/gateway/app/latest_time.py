"""The latest time that is known to have passed: a clock that is set back must not make expired tokens good again.

It is kept in a file over restarts, a number of seconds since 1970 as text. What it is worth and why it is bounded:
docs/decisions/clock-set-back.md.
"""

from pathlib import Path
from typing import Final

LATEST_TIME_FILE: Final = "latest-time"
"""In the data folder."""

BUILT_AT: Final = 1_795_000_000.0
"""November 2026, when this was written: no token is judged at an earlier time, should a clock have been set back."""

BELIEVED_AHEAD_S: Final = 3600.0
"""So far at most it is ahead of the clock: as long as a token usually lives. A clock that was wrong in the future for a
while may keep no device out that makes its tokens by the right one."""

KEEP_EVERY_S: Final = 300.0
"""Between two writes: what a crash forgets is less than the skew tokens are given by default."""

_MAX_CHARS: Final = 32


class LatestTime:
    """Follows the clock, and does not go back with it at once."""

    def __init__(self, file: Path, *, least: float = 0.0) -> None:
        """`least` has passed in any case. A file that is not there, or is none of ours, adds nothing to it."""
        self._file = file
        self._least = least
        self._latest = self._kept = _read(file)

    def follow(self, now: float) -> float:
        """The clock shows `now`: the time that is known to have passed."""
        self._latest = max(self._latest, now)
        if now >= self._least:  # else the clock is wrong for certain, and what was kept is all there is to go by
            self._latest = min(self._latest, now + BELIEVED_AHEAD_S)
        return max(self._latest, self._least)

    @property
    def is_due(self) -> bool:
        """Whether it is time to keep it; also when it was set back, else a restart would bring the wrong time again."""
        return abs(self._latest - self._kept) >= KEEP_EVERY_S

    def keep(self) -> OSError | None:
        """Write the file; the error if it cannot be written."""
        # Not synced: a power cut leaves an older file or, where the file system is careless, an empty one.
        beside = self._file.with_name(f"{self._file.name}.new")
        self._kept = self._latest  # also if it fails: the next try comes when the next would be due
        try:
            beside.write_text(f"{self._latest:.0f}\n", encoding="ascii")
            beside.replace(self._file)
        except OSError as error:
            return error
        return None


def _read(file: Path) -> float:
    try:
        with file.open(encoding="ascii") as text:
            seconds = text.read(_MAX_CHARS).strip()
    except (OSError, UnicodeDecodeError):
        return 0.0
    return float(seconds) if seconds.isascii() and seconds.isdigit() else 0.0
