"""Files of the data folder that commands change while the gateway runs: read whole, changed under a lock."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from gateway.identity.locked_file import LockedFileError, Stamp, locked, read_stamped, replace_file, stamp_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile(Generic[T]):
    """One kind of such files. `empty` is what no file holds; `parse` raises `problem` for bytes that hold nothing."""

    empty: T
    parse: Callable[[bytes], T]
    write: Callable[[T], bytes]
    problem: type[Exception]
    what: str
    """What stands in it, as in "it holds no codes"."""

    def read(self, path: Path) -> tuple[T, Stamp | None]:
        """What the file holds, and the stamp of just these bytes; None if there is no file. Raises LockedFileError."""
        text, stamp = read_stamped(path)
        if text is None:
            return self.empty, None
        try:
            return self.parse(text), stamp
        except self.problem as error:
            raise LockedFileError(
                f"{path} holds no {self.what}: {error}. Correct it there, put back an earlier copy, or remove it"
            ) from error

    def edit(self, path: Path, change: Callable[[T], T]) -> T:
        """Change the file by `change`, alone among all processes. Blocks; call it in a thread.

        What `change` raises passes through, and nothing is written. Raises LockedFileError.
        """
        with locked(path):
            before, stamp = self.read(path)
            after = change(before)
            if after != before or stamp is None:
                replace_file(path, self.write(after))
        return after


class Followed(Generic[T]):
    """One such file as a running gateway follows it; `tell` hears why it cannot be used, once for each change."""

    __slots__ = ("_file", "_path", "_tell", "stamp")

    def __init__(
        self, file: SharedFile[T], path: Path, tell: Callable[[str], None], stamp: Stamp | None = None
    ) -> None:
        """`stamp`: of what is known already."""
        self._file = file
        self._path = path
        self._tell = tell
        self.stamp = stamp
        """Of what was read last; None if there was no file."""

    def news(self) -> T | None:
        """What the file holds if it is another than before; None if it is not, or cannot be used."""
        stamp = stamp_of(self._path)
        if stamp == self.stamp:
            return None
        self.stamp = stamp
        try:
            found, self.stamp = self._file.read(self._path)
        except LockedFileError as error:
            self._tell(str(error))
            return None
        return found
