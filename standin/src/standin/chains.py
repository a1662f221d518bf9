"""Certificates that peers show: what they say, and whether they come from an authority that somebody believes."""

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

MAX_CHAIN: Final = 8
"""Certificates looked at on the way to an authority."""


def read_chain(certificates: Sequence[bytes]) -> list[x509.Certificate]:
    """The certificates that TLS was shown, leaf first. Raises ValueError if one of them cannot be read."""
    return [x509.load_der_x509_certificate(der) for der in certificates[:MAX_CHAIN]]


def common_name(certificate: x509.Certificate) -> str | None:
    """The common name, if there is exactly one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else None


def has_thumbprint(certificate: x509.Certificate, thumbprints: Sequence[str]) -> bool:
    """Whether this is one of these certificates; thumbprints in capitals, without colons."""
    # SHA-1 names the certificate as the registry of the cloud does; what it protects is the operator's choice.
    algorithms = (hashes.SHA1(), hashes.SHA256())  # noqa: S303
    return any(certificate.fingerprint(each).hex().upper() in thumbprints for each in algorithms)


def is_current(certificate: x509.Certificate, now: float) -> bool:
    """Whether `now`, in seconds since 1970, lies within its dates."""
    return certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp()


def distance(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], now: float) -> int | None:
    """How many certificates of the chain, leaf first, lie below one of the authorities; None if it ends at none.

    Each must be signed by the next, and all but the leaf be authorities themselves, and current.
    """
    for index, certificate in enumerate(chain):
        if index and not (_is_authority(certificate) and is_current(certificate, now)):
            return None
        if any(_is_issued_by(certificate, authority) for authority in authorities):
            return index + 1
        if index + 1 == len(chain) or not _is_issued_by(certificate, chain[index + 1]):
            return None
    return None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
