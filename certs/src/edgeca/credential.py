"""A certificate with its key and its issuers, and the forms in which others want them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.errors import CaError
from edgeca.keys import PrivateKey, write_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One certificate: `issuers` leads from its issuer up to and with the root; empty if it signed itself."""

    certificate: x509.Certificate
    key: PrivateKey
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return write_certificates([self.certificate])

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8 PEM without a password."""
        return write_key(self.key)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its intermediates, leaf first, without the root: what a server should send."""
        return write_certificates([self.certificate, *self.issuers[:-1]])

    @property
    def full_chain_pem(self) -> bytes:
        """The certificate up to and with the root, leaf first."""
        return write_certificates([self.certificate, *self.issuers])


def write_certificates(certificates: Iterable[x509.Certificate]) -> bytes:
    """PEM of all of them, in their order."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def read_certificates(pem: bytes, source: str) -> tuple[x509.Certificate, ...]:
    """All certificates in `pem`. Raises CaError, naming `source`, if there is none or one is damaged."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as exc:
        raise CaError(f"{source} holds no readable certificate (PEM)") from exc


def thumbprint_sha1(certificate: x509.Certificate) -> str:
    """The SHA-1 thumbprint as IoT Hub wants it: 40 hex digits, no colons."""
    # It names a certificate and protects nothing.
    return hashlib.sha1(certificate.public_bytes(Encoding.DER), usedforsecurity=False).hexdigest().upper()


def thumbprint_sha256(certificate: x509.Certificate) -> str:
    """The SHA-256 thumbprint as IoT Hub wants it: 64 hex digits, no colons."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest().upper()
