import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.doctor import folder
from gateway.doctor.finding import Verdict
from gateway.doctor.folder import (
    check_data_folder,
    check_disk_kind,
    check_disk_space,
    check_disk_speed,
    mount_of,
)
from support.patients import findings, one, patient_of

MOUNTINFO = """22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 0:25 / /tmp rw - tmpfs tmpfs rw,size=1024k
31 22 179:2 / /data/deep\\040folder rw,strictatime - ext4 /dev/mmcblk0p2 rw,data=ordered
32 22 0:99 / /layer rw - overlay overlay rw
33 22 8:1 / /usb rw - vfat /dev/sda1 rw
34 22 8:2 / /fast rw - ext4 /dev/sdb1 rw,nobarrier
35 22 0:40 / /net rw - nfs4 nas:/x rw
nonsense
"""


@contextmanager
def tmpfs(where: Path, options: str) -> Iterator[None]:
    """A small disk in memory; needs root, or sudo without a password, as the tests of a full disk do."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, "mount", "-t", "tmpfs", "-o", options, "doctor-test", str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run([*sudo, "umount", "--lazy", str(where)], check=True)


def test_a_private_folder_of_ours_is_good(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert one(check_data_folder, patient_of(tmp_path)).verdict is Verdict.OK


def test_a_folder_that_is_open_to_others_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    finding = one(check_data_folder, patient_of(tmp_path))
    assert (finding.verdict, "mode 0755" in finding.says) == (Verdict.WARNING, True)


def test_no_folder_and_a_file_are_problems(tmp_path: Path) -> None:
    assert "not to be had" in one(check_data_folder, patient_of(tmp_path / "none")).says
    (tmp_path / "file").touch()
    assert one(check_data_folder, patient_of(tmp_path / "file")).says.endswith("is no folder")


def test_the_folder_of_another_user_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_user_of", lambda _patient: 13_699)
    finding = one(check_data_folder, patient_of(tmp_path))
    assert finding.verdict is Verdict.PROBLEM
    assert "chown -R 13699:13699" in finding.fix


def test_a_running_gateways_user_is_its_process(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert one(check_data_folder, patient_of(tmp_path, running=os.getpid())).verdict is Verdict.OK


def test_a_read_only_disk_is_a_problem(tmp_path: Path) -> None:
    with tmpfs(tmp_path, "ro,size=1m"):
        assert one(check_data_folder, patient_of(tmp_path)).says.endswith("is read-only")
        assert one(check_disk_speed, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED


def test_a_full_disk_without_names_is_two_problems_and_memory_a_third(tmp_path: Path) -> None:
    with tmpfs(tmp_path, "size=1m,nr_inodes=64"):
        (tmp_path / "ballast").write_bytes(bytes(900_000))
        found = findings(check_disk_space, patient_of(tmp_path))
        assert [each.verdict for each in found] == [Verdict.PROBLEM, Verdict.PROBLEM]
        assert "inodes" in found[1].says
        assert "lost at a restart" in one(check_disk_kind, patient_of(tmp_path)).follows


def test_room_is_compared_with_what_the_store_may_take(tmp_path: Path) -> None:
    small = {"routes": {}, "storeAndForward": {"maxBytes": 1 << 20}}
    large = {"routes": {}, "storeAndForward": {"maxBytes": 1 << 50}}
    assert findings(check_disk_space, patient_of(tmp_path, document=small))[0].verdict is Verdict.OK
    finding = findings(check_disk_space, patient_of(tmp_path, document=large))[0]
    assert finding.verdict is Verdict.WARNING
    assert "storeAndForward.maxBytes" in finding.fix


@pytest.mark.parametrize(("takes_s", "verdict"), [(0.001, Verdict.OK), (0.3, Verdict.WARNING), (2.0, Verdict.PROBLEM)])
def test_a_slow_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes_s: float, verdict: Verdict) -> None:
    monkeypatch.setattr(folder, "_syncs", lambda _folder: [takes_s, 9.0, 0.0])
    assert one(check_disk_speed, patient_of(tmp_path)).verdict is verdict


def test_measuring_leaves_nothing_behind(tmp_path: Path) -> None:
    assert one(check_disk_speed, patient_of(tmp_path)).verdict is not Verdict.NOT_CHECKED
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_measured(tmp_path: Path) -> None:
    for check in (check_disk_space, check_disk_speed, check_disk_kind):
        assert one(check, patient_of(tmp_path / "none")).verdict is Verdict.NOT_CHECKED


@pytest.mark.parametrize(
    ("path", "verdict", "word"),
    [
        ("/data", Verdict.OK, ""),
        ("/data/deep folder/x", Verdict.WARNING, "noatime"),
        ("/layer/x", Verdict.PROBLEM, "Binds"),
        ("/tmp/x", Verdict.PROBLEM, "put it on a disk"),
        ("/usb", Verdict.PROBLEM, "ext4"),
        ("/fast", Verdict.PROBLEM, "nobarrier"),
        ("/net", Verdict.WARNING, "disk of this machine"),
    ],
)
def test_the_kind_of_disk_is_judged_by_its_mount(path: str, verdict: Verdict, word: str) -> None:
    mount = mount_of(Path(path), MOUNTINFO)
    assert mount is not None
    finding = folder._of_mount(Path(path), mount)
    assert finding.verdict is verdict
    assert word in finding.fix
