from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgeca.authority import Authority, self_signed_device
from edgeca.errors import CaError
from edgeca.keys import KeyType, generate
from edgeca.profiles import Kind
from edgeca.signing import Subject, key_id, sign, utc_now

NOW = datetime(2026, 11, 21, 12, 30, 15, 999_999, tzinfo=UTC)


def at_now() -> datetime:
    return NOW


AUTHORITY = Authority.create(clock=at_now)
RSA_AUTHORITY = Authority.create(key_type=KeyType.RSA_2048, clock=at_now)


def usage(certificate: x509.Certificate) -> x509.KeyUsage:
    extension = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert extension.critical
    return extension.value


def constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    extension = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert extension.critical
    return extension.value


def purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []


def test_validity_starts_a_day_early_for_boards_with_poor_clocks_and_ends_on_the_second() -> None:
    certificate = AUTHORITY.issue_server(["a"], days=10).certificate
    assert certificate.not_valid_before_utc == datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(2026, 12, 1, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize("days", [0, -1, 36501])
def test_days_must_make_sense(days: int) -> None:
    with pytest.raises(CaError, match="lives 1 to 36500 days"):
        AUTHORITY.issue_device("board-1", days=days)


def test_nothing_outlives_its_issuer_unless_asked_and_then_it_is_refused() -> None:
    authority = Authority.create(days=20, clock=at_now)
    end = authority.root.certificate.not_valid_after_utc
    assert authority.issuing.certificate.not_valid_after_utc == end
    assert authority.issue_server(["a"]).certificate.not_valid_after_utc == end
    with pytest.raises(CaError, match=r"--days 21 is longer.*at most 20 days"):
        authority.issue_server(["a"], days=21)


def test_a_ca_that_has_ended_signs_nothing() -> None:
    authority = Authority.create(days=20, clock=at_now)
    late = Authority(root=authority.root, issuing=authority.issuing, clock=lambda: NOW + timedelta(days=20))
    with pytest.raises(CaError, match="ended on 2026-12-11"):
        late.issue_server(["a"])


@pytest.mark.parametrize(
    ("certificate", "path_length"),
    [
        (AUTHORITY.root.certificate, 1),
        (AUTHORITY.issuing.certificate, 0),
        (AUTHORITY.issue_edge_ca("pi").certificate, 0),
    ],
    ids=["root", "issuing", "edge-ca"],
)
def test_cas_may_sign_certificates_and_lists_down_to_their_depth(
    certificate: x509.Certificate, path_length: int
) -> None:
    assert constraints(certificate) == x509.BasicConstraints(ca=True, path_length=path_length)
    assert usage(certificate).key_cert_sign
    assert usage(certificate).crl_sign
    assert not usage(certificate).key_encipherment
    assert purposes(certificate) == []


@pytest.mark.parametrize(
    ("certificate", "purpose"),
    [
        (AUTHORITY.issue_server(["a"]).certificate, ExtendedKeyUsageOID.SERVER_AUTH),
        (AUTHORITY.issue_device("a").certificate, ExtendedKeyUsageOID.CLIENT_AUTH),
        (AUTHORITY.issue_edge_id("a").certificate, ExtendedKeyUsageOID.CLIENT_AUTH),
        (AUTHORITY.prove("a").certificate, ExtendedKeyUsageOID.CLIENT_AUTH),
        (self_signed_device("a").certificate, ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
    ids=["server", "device", "edge-id", "proof", "self-signed"],
)
def test_leaves_sign_nothing_and_have_one_purpose(
    certificate: x509.Certificate, purpose: x509.ObjectIdentifier
) -> None:
    assert constraints(certificate) == x509.BasicConstraints(ca=False, path_length=None)
    assert not usage(certificate).key_cert_sign
    assert purposes(certificate) == [purpose]


def test_rsa_leaves_allow_key_exchange_by_rsa_and_ec_leaves_do_not() -> None:
    assert usage(RSA_AUTHORITY.issue_server(["a"]).certificate).key_encipherment
    assert not usage(AUTHORITY.issue_server(["a"]).certificate).key_encipherment


def test_key_ids_lead_from_the_leaf_to_the_root() -> None:
    server = AUTHORITY.issue_server(["a"])
    chain = [server.certificate, *server.issuers]
    for child, issuer in zip(chain, [*chain[1:], chain[-1]], strict=True):
        above = child.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert above.key_identifier == key_id(issuer).digest
        child.verify_directly_issued_by(issuer)


def test_serial_numbers_are_random_and_positive() -> None:
    serials = {AUTHORITY.issue_device("a").certificate.serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(0 < serial < 2**159 for serial in serials)


def test_a_certificate_without_common_name_has_its_names_critical() -> None:
    # RFC 5280 §4.2.1.6
    subject = Subject(names=(x509.DNSName("a.example"),))
    made = sign(Kind.SERVER, subject, generate(KeyType.EC_P256), issuer=AUTHORITY.issuing, days=None, now=NOW)
    assert made.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_the_key_id_of_a_foreign_ca_without_one_is_made_from_its_key() -> None:
    foreign = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .public_key(AUTHORITY.root.key.public_key())
        .sign(AUTHORITY.root.key, hashes.SHA256())
    )
    assert key_id(foreign) == key_id(AUTHORITY.root.certificate)


def test_the_clock_of_the_machine_knows_its_zone() -> None:
    assert utc_now().tzinfo is UTC
