from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PSS

from edgewire.transport.fitness import problems_for_boards

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOST = "gateway.local"
HASH = hashes.SHA256()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def issue(
    key: Key,
    *,
    by: Key | None = None,
    subject: str = "leaf",
    issuer: str = "root",
    days: float = 90,
    names: tuple[x509.GeneralName, ...] = (x509.DNSName(HOST), x509.IPAddress(ip_address("10.0.0.5"))),
    pss: bool = False,
    ballast: int = 0,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ballast:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(ballast))
        builder = builder.add_extension(unknown, critical=False)
    signer = key if by is None else by
    scheme = PSS(mgf=padding.MGF1(HASH), salt_length=32) if pss else None
    return builder.sign(signer, HASH, rsa_padding=scheme)


def problems(*chain: x509.Certificate, host: str = HOST) -> list[str]:
    return list(problems_for_boards(chain, host))


@pytest.mark.parametrize("host", [HOST, "GATEWAY.local", "10.0.0.5", ""])
def test_a_short_chain_of_rsa_that_names_the_gateway_is_fit(key: rsa.RSAPrivateKey, host: str) -> None:
    assert problems(issue(key), issue(key, subject="edge ca"), host=host) == []


def test_an_ec_key_keeps_all_boards_out(key: rsa.RSAPrivateKey) -> None:
    ours = ec.generate_private_key(ec.SECP256R1())
    (said,) = problems(issue(ours, by=key))
    assert said.startswith("the key is not RSA (its own): no small board can connect.")


def test_an_ec_authority_is_named_by_its_place_in_the_chain(key: rsa.RSAPrivateKey) -> None:
    authority = ec.generate_private_key(ec.SECP256R1())
    found = problems(issue(key, by=authority), issue(authority, by=key, subject="edge ca"))
    assert [said.partition(")")[0] + ")" for said in found] == [
        "it is signed with ecdsa-with-SHA256 (its own)",
        "the key is not RSA (that of issuer 1 in the chain)",
    ]


def test_pss_is_no_signature_for_boards(key: rsa.RSAPrivateKey) -> None:
    (said,) = problems(issue(key, pss=True))
    assert "signed with rsassaPss (its own)" in said


def test_a_large_key_is_said(key: rsa.RSAPrivateKey) -> None:
    (said,) = problems(issue(rsa.generate_private_key(65537, 3072), by=key))
    assert "an RSA key of 3072 bits (its own)" in said


def test_a_chain_that_does_not_fit_a_record_is_said_with_its_size(key: rsa.RSAPrivateKey) -> None:
    assert problems(issue(key, ballast=3_000)) == []
    (said,) = problems(issue(key, ballast=3_500))
    assert said.startswith("the chain takes 4")
    assert "more than the 4096 that a board has room for" in said


def test_a_root_that_is_sent_and_intermediates_are_told_apart(key: rsa.RSAPrivateKey) -> None:
    root = issue(key, subject="root")
    (said,) = problems(issue(key), issue(key, subject="edge ca"), root)
    assert said.startswith("the root is in the chain")
    (said,) = problems(issue(key), issue(key, subject="a"), issue(key, subject="b"))
    assert said.startswith("there are 2 intermediates")
    assert problems(issue(key, subject="root")) == []  # one that signs itself is its own root


@pytest.mark.parametrize("host", ["other.local", "10.0.0.6"])
@pytest.mark.parametrize("names", [(), (x509.DNSName(HOST), x509.IPAddress(ip_address("10.0.0.5")))])
def test_a_name_that_boards_dial_and_it_does_not_have_is_said(
    key: rsa.RSAPrivateKey, host: str, names: tuple[x509.GeneralName, ...]
) -> None:
    (said,) = problems(issue(key, names=names), host=host)
    assert said.startswith(f"it does not name '{host}', which boards dial")
