import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewire.message import Identity, identity
from gateway.identity import locked_file
from gateway.identity import registry as registry_module
from gateway.identity.registry import FILE_NAME, Registry, RegistryError
from gateway.identity.roster import CaSigned, Group, Registration, Roster, SymmetricKeys, Thumbprints, write_roster
from gateway.observe.events import Event
from gateway.observe.identity import RegistryReloaded, RegistryUnreadable

KEYS = SymmetricKeys(b"0123456789abcdef" * 2, b"fedcba9876543210" * 2)
OTHER_KEYS = SymmetricKeys(b"another key, not short at all ...", KEYS.secondary)
LEAF = Registration(identity("leaf-01"), KEYS)
GROUP = Group("boards", KEYS, "board-")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def adding(*entries: Registration) -> Callable[[Roster], Roster]:
    def change(roster: Roster) -> Roster:
        for entry in entries:
            roster = roster.with_registration(entry)
        return roster

    return change


def test_no_file_is_an_empty_registry(path: Path) -> None:
    registry = Registry(path)
    assert registry.roster == Roster()
    assert registry.refresh() == set()
    assert registry.find(identity("leaf-01")) is None


def test_what_one_process_writes_another_follows(path: Path) -> None:
    events: list[Event] = []
    gateway, command = Registry(path, events.append), Registry(path)
    command.edit(adding(LEAF))
    assert command.find(LEAF.identity) == LEAF
    assert gateway.refresh() == set()
    assert gateway.find(LEAF.identity) == LEAF
    assert events == [RegistryReloaded(str(path), 1, 0)]
    command.edit(adding(Registration(LEAF.identity, OTHER_KEYS)))
    assert gateway.refresh() == {LEAF.identity}
    assert gateway.refresh() == set()


def test_a_change_seen_by_reload_is_kept_for_refresh(path: Path) -> None:
    gateway, command = Registry(path), Registry(path)
    command.edit(adding(LEAF))
    gateway.reload()
    command.edit(adding(Registration(LEAF.identity, KEYS, enabled=False)))
    gateway.reload()
    gateway.reload()
    assert gateway.refresh() == {LEAF.identity}


def test_who_came_by_a_group_is_told_when_the_group_changes_or_an_own_entry_appears(path: Path) -> None:
    board, other = identity("board-1"), identity("board-2")
    gateway, command = Registry(path), Registry(path)
    command.edit(lambda roster: roster.with_group(GROUP))
    gateway.reload()
    assert gateway.groups_for("board-1") == [GROUP]
    assert gateway.groups_for("leaf-01") == []
    assert gateway.remember(board, GROUP)
    assert gateway.remember(other, GROUP)
    command.edit(adding(Registration(board, KEYS, enabled=False)))
    assert gateway.refresh() == {board}
    command.edit(lambda roster: roster.without_group("boards"))
    assert gateway.refresh() == {other}
    assert gateway.refresh() == set()


def test_a_bounded_number_of_group_devices_is_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "MAX_GROUP_DEVICES", 1)
    registry = Registry(path)
    assert registry.remember(identity("a"), GROUP)
    assert registry.remember(identity("a"), GROUP)
    assert not registry.remember(identity("b"), GROUP)


def test_thumbprints_know_their_devices(path: Path) -> None:
    registry = Registry(path)
    entry = Registration(identity("cam"), Thumbprints("AB" * 20, "CD" * 32))
    registry.edit(adding(entry, Registration(identity("cam2"), Thumbprints("AB" * 20))))
    assert registry.owners_of("CD" * 32) == {identity("cam")}
    assert registry.owners_of("AB" * 20) == {identity("cam"), identity("cam2")}
    assert registry.owners_of("EF" * 20) == frozenset()


def test_the_file_is_for_its_owner_only_and_nothing_else_is_left(path: Path) -> None:
    Registry(path).edit(adding(LEAF))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == [FILE_NAME, f"{FILE_NAME}.lock"]
    assert stat.S_IMODE(path.with_name(f"{FILE_NAME}.lock").stat().st_mode) == 0o600


def test_a_command_run_as_root_does_not_lock_the_gateway_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _descriptor, uid, gid: given.append((uid, gid)))
    Registry(path).edit(adding(LEAF))
    owner = path.parent.stat()
    assert given == [(owner.st_uid, owner.st_gid)] * 2


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    Registry(path).edit(adding(LEAF))
    assert steps == ["file", "rename", "directory"]


