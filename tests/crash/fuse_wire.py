"""The kernel's FUSE messages that the fault disk needs: what comes from /dev/fuse, and what is written back.

Layout and numbers: Linux, include/uapi/linux/fuse.h, protocol 7.31. All fields are in the machine's byte order.
"""

import stat
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

MAJOR: Final = 7
MINOR: Final = 31
BIG_WRITES: Final = 1 << 5
"""Writes of more than a page."""
MAX_WRITE: Final = 128 << 10
READ_BUFFER: Final = MAX_WRITE + 8192
"""The kernel wants room for the largest write and its headers."""
ROOT_NODE: Final = 1

SIZE_GIVEN: Final = 1 << 3
"""In `valid` of SETATTR: a truncate."""
BLOCK: Final = 4096

_IN: Final = Struct("=IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
_OUT: Final = Struct("=IiQ")  # length, error, unique
_ATTRIBUTES: Final = Struct("=6Q10I")
_ENTRY: Final = Struct("=4Q2I")  # node, generation, four times of validity
_ATTRIBUTES_HEAD: Final = Struct("=Q2I")
_OPENED: Final = Struct("=Q2I")
_INIT_OUT: Final = Struct("=4I2H2I2H8I")
_WRITTEN: Final = Struct("=I4x")
_STATFS: Final = Struct("=5Q4I24x")
_DIRENT: Final = Struct("=2Q2I")

READ_IN: Final = Struct("=QQI")  # handle, offset, size
WRITE_IN: Final = Struct("=QQI20x")  # handle, offset, size
SETATTR_IN: Final = Struct("=I4xQQ")  # valid, handle, size
FALLOCATE_IN: Final = Struct("=QQQI4x")  # handle, offset, length, mode
RENAME_IN: Final = Struct("=Q")  # new directory
RENAME2_IN: Final = Struct("=QI4x")  # new directory, flags
FORGET_IN: Final = Struct("=Q")
BATCH_FORGET_IN: Final = Struct("=I4x")
FORGET_ONE: Final = Struct("=QQ")
MKDIR_IN: Final = Struct("=II")
CREATE_IN: Final = Struct("=IIII")


class Op(IntEnum):
    """The requests that are served; any other one is answered ENOSYS, which the kernel remembers."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    RENAME2 = 45


SILENT: Final = frozenset({Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT})
"""Requests that get no reply."""


@dataclass(frozen=True, slots=True)
class Request:
    """One message from the kernel."""

    op: int
    unique: int
    node: int
    uid: int
    gid: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What `stat` tells of a node."""

    node: int
    size: int
    directory: bool
    changed_at_ns: int
    uid: int
    gid: int


def read_request(data: bytes) -> Request:
    """A request as read from /dev/fuse; one read gives one."""
    _, op, unique, node, uid, gid, _, _ = _IN.unpack_from(data)
    return Request(op, unique, node, uid, gid, data[_IN.size :])


def names_in(data: bytes) -> list[str]:
    """The names at the end of a request, each ended by a zero byte."""
    return [name.decode() for name in data.split(b"\0")[:-1]]


def write_reply(unique: int, body: bytes = b"", error: int = 0) -> bytes:
    """An answer; `error` is an errno."""
    return _OUT.pack(_OUT.size + len(body), -error, unique) + body


def write_init() -> bytes:
    """The answer to INIT: no write-back cache, so that every write is a request."""
    return _INIT_OUT.pack(MAJOR, MINOR, 0, BIG_WRITES, 16, 12, MAX_WRITE, 1, 0, 0, *[0] * 8)


def write_attributes(one: Attributes) -> bytes:
    """The answer to GETATTR and SETATTR; valid for no time, so that nobody sees what was before a power cut."""
    return _ATTRIBUTES_HEAD.pack(0, 0, 0) + _attributes(one)


def write_entry(one: Attributes) -> bytes:
    """The answer to LOOKUP and MKDIR."""
    return _ENTRY.pack(one.node, 0, 0, 0, 0, 0) + _attributes(one)


def write_opened(handle: int) -> bytes:
    """The answer to OPEN; without flags the kernel drops what it had cached of the file."""
    return _OPENED.pack(handle, 0, 0)


def write_written(size: int) -> bytes:
    """The answer to WRITE."""
    return _WRITTEN.pack(size)


def write_statfs(capacity: int, used: int) -> bytes:
    """The answer to STATFS."""
    free = max(capacity - used, 0) // BLOCK
    return _STATFS.pack(capacity // BLOCK, free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK, 0)


def write_directory(names: list[tuple[str, int, bool]], skip: int, room: int) -> bytes:
    """The answer to READDIR: name, node and whether it is a directory, from number `skip` on, as far as they fit."""
    out = b""
    for number, (name, node, directory) in enumerate(names[skip:], skip + 1):
        text = name.encode()
        kind = stat.S_IFDIR if directory else stat.S_IFREG
        entry = _DIRENT.pack(node, number, len(text), kind >> 12) + text
        entry += bytes(-len(entry) % 8)
        if len(out) + len(entry) > room:
            break
        out += entry
    return out


def _attributes(one: Attributes) -> bytes:
    seconds, nanoseconds = divmod(one.changed_at_ns, 1_000_000_000)
    mode = stat.S_IFDIR | 0o700 if one.directory else stat.S_IFREG | 0o600
    links = 2 if one.directory else 1
    return _ATTRIBUTES.pack(
        one.node,
        one.size,
        -(-one.size // 512),
        seconds,
        seconds,
        seconds,
        nanoseconds,
        nanoseconds,
        nanoseconds,
        mode,
        links,
        one.uid,
        one.gid,
        0,
        BLOCK,
        0,
    )
