"""A tree of files on a disk that forgets: bytes become durable by `sync`, names by `sync_names` of their directory.

The model beneath the FUSE layer: stricter than ext4, as POSIX allows. No file's sync saves a name, and no two changes
reach the disk in the order they were made. Faults are armed from outside: an operation that fails, a power cut at the
n-th change, syncs that only claim success, a disk that is full.
"""

import errno
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from faults.model_disk import Inode, Resize, Write, apply

ROOT = "/"
UNLIMITED = 1 << 40


@dataclass(slots=True, eq=False)
class Node:
    """A file, or a directory where `content` is None; `number` is the kernel's name for it."""

    number: int
    content: Inode | None
    uid: int
    gid: int
    changed_at_ns: int = field(default_factory=time.time_ns)

    @property
    def size(self) -> int:
        """Bytes that programs see."""
        return 0 if self.content is None else len(self.content.seen)


@dataclass(frozen=True, slots=True)
class NameChange:
    """A name made, removed or replaced, and not yet on the disk."""

    directory: str
    removed: str | None
    added: str | None
    node: Node


@dataclass(slots=True)
class Fault:
    """The `nth` operation of these kinds on a path that ends so fails, and `times` in all."""

    kinds: frozenset[str]
    ending: str
    nth: int
    times: int
    error: int
    met: int = 0

    def hits(self, kind: str, path: str) -> bool:
        """Count an operation; whether it fails."""
        if kind not in self.kinds or not path.endswith(self.ending):
            return False
        self.met += 1
        return self.nth <= self.met < self.nth + self.times


