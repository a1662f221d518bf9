"""Starts and ends the programs of a measurement."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sidebyside.machine import BenchError, pinned

START_S = 60.0
STOP_S = 10.0
LOOK_EVERY_S = 0.002
LOG_TAIL = 2_000
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that takes connections."""

    port: int
    pid: int
    ready_s: float
    """From the start of the process until it took a connection."""


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str],
    *,
    core: str,
    port: int,
    log: Path,
    address: str = "127.0.0.1",
    environment: Mapping[str, str] = NOTHING,
) -> Iterator[Running]:
    """A server for as long as the context lasts. Raises BenchError if it does not listen in time."""
    started_at = time.monotonic()
    with log.open("w") as lines:
        process = subprocess.Popen(
            pinned(core, *command), env={**os.environ, **environment}, stdout=lines, stderr=subprocess.STDOUT
        )
    try:
        _wait_for_port(process, address, port, log)
        yield Running(port=port, pid=process.pid, ready_s=time.monotonic() - started_at)
        if process.poll() is not None:
            raise BenchError(f"{command[0]} ended under load: {_tail(log)}")
    finally:
        _stop(process)


def _wait_for_port(process: "subprocess.Popen[bytes]", address: str, port: int, log: Path) -> None:
    give_up_at = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            time.sleep(LOOK_EVERY_S)
        else:
            return
    raise BenchError(f"{process.args!r} does not listen on {address} port {port}: {_tail(log)}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return log.read_text()[-LOG_TAIL:].strip()
