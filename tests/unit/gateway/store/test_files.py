import errno
import os
from pathlib import Path

import pytest

from gateway.store import files as files_module
from gateway.store.files import DiskFile, DiskFiles, disk_full


@pytest.fixture
def files(tmp_path: Path) -> DiskFiles:
    return DiskFiles(tmp_path)


def test_what_is_written_is_read_at_its_offset(files: DiskFiles) -> None:
    file = files.create("a")
    file.write_at(3, b"xyz")
    file.sync()
    assert file.read_at(0, 100) == b"\0\0\0xyz"
    assert file.size() == 6
    file.truncate(4)
    assert file.read_at(0, 100) == b"\0\0\0x"
    file.close()


def test_reserved_space_reads_as_zeros(files: DiskFiles) -> None:
    file = files.create("a")
    file.allocate(10_000)
    assert file.size() == 10_000
    assert file.read_at(9_990, 100) == bytes(10)
    file.close()


def test_a_file_system_that_cannot_reserve_is_no_error(files: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    file = files.create("a")
    file.allocate(100)
    assert file.size() == 0
    file.close()


def test_no_space_to_reserve_is_an_error(files: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    file = files.create("a")
    with pytest.raises(OSError, match="no space"):
        file.allocate(100)
    file.close()


def test_short_reads_and_writes_are_carried_on(files: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    file = files.create("a")
    write, read = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, bytes(data)[:2], at))
    monkeypatch.setattr(os, "pread", lambda fd, length, at: read(fd, min(length, 2), at))
    file.write_at(0, b"abcdefg")
    assert file.read_at(0, 7) == b"abcdefg"
    assert file.read_at(5, 7) == b"fg"
    file.close()


def test_names_are_made_renamed_and_removed(files: DiskFiles) -> None:
    for name in ("b", "a"):
        files.create(name).close()
    files.rename("b", "c")
    files.sync_names()
    assert files.names() == ["a", "c"]
    files.unlink("a")
    assert files.names() == ["c"]
    files.open("c").close()
    with pytest.raises(FileNotFoundError):
        files.open_to_read("a")


def test_create_never_writes_into_a_file_that_stood_there(files: DiskFiles) -> None:
    old = files.create("a")
    old.write_at(0, b"old")
    files.create("a").close()
    assert old.read_at(0, 3) == b"old"
    assert files.open_to_read("a").size() == 0
    old.close()


def test_one_process_has_the_directory(tmp_path: Path) -> None:
    first, second = DiskFiles(tmp_path / "store"), DiskFiles(tmp_path / "store")
    first.lock()
    with pytest.raises(BlockingIOError):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()
    second.unlock()
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("code", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_full_is_told_from_broken(code: int, *, full: bool) -> None:
    assert disk_full(OSError(code, "")) is full


def test_the_interface_is_the_only_way_to_the_disk() -> None:
    assert DiskFile.__module__ == files_module.__name__
    for path in Path(files_module.__file__).parent.glob("*.py"):
        if path.name != "files.py":
            assert "import os" not in path.read_text(encoding="utf-8"), path


def test_an_error_at_close_ends_nothing(files: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    file = files.create("a")
    files.lock()

    def close(descriptor: int) -> None:
        raise OSError(errno.EIO, "written back too late")

    monkeypatch.setattr(os, "close", close)
    file.close()
    files.unlock()
    files.sync_names()
