import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor import names
from gateway.doctor.finding import Verdict
from support.patients import findings, one, patient_of

HUB = {"GATEWAY_HUB_NAME": "hub.test"}


def resolve(monkeypatch: pytest.MonkeyPatch, known: dict[str, list[str]]) -> None:
    """Names of these alone have addresses, as in a DNS of our own."""

    def getaddrinfo(host: str, _port: object, **_more: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("addresses", "verdict", "says"),
    [
        (["127.0.0.1"], Verdict.OK, "leads here"),
        (["192.0.2.77"], Verdict.PROBLEM, "no address of this machine"),
        (["127.0.0.1", "192.0.2.77"], Verdict.WARNING, "192.0.2.77, which is no address"),
        ([], Verdict.PROBLEM, "cannot be looked up here: name or service not known"),
    ],
)
def test_the_host_name_must_lead_to_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addresses: list[str], verdict: Verdict, says: str
) -> None:
    resolve(monkeypatch, {"gateway.test": addresses} if addresses else {})
    finding = one(names.check_host_name, patient_of(tmp_path))
    assert finding.verdict is verdict
    assert says in finding.says


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("127.0.0.1", Verdict.OK), ("192.0.2.77", Verdict.PROBLEM), ("my_pi", Verdict.PROBLEM), ("", Verdict.NOT_CHECKED)],
)
def test_a_host_name_may_be_an_address_and_must_have_a_form(tmp_path: Path, name: str, verdict: Verdict) -> None:
    assert one(names.check_host_name, patient_of(tmp_path, GATEWAY_HOST_NAME=name)).verdict is verdict


def test_what_answers_for_local_names_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {})
    patient = patient_of(tmp_path, GATEWAY_HOST_NAME="pi.local")
    assert "avahi-daemon" in one(names.check_host_name, patient).fix


def test_within_iot_edge_the_name_leads_to_edgehub_and_is_not_judged(tmp_path: Path) -> None:
    patient = patient_of(tmp_path, IOTEDGE_WORKLOADURI="unix:///x")
    assert one(names.check_host_name, patient).verdict is Verdict.NOT_CHECKED


def test_hosts_that_the_gateway_dials_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = patient_of(tmp_path, **HUB, GATEWAY_UPSTREAM_AMQP="hub", GATEWAY_DPS="dps.test")
    resolve(monkeypatch, {"hub.test": ["192.0.2.1"]})
    found = findings(names.check_upstream_names, patient)
    assert [(each.verdict.value, each.says[:20]) for each in found] == [
        ("ok", "'hub.test' is 192.0."),
        ("problem", "'dps.test' cannot be"),
    ]


def test_addresses_need_no_look_up(tmp_path: Path) -> None:
    patient = patient_of(tmp_path, **HUB, GATEWAY_UPSTREAM_AMQP="127.0.0.1")
    assert one(names.check_upstream_names, patient).verdict is Verdict.OK
    assert one(names.check_upstream_names, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED


def test_a_proxy_looks_up_for_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"proxy.test": ["192.0.2.9"]})
    patient = patient_of(tmp_path, **HUB, GATEWAY_UPSTREAM_AMQP="hub", HTTPS_PROXY="http://u:p@proxy.test:3128")
    (finding,) = findings(names.check_upstream_names, patient)
    assert (finding.verdict, finding.says) == (Verdict.OK, "'proxy.test' is 192.0.2.9")
