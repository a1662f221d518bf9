"""Certificates for tests, with every fault that a test may want."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def issue(
    *names: str,
    by: Issued | None = None,
    key: Key | None = None,
    is_authority: bool | None = False,
    usages: tuple[ObjectIdentifier, ...] = (),
    valid_from: datetime = NOON - DAY,
    valid_until: datetime = NOON + DAY,
    path_length: int | None = None,
) -> Issued:
    """A certificate with these common names, by an issuer or self-signed; `is_authority` None: no basic constraints."""
    own = ec_key() if key is None else key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid_from)
        .not_valid_after(valid_until)
    )
    if is_authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(is_authority, path_length), critical=True)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return Issued(builder.sign(own if by is None else by.key, hashes.SHA256()), own)


def authority(name: str, by: Issued | None = None, key: Key | None = None, path_length: int | None = None) -> Issued:
    """An authority that outlives its leaves by far."""
    return issue(
        name,
        by=by,
        key=key,
        is_authority=True,
        path_length=path_length,
        valid_from=NOON - 1000 * DAY,
        valid_until=NOON + 1000 * DAY,
    )
