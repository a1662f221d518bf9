"""Certificates of devices: what one says, and whether the trust bundle vouches for it."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

from gateway.identity.revocation import Link, link_of, links_of

MAX_CHAIN: Final = 10
"""Certificates that a peer may send; official chains have three or four."""
MIN_RSA_BITS: Final = 2048

_NOT_YET_VALID: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID
_HAS_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension, crypto.Error)


class CertificateError(ValueError):
    """A certificate, or a bundle of them, cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a peer's own certificate says. Times are seconds since 1970."""

    common_name: str | None
    """None unless there is exactly one."""
    link: Link
    """What lists of revoked certificates may name."""
    thumbprints: tuple[str, str]
    """SHA-1, SHA-256: hexadecimal capitals."""
    valid_from: float
    valid_until: float
    is_authority: bool
    is_for_clients: bool

    def is_valid_at(self, now: float) -> bool:
        """Whether its dates include `now`."""
        return self.valid_from <= now <= self.valid_until


def read_leaf(der: bytes) -> Leaf:
    """What a certificate says. Raises CertificateError if it cannot be read."""
    try:
        certificate = _load(der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return Leaf(
            common_name=str(names[0].value) if len(names) == 1 else None,
            link=link_of(certificate),
            thumbprints=(
                hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
                hashlib.sha256(der).hexdigest().upper(),
            ),
            valid_from=certificate.not_valid_before_utc.timestamp(),
            valid_until=certificate.not_valid_after_utc.timestamp(),
            is_authority=_is_authority(certificate),
            is_for_clients=_is_for_clients(certificate),
        )
    except _UNREADABLE as error:
        raise CertificateError(f"the certificate cannot be read: {error}") from error


def _load(der: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        # About serial numbers of zero and less (RFC 5280 §4.1.2.2), which old tools made: no peer writes into our log.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return x509.load_der_x509_certificate(der)


class ChainProblem(Enum):
    """Why a chain proves nothing."""

    UNTRUSTED = "untrusted"
    EXPIRED = "expired"


class TrustBundle:
    """The authorities whose certificates are believed: PEM, any number, roots or intermediates."""

    __slots__ = ("_authorities",)

    def __init__(self, pem: bytes) -> None:
        """Raises CertificateError if there is no certificate in `pem`, or one that cannot be read."""
        try:
            self._authorities = [crypto.X509.from_cryptography(one) for one in x509.load_pem_x509_certificates(pem)]
        except _UNREADABLE as error:
            raise CertificateError(f"the trust bundle holds no certificates in PEM: {error}") from error

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """All of them, as they stand in the bundle."""
        return tuple(authority.to_cryptography() for authority in self._authorities)

    def problem_with(self, chain: Sequence[bytes], now: float) -> ChainProblem | None:
        """Why `chain` (DER, leaf first) does not lead to an authority of the bundle at `now`; None if it does."""
        found = self.follow(chain, now)
        return found if isinstance(found, ChainProblem) else None

    def follow(self, chain: Sequence[bytes], now: float) -> tuple[Link, ...] | ChainProblem:
        """The way of `chain` (DER, leaf first) to an authority of the bundle, or why it has none.

        What the peer sends beside its own certificate is material for a path, never trusted.
        """
        if not chain or len(chain) > MAX_CHAIN:
            return ChainProblem.UNTRUSTED
        try:
            leaf, *others = (crypto.X509.from_cryptography(_load(der)) for der in chain)
            verified = crypto.X509StoreContext(self._store_at(now), leaf, others).get_verified_chain()
            path = tuple(certificate.to_cryptography() for certificate in verified)
            links = links_of(path) if _is_sound(path) else None
        except crypto.X509StoreContextError as error:
            is_date = error.errors[0] in (_NOT_YET_VALID, _HAS_EXPIRED)
            return ChainProblem.EXPIRED if is_date else ChainProblem.UNTRUSTED
        except _UNREADABLE:
            return ChainProblem.UNTRUSTED
        return ChainProblem.UNTRUSTED if links is None else links

    def _store_at(self, now: float) -> crypto.X509Store:
        """A store for one check: OpenSSL keeps the first time that a store was given, whatever is set later."""
        store = crypto.X509Store()
        # An intermediate in the bundle is believed by itself, as edgeHub does it.
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
        store.set_time(datetime.fromtimestamp(now, UTC))
        for authority in self._authorities:
            store.add_cert(authority)
        return store


def _is_sound(path: Sequence[x509.Certificate]) -> bool:
    """Whether a path that OpenSSL has verified also is what we ask for: issued by authorities, with today's strength.

    OpenSSL's own check takes old certificates without basic constraints for authorities, and keys of any length.
    """
    issuers = path[1:]
    return bool(issuers) and all(map(_is_authority, issuers)) and not any(map(_is_weak, path[:-1]))


def _is_weak(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return True
    return isinstance(certificate.signature_hash_algorithm, hashes.MD5 | hashes.SHA1)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_for_clients(certificate: x509.Certificate) -> bool:
    """Whether its extended key usage, if it has one, includes authentication of clients."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages
