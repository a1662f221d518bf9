"""The machine the benchmark runs on: what it is, how busy it is, what a process uses."""

import os
import platform
import resource
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

OPEN_FILES = 20_000
"""Enough for 5,000 connections at both ends, and below the limit of common containers."""

RABBITMQ_LIBRARY = Path("/usr/lib/rabbitmq/lib")
SERVER_CORE, LOAD_CORE = "0", "1"


class BenchError(Exception):
    """The benchmark cannot go on; the text says why and what to do."""


def raise_open_files() -> None:
    """Allow this process and its children OPEN_FILES descriptors, or as many as are permitted."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most in {resource.RLIM_INFINITY, -1} else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def check_cores() -> None:
    """Raises BenchError where server and load would share a core."""
    if (os.cpu_count() or 1) < 2:
        raise BenchError("the benchmark needs two cores: one for the server, one for the load")


def pinned(core: str, *command: str) -> list[str]:
    """The command, kept on one core."""
    return ["taskset", "-c", core, *command]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process holds and has used: from /proc, proc(5)."""

    cpu_s: float
    resident_kb: int
    written_bytes: int


def usage_of(pid: int) -> Usage:
    """The usage of a process and its threads."""
    proc = Path("/proc") / str(pid)
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # utime, stime
    status = _colon_table(proc / "status")
    written = _colon_table(proc / "io")["write_bytes"]
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), int(status["VmRSS"].split()[0]), int(written))


class Busy:
    """How many cores the whole machine used since this was made."""

    def __init__(self) -> None:
        self._at, self._used = time.monotonic(), _used_s()

    def cores(self) -> float:
        """Cores in use on average, since the start."""
        return (_used_s() - self._used) / max(time.monotonic() - self._at, 1e-6)


QUIET_CORES = 0.15
LOOK_S = 0.25


def wait_for_quiet(patience_s: float) -> None:
    """Wait until others leave the machine alone, but no longer than `patience_s`."""
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        busy = Busy()
        time.sleep(LOOK_S)
        if busy.cores() < QUIET_CORES:
            return


def describe() -> dict[str, str]:
    """Machine and versions, for the head of the report."""
    info = _colon_table(Path("/proc/cpuinfo"))
    memory = _colon_table(Path("/proc/meminfo"))["MemTotal"]
    return {
        "processor": f"{os.cpu_count()} x {info.get('model name', platform.machine())}",
        "memory": f"{int(memory.split()[0]) / 1_048_576:.1f} GiB",
        "system": f"{_os_name()}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "uvloop": metadata.version("uvloop"),
        "OpenSSL": _first_line("openssl", "version"),
        "mosquitto": _first_line("mosquitto", "-h").removeprefix("mosquitto version "),
        "RabbitMQ": ", ".join(path.name.partition("-")[2] for path in RABBITMQ_LIBRARY.glob("rabbitmq_server-*")),
        "commit": _first_line("git", "describe", "--always", "--dirty"),
    }


def _used_s() -> float:
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def _colon_table(path: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in path.read_text().splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _os_name() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [""])[0]
