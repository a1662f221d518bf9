"""Files of this room on disk: replaced in one step, changed by one process at a time, owned by whom the folder belongs.

As with the registry of devices, a command may run as another user than the gateway: what it makes must stay readable.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDER: Final = "firmware"
"""In the data folder."""
LOCK_NAME: Final = ".lock"
LOCK_WAIT_S: Final = 10.0
"""Taking in or removing a bundle takes milliseconds; who waits longer waits for something that hangs."""


class FilesError(Exception):
    """A file or folder cannot be used; the text says which and why."""


def make_folder(folder: Path) -> None:
    """A folder for its owner alone, and those above it. Raises FilesError."""
    try:
        if not folder.parent.exists():
            make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            _give_to_owner(folder)
            _sync(folder.parent)
    except OSError as error:
        raise _error(folder, "cannot be made", error) from error


def replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of the file: after a crash there is the old one or the new one. Raises FilesError."""
    new = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - Path.open takes no descriptor
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        _give_to_owner(new)
        new.replace(path)
        _sync(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise _error(path, "cannot be written", error) from error


def remove(path: Path) -> None:
    """The file is gone, for good. Raises FilesError."""
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync(path.parent)
    except OSError as error:
        raise _error(path, "cannot be removed", error) from error


def read(path: Path, most: int) -> bytes | None:
    """The file, None if there is none, or none of at most so many bytes. Follows no link. Raises FilesError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - as above
            data = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _error(path, "cannot be read", error) from error
    return data if len(data) <= most else None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who changes this folder. Raises FilesError."""
    path = folder / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _error(path, "cannot be made", error) from error
    try:
        _give_to_owner(path)
        _wait_for(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, folder: Path) -> None:
    give_up_at = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                raise FilesError(f"{folder} is being changed by another process for {LOCK_WAIT_S:.0f} s") from None
            time.sleep(0.02)
        else:
            return


def _give_to_owner(path: Path) -> None:
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _error(path: Path, what: str, error: OSError) -> FilesError:
    reason = (error.strerror or str(error)).lower()
    return FilesError(f"{path} {what}: {reason}. Check the disk, its free space and who may write there")
