"""Certificates made on the spot for tests: EC keys unless asked otherwise, no file, nothing kept."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A certificate, its key, and the certificates up to its root."""

    certificate: x509.Certificate
    key: Key
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate and its issuers, but not the root."""
        chain = (self.certificate, *self.issuers[:-1])
        return b"".join(link.public_bytes(Encoding.PEM) for link in chain)

    @property
    def der(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS 8, without a pass phrase."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def anchor_pem(self) -> bytes:
        """The root: the last issuer, or the certificate itself."""
        return (self.issuers or (self.certificate,))[-1].public_bytes(Encoding.PEM)


def ec_key() -> Key:
    """A P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key() -> Key:
    """An RSA key of 2048 bits; takes some tenths of a second."""
    return rsa.generate_private_key(65537, 2048)


def self_signed(
    name: str,
    *,
    key: Key | None = None,
    addresses: tuple[str, ...] = (),
    starts_in_s: float = -3600,
    lasts_s: float = 86_400,
) -> Credential:
    """A certificate that signs itself, with `name` as common name and DNS name."""
    key = key or ec_key()
    builder = _builder(name, key, addresses, starts_in_s, lasts_s).issuer_name(_name(name))
    return Credential(certificate=builder.sign(key, hashes.SHA256()), key=key)


def authority(name: str, *, issuer: Credential | None = None) -> Credential:
    """A certificate that may sign others, root or intermediate."""
    key = ec_key()
    signer = issuer or Credential(certificate=self_signed(name, key=key).certificate, key=key)
    builder = _builder(name, key, (), -3600, 86_400).issuer_name(signer.certificate.subject if issuer else _name(name))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(signer.key, hashes.SHA256())
    issuers = () if issuer is None else (issuer.certificate, *issuer.issuers)
    return Credential(certificate=certificate, key=key, issuers=issuers)


def signed(name: str, issuer: Credential, *, addresses: tuple[str, ...] = ()) -> Credential:
    """A certificate of an authority, for a server or a device."""
    key = ec_key()
    builder = _builder(name, key, addresses, -3600, 86_400).issuer_name(issuer.certificate.subject)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    return Credential(certificate=certificate, key=key, issuers=(issuer.certificate, *issuer.issuers))


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    name: str, key: Key, addresses: tuple[str, ...], starts_in_s: float, lasts_s: float
) -> x509.CertificateBuilder:
    starts_at = datetime.now(UTC) + timedelta(seconds=starts_in_s)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    names += [x509.IPAddress(ip_address(address)) for address in addresses]
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts_at)
        .not_valid_after(starts_at + timedelta(seconds=lasts_s))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
