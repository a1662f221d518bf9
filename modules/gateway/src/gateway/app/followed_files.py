"""Files that others replace while the gateway runs: taken when they are other than before, and lie still."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.identity.locked_file import Stamp, stamp_of

LOOK_EVERY_S: Final = 0.5
"""How often such files are looked at, a stat each. What is as it was one look before is no longer being written."""

Stamps = tuple[tuple[str, Stamp | None], ...]


class FollowedFiles:
    """Knows by their stamps which state of some files was taken. `paths` gives them anew at each look."""

    def __init__(self, paths: Callable[[], Sequence[Path]]) -> None:
        self._paths = paths
        self._taken = self._seen = self._look()

    def have_settled(self) -> bool:
        """Whether there is a state that was not taken, and it is that of the last call: files come one by one."""
        stamps, before = self._look(), self._seen
        self._seen = stamps
        return stamps == before and stamps != self._taken

    def take(self) -> bool:
        """The state as it is now is the one that counts; whether it is another than before. Call it, then read."""
        self._seen, before = self._look(), self._taken
        self._taken = self._seen
        return self._taken != before

    def _look(self) -> Stamps:
        return tuple((str(path), stamp_of(path)) for path in self._paths())
