"""The data folder and the disk below it: rights, room, speed, kind."""

import os
import stat
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.app.document_table import DEFAULT_MAX_BYTES
from gateway.doctor.finding import Finding, NotCheckedError, not_checked, ok, problem, warning
from gateway.doctor.patient import Patient

LEAST_BYTES: Final = 16 << 20
"""Beside the store: registry, sessions, twins, and what a file system keeps for itself."""
LEAST_INODES: Final = 200
"""The store's segments at the default cap are 64; the rest is small files."""
SYNCS: Final = 5
"""Of which the middle one counts."""
SLOW_SYNC_S: Final = 0.1
"""From here on a device notices it: each acknowledgement waits for one."""
STUCK_SYNC_S: Final = 1.0
_BLOCK: Final = bytes(4096)

_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_LAYER: Final = frozenset({"overlay", "aufs", "fuse-overlayfs"})
_WITHOUT_MODES: Final = frozenset({"vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk"})
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"})
_CARELESS: Final = frozenset({"nobarrier", "barrier=0", "data=writeback"})
_UPDATES_TIMES: Final = frozenset({"strictatime"})


def check_data_folder(patient: Patient) -> Iterator[Finding]:
    """That it is there, ours, closed to others and writable."""
    folder = patient.data_dir
    try:
        found = folder.stat()
    except OSError as error:
        yield problem(
            f"{folder} is not to be had: {(error.strerror or str(error)).lower()}",
            "the gateway makes it if it may, and does not start if it may not",
            "in a container mount a folder of the host there (Binds, see docs/deployment.md); else make it, or set "
            "GATEWAY_DATA_DIR",
        )
        return
    if not stat.S_ISDIR(found.st_mode):
        yield problem(f"{folder} is no folder", "the gateway does not start", "set GATEWAY_DATA_DIR to a folder")
        return
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        yield problem(
            f"{folder} is read-only",
            "nothing can be stored: devices are refused",
            "mount it for writing. An SD card turns read-only when it fails: then copy what is there, and replace it",
        )
        return
    yield from _of_owner(folder, found, _user_of(patient))


def _user_of(patient: Patient) -> int:
    """The gateway's user: of its process where it runs, else ours."""
    if patient.running is not None and patient.running.pid is not None:
        try:
            return Path(f"/proc/{patient.running.pid}").stat().st_uid
        except OSError:
            pass
    return os.geteuid()


def _of_owner(folder: Path, found: os.stat_result, user: int) -> Iterator[Finding]:
    if user not in (0, found.st_uid):
        yield problem(
            f"{folder} belongs to user {found.st_uid}, and the gateway is user {user}",
            "it cannot write there, or cannot keep others out",
            f"on the host: sudo chown -R {user}:{user} the folder that is mounted there",
        )
    elif found.st_mode & 0o077:
        yield warning(
            f"{folder} is open to others (mode {stat.S_IMODE(found.st_mode):04o})",
            "they see what there is; the files with keys are closed to them by their own modes",
            f"chmod 700 {folder}; the gateway does it at its start where it may",
        )
    else:
        yield ok(f"{folder} belongs to user {found.st_uid} and is closed to others")


def check_disk_space(patient: Patient) -> Iterator[Finding]:
    """Room for what the store may take, and for names of files."""
    room = _room(patient)
    held = store_bytes(patient.data_dir / "store")
    cap = _cap(patient)
    free = room.f_bavail * room.f_frsize
    wanted = max(cap - held, 0)
    if free < LEAST_BYTES:
        yield problem(
            f"{_size(free)} are free for the gateway at {patient.data_dir}",
            "it cannot keep what comes: devices are refused or their messages not acknowledged",
            "make room: docker system prune, old logs, or a larger disk",
        )
    elif free < wanted:
        yield warning(
            f"{_size(free)} are free, and the store may still grow by {_size(wanted)} (storeAndForward.maxBytes)",
            "in a long outage the disk is full before the store: its policy (whenFull) comes too late",
            f"set storeAndForward.maxBytes to {_size(held + free // 2)} or less, or make room",
        )
    else:
        yield ok(f"{_size(free)} are free, the store may grow by {_size(wanted)}")
    if room.f_files and room.f_favail < LEAST_INODES:
        yield problem(
            f"{room.f_favail} more files can be made there (inodes)",
            "no new segment of the store can be begun, whatever room there is",
            "delete many small files on that disk; `df -i` shows where they are",
        )


