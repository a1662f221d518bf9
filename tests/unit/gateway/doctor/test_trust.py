import asyncio
from pathlib import Path

import pytest

from gateway.doctor.finding import NotCheckedError
from gateway.doctor.trust import bundle_pem, trust_pem, workload_bundle
from support.patients import patient_of


def test_the_bundle_is_the_file_and_the_simulators_comes_beside(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("A")
    (tmp_path / "b.pem").write_text("B")
    patient = patient_of(
        tmp_path,
        GATEWAY_TRUST_BUNDLE_FILE=str(tmp_path / "a.pem"),
        EdgeModuleCACertificateFile=str(tmp_path / "b.pem"),
    )
    assert bundle_pem(patient) == b"A"
    assert trust_pem(patient) == b"A\nB"


def test_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    assert trust_pem(patient_of(tmp_path, GATEWAY_TRUST_BUNDLE_FILE="/nowhere")) == b""
    assert bundle_pem(patient_of(tmp_path, IOTEDGE_WORKLOADURI=f"unix://{tmp_path}/none")) == b""


def test_outside_of_iot_edge_there_is_no_workload_api(tmp_path: Path) -> None:
    with pytest.raises(NotCheckedError, match="no workload API"):
        asyncio.run(workload_bundle(patient_of(tmp_path)))
