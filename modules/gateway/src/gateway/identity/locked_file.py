"""Files of the data folder that commands change while the gateway runs: `devices.json`, `claims.json`.

A change is made under a lock (`<file>.lock`, flock) and put in place by one rename after an fsync, so that a reader
sees the old file or the new one, whole. Readers look at the file's stamp (inode, size, times), which costs a stat.
Files have mode 0600 and belong to whom their directory belongs: a command run as root must not lock the gateway out.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOCK_WAIT_S: Final = 10.0
"""A change takes milliseconds; who waits longer waits for something that hangs."""

Stamp = tuple[int, int, int, int]


class LockedFileError(Exception):
    """The file cannot be used; the text says why and what to do."""


def stamp_of(path: Path) -> Stamp | None:
    """What tells one state of the file from another; None if it cannot be seen."""
    try:
        return _stamp(os.stat(path))  # noqa: PTH116 - half the cost of Path.stat, once per login
    except OSError:
        return None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_stamped(path: Path) -> tuple[bytes | None, Stamp | None]:
    """The bytes of the file and the stamp of just these; None twice if there is none. Raises LockedFileError."""
    try:
        with path.open("rb") as file:
            return file.read(), _stamp(os.fstat(file.fileno()))
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise LockedFileError(f"{path} cannot be read: {reason(error)}. {remedy(error)}") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is a file of its own since the first is replaced. Raises LockedFileError."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        _give_to_owner_of_directory(descriptor, path)
    except OSError as error:
        raise LockedFileError(f"{path} cannot be changed: {lock}: {reason(error)}. {remedy(error)}") from error
    try:
        _wait_for(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path) -> None:
    give_up_at = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                raise LockedFileError(
                    f"{path} is being changed by another process for more than {LOCK_WAIT_S:.0f} s. "
                    "End that process, or try again"
                ) from None
            time.sleep(0.02)
        else:
            return


def replace_file(path: Path, text: bytes) -> None:
    """Put `text` in the place of the file: on the disk under another name first, then renamed, then the name synced.

    Raises LockedFileError.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - Path.open takes no descriptor
            os.fchmod(descriptor, 0o600)
            _give_to_owner_of_directory(descriptor, path)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise LockedFileError(f"{path} cannot be written: {reason(error)}. {remedy(error)}") from error


def _give_to_owner_of_directory(descriptor: int, path: Path) -> None:
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: OSError) -> str:
    """What went wrong, as it stands in a sentence."""
    return (error.strerror or str(error)).lower()


def remedy(error: OSError) -> str:
    """What a person can do about it."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "Create the data directory, or name another with --data or GATEWAY_DATA_DIR"
        case errno.EACCES | errno.EPERM:
            return "Give the gateway's user the right to read and write there"
        case errno.EROFS:
            return "Mount it for writing; an SD card that has turned read-only is failing: replace it"
        case errno.ENOSPC | errno.EDQUOT:
            return "Free some space on that disk"
        case _:
            return "Check the disk and the path"
