import os
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.doctor.finding import Finding, Verdict
from gateway.doctor.served import (
    chain_of,
    check_revocation,
    check_server_certificate,
    check_small_boards_certificate,
    check_trust,
    is_for,
    path_finding,
)
from issuing import CLIENT, DAY, NOON, Issued, ec_key, issue
from issuing import authority as issued_authority
from support.certificates import Credential, authority, rsa_key, self_signed, signed
from support.patients import HOST, findings, one, patient_of, server
from support.revocation import revocation_list


@pytest.fixture(scope="module")
def root() -> Credential:
    return authority("root")


@pytest.fixture(scope="module")
def issuing(root: Credential) -> Credential:
    return authority("issuing", issuer=root)


@pytest.fixture(scope="module")
def good(issuing: Credential) -> Credential:
    return signed(HOST, issuing)


def files(folder: Path, chain: bytes, key: bytes, trust: bytes = b"") -> dict[str, str]:
    """Settings that name these."""
    for name, content in (("chain.pem", chain), ("key.pem", key), ("trust.pem", trust)):
        (folder / name).write_bytes(content)
    found = {"GATEWAY_CERTIFICATE_FILE": str(folder / "chain.pem"), "GATEWAY_KEY_FILE": str(folder / "key.pem")}
    return found | ({"GATEWAY_TRUST_BUNDLE_FILE": str(folder / "trust.pem")} if trust else {})


def looked_at(folder: Path, chain: bytes, key: bytes, trust: bytes = b"", now: float | None = None) -> list[Finding]:
    return findings(check_server_certificate, patient_of(folder, now=now, **files(folder, chain, key, trust)))


def problems(found: list[Finding]) -> list[str]:
    return [finding.says for finding in found if finding.verdict is Verdict.PROBLEM]


def test_a_whole_chain_for_the_name_that_devices_dial_is_good(tmp_path: Path, good: Credential) -> None:
    found = looked_at(tmp_path, good.pem, good.key_pem, good.anchor_pem)
    assert problems(found) == []
    assert [each.says for each in found if "leads to" in each.says] == [
        "the chain leads to CN=root of the trust bundle"
    ]
    assert any(each.says == f"the server certificate is for '{HOST}'" for each in found)


def test_a_certificate_for_another_name_is_a_problem(tmp_path: Path, issuing: Credential) -> None:
    other = signed("elsewhere.test", issuing)
    found = looked_at(tmp_path, other.pem, other.key_pem, other.anchor_pem)
    assert problems(found) == [f"the server certificate is for elsewhere.test, and devices dial '{HOST}'"]


def test_a_chain_without_its_intermediate_is_a_problem(tmp_path: Path, good: Credential) -> None:
    alone = good.pem[: good.pem.index(b"-----END CERTIFICATE-----") + 26]
    (says,) = problems(looked_at(tmp_path, alone, good.key_pem, good.anchor_pem))
    assert says == "the chain ends at CN=issuing, which is neither in it nor in the trust bundle"


def test_a_chain_without_its_intermediate_is_noticed_without_a_bundle_too(tmp_path: Path, good: Credential) -> None:
    alone = good.pem[: good.pem.index(b"-----END CERTIFICATE-----") + 26]
    found = looked_at(tmp_path, alone, good.key_pem)
    assert [each.verdict for each in found if "no trust bundle" in each.says] == [Verdict.WARNING]


def test_the_key_of_another_certificate_is_a_problem(tmp_path: Path, good: Credential, issuing: Credential) -> None:
    (says,) = problems(looked_at(tmp_path, good.pem, signed(HOST, issuing).key_pem))
    assert "the key does not belong to the first certificate" in says


def test_files_that_are_not_there_or_hold_nothing_are_a_problem(tmp_path: Path, good: Credential) -> None:
    settings = files(tmp_path, b"nothing", good.key_pem)
    assert "no readable PEM certificate" in one(check_server_certificate, patient_of(tmp_path, **settings)).says
    (tmp_path / "key.pem").unlink()
    finding = one(check_server_certificate, patient_of(tmp_path, **settings))
    assert finding.verdict is Verdict.PROBLEM
    assert "cannot be read: no such file" in finding.says


@pytest.mark.parametrize(
    ("days", "verdict", "says"),
    [
        (-2, Verdict.PROBLEM, "yet to come"),
        (0.5, Verdict.WARNING, "ends in 0 days"),
        (3, Verdict.PROBLEM, "expired at"),
    ],
)
def test_dates_are_looked_at(tmp_path: Path, good: Credential, days: float, verdict: Verdict, says: str) -> None:
    found = looked_at(tmp_path, good.pem, good.key_pem, now=time.time() + days * 86_400)
    assert [each.verdict for each in found if says in each.says][:1] == [verdict]