class PowerIsOffError(OSError):
    """Nothing is answered until the power is back."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the power is off")


class DiskTree:
    """The whole file system. Raises OSError as a kernel would."""

    def __init__(self, on_cut: Callable[[], None]) -> None:
        self._on_cut = on_cut
        self._numbers = 0
        self.nodes: dict[int, Node] = {}
        self._root = self._make(None, 0, 0)
        self.seen: dict[str, Node] = {ROOT: self._root}
        self._durable = dict(self.seen)
        self._changes: list[NameChange] = []
        self.faults: list[Fault] = []
        self.lies_within: str | None = None
        """A path: syncs in this directory claim success and do nothing."""
        self.capacity = UNLIMITED
        self.powered = True
        self.cut_after: int | None = None
        self.counts: dict[str, int] = {}
        self.injected = 0

    # Operations

    def lookup(self, path: str) -> Node:
        """What stands at `path`."""
        self._check_power()
        node = self.seen.get(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return node

    def children(self, path: str) -> list[tuple[str, Node]]:
        """Names in a directory, sorted."""
        self._check_power()
        return sorted((PurePosixPath(each).name, node) for each, node in self.seen.items() if _within(each, path))

    def create(self, path: str, uid: int, gid: int) -> Node:
        """A new empty file."""
        self._before("create", path)
        return self._add(path, self._make(Inode(), uid, gid))

    def make_directory(self, path: str, uid: int, gid: int) -> Node:
        """A new directory."""
        self._before("mkdir", path)
        if path in self.seen:
            raise FileExistsError(errno.EEXIST, "it exists", path)
        return self._add(path, self._make(None, uid, gid))

    def open(self, path: str) -> None:
        """Only to be counted, and to fail."""
        self._before("open", path)

    def rename(self, path: str, new_path: str) -> None:
        """Replace what stands at the new path; within one directory."""
        self._before("rename", path)
        if _parent(path) != _parent(new_path):
            raise OSError(errno.EXDEV, "only within a directory")
        node = self.seen.pop(path)
        self.seen[new_path] = node
        self._changes.append(NameChange(_parent(path), path, new_path, node))

    def remove(self, path: str) -> None:
        """Unlink a file or an empty directory."""
        self._before("unlink", path)
        if any(_within(each, path) for each in self.seen):
            raise OSError(errno.ENOTEMPTY, "not empty", path)
        node = self.seen.pop(path)
        self._changes.append(NameChange(_parent(path), path, None, node))

    def write(self, node: Node, offset: int, data: bytes) -> None:
        """Write, for programs to see."""
        self._change(node, Write(offset, data), "write", offset + len(data) - node.size)

    def resize(self, node: Node, length: int, kind: str) -> None:
        """Truncate or allocate."""
        self._change(node, Resize(length), kind, length - node.size)

    def sync(self, node: Node) -> None:
        """A file's bytes to the disk, or a directory's names."""
        if node.content is None:
            self._sync_names(node)
            return
        try:
            self._before("sync", self.path_of(node))
        except PowerIsOffError:
            raise
        except OSError:
            node.content.fail_sync()
            raise
        if not self._is_lying(self.path_of(node)):
            node.content.sync()

    # Power and room

    def power_on(self, seed: int) -> None:
        """The disk as the next start finds it."""
        chance = random.Random(seed)
        names = dict(self._durable)
        for change in self._changes:
            if chance.random() < 0.5:
                _apply_name(names, change)
        names = {path: node for path, node in names.items() if _is_reachable(path, names)}
        self.nodes.clear()
        fresh: dict[int, Node] = {}
        for node in names.values():
            if node.number not in fresh:
                content = None if node.content is None else node.content.surviving(chance)
                fresh[node.number] = self._make(content, node.uid, node.gid)
        self.seen = {path: fresh[node.number] for path, node in names.items()}
        self._root = self.seen[ROOT]
        self._durable = dict(self.seen)
        self._changes.clear()
        self.faults.clear()
        self.powered, self.cut_after = True, None

    def cut(self) -> None:
        """Take the power away, now."""
        if self.powered:
            self.powered = False
            self._on_cut()

    def used(self) -> int:
        """Bytes in all files."""
        return sum(node.size for node in self.seen.values())

    def path_of(self, node: Node) -> str:
        """Where a node stands; empty if its name is gone."""
        return next((path for path, each in self.seen.items() if each is node), "")

    # Parts

    def _before(self, kind: str, path: str) -> None:
        """Count a change; fail it, or take the power away instead of doing it."""
        self._check_power()
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                self.cut()
                raise PowerIsOffError
        for fault in self.faults:
            if fault.hits(kind, path):
                self.injected += 1
                raise OSError(fault.error, "injected", path)

    def _change(self, node: Node, change: Write | Resize, kind: str, more: int) -> None:
        assert node.content is not None
        node.content.underway = change
        self._before_change(node, kind, more)
        node.content.underway = None
        node.content.unsynced.append(change)
        apply(node.content.seen, change)
        node.changed_at_ns = time.time_ns()

    def _before_change(self, node: Node, kind: str, more: int) -> None:
        assert node.content is not None
        try:
            self._before(kind, self.path_of(node))
            self._make_room(more)
        except PowerIsOffError:
            raise
        except OSError:
            node.content.underway = None
            raise

    def _make_room(self, more: int) -> None:
        if self.used() + more > self.capacity:
            raise OSError(errno.ENOSPC, "no space left")

    def _sync_names(self, directory: Node) -> None:
        path = self.path_of(directory)
        self._before("sync_names", path)
        if self._is_lying(path):
            return
        for change in self._changes:
            if change.directory == path:
                _apply_name(self._durable, change)
        self._changes = [change for change in self._changes if change.directory != path]

    def _is_lying(self, path: str) -> bool:
        return self.lies_within is not None and path.startswith(self.lies_within)

    def _check_power(self) -> None:
        if not self.powered:
            raise PowerIsOffError

    def _make(self, content: Inode | None, uid: int, gid: int) -> Node:
        self._numbers += 1
        node = self.nodes[self._numbers] = Node(self._numbers, content, uid, gid)
        return node

    def _add(self, path: str, node: Node) -> Node:
        self.seen[path] = node
        self._changes.append(NameChange(_parent(path), None, path, node))
        return node


def _apply_name(names: dict[str, Node], change: NameChange) -> None:
    if change.removed is not None and names.get(change.removed) is change.node:
        del names[change.removed]
    if change.added is not None:
        names[change.added] = change.node


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _within(path: str, directory: str) -> bool:
    return path != ROOT and _parent(path) == directory


def _is_reachable(path: str, names: dict[str, Node]) -> bool:
    while path != ROOT:
        path = _parent(path)
        if path not in names:
            return False
    return True
