from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edgeca import files
from edgeca.authority import Authority
from edgeca.errors import CaError
from edgeca.keys import KeyType
from edgeca.profiles import Kind
from edgeca.revocation import DAYS, Reason, Revoked, blocks_of, find_revoked, load_crl, path_of, sign_crl

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AUTHORITY = Authority.create(clock=lambda: NOW)
LINES = tuple(Revoked(serial=number + 1, at=NOW, reason=reason) for number, reason in enumerate(Reason))


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.RSA_2048])
def test_a_list_is_signed_numbered_and_has_its_day(key_type: KeyType) -> None:
    issuer = Authority.create(key_type=key_type, clock=lambda: NOW).issuing
    crl = x509.load_pem_x509_crl(sign_crl(issuer, LINES, number=7, now=NOW).pem)
    assert crl.is_signature_valid(issuer.certificate.public_key())  # type: ignore[arg-type] # EC or RSA
    assert crl.issuer == issuer.certificate.subject
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    own = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own
    assert crl.next_update_utc == NOW + timedelta(days=DAYS)
    assert crl.last_update_utc == NOW - timedelta(days=1)


def test_reasons_stand_in_the_lines_and_unspecified_does_not() -> None:
    crl = x509.load_pem_x509_crl(sign_crl(AUTHORITY.root, LINES, number=1, now=NOW).pem)
    flags = {}
    for line in crl:
        found = [each.value.reason.name for each in line.extensions if isinstance(each.value, x509.CRLReason)]
        flags[line.serial_number] = found
    assert flags[1] == []
    assert [name for names in flags.values() for name in names] == [reason.name.lower() for reason in Reason][1:]


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = sign_crl(AUTHORITY.issuing, LINES, number=3, now=NOW, days=5)
    path_of(tmp_path, Kind.ISSUING).write_bytes(written.pem)
    assert load_crl(tmp_path, Kind.ISSUING, AUTHORITY.issuing.certificate) == written
    assert written.find(2) == LINES[1]
    assert written.find(99) is None


def test_no_list_and_that_of_another_ca_are_none(tmp_path: Path) -> None:
    issuer = AUTHORITY.issuing.certificate
    assert load_crl(tmp_path, Kind.ISSUING, issuer) is None
    path_of(tmp_path, Kind.ISSUING).write_bytes(sign_crl(AUTHORITY.root, (), number=1, now=NOW).pem)
    assert load_crl(tmp_path, Kind.ISSUING, issuer) is None


@pytest.mark.parametrize(
    "damage", [lambda pem: b"", lambda pem: b"garbage", lambda pem: pem[:-30], lambda pem: pem * 2 + b"-----BEGIN"]
)
def test_a_damaged_list_is_named(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = path_of(tmp_path, Kind.ROOT)
    path.write_bytes(damage(sign_crl(AUTHORITY.root, (), number=1, now=NOW).pem))
    with pytest.raises(CaError, match=r"root\.crl\.pem holds no readable revocation list"):
        load_crl(tmp_path, Kind.ROOT, AUTHORITY.root.certificate)


@pytest.mark.parametrize("days", [0, -1, 36501])
def test_days_that_cannot_be_are_refused(days: int) -> None:
    with pytest.raises(CaError, match=f"--days {days}: a revocation list counts for 1 to 36500 days"):
        sign_crl(AUTHORITY.root, (), number=1, now=NOW, days=days)


def test_a_ca_that_has_ended_signs_no_list() -> None:
    with pytest.raises(CaError, match="has ended and cannot sign; edgeca renew renews it"):
        sign_crl(AUTHORITY.issuing, (), number=1, now=NOW + timedelta(days=2000))


def test_a_certificate_is_found_in_the_list_of_who_signed_it(tmp_path: Path) -> None:
    device = AUTHORITY.issue_device("d1")
    line = Revoked(serial=device.certificate.serial_number, at=NOW, reason=Reason.SUPERSEDED)
    issuers = device.issuers
    assert find_revoked(tmp_path, device.certificate, issuers) is None
    assert find_revoked(tmp_path, device.certificate, ()) is None
    path_of(tmp_path, Kind.ROOT).write_bytes(sign_crl(AUTHORITY.root, [line], number=1, now=NOW).pem)
    assert find_revoked(tmp_path, device.certificate, issuers) is None, "the root did not sign it"
    joined = tmp_path / files.ALL_CRLS
    joined.write_bytes(sign_crl(AUTHORITY.issuing, [line], number=1, now=NOW).pem)
    assert find_revoked(tmp_path, device.certificate, issuers) == line
    assert len(blocks_of(joined)) == 1
