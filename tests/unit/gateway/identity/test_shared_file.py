from pathlib import Path

import pytest

from gateway.identity.locked_file import LockedFileError
from gateway.identity.shared_file import Followed, SharedFile

NUMBER = SharedFile(empty=0, parse=int, write=lambda value: b"%d\n" % value, problem=ValueError, what="number")


def test_a_file_is_changed_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "number"
    assert NUMBER.read(path) == (0, None)
    assert NUMBER.edit(path, lambda value: value) == 0
    assert path.read_bytes() == b"0\n"
    first = path.stat().st_ino
    assert NUMBER.edit(path, lambda value: value) == 0
    assert path.stat().st_ino == first
    assert NUMBER.edit(path, lambda value: value + 5) == 5
    value, stamp = NUMBER.read(path)
    assert (value, stamp is not None) == (5, True)


def test_what_a_change_raises_passes_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "number"
    with pytest.raises(ZeroDivisionError):
        NUMBER.edit(path, lambda value: 1 // value)
    assert not path.exists()


def test_a_file_that_holds_nothing_is_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_bytes(b"x")
    for use in (NUMBER.read, lambda path: NUMBER.edit(path, lambda value: value)):
        with pytest.raises(LockedFileError, match=r"holds no number: .* put back an earlier copy"):
            use(path)
    assert path.read_bytes() == b"x"


def test_who_follows_a_file_hears_of_each_change_once(tmp_path: Path) -> None:
    path, told = tmp_path / "number", list[str]()
    followed = Followed(NUMBER, path, told.append)
    assert (followed.news(), followed.stamp) == (None, None)
    NUMBER.edit(path, lambda value: value + 5)
    assert [followed.news(), followed.news()] == [5, None]
    path.write_bytes(b"no number")
    assert [followed.news(), followed.news()] == [None, None]
    [why] = told
    assert "holds no number" in why
    path.unlink()
    assert (followed.news(), followed.stamp, told) == (0, None, [why])
