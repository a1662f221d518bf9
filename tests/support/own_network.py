"""Network namespaces: one that belongs to a test alone, and the way into that of a container. Linux, and root."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_OWN: Final = Path("/proc/thread-self/ns/net")
_CLONE_NEWNET: Final = 0x4000_0000
_libc: Final = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and all it starts, have a network of their own while the block runs: loopback, and no way out."""
    with _back_at_the_end():
        _checked(_libc.unshare(_CLONE_NEWNET), "unshare")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Sockets that are made in the block belong to the network of this process, and stay there."""
    with _back_at_the_end():
        _enter(Path(f"/proc/{pid}/ns/net"))
        yield


@contextmanager
def _back_at_the_end() -> Iterator[None]:
    before = os.open(_OWN, os.O_RDONLY)
    try:
        yield
    finally:
        _checked(_libc.setns(before, _CLONE_NEWNET), "setns")
        os.close(before)


def _enter(namespace: Path) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        _checked(_libc.setns(descriptor, _CLONE_NEWNET), "setns")
    finally:
        os.close(descriptor)


def _checked(code: int, what: str) -> None:
    if code:
        error = ctypes.get_errno()
        raise PermissionError(
            error, f"{what}: {os.strerror(error)}: these tests must run as root: `make test` asks for sudo"
        )