def test_a_write_that_fails_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(path)
    registry.edit(adding(LEAF))
    before = path.read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RegistryError, match=r"no space left on device. Free some space"):
        registry.edit(lambda roster: roster.without(LEAF.identity))
    assert path.read_bytes() == before
    assert registry.find(LEAF.identity) == LEAF


def test_an_edit_that_is_not_allowed_writes_nothing(path: Path) -> None:
    def refuse(_roster: Roster) -> Roster:
        raise LookupError("no")

    with pytest.raises(LookupError):
        Registry(path).edit(refuse)
    assert not path.exists()


@pytest.mark.parametrize("text", [b"", b"{", b'{"version": 2, "devices": {}}', b"\0" * 100])
def test_a_file_that_cannot_be_used_stops_the_start_and_says_where_and_what_to_do(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(RegistryError, match=r"devices.json is no registry of devices: .*Correct it"):
        Registry(path)


def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(RegistryError, match="cannot be read: is a directory"):
        Registry(path)


def test_a_running_gateway_keeps_the_last_good_one_and_says_so_once(path: Path) -> None:
    events: list[Event] = []
    Registry(path).edit(adding(LEAF))
    gateway = Registry(path, events.append)
    path.write_bytes(b"{")
    assert gateway.refresh() == set()
    assert gateway.refresh() == set()
    assert gateway.find(LEAF.identity) == LEAF
    assert [type(event) for event in events] == [RegistryUnreadable]
    assert "stay in force" in events[0].sentence()
    path.write_bytes(write_roster(Roster()))
    assert gateway.refresh() == {LEAF.identity}


def test_a_file_that_vanishes_lets_nobody_go(path: Path) -> None:
    events: list[Event] = []
    Registry(path).edit(adding(LEAF))
    gateway = Registry(path, events.append)
    path.unlink()
    assert gateway.refresh() == set()
    assert gateway.find(LEAF.identity) == LEAF
    assert "is gone" in events[0].sentence()


def test_a_missing_data_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"Create the data directory, or name another with --data"):
        Registry(tmp_path / "no" / FILE_NAME).edit(adding(LEAF))


def test_a_lock_that_is_held_for_ever_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_file, "LOCK_WAIT_S", 0.0)
    with path.with_name(f"{FILE_NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RegistryError, match="being changed by another process"):
            Registry(path).edit(adding(LEAF))


def test_a_lock_that_is_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.with_name(f"{FILE_NAME}.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RegistryError, match="cannot be changed"):
        Registry(path).edit(adding(LEAF))
    assert not (tmp_path / "elsewhere").exists()


WRITER = """
import sys
from pathlib import Path
from edgewire.message import identity
from gateway.identity import locked_file
from gateway.identity.registry import Registry
from gateway.identity.roster import CaSigned, Registration
locked_file.LOCK_WAIT_S = 60.0  # a lock is fair to nobody, and a disk may be slow
registry = Registry(Path(sys.argv[1]))
for number in range(25):
    entry = Registration(identity(f"{sys.argv[2]}-{number}"), CaSigned())
    registry.edit(lambda roster: roster.with_registration(entry))
"""


def test_writers_in_many_processes_lose_nothing_and_readers_see_whole_files(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("a", "b", "c")]
    gateway = Registry(path)
    seen = 0
    while any(writer.poll() is None for writer in writers):
        gateway.refresh()
        assert len(gateway.roster.registrations) >= seen
        seen = len(gateway.roster.registrations)
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    gateway.refresh()
    assert len(gateway.roster.registrations) == 75


def loading_s(path: Path, devices: int) -> float:
    """CPU that it takes to load so many devices; the least of three times."""
    entries: dict[Identity, Registration] = {}
    for number in range(devices):
        one = identity(f"device-{number}")
        entries[one] = Registration(one, KEYS if number % 2 else CaSigned())
    path.write_bytes(write_roster(Roster(entries)))
    took_s = []
    for _ in range(3):
        began = time.process_time()
        assert len(Registry(path).roster.registrations) == devices
        took_s.append(time.process_time() - began)
    return min(took_s)


def test_loading_takes_no_longer_per_device_when_there_are_many(path: Path) -> None:
    assert loading_s(path, 5_000) < 30 * loading_s(path, 500)
