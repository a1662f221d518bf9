import stat
from pathlib import Path

import pytest

from gateway.firmware import files
from gateway.firmware.files import FilesError


def test_a_file_is_replaced_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files.replace(path, b"one")
    files.replace(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_folders_are_made_with_those_above_them(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b" / "c")
    files.make_folder(tmp_path / "a" / "b" / "c")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_reading_has_a_bound_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    assert files.read(tmp_path / "x", 5) == b"12345"
    assert files.read(tmp_path / "x", 4) is None
    assert files.read(tmp_path / "gone", 4) is None
    with pytest.raises(FilesError, match="cannot be read"):
        files.read(tmp_path / "link", 5)


def test_removing_twice_is_removing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    files.remove(tmp_path / "x")
    files.remove(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(FilesError, match=f"{tmp_path / 'x'} cannot be written"):
        files.replace(tmp_path / "x", b"1")
    assert [each.name for each in tmp_path.iterdir()] == ["x"]
    with pytest.raises(FilesError, match="cannot be made"):
        files.make_folder(Path("/proc/none/x"))


def test_one_changes_a_folder_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_WAIT_S", 0.05)
    with files.locked(tmp_path), pytest.raises(FilesError, match="another process"), files.locked(tmp_path):
        pass
    with files.locked(tmp_path):
        pass
