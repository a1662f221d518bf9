import time
from email.utils import formatdate
from pathlib import Path

import pytest

from gateway.doctor import reach
from gateway.doctor.finding import Verdict
from gateway.doctor.patient import Patient
from gateway.doctor.places import Speech, Target
from support.certificates import Credential, authority, signed
from support.patients import black_hole, findings, one, patient_of, server

HELLO = b"AMQP\x03\x01\x00\x00"


@pytest.fixture(scope="module")
def root() -> Credential:
    return authority("root")


@pytest.fixture(scope="module")
def credential(root: Credential) -> Credential:
    return signed("localhost", root, addresses=("127.0.0.1",))


@pytest.fixture
def trust(tmp_path: Path, root: Credential) -> dict[str, str]:
    file = tmp_path / "root.pem"
    file.write_bytes(root.anchor_pem)
    return {"GATEWAY_TRUST_BUNDLE_FILE": str(file)}


def sends_to(tmp_path: Path, port: int, trust: dict[str, str], **more: str) -> Patient:
    return patient_of(tmp_path, GATEWAY_HUB_NAME="hub.test", GATEWAY_UPSTREAM_AMQP=f"127.0.0.1:{port}", **trust, **more)


def test_who_answers_in_amqp_is_reached(tmp_path: Path, trust: dict[str, str], credential: Credential) -> None:
    with server(HELLO, credential, wants=8) as port:
        finding = one(reach.check_reachable, sends_to(tmp_path, port, trust))
    assert (finding.verdict, finding.says) == (
        Verdict.OK,
        f"upstream, on behalf of devices: 127.0.0.1:{port} is reached by AMQP",
    )


def test_who_answers_something_else_is_none_to_send_to(
    tmp_path: Path, trust: dict[str, str], credential: Credential
) -> None:
    with server(b"HTTP/1.1 400 Bad Request\r\n\r\n", credential, wants=8) as port:
        finding = one(reach.check_reachable, sends_to(tmp_path, port, trust))
    assert finding.verdict is Verdict.PROBLEM
    assert "does not speak AMQP 1.0" in finding.says


def test_a_certificate_of_nobody_whom_we_believe_is_a_problem(tmp_path: Path, credential: Credential) -> None:
    with server(HELLO, credential) as port:
        finding = one(reach.check_reachable, sends_to(tmp_path, port, {}))
    assert finding.verdict is Verdict.PROBLEM
    assert "is not accepted" in finding.says
    assert "GATEWAY_TRUST_BUNDLE_FILE" in finding.fix


def test_a_certificate_for_another_name_is_a_problem(tmp_path: Path, trust: dict[str, str], root: Credential) -> None:
    with server(HELLO, signed("elsewhere.test", root)) as port:
        finding = one(reach.check_reachable, sends_to(tmp_path, port, trust))
    assert finding.verdict is Verdict.PROBLEM
    assert "is not accepted" in finding.says


def test_who_does_not_speak_tls_is_a_problem(tmp_path: Path, trust: dict[str, str]) -> None:
    with server(b"220 mail.test ESMTP\r\n") as port:
        finding = one(reach.check_reachable, sends_to(tmp_path, port, trust))
    assert finding.verdict is Verdict.PROBLEM
    assert "TLS" in finding.says


def test_a_closed_port_is_a_problem(tmp_path: Path, trust: dict[str, str]) -> None:
    with server(b"") as port:
        pass
    finding = one(reach.check_reachable, sends_to(tmp_path, port, trust))
    assert finding.verdict is Verdict.PROBLEM
    assert "refused" in finding.says


def test_a_black_hole_is_a_problem_and_not_waited_for_for_long(tmp_path: Path, trust: dict[str, str]) -> None:
    with black_hole() as port:
        finding = one(reach.check_reachable, sends_to(tmp_path, port, trust))
    assert finding.verdict is Verdict.PROBLEM
    assert "did not answer" in finding.says
    assert "firewall" in finding.fix


def test_a_plain_broker_is_reached_by_tcp(tmp_path: Path) -> None:
    with server(b"") as port:
        finding = one(reach.check_reachable, patient_of(tmp_path, GATEWAY_BROKER=f"mqtt://127.0.0.1:{port}"))
    assert finding.says.endswith("is reached by TCP")


def test_who_dials_nobody_has_nothing_to_reach(tmp_path: Path) -> None:
    assert one(reach.check_reachable, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    assert one(reach.check_clock_of_others, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED


@pytest.mark.parametrize(("ahead_s", "verdict"), [(0, Verdict.OK), (7200, Verdict.PROBLEM)])
def test_the_date_of_others_is_compared(
    tmp_path: Path,
    trust: dict[str, str],
    credential: Credential,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ahead_s: float,
    verdict: Verdict,
) -> None:
    head = f"HTTP/1.1 404 Not Found\r\nDate: {formatdate(time.time() + ahead_s)}\r\nContent-Length: 0\r\n\r\n"
    with server(head.encode(), credential) as port:
        target = Target(what="DPS", host="127.0.0.1", port=port, speech=Speech.TLS)
        monkeypatch.setattr(reach, "places_of", lambda _: [target])
        found = findings(reach.check_clock_of_others, patient_of(tmp_path, **trust))
    assert [each.verdict for each in found] == [verdict]


def test_who_tells_no_date_says_nothing(tmp_path: Path, trust: dict[str, str], credential: Credential) -> None:
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", credential) as port:
        finding = one(reach.check_clock_of_others, patient_of(tmp_path, GATEWAY_DPS=f"127.0.0.1:{port}", **trust))
    assert finding.verdict is Verdict.NOT_CHECKED
