"""Can small boards take this certificate chain? If not, a sentence for each reason, with what to do.

What axTLS cannot take ends the handshake before anybody could say why, so it is said here, at the start.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import SignatureAlgorithmOID

MAX_MESSAGE_BYTES: Final = 4_096
"""Of the handshake's message with the chain, which must come in one record; beyond 5,115 bytes boards end."""
MAX_LINKS: Final = 2
"""The server's own certificate and one intermediate: each more costs a board 0.9 KB, of the 4 KB that are left."""
LIGHT_RSA_BITS: Final = 2_048
"""A key of 4,096 bits takes 3 KB more, and over a second of computing."""

_MESSAGE_HEAD: Final = 4 + 3
_LINK_HEAD: Final = 3


def problems_for_boards(chain: Sequence[x509.Certificate], host_name: str) -> Iterator[str]:
    """What keeps small boards from taking this chain, server first; `host_name` is the name or address they dial."""
    for at, certificate in enumerate(chain):
        yield from _of_one(certificate, at)
    yield from _of_all(chain)
    yield from _of_names(chain[0], host_name)


def _of_one(certificate: x509.Certificate, at: int) -> Iterator[str]:
    which = "its own" if at == 0 else f"that of issuer {at} in the chain"
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        yield (
            f"the key is not RSA ({which}): no small board can connect. Give it a chain of RSA keys alone; in IoT Edge "
            "that is the edge CA's key, too"
        )
    elif key.key_size > LIGHT_RSA_BITS:
        yield (
            f"an RSA key of {key.key_size} bits ({which}) costs a board memory that it may not have. Make one of "
            f"{LIGHT_RSA_BITS} bits"
        )
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.RSA_WITH_SHA256:
        name = certificate.signature_algorithm_oid._name  # noqa: SLF001 — the library has no public name for it
        yield (
            f"it is signed with {name} ({which}), where boards verify RSA with SHA-256 (PKCS #1) alone. Have it signed "
            "so by an RSA authority"
        )


def _of_all(chain: Sequence[x509.Certificate]) -> Iterator[str]:
    size = _MESSAGE_HEAD + sum(_LINK_HEAD + len(link.public_bytes(Encoding.DER)) for link in chain)
    if size > MAX_MESSAGE_BYTES:
        yield (
            f"the chain takes {size} bytes, more than the {MAX_MESSAGE_BYTES} that a board has room for. Leave out "
            "what is not needed: issuers, names, extensions"
        )
    last = chain[-1]
    root_is_sent = len(chain) > 1 and last.issuer == last.subject
    if root_is_sent:
        yield "the root is in the chain: boards have it, and pay for it with memory. Take it out of the file"
    links = len(chain) - root_is_sent
    if links > MAX_LINKS:
        yield (
            f"there are {links - 1} intermediates, and each takes 0.9 KB of a board's memory. Have it signed by the "
            "root, or by an authority right below it"
        )


def _of_names(leaf: x509.Certificate, host_name: str) -> Iterator[str]:
    if host_name and not _is_named(leaf, host_name):
        yield (
            f"it does not name '{host_name}', which boards dial: those that check it refuse the gateway. Make one with "
            "this name, or address, among its subject alternative names"
        )


def _is_named(leaf: x509.Certificate, host_name: str) -> bool:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(host_name) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        return host_name.lower() in {name.lower() for name in names.get_values_for_type(x509.DNSName)}