def with_names(credential: Issued, by: Issued, *, client_only: bool = False) -> Issued:
    """The same with a name in it, as a server's has."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(credential.certificate.subject)
        .issuer_name(by.certificate.subject)
        .public_key(credential.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=100))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    )
    if client_only:
        builder = builder.add_extension(x509.ExtendedKeyUsage([CLIENT]), critical=False)
    return Issued(builder.sign(by.key, hashes.SHA256()), credential.key)


def test_a_certificate_for_clients_alone_is_a_problem(tmp_path: Path, root: Credential) -> None:
    by = Issued(root.certificate, root.key)
    leaf = with_names(issue(HOST), by, client_only=True)
    key = Credential(certificate=leaf.certificate, key=leaf.key).key_pem
    assert "does not include servers" in problems(looked_at(tmp_path, leaf.pem, key, root.anchor_pem))[0]


def test_a_path_that_is_longer_than_its_root_allows_is_a_problem() -> None:
    short = issued_authority("short", path_length=0)
    below = issued_authority("below", by=short)
    leaf = issue("leaf", by=below)
    now = leaf.certificate.not_valid_before_utc.timestamp() + 60
    finding = path_finding([leaf.certificate, below.certificate], [short.certificate], now)
    assert finding.verdict is Verdict.PROBLEM
    assert "path length" in finding.says


def test_an_issuer_that_is_no_authority_is_a_problem() -> None:
    root = issued_authority("root")
    server_ = issue("server", by=root)
    leaf = issue("leaf", by=server_)
    now = leaf.certificate.not_valid_before_utc.timestamp() + 60
    finding = path_finding([leaf.certificate, server_.certificate], [root.certificate], now)
    assert finding.verdict is Verdict.PROBLEM


def test_a_root_that_has_ended_is_a_problem() -> None:
    root = issued_authority("root")
    leaf = issue("leaf", by=root)
    later = root.certificate.not_valid_after_utc.timestamp() + 1
    assert "expired" in path_finding([leaf.certificate], [root.certificate], later).says


def test_the_running_gateways_own_listener_shows_its_chain(tmp_path: Path, good: Credential) -> None:
    with server(b"", good) as port:
        assert [each.subject for each in chain_of("127.0.0.1", port, HOST)] == [
            good.certificate.subject,
            good.issuers[0].subject,
        ]
        patient = patient_of(tmp_path, running=os.getpid(), GATEWAY_ADDRESS="127.0.0.1", GATEWAY_MQTT_PORT=str(port))
        assert problems(findings(check_server_certificate, patient)) == []


def test_a_certificate_that_is_yet_to_be_issued_is_not_checked(tmp_path: Path) -> None:
    assert one(check_server_certificate, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    patient = patient_of(tmp_path, running=True, GATEWAY_ADDRESS="127.0.0.1", GATEWAY_MQTT_PORT=str(port))
    assert "no TLS handshake" in one(check_server_certificate, patient).says


def test_small_boards_need_rsa_throughout(tmp_path: Path) -> None:
    assert one(check_small_boards_certificate, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    verdicts = []
    for number, credential in enumerate((self_signed("ec"), self_signed("rsa", key=rsa_key()))):
        chain, key = tmp_path / f"{number}.chain", tmp_path / f"{number}.key"
        chain.write_bytes(credential.pem)
        key.write_bytes(credential.key_pem)
        patient = patient_of(tmp_path, GATEWAY_CONSTRAINED_CERTIFICATE=str(chain), GATEWAY_CONSTRAINED_KEY=str(key))
        found = findings(check_small_boards_certificate, patient)
        verdicts.append([each.says for each in found if "RSA" in each.says and each.verdict is Verdict.PROBLEM])
    assert verdicts == [[f"CN=ec in {tmp_path}/0.chain has no RSA key"], []]


def test_the_trust_bundle_must_hold_authorities_that_go_on(tmp_path: Path, root: Credential) -> None:
    file = tmp_path / "trust.pem"
    settings = {"GATEWAY_TRUST_BUNDLE_FILE": str(file)}
    assert one(check_trust, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    assert one(check_trust, patient_of(tmp_path, **settings)).verdict is Verdict.PROBLEM
    file.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    assert one(check_trust, patient_of(tmp_path, **settings)).verdict is Verdict.PROBLEM
    file.write_bytes(root.anchor_pem)
    assert one(check_trust, patient_of(tmp_path, **settings)).verdict is Verdict.OK
    later = time.time() + DAY.total_seconds() * 3
    assert "ended" in one(check_trust, patient_of(tmp_path, now=later, **settings)).says


def test_lists_of_revoked_certificates_must_be_readable_signed_and_new(tmp_path: Path) -> None:
    root, place = issued_authority("root"), tmp_path / "crl.pem"
    settings = {"GATEWAY_CRL_FILE": str(place)}
    now = NOON.timestamp()
    assert one(check_revocation, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    for content in (None, b"garbage"):
        if content is not None:
            place.write_bytes(content)
        finding = one(check_revocation, patient_of(tmp_path, now=now, **settings))
        assert finding.verdict is Verdict.PROBLEM
        assert str(place) in finding.says
        assert finding.fix
    place.write_bytes(revocation_list(root, root))
    assert "1 revoked" in one(check_revocation, patient_of(tmp_path, now=now, **settings)).says
    later = now + 40 * DAY.total_seconds()
    assert "`edgeca crl`" in one(check_revocation, patient_of(tmp_path, now=later, **settings)).fix
    (tmp_path / "trust.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    place.write_bytes(revocation_list(root, key=ec_key()))
    forged = patient_of(tmp_path, now=now, GATEWAY_TRUST_BUNDLE_FILE=str(tmp_path / "trust.pem"), **settings)
    assert "was not signed by it" in one(check_revocation, forged).says
    (tmp_path / "empty").mkdir()
    empty = patient_of(tmp_path, now=now, GATEWAY_CRL_FILE=str(tmp_path / "empty"))
    assert one(check_revocation, empty).follows == "nobody is revoked"


@pytest.mark.parametrize(
    ("wanted", "names", "fits"),
    [
        ("a.b.test", ["A.B.TEST"], True),
        ("a.b.test", ["*.b.test"], True),
        ("a.b.test", ["*.test"], False),
        ("b.test", ["*.b.test"], False),
        ("10.0.0.1", ["10.0.0.1"], True),
        ("a.test", [], False),
    ],
)
def test_names_fit_as_tls_has_it(wanted: str, names: list[str], *, fits: bool) -> None:
    assert is_for(wanted, names) is fits
