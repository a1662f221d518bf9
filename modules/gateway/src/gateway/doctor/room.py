"""Memory and descriptors: what the container may have against what its settings allow."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.app.open_files import FILES_BESIDE
from gateway.doctor.finding import Finding, NotCheckedError, ok, problem, warning
from gateway.doctor.patient import Patient

IDLE_BYTES: Final = 65_000_000
"""docs/performance.md: idle as a module, with the way on behalf of devices."""
PER_CONNECTION_BYTES: Final = 33_000
"""docs/performance.md: a silent TLS connection with its session, and its device in the registry."""
WORK_BYTES: Final = 20_000_000
"""For messages on their way."""
_CGROUP: Final = Path("/sys/fs/cgroup")
_NO_LIMIT: Final = 1 << 60
"""Version 1 says "no limit" by a number near the largest."""


def check_memory(patient: Patient, cgroup: Path = _CGROUP) -> Iterator[Finding]:
    """The limit of the container against what the settings may need."""
    connections = patient.settings.max_connections
    need = IDLE_BYTES + WORK_BYTES + connections * PER_CONNECTION_BYTES
    limit = memory_limit(cgroup)
    there = _available()
    says = f"{connections} connections may need {need / 1e6:.0f} MB"
    if limit is not None and limit < IDLE_BYTES + WORK_BYTES:
        yield problem(
            f"the container may take {limit / 1e6:.0f} MB, less than an idle gateway and a little work",
            "the kernel ends it, again and again",
            'set "Memory" in its create options to 268435456 (256 MB)',
        )
    elif limit is not None and limit < need:
        yield warning(
            f"{says}, and the container may take {limit / 1e6:.0f} MB",
            "with all of them the kernel ends the gateway, which starts again and loses nothing it has acknowledged",
            f"set GATEWAY_MAX_CONNECTIONS to {_fitting(limit)} or less, or raise Memory in the create options",
        )
    elif limit is not None:
        yield ok(f"{says}, the container may take {limit / 1e6:.0f} MB")
    elif _memory_is_not_counted(cgroup):
        yield warning(
            "this kernel counts no memory of containers",
            "a limit (Memory in the create options) does not hold; what grows takes the whole machine with it",
            "add cgroup_enable=memory to the kernel's command line (on a Pi: /boot/firmware/cmdline.txt) and reboot",
        )
    elif there is not None and there < need:
        yield warning(
            f"{says}, and {there / 1e6:.0f} MB are available on this machine",
            "with all of them the machine runs out of memory",
            f"set GATEWAY_MAX_CONNECTIONS to {_fitting(there)} or less",
        )
    else:
        yield ok(f"{says}, and no limit is set")


def _fitting(room: int) -> int:
    return max((room - IDLE_BYTES - WORK_BYTES) // PER_CONNECTION_BYTES, 1)


def memory_limit(cgroup: Path) -> int | None:
    """The container's limit, by either version of control groups; None for none."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < _NO_LIMIT:
            return int(text)
    return None


def _memory_is_not_counted(cgroup: Path) -> bool:
    try:
        return "memory" not in (cgroup / "cgroup.controllers").read_text().split()
    except OSError:
        return False


def _available() -> int | None:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def check_open_files(patient: Patient) -> Iterator[Finding]:
    """How many descriptors the process may have: one per connection, and what else it needs."""
    wanted = patient.settings.max_connections + FILES_BESIDE
    hard = _hard_limit(patient)
    if hard is None:
        raise NotCheckedError("the limits of the gateway's process cannot be seen from here")
    if hard >= wanted:
        yield ok(f"{_count(hard)} files may be open, {wanted} are needed at most")
    else:
        yield warning(
            f"{hard} files may be open, and {patient.settings.max_connections} connections need {wanted}",
            f"from about {max(hard - FILES_BESIDE, 0)} connections on, further devices wait to be accepted",
            f'set GATEWAY_MAX_CONNECTIONS to {max(hard - FILES_BESIDE, 1)}, or raise it in HostConfig: "Ulimits": '
            f'[{{"Name": "nofile", "Soft": {wanted}, "Hard": {wanted}}}]',
        )


def _count(limit: int) -> str:
    return "any number of" if limit >= _NO_LIMIT else str(limit)


def _hard_limit(patient: Patient) -> int | None:
    """The most that the process may raise its limit to: the running gateway's, else ours, which it would inherit."""
    running = patient.running
    try:
        if running is not None and running.pid is not None:
            hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)[1]
        else:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    except OSError:
        return None
    return _NO_LIMIT if hard == resource.RLIM_INFINITY else hard
