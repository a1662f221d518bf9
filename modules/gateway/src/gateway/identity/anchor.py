"""The root key that a board pins, found from the chain that a listener shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_STEPS: Final = 10
"""From a chain's last certificate up to its root."""
PINNED_BITS: Final = (2048, 4096)
"""What boards take: less is weak, more takes them too long."""
PINNED_EXPONENT: Final = 65_537


class AnchorError(ValueError):
    """There is no root key that boards can pin; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class RootKey:
    """An RSA public key as boards are told it: `n` in hexadecimal digits, two for each byte."""

    n: str
    e: int


def root_key(chain: Sequence[x509.Certificate], bundle_pem: bytes) -> RootKey:
    """The key of the root that `chain` (leaf first) leads to, itself in the chain or in the bundle (PEM).

    Raises AnchorError.
    """
    root = _root(chain[-1], _load(bundle_pem))
    name = root.subject.rfc4514_string() or "(no subject)"
    try:
        key = root.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AnchorError(f"the key of the root '{name}' cannot be read: {error}") from error
    if not isinstance(key, RSAPublicKey):
        raise AnchorError(
            f"the key of the root '{name}' is not RSA, which is all that small boards know. Give the listener a "
            "chain up to an RSA root: GATEWAY_CONSTRAINED_CERTIFICATE"
        )
    numbers = key.public_numbers()
    least, most = PINNED_BITS
    if not least <= key.key_size <= most or numbers.e != PINNED_EXPONENT:
        raise AnchorError(
            f"the key of the root '{name}' has {key.key_size} bits and the exponent {numbers.e}; boards take "
            f"{least} to {most} bits and {PINNED_EXPONENT}"
        )
    return RootKey(numbers.n.to_bytes((key.key_size + 7) // 8, "big").hex(), numbers.e)


def _load(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, UnsupportedAlgorithm):
        return []  # no bundle; who needs it for logins says so


def _root(last: x509.Certificate, known: Sequence[x509.Certificate]) -> x509.Certificate:
    for _ in range(MAX_STEPS):
        if last.issuer == last.subject:
            return last
        above = next((one for one in known if _has_issued(one, last)), None)
        if above is None:
            break
        last = above
    name = last.issuer.rfc4514_string() or "(no subject)"
    raise AnchorError(
        f"the server certificate's chain ends below its root, and the trust bundle does not hold '{name}'. Set "
        "GATEWAY_TRUST_BUNDLE_FILE to a bundle that has it"
    )


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    if issuer.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
