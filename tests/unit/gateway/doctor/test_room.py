import os
import resource
from pathlib import Path

import pytest

from gateway.doctor.finding import Finding, Verdict
from gateway.doctor.patient import Patient
from gateway.doctor.room import check_memory, check_open_files, memory_limit
from support.patients import one, patient_of


def cgroup(folder: Path, limit: str, controllers: str = "cpu memory") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "cgroup.controllers").write_text(controllers)
    return folder


def memory(patient: Patient, group: Path) -> Finding:
    (finding,) = check_memory(patient, group)
    return finding


@pytest.mark.parametrize(
    ("limit", "verdict", "word"),
    [
        ("268435456", Verdict.OK, "268 MB"),
        ("134217728", Verdict.WARNING, "134 MB"),
        ("67108864", Verdict.PROBLEM, "67 MB"),
        ("max", Verdict.OK, "no limit"),
    ],
)
def test_the_containers_limit_is_compared_with_what_connections_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, verdict: Verdict, word: str
) -> None:
    monkeypatch.setattr("gateway.doctor.room._available", lambda: 1 << 40)  # not what other tests leave of this machine
    finding = memory(patient_of(tmp_path), cgroup(tmp_path / "cgroup", limit))
    assert (finding.verdict, word in finding.says) == (verdict, True)


def test_a_fitting_number_of_connections_is_named(tmp_path: Path) -> None:
    group = cgroup(tmp_path / "cgroup", "134217728")
    fix = memory(patient_of(tmp_path), group).fix
    number = fix.split("GATEWAY_MAX_CONNECTIONS to ")[1].split()[0]
    assert memory(patient_of(tmp_path, GATEWAY_MAX_CONNECTIONS=number), group).verdict is Verdict.OK


def test_a_kernel_that_counts_no_memory_is_told(tmp_path: Path) -> None:
    finding = memory(patient_of(tmp_path), cgroup(tmp_path / "cgroup", "max", "cpu io"))
    assert "cgroup_enable=memory" in finding.fix


def test_a_machine_with_too_little_memory_is_told(tmp_path: Path) -> None:
    patient = patient_of(tmp_path, GATEWAY_MAX_CONNECTIONS="900000000")
    assert "available on this machine" in memory(patient, tmp_path).says


def test_limits_of_the_first_version_count_too(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    file = tmp_path / "memory/memory.limit_in_bytes"
    file.write_text("104857600\n")
    assert memory_limit(tmp_path) == 104_857_600
    file.write_text("9223372036854771712\n")
    assert memory_limit(tmp_path) is None


@pytest.mark.parametrize("running", [False, os.getpid()])
def test_descriptors_must_suffice_for_the_connections(tmp_path: Path, running: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard > 300
    enough = patient_of(tmp_path, running=running, GATEWAY_MAX_CONNECTIONS="10")
    assert one(check_open_files, enough).verdict is Verdict.OK
    if hard != resource.RLIM_INFINITY:
        too_many = patient_of(tmp_path, running=running, GATEWAY_MAX_CONNECTIONS=str(hard))
        assert f"to {hard - 200}, or raise it" in one(check_open_files, too_many).fix


def test_the_limits_of_a_process_that_cannot_be_seen_are_not_checked(tmp_path: Path) -> None:
    assert one(check_open_files, patient_of(tmp_path, running=2**22 + 1)).verdict is Verdict.NOT_CHECKED
