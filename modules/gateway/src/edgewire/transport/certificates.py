"""Is this PEM chain and key fit to serve TLS with? If not, a sentence that says what to do."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

MIN_RSA_BITS = 2048
"""OpenSSL at its default security level refuses less."""


class SecurityError(Exception):
    """The certificate or key cannot be used; the text says what is wrong, where, and what to do."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate chain, server first, with the key of its first certificate."""

    chain: tuple[x509.Certificate, ...]
    key: EllipticCurvePrivateKey | RSAPrivateKey
    expires_at: float
    """When the first certificate of the chain to expire does, in seconds since 1970."""


def read_server_certificate(chain_pem: bytes, key_pem: bytes, *, what: str, now: float) -> ServerCertificate:
    """Read and check a chain and its key; `what` names them for the person, with the files if there are any.

    A chain that is not valid yet passes: a board computer without a clock battery may start in the past.
    Raises SecurityError.
    """
    chain = _read_chain(chain_pem, what)
    key = _read_key(key_pem, what)
    _check_match(chain, key, what)
    _check_time(chain, what, now)
    expires_at = min(certificate.not_valid_after_utc for certificate in chain).timestamp()
    return ServerCertificate(chain, key, expires_at)


def _read_chain(pem: bytes, what: str) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SecurityError(
            f"{what}: the chain holds no readable PEM certificate ({error}). "
            "Give the server's certificate as '-----BEGIN CERTIFICATE-----' blocks, server first, then its issuers."
        ) from error


def _read_key(pem: bytes, what: str) -> EllipticCurvePrivateKey | RSAPrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except TypeError as error:
        raise SecurityError(
            f"{what}: the private key is encrypted with a pass phrase. Give the key without one, "
            "readable by the gateway only (mode 0600)."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SecurityError(
            f"{what}: the private key is not readable PEM. Give it as one "
            "'-----BEGIN PRIVATE KEY-----' block (RSA, EC also in their older forms)."
        ) from error
    if isinstance(key, RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise SecurityError(
            f"{what}: the RSA key has {key.key_size} bits, clients refuse less than {MIN_RSA_BITS}. "
            "Make a new key and certificate, P-256 or RSA 2048."
        )
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        raise SecurityError(
            f"{what}: the private key is neither RSA nor EC; boards cannot verify it. "
            "Make a key and certificate with P-256 or RSA 2048."
        )
    return key


def _check_match(chain: tuple[x509.Certificate, ...], key: EllipticCurvePrivateKey | RSAPrivateKey, what: str) -> None:
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    wanted = key.public_key().public_bytes(*spki)
    matches = [certificate.public_key().public_bytes(*spki) == wanted for certificate in chain]
    if matches[0]:
        return
    if any(matches):
        fix = f"Certificate {matches.index(True) + 1} of the chain matches the key: put that one first."
    else:
        fix = "Give the certificate and the key that were made together."
    subject = chain[0].subject.rfc4514_string() or "(no subject)"
    raise SecurityError(f"{what}: the key does not belong to the first certificate ({subject}). {fix}")


def _check_time(chain: tuple[x509.Certificate, ...], what: str, now: float) -> None:
    for certificate in chain:
        expired_at = certificate.not_valid_after_utc
        if expired_at.timestamp() <= now:
            subject = certificate.subject.rfc4514_string() or "(no subject)"
            today = datetime.fromtimestamp(now, UTC)
            raise SecurityError(
                f"{what}: the certificate of {subject} expired at {expired_at:%Y-%m-%d %H:%M} UTC "
                f"(it is {today:%Y-%m-%d %H:%M} UTC here). "
                "Renew it; if the date here is wrong, set the clock."
            )
