import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from gateway.identity import locked_file
from gateway.identity.locked_file import (
    LockedFileError,
    locked,
    read_stamped,
    reason,
    remedy,
    replace_file,
    stamp_of,
)


def test_a_replaced_file_is_whole_private_and_has_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "codes.json"
    assert stamp_of(path) is None
    replace_file(path, b"one")
    first = stamp_of(path)
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stamp_of(path) != first
    assert read_stamped(path) == (b"two", stamp_of(path))
    assert [each.name for each in tmp_path.iterdir()] == ["codes.json"]


def test_no_file_has_no_stamp_and_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert read_stamped(tmp_path / "none") == (None, None)
    with pytest.raises(LockedFileError, match="cannot be read"):
        read_stamped(tmp_path)


def test_one_holds_the_lock_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_file, "LOCK_WAIT_S", 0.0)
    path, held = tmp_path / "codes.json", threading.Event()
    with locked(path), pytest.raises(LockedFileError, match="being changed by another process"), locked(path):
        held.set()
    assert not held.is_set()
    with locked(path):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "codes.json.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LockedFileError), locked(tmp_path / "codes.json"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_written_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LockedFileError, match=r"no such file or directory\. Create the data directory"):
        replace_file(tmp_path / "gone" / "codes.json", b"")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "right to read and write"),
        (errno.EROFS, "Mount it for writing"),
        (errno.ENOSPC, "Free some space"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_each_error_has_its_remedy(number: int, words: str) -> None:
    error = OSError(number, os.strerror(number))
    assert words in remedy(error)
    assert reason(error) == os.strerror(number).lower()
