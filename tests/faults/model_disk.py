"""A disk that forgets: what was not synced may be kept, lost or torn when the power goes; any operation may fail.

Bytes become durable by `File.sync`, names by `Files.sync_names`. A sync that fails keeps nothing and, as Linux does,
takes what it could not write as written: a later sync that succeeds does not bring it to the disk.
"""

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.store.files import File

SECTOR = 512


class PowerCut(BaseException):
    """The power is gone; nothing after this happened."""


@dataclass(frozen=True, slots=True)
class Write:
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    length: int


@dataclass(slots=True)
class Inode:
    """One file: what programs see, what is on the disk, and what is between."""

    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[Write | Resize] = field(default_factory=list)
    underway: Write | Resize | None = None
    """What was being done when the power went."""

    def sync(self) -> None:
        """Bring to the disk what is not there, and only that: what a failed sync has dropped stays away for good."""
        for change in self.unsynced:
            apply(self.durable, change)
        self.unsynced.clear()

    def fail_sync(self) -> None:
        """The kernel calls the pages clean, and programs go on to see them; they never reach the disk."""
        self.unsynced.clear()

    def surviving(self, chance: random.Random) -> "Inode":
        """The file after the power came back: each unsynced change kept, torn or gone."""
        content = bytearray(self.durable)
        for change in [*self.unsynced, *([self.underway] if self.underway else [])]:
            fate = chance.random()
            if fate < 0.35:
                apply(content, change)
            elif fate < 0.65 and isinstance(change, Write):
                for torn in _torn(change, chance):
                    apply(content, torn)
        return Inode(bytearray(content), bytearray(content))


def apply(content: bytearray, change: Write | Resize) -> None:
    if isinstance(change, Resize):
        del content[change.length :]
        content += bytes(change.length - len(content))
        return
    end = change.offset + len(change.data)
    content += bytes(max(end - len(content), 0))
    content[change.offset : end] = change.data


class ModelDisk:
    """One directory on such a disk. `before` is called ahead of every operation and may raise."""

    def __init__(self, *, syncs: bool = True, capacity: int | None = None) -> None:
        self.names_seen: dict[str, Inode] = {}
        self.names_durable: dict[str, Inode] = {}
        self.name_changes: list[tuple[str, str, Inode | None]] = []  # what, name, inode
        self.before: Callable[[str, str], None] = lambda what, name: None
        self.syncs = syncs
        self.capacity = capacity
        self.written_bytes = 0
        self.locked = False

    # Files

    def create(self, name: str) -> File:
        self.before("create", name)
        inode = Inode()
        self._set(name, inode)
        return ModelFile(self, name, inode)

    def open(self, name: str) -> File:
        self.before("open", name)
        return ModelFile(self, name, self._inode(name))

    def open_to_read(self, name: str) -> File:
        return ModelFile(self, name, self._inode(name))

    def rename(self, name: str, new_name: str) -> None:
        self.before("rename", name)
        inode = self._inode(name)
        del self.names_seen[name]
        self.names_seen[new_name] = inode
        self.name_changes.append((f"rename {name}", new_name, inode))

    def unlink(self, name: str) -> None:
        self.before("unlink", name)
        self._inode(name)
        del self.names_seen[name]
        self.name_changes.append(("unlink", name, None))

    def names(self) -> list[str]:
        return sorted(self.names_seen)

    def sync_names(self) -> None:
        self.before("sync_names", "")
        if self.syncs:
            self.names_durable = dict(self.names_seen)
            self.name_changes.clear()

    def lock(self) -> None:
        if self.locked:
            raise BlockingIOError
        self.locked = True

    def unlock(self) -> None:
        self.locked = False

    # Faults

    def used(self) -> int:
        return sum(len(inode.seen) for inode in self.names_seen.values())

    def after_kill(self) -> "ModelDisk":
        """The disk as the next process finds it: the kernel still has what was not synced."""
        self.locked = False
        self.before = lambda what, name: None
        for inode in self.names_seen.values():
            inode.underway = None  # the kill came before the call
        return self

    def after_power_cut(self, chance: random.Random) -> "ModelDisk":
        """The disk after the power came back."""
        disk = ModelDisk(syncs=self.syncs, capacity=self.capacity)
        names = dict(self.names_durable)
        for what, name, inode in self.name_changes:
            if chance.random() < 0.5:
                continue
            if inode is None:
                names.pop(name, None)
                continue
            if what.startswith("rename "):
                names.pop(what.removeprefix("rename "), None)
            names[name] = inode
        fresh: dict[int, Inode] = {}
        for name, inode in names.items():
            disk.names_seen[name] = fresh.setdefault(id(inode), inode.surviving(chance))
        disk.names_durable = dict(disk.names_seen)
        return disk

    def _set(self, name: str, inode: Inode) -> None:
        self.names_seen[name] = inode
        self.name_changes.append(("create", name, inode))

    def _inode(self, name: str) -> Inode:
        inode = self.names_seen.get(name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return inode

    def make_room(self, wanted: int) -> None:
        if self.capacity is not None and self.used() + wanted > self.capacity:
            raise OSError(errno.ENOSPC, "no space left on device")


def _torn(write: Write, chance: random.Random) -> list[Write]:
    """Some of its sectors, each whole, and sometimes one of them as garbage."""
    kept = []
    for at in range(0, len(write.data), SECTOR):
        if chance.random() < 0.5:
            data = write.data[at : at + SECTOR]
            kept.append(Write(write.offset + at, chance.randbytes(len(data)) if chance.random() < 0.1 else data))
    return kept


class ModelFile:
    """An open file on it."""

    def __init__(self, disk: ModelDisk, name: str, inode: Inode) -> None:
        self._disk = disk
        self._name = name
        self._inode = inode

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self._inode.seen[offset : offset + length])

    def write_at(self, offset: int, data: bytes) -> None:
        self._disk.make_room(offset + len(data) - len(self._inode.seen))
        self._change(Write(offset, bytes(data)), "write")
        self._disk.written_bytes += len(data)

    def allocate(self, length: int) -> None:
        self._disk.make_room(length - len(self._inode.seen))
        self._change(Resize(length), "allocate")

    def truncate(self, length: int) -> None:
        self._change(Resize(length), "truncate")

    def sync(self) -> None:
        try:
            self._disk.before("sync", self._name)
        except OSError:
            self._inode.fail_sync()
            raise
        if self._disk.syncs:
            self._inode.sync()

    def size(self) -> int:
        return len(self._inode.seen)

    def close(self) -> None:
        return

    def _change(self, change: Write | Resize, what: str) -> None:
        self._inode.underway = change
        try:
            self._disk.before(what, self._name)
        except OSError:
            self._inode.underway = None
            raise
        self._inode.underway = None
        self._inode.unsynced.append(change)
        apply(self._inode.seen, change)
