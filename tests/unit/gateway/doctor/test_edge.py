import socket
from pathlib import Path

from gateway.doctor.edge import NEEDED, check_edge_environment, check_workload_api
from gateway.doctor.finding import Verdict
from support.patients import findings, one, patient_of, server, verdicts

WHOLE = dict.fromkeys(NEEDED, "x")
STRING = "HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey=a2V5;GatewayHostName=g"


def test_all_variables_of_iot_edge_are_needed(tmp_path: Path) -> None:
    assert one(check_edge_environment, patient_of(tmp_path, **WHOLE)).verdict is Verdict.OK
    for name in NEEDED:
        finding = one(check_edge_environment, patient_of(tmp_path, **{**WHOLE, name: ""}))
        assert finding.verdict is Verdict.PROBLEM
        assert finding.says.startswith(name)


def test_a_name_for_devices_is_needed_too(tmp_path: Path) -> None:
    found = findings(check_edge_environment, patient_of(tmp_path, **{**WHOLE, "GATEWAY_HOST_NAME": ""}))
    assert verdicts(found) == ["ok", "problem"]


def test_outside_of_iot_edge_an_edgehub_must_not_be_wanted(tmp_path: Path) -> None:
    assert one(check_edge_environment, patient_of(tmp_path)).verdict is Verdict.OK
    assert one(check_edge_environment, patient_of(tmp_path, GATEWAY_UPSTREAM="edgehub")).verdict is Verdict.PROBLEM


def test_the_simulators_variables_must_be_whole(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    good = {"EdgeHubConnectionString": STRING, "EdgeModuleCACertificateFile": str(file)}
    assert one(check_edge_environment, patient_of(tmp_path, **good)).verdict is Verdict.OK
    half = patient_of(tmp_path, EdgeHubConnectionString="HostName=h")
    found = findings(check_edge_environment, half)
    assert verdicts(found) == ["problem", "problem"]
    assert "no DeviceId, no ModuleId, no SharedAccessKey, no GatewayHostName" in found[0].says
    assert "not set" in found[1].says


def test_the_workload_api_must_answer(tmp_path: Path) -> None:
    assert one(check_workload_api, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"certificate":"x"}'
    with server(answer, wants=4096) as port:
        patient = patient_of(tmp_path, **{**WHOLE, "IOTEDGE_WORKLOADURI": f"http://127.0.0.1:{port}"})
        assert one(check_workload_api, patient).verdict is Verdict.OK
    patient = patient_of(tmp_path, **{**WHOLE, "IOTEDGE_WORKLOADURI": f"unix://{tmp_path}/none.sock"})
    assert "does not exist" in one(check_workload_api, patient).says


def test_a_workload_api_that_hangs_is_a_problem(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "w"))
        silent.listen()
        patient = patient_of(tmp_path, **{**WHOLE, "IOTEDGE_WORKLOADURI": f"unix://{tmp_path}/w"})
        assert "did not answer" in one(check_workload_api, patient).says
