import errno
import os
import socket
from pathlib import Path

import pytest

from gateway.doctor import listening
from gateway.doctor.finding import Finding, Verdict
from gateway.doctor.listening import check_ports, owner_of
from gateway.doctor.patient import Patient
from support.patients import findings, patient_of

PORT = 20_000 + os.getpid() % 10_000
"""Below those that the kernel gives away: nobody else on this machine listens there, at whatever address."""
OFF = {
    "GATEWAY_ADDRESS": "127.0.0.1",
    "GATEWAY_AMQP_PORT": "0",
    "GATEWAY_WEBSOCKET_PORT": "0",
    "GATEWAY_METRICS_PORT": "0",
}


def mqtt_at(data: Path, port: int, *, running: bool | int = False, **more: str) -> Patient:
    return patient_of(data, running=running, **{**OFF, "GATEWAY_MQTT_PORT": str(port), **more})


def only(patient: Patient) -> Finding:
    (finding,) = findings(check_ports, patient)
    return finding


def test_a_free_port_is_good_for_a_gateway_that_is_to_start(tmp_path: Path) -> None:
    assert only(mqtt_at(tmp_path, PORT)).verdict is Verdict.OK


def test_a_free_port_is_a_problem_where_a_gateway_runs(tmp_path: Path) -> None:
    finding = only(mqtt_at(tmp_path, PORT, running=True))
    assert finding.verdict is Verdict.PROBLEM
    assert "is free, though a gateway runs here" in finding.says


def test_a_port_in_use_names_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", PORT)):
        finding = only(mqtt_at(tmp_path, PORT))
        assert owner_of("127.0.0.1", PORT) == os.getpid()
        assert owner_of("0.0.0.0", PORT) == os.getpid()
        assert owner_of("127.0.0.99", PORT) is None
        assert finding.verdict is Verdict.PROBLEM
        assert f"(process {os.getpid()})" in finding.says
        assert "GATEWAY_MQTT_PORT" in finding.fix
        assert only(mqtt_at(tmp_path, PORT, running=os.getpid())).verdict is Verdict.OK
        assert only(mqtt_at(tmp_path, PORT, running=1)).verdict is Verdict.PROBLEM


def test_nobody_listens_at_a_free_port() -> None:
    assert owner_of("127.0.0.1", PORT) is None


def test_who_listens_on_all_addresses_has_each_of_them() -> None:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.create_server((address, PORT), family=family):
            assert owner_of("127.0.0.1", PORT) == os.getpid()


def test_two_listeners_at_one_port_are_a_problem(tmp_path: Path) -> None:
    found = findings(check_ports, mqtt_at(tmp_path, PORT, GATEWAY_AMQP_PORT=str(PORT)))
    assert "both want" in found[0].says
    assert found[0].verdict is Verdict.PROBLEM


def test_no_listener_at_all_is_a_warning(tmp_path: Path) -> None:
    assert only(mqtt_at(tmp_path, 0)).verdict is Verdict.WARNING


def test_an_address_of_another_machine_is_a_problem(tmp_path: Path) -> None:
    finding = only(mqtt_at(tmp_path, 18_883, GATEWAY_ADDRESS="192.0.2.77"))
    assert finding.verdict is Verdict.PROBLEM
    assert "no such address" in finding.says


def test_the_name_of_an_interface_is_left_to_the_gateway(tmp_path: Path) -> None:
    found = findings(check_ports, mqtt_at(tmp_path, 0, GATEWAY_PLAIN_PORT="1883", GATEWAY_PLAIN_ADDRESS="no-such-eth"))
    assert [finding.verdict for finding in found] == [Verdict.NOT_CHECKED]


def test_a_port_that_asks_for_a_right_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "cannot_bind", lambda _address, _port: errno.EACCES)
    assert "ip_unprivileged_port_start" in only(mqtt_at(tmp_path, 443)).fix
