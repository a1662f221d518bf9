import sqlite3
import stat
from pathlib import Path

import pytest

from edgewire.message import identity
from gateway.twin.file import (
    Held,
    Row,
    WrappedKey,
    aside,
    encrypt_all,
    open_file,
    read_held,
    read_row,
    write_rows,
)

D1 = identity("d1")
M1 = identity("d1", "m1")
KEY = WrappedKey(b"wrapped", b"vector", b"proof")


def test_rows_are_there_again_the_one_unchanged_for_longest_first(tmp_path: Path) -> None:
    path = tmp_path / "twins.db"
    file = open_file(path)
    assert (file.held, file.key, file.damage) == ({}, None, None)
    write_rows(file.database, {D1: Row(b"1", waiting=False), M1: Row(b"22", waiting=True)})
    write_rows(file.database, {D1: Row(b"333", waiting=False)})
    file.database.close()
    again = open_file(path)
    assert list(again.held.items()) == [(M1, Held(2, waiting=True)), (D1, Held(3, waiting=False))]
    assert (read_row(again.database, D1), read_row(again.database, M1)) == (b"333", b"22")
    write_rows(again.database, {M1: None})
    assert read_held(again.database) == {D1: Held(3, waiting=False)}
    assert read_row(again.database, M1) is None
    again.database.close()


def test_only_the_gateways_user_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "twins.db"
    path.touch(mode=0o644)
    open_file(path).database.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_all_of_a_group_is_written_or_nothing(tmp_path: Path) -> None:
    file = open_file(tmp_path / "twins.db")
    with pytest.raises(sqlite3.Error):
        write_rows(file.database, {D1: Row(b"1", waiting=False), M1: Row(None, waiting=False)})  # type: ignore[arg-type] # what the table refuses
    assert read_held(file.database) == {}
    write_rows(file.database, {D1: Row(b"1", waiting=False)})
    file.database.close()


def test_encrypting_leaves_nothing_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "twins.db"
    file = open_file(path)
    write_rows(file.database, {D1: Row(b"plain words" * 50, waiting=True)})
    encrypt_all(file.database, KEY, [D1, M1], lambda _, sealed: sealed.replace(b"plain words", b"###########"))
    file.database.close()
    assert b"plain words" not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
    again = open_file(path)
    assert again.key == KEY
    assert again.held[D1].waiting
    again.database.close()


def test_a_key_is_kept_with_all_rows_or_not_at_all(tmp_path: Path) -> None:
    file = open_file(tmp_path / "twins.db")
    write_rows(file.database, {D1: Row(b"1", waiting=False)})

    def fails(_who: object, _sealed: bytes) -> bytes:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        encrypt_all(file.database, KEY, [D1], fails)
    file.database.close()
    assert open_file(tmp_path / "twins.db").key is None


def written(path: Path) -> None:
    file = open_file(path)
    for number in range(200):
        write_rows(file.database, {identity(f"d{number}"): Row(b"x" * 500, waiting=False)})
    file.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.database.close()


@pytest.mark.parametrize("at", [0, 16, 100, 4096, 8192, 20_000])
def test_a_damaged_file_is_set_aside_and_another_begun(tmp_path: Path, at: int) -> None:
    path = tmp_path / "twins.db"
    written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + b"\xa5" * 4096 + whole[at + 4096 :])
    file = open_file(path)
    assert file.damage
    assert file.held == {}
    assert aside(path).stat().st_size == len(whole)
    write_rows(file.database, {D1: Row(b"1", waiting=False)})
    file.database.close()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_torn_file_is_set_aside(tmp_path: Path, part: float) -> None:
    path = tmp_path / "twins.db"
    written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    file = open_file(path)
    assert file.damage
    file.database.close()


def test_a_disk_that_cannot_be_written_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises((sqlite3.OperationalError, OSError)):
        open_file(tmp_path / "missing" / "twins.db")
