"""A process that mounts a `DiskTree` by FUSE and does as told: commands on stdin, answers on stdout, a JSON per line.

It speaks to the kernel itself, so that nothing stands between a write of the gateway and the model: no cache of a
library, no thread, no option that differs from one version to the next.
"""

import array
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from crash import fuse_wire as wire
from crash.disk_tree import ROOT, DiskTree, Fault, Node
from crash.fuse_wire import Op, Request

Handler = Callable[[Request, Node, str], bytes]


def mount(place: Path) -> int:
    """Mount an empty file system at `place`; the descriptor to the kernel. The helper works for any user."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        subprocess.run(
            ["fusermount3", "-o", "rw,nosuid,nodev,fsname=faultdisk", "--", str(place)],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            check=True,
        )
        descriptors = array.array("i")
        _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(descriptors.itemsize))
        descriptors.frombytes(ancillary[0][2])
        return descriptors[0]


class FaultDisk:
    """Requests of the kernel on one side, commands of the test on the other."""

    def __init__(self) -> None:
        self._victims: list[int] = []
        self.tree = DiskTree(self._kill_victims)
        self._handlers: dict[int, Handler] = {
            Op.GETATTR: lambda request, node, path: wire.write_attributes(self._attributes(node)),
            Op.LOOKUP: self._lookup,
            Op.SETATTR: self._set_attributes,
            Op.MKDIR: self._make_directory,
            Op.CREATE: self._create,
            Op.UNLINK: self._remove,
            Op.RMDIR: self._remove,
            Op.RENAME: lambda request, node, path: self._rename(request, path, wire.RENAME_IN.size),
            Op.RENAME2: lambda request, node, path: self._rename(request, path, wire.RENAME2_IN.size),
            Op.OPEN: self._open,
            Op.OPENDIR: lambda request, node, path: wire.write_opened(0),
            Op.READ: self._read,
            Op.WRITE: self._write,
            Op.FALLOCATE: self._allocate,
            Op.FSYNC: self._sync,
            Op.FSYNCDIR: self._sync,
            Op.READDIR: self._read_directory,
            Op.STATFS: lambda request, node, path: wire.write_statfs(self.tree.capacity, self.tree.used()),
            **{op: lambda request, node, path: b"" for op in (Op.ACCESS, Op.FLUSH, Op.RELEASE, Op.RELEASEDIR)},
        }

    def answer(self, data: bytes) -> bytes:
        """The reply to a request; empty where none is due."""
        request = wire.read_request(data)
        if request.op == Op.INIT:
            return wire.write_reply(request.unique, wire.write_init())
        if request.op in wire.SILENT:
            self._forget(request)
            return b""
        try:
            body = self._serve(request)
        except OSError as error:
            return wire.write_reply(request.unique, error=error.errno or errno.EIO)
        return wire.write_reply(request.unique, body)

    def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what the test says."""
        tree = self.tree
        match command:
            case {"do": "cut", "after": after, "kill": pids}:
                self._victims, tree.cut_after = list(pids), after
                if after is None:
                    tree.cut()
            case {"do": "power on", "seed": seed}:
                tree.power_on(seed)
            case {"do": "lie", "within": within}:
                tree.lies_within = within
            case {"do": "capacity", "bytes": capacity}:
                tree.capacity = capacity
            case {"do": "fail", "kinds": kinds, "ending": ending, "nth": nth, "times": times, "error": error}:
                tree.faults.append(Fault(frozenset(kinds), ending, nth, times, error))
            case {"do": "heal"}:
                tree.faults.clear()
            case {"do": "tell"}:
                pass
            case _:
                raise ValueError(f"no such command: {command}")
        return {
            "powered": tree.powered,
            "counts": tree.counts,
            "injected": tree.injected,
            "used": tree.used(),
        }

    def _serve(self, request: Request) -> bytes:
        handler = self._handlers.get(request.op)
        if handler is None:
            raise OSError(errno.ENOSYS, "not served")
        node = self.tree.seen[ROOT] if request.node == wire.ROOT_NODE else self.tree.nodes.get(request.node)
        if node is None:
            raise OSError(errno.ESTALE, "a file of before the power cut")
        return handler(request, node, self.tree.path_of(node))

    def _forget(self, request: Request) -> None:
        if request.op == Op.FORGET:
            self._forget_one(request.node)
        elif request.op == Op.BATCH_FORGET:
            for number, _ in wire.FORGET_ONE.iter_unpack(request.body[wire.BATCH_FORGET_IN.size :]):
                self._forget_one(number)

    def _forget_one(self, number: int) -> None:
        node = self.tree.nodes.get(number)
        if node is not None and not self.tree.path_of(node):
            del self.tree.nodes[number]

    # Requests

    def _lookup(self, request: Request, node: Node, path: str) -> bytes:
        return wire.write_entry(self._attributes(self.tree.lookup(_join(path, request.body))))

    def _set_attributes(self, request: Request, node: Node, path: str) -> bytes:
        valid, _, size = wire.SETATTR_IN.unpack_from(request.body)
        if valid & wire.SIZE_GIVEN:
            self.tree.resize(node, size, "truncate")
        return wire.write_attributes(self._attributes(node))

    def _make_directory(self, request: Request, node: Node, path: str) -> bytes:
        place = _join(path, request.body[wire.MKDIR_IN.size :])
        return wire.write_entry(self._attributes(self.tree.make_directory(place, request.uid, request.gid)))

    def _create(self, request: Request, node: Node, path: str) -> bytes:
        place = _join(path, request.body[wire.CREATE_IN.size :])
        made = self.tree.create(place, request.uid, request.gid)
        return wire.write_entry(self._attributes(made)) + wire.write_opened(0)

    def _remove(self, request: Request, node: Node, path: str) -> bytes:
        self.tree.remove(_join(path, request.body))
        return b""

    def _rename(self, request: Request, path: str, head: int) -> bytes:
        (to,) = wire.RENAME_IN.unpack_from(request.body)
        target = self.tree.seen[ROOT] if to == wire.ROOT_NODE else self.tree.nodes[to]
        old, new = wire.names_in(request.body[head:])
        self.tree.rename(str(PurePosixPath(path, old)), str(PurePosixPath(self.tree.path_of(target), new)))
        return b""

    def _open(self, request: Request, node: Node, path: str) -> bytes:
        self.tree.open(path)
        return wire.write_opened(0)

    def _read(self, request: Request, node: Node, path: str) -> bytes:
        if not self.tree.powered:
            raise OSError(errno.EIO, "the power is off")
        assert node.content is not None
        _, offset, size = wire.READ_IN.unpack_from(request.body)
        return bytes(node.content.seen[offset : offset + size])

    def _write(self, request: Request, node: Node, path: str) -> bytes:
        _, offset, size = wire.WRITE_IN.unpack_from(request.body)
        self.tree.write(node, offset, request.body[wire.WRITE_IN.size :][:size])
        return wire.write_written(size)

    def _allocate(self, request: Request, node: Node, path: str) -> bytes:
        _, offset, length, mode = wire.FALLOCATE_IN.unpack(request.body)
        if mode:
            raise OSError(errno.EOPNOTSUPP, "only plain allocation")
        if offset + length > node.size:
            self.tree.resize(node, offset + length, "allocate")
        return b""

    def _sync(self, request: Request, node: Node, path: str) -> bytes:
        self.tree.sync(node)
        return b""

    def _read_directory(self, request: Request, node: Node, path: str) -> bytes:
        _, offset, size = wire.READ_IN.unpack_from(request.body)
        names = [(name, each.number, each.content is None) for name, each in self.tree.children(path)]
        return wire.write_directory(names, offset, size)

    def _attributes(self, node: Node) -> wire.Attributes:
        return wire.Attributes(
            node=node.number,
            size=node.size,
            directory=node.content is None,
            changed_at_ns=node.changed_at_ns,
            uid=node.uid,
            gid=node.gid,
        )

    def _kill_victims(self) -> None:
        for pid in self._victims:
            os.kill(pid, signal.SIGKILL)


def _join(path: str, name: bytes) -> str:
    return str(PurePosixPath(path, wire.names_in(name)[0]))


def serve(place: Path) -> None:
    """Mount, say so, and serve until stdin ends."""
    disk = FaultDisk()
    kernel = mount(place)
    os.set_blocking(kernel, False)
    _say({"mounted": True})
    commands = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([kernel, commands], [], [])
        if kernel in ready and not _serve_kernel(disk, kernel):
            return
        if commands in ready:
            line = sys.stdin.readline()  # one command, one answer: nothing waits behind it
            if not line:
                return
            _say(disk.command(json.loads(line)))


def _serve_kernel(disk: FaultDisk, kernel: int) -> bool:
    """Answer one request; False once nobody can make any more."""
    try:
        reply = disk.answer(os.read(kernel, wire.READ_BUFFER))
        if reply:
            os.write(kernel, reply)
    except OSError as error:
        # ENOENT: the caller was killed before we had read its request, or before the answer.
        if error.errno not in {errno.ENODEV, errno.ENOENT, errno.EAGAIN, errno.EINTR}:
            raise
        return error.errno != errno.ENODEV
    return True


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