def check_disk_speed(patient: Patient) -> Iterator[Finding]:
    """How long a sync takes: each acknowledgement waits for one."""
    _room(patient)
    try:
        times = _syncs(patient.data_dir)
    except OSError as error:
        raise NotCheckedError(f"nothing could be written there to measure it: {error.strerror or error}") from error
    middle = statistics.median(times)
    says = f"a sync of {len(_BLOCK)} bytes takes {middle * 1000:.1f} ms"
    if middle >= STUCK_SYNC_S:
        yield problem(says, "devices wait so long for each acknowledgement, and time out", _FASTER)
    elif middle >= SLOW_SYNC_S:
        yield warning(says, "a device that sends one message at a time sends no more than that allows", _FASTER)
    else:
        yield ok(says)


_FASTER: Final = "use a card of class A1 or A2, or an SSD over USB; a card that has become slow is about to fail"


def _syncs(folder: Path) -> list[float]:
    """What it takes, measured in a file without a name, which is gone with its descriptor."""
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        times = []
        for _ in range(SYNCS):
            began_at = time.monotonic()
            os.write(descriptor, _BLOCK)
            os.fdatasync(descriptor)
            times.append(time.monotonic() - began_at)
        return times
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Where a folder lies, as /proc/self/mountinfo says."""

    point: str
    kind: str
    source: str
    options: frozenset[str]


def check_disk_kind(patient: Patient) -> Iterator[Finding]:
    """What kind of disk it is, and how it is mounted."""
    _room(patient)
    mount = mount_of(patient.data_dir, Path("/proc/self/mountinfo").read_text())
    if mount is None:
        yield not_checked("the kernel does not say on what disk the data folder lies")
        return
    yield _of_mount(patient.data_dir, mount)


def _of_mount(folder: Path, mount: Mount) -> Finding:
    where = f"{folder} lies on {mount.kind} ({mount.source})"
    if mount.kind in _MEMORY:
        return problem(where, "all that is in it is lost at a restart or a power cut", "put it on a disk")
    if mount.kind in _LAYER:
        return problem(
            f"{where}: in the container's own layer",
            "all that is in it is lost when the container is made anew, as at each update",
            'mount a folder of the host there: "Binds": ["/var/lib/edge-gateway:/data"]',
        )
    if mount.kind in _WITHOUT_MODES:
        return problem(
            where,
            "it knows no owners and modes: everybody on the machine may read the keys of devices",
            "use ext4, or another file system of Linux",
        )
    if careless := sorted(mount.options & _CARELESS):
        return problem(
            f"{where}, mounted with {', '.join(careless)}",
            "a power cut may lose what was acknowledged",
            f"mount it without {', '.join(careless)}",
        )
    if mount.kind in _NETWORK:
        return warning(
            where,
            "an acknowledgement is worth what that server's sync is worth, and the gateway stops when the network does",
            "put it on a disk of this machine",
        )
    if "mmcblk" in mount.source and mount.options & _UPDATES_TIMES:
        return warning(
            f"{where}, an SD card mounted with strictatime",
            "each reading writes, which wears the card out",
            "mount it with noatime",
        )
    return ok(where)


def mount_of(folder: Path, mountinfo: str) -> Mount | None:
    """The mount that the folder lies on: of those whose point it is below, the longest, and of these the last."""
    wanted = folder.resolve()
    best: Mount | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 6 or len(kinds) < 3:
            continue
        point = fields[4].encode().decode("unicode_escape")  # a blank in a name stands there as \040
        if wanted.is_relative_to(point) and (best is None or len(point) >= len(best.point)):
            options = frozenset([*fields[5].split(","), *kinds[2].split(",")])
            best = Mount(point=point, kind=kinds[0], source=kinds[1], options=options)
    return best


def store_bytes(folder: Path) -> int:
    """What the store takes."""
    try:
        return sum(each.stat().st_size for each in folder.iterdir() if each.is_file())
    except OSError:
        return 0


def _cap(patient: Patient) -> int:
    settings = None if patient.reading is None else patient.reading.settings
    return DEFAULT_MAX_BYTES if settings is None else settings.max_bytes


def _room(patient: Patient) -> os.statvfs_result:
    try:
        return os.statvfs(patient.data_dir)
    except OSError as error:
        raise NotCheckedError(f"{patient.data_dir} is not there (see data-folder)") from error


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
