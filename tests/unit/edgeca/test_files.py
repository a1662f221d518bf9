import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgeca import files
from edgeca.authority import Authority, self_signed_device
from edgeca.errors import CaError
from edgeca.files import Entry
from edgeca.profiles import Kind

AUTHORITY = Authority.create()
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def server_entry(directory: Path, name: str = "gateway.local") -> Entry:
    return Entry(directory=directory, kind=Kind.SERVER, name=name)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_saved_is_loaded_with_its_whole_chain(tmp_path: Path) -> None:
    entry, credential = server_entry(tmp_path), AUTHORITY.issue_server(["gateway.local"])
    files.save(entry, credential)
    loaded = files.load(entry)
    assert (loaded.certificate, loaded.issuers) == (credential.certificate, credential.issuers)
    assert loaded.key_pem == credential.key_pem


def test_keys_are_for_us_alone_and_so_are_new_folders(tmp_path: Path) -> None:
    entry = server_entry(tmp_path / "new" / "deeper")
    files.save(entry, AUTHORITY.issue_server(["gateway.local"]))
    assert mode(entry.key_path) == 0o600
    assert [mode(folder) for folder in (tmp_path / "new", entry.directory, entry.key_path.parent)] == [0o700] * 3


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    files.save(server_entry(tmp_path), AUTHORITY.issue_server(["gateway.local"]))
    assert mode(tmp_path) == 0o755


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    files.save(server_entry(tmp_path), AUTHORITY.issue_server(["gateway.local"]))
    assert sorted(path.name for path in (tmp_path / "server").iterdir()) == [
        "gateway.local.cert.pem",
        "gateway.local.chain.pem",
        "gateway.local.full-chain.pem",
        "gateway.local.key.pem",
    ]


@pytest.mark.parametrize(
    ("name", "stem"), [("*.plant", "%2A.plant"), ("::1", "%3A%3A1"), ("a?b%", "a%3Fb%25"), ("..", "..")]
)
def test_names_are_encoded_so_that_every_system_takes_them(tmp_path: Path, name: str, stem: str) -> None:
    entry = server_entry(tmp_path, name)
    assert entry.certificate_path == tmp_path / "server" / f"{stem}.cert.pem"
    files.save(entry, AUTHORITY.issue_server(["x"]))
    assert list(files.entries(tmp_path)) == [entry]


def test_entries_come_cas_first_and_leave_out_what_was_retired(tmp_path: Path) -> None:
    for kind, name in (
        (Kind.SERVER, "b"),
        (Kind.SERVER, "a"),
        (Kind.EDGE_CA, "pi"),
        (Kind.ISSUING, ""),
        (Kind.ROOT, ""),
    ):
        files.save(Entry(directory=tmp_path, kind=kind, name=name), AUTHORITY.issue_server(["x"]))
    files.copy_aside(server_entry(tmp_path, "b"), NOW)
    found = [entry.label for entry in files.entries(tmp_path)]
    assert found == ["root", "issuing", "edge-ca pi", "server a", "server b"]


def test_an_empty_or_missing_folder_has_no_entries(tmp_path: Path) -> None:
    assert list(files.entries(tmp_path / "none")) == []


def test_every_file_is_copied_aside_and_nothing_overwritten(tmp_path: Path) -> None:
    entry = server_entry(tmp_path)
    kept = []
    for _ in range(3):
        files.save(entry, AUTHORITY.issue_server(["gateway.local"]))
        kept.append(entry.key_path.read_bytes())
        place = files.copy_aside(entry, NOW)
        assert place is not None
        assert sorted(path.name for path in place.iterdir()) == sorted(path.name for path in entry.paths)
        assert all(path.exists() for path in entry.paths)
    assert sorted(path.read_bytes() for path in tmp_path.glob("retired/*/*.key.pem")) == sorted(kept)
    assert {mode(path) for path in tmp_path.glob("retired/*/*.key.pem")} == {0o600}
    assert files.copy_aside(server_entry(tmp_path, "none"), NOW) is None


def test_a_key_without_its_certificate_is_kept_too(tmp_path: Path) -> None:
    entry = server_entry(tmp_path)
    files.save(entry, AUTHORITY.issue_server(["gateway.local"]))
    entry.certificate_path.unlink()
    assert not entry.exists()
    place = files.copy_aside(entry, NOW)
    assert place is not None
    assert (place / "gateway.local.key.pem").exists()


@pytest.mark.parametrize("missing", [".key.pem", ".full-chain.pem", ".cert.pem"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    entry = server_entry(tmp_path)
    files.save(entry, AUTHORITY.issue_server(["gateway.local"]))
    path = tmp_path / "server" / f"gateway.local{missing}"
    path.unlink()
    with pytest.raises(CaError, match=f"cannot read .*{missing}: No such file"):
        files.load(entry)


def test_a_key_of_another_certificate_is_noticed(tmp_path: Path) -> None:
    entry = server_entry(tmp_path)
    files.save(entry, AUTHORITY.issue_server(["gateway.local"]))
    entry.key_path.write_bytes(AUTHORITY.issue_server(["gateway.local"]).key_pem)
    with pytest.raises(CaError, match="is not the key of"):
        files.load(entry)


@pytest.mark.parametrize("chain", [AUTHORITY.issuing.full_chain_pem, b""])
def test_a_chain_of_another_certificate_is_noticed(tmp_path: Path, chain: bytes) -> None:
    entry, credential = server_entry(tmp_path), AUTHORITY.issue_server(["gateway.local"])
    files.save(entry, credential)
    entry.full_chain_path.write_bytes(chain or credential.certificate_pem)
    with pytest.raises(CaError, match="is not the chain of"):
        files.load(entry)


def test_the_self_signed_have_no_chain_files(tmp_path: Path) -> None:
    entry = Entry(directory=tmp_path, kind=Kind.SELF_SIGNED, name="board-1.primary")
    files.save(entry, self_signed_device("board-1"))
    assert len(list((tmp_path / "self-signed").iterdir())) == 2
    assert files.load(entry).issuers == ()


def test_a_failed_write_keeps_the_old_content_and_says_where(tmp_path: Path) -> None:
    target = tmp_path / "x.pem"
    target.mkdir()
    with pytest.raises(CaError, match=r"cannot write .*x\.pem"):
        files.write_file(target, b"new", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pem"]


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaError, match="--dir"):
        files.make_folder(tmp_path / "file")
    with pytest.raises(CaError, match="--dir"):
        files.make_folder(tmp_path / "file" / "below")


def test_a_locked_folder_lets_no_other_process_in(tmp_path: Path) -> None:
    program = (
        "import fcntl, os, sys\n"
        f"handle = os.open({str(tmp_path)!r}, os.O_RDONLY)\n"
        "try:\n    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError:\n    sys.exit(7)\n"
    )
    with files.locked(tmp_path):
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_new_file_is_never_open_to_others_not_even_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: modes.extend(mode(path) for path in tmp_path.iterdir()))
    files.write_file(tmp_path / "x.key.pem", b"secret", files.KEY_MODE)
    assert modes == [0o600]
