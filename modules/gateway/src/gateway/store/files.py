"""File operations the store needs, as an interface, so that tests can put a failing disk beneath it.

`Files` is one flat directory. Nothing is durable before a sync: a file's bytes before `File.sync`, a created, renamed
or removed name before `Files.sync_names`.
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Protocol

LOCK_NAME = "lock"


class File(Protocol):
    """An open file, read and written at offsets."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data`, or raise OSError having written some of it."""

    def allocate(self, length: int) -> None:
        """Make the file `length` bytes long and reserve the space, reading as zeros, without writing it."""

    def truncate(self, length: int) -> None:
        """Cut the file to `length` bytes."""

    def sync(self) -> None:
        """Return once bytes and length are on the disk."""

    def size(self) -> int:
        """Its length in bytes."""

    def close(self) -> None:
        """Give the descriptor back."""


class Files(Protocol):
    """The store's directory."""

    def create(self, name: str) -> File:
        """A new empty file under `name`; one that stood there is unlinked."""

    def open(self, name: str) -> File:
        """The file, for reading and writing."""

    def open_to_read(self, name: str) -> File:
        """The file, for reading only."""

    def rename(self, name: str, new_name: str) -> None:
        """Give the file a new name, replacing what has it."""

    def unlink(self, name: str) -> None:
        """Remove the name."""

    def names(self) -> list[str]:
        """All names, sorted."""

    def sync_names(self) -> None:
        """Return once all names are on the disk."""

    def lock(self) -> None:
        """Take the directory for this process, making it if need be; BlockingIOError if another one has it."""

    def unlock(self) -> None:
        """Give the directory up."""


class DiskFile:
    """A file on a real disk."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read_at(self, offset: int, length: int) -> bytes:
        """See File."""
        data = os.pread(self._descriptor, length, offset)
        while 0 < len(data) < length:
            more = os.pread(self._descriptor, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def write_at(self, offset: int, data: bytes) -> None:
        """See File."""
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            # A disk that fills up gives a short write first; the next one says why.
            written += os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)

    def allocate(self, length: int) -> None:
        """See File. Without support by the file system the file just grows as it is written."""
        try:
            os.posix_fallocate(self._descriptor, 0, length)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                raise

    def truncate(self, length: int) -> None:
        """See File."""
        os.ftruncate(self._descriptor, length)

    def sync(self) -> None:
        """See File. fdatasync writes the length too when it changed; what it leaves out is times."""
        os.fdatasync(self._descriptor)

    def size(self) -> int:
        """See File."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """See File."""
        _close(self._descriptor)


class DiskFiles:
    """A directory on a real disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: int | None = None

    def create(self, name: str) -> File:
        """See Files."""
        path = self._directory / name
        path.unlink(missing_ok=True)
        return DiskFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def open(self, name: str) -> File:
        """See Files."""
        return DiskFile(os.open(self._directory / name, os.O_RDWR | os.O_CLOEXEC))

    def open_to_read(self, name: str) -> File:
        """See Files."""
        return DiskFile(os.open(self._directory / name, os.O_RDONLY | os.O_CLOEXEC))

    def rename(self, name: str, new_name: str) -> None:
        """See Files."""
        (self._directory / name).replace(self._directory / new_name)

    def unlink(self, name: str) -> None:
        """See Files."""
        (self._directory / name).unlink()

    def names(self) -> list[str]:
        """See Files."""
        return sorted(path.name for path in self._directory.iterdir())

    def sync_names(self) -> None:
        """See Files."""
        _sync_directory(self._directory)

    def lock(self) -> None:
        """See Files. The kernel gives the lock back when the process ends, however it ends."""
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_directory(self._directory.parent)
        descriptor = os.open(self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _close(descriptor)
            raise
        self._lock = descriptor

    def unlock(self) -> None:
        """See Files."""
        if self._lock is not None:
            _close(self._lock)
            self._lock = None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        _close(descriptor)


def _close(descriptor: int) -> None:
    """Linux gives a descriptor back whatever it answers, and what must be safe was synced before.

    A file system may report old errors here, over a network or by quota: they must not end the store's thread.
    """
    with contextlib.suppress(OSError):
        os.close(descriptor)


def disk_full(error: OSError) -> bool:
    """Whether space ran out (or a quota), rather than something broke."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
