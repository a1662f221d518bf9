"""PKCS #12 (.pfx): certificate, key and issuers in one file, as Windows and .NET take them."""

import secrets
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates

from edgeca.credential import Credential

PASSWORD_BYTES: Final = 18
"""Of a password that is made: 144 random bits, 24 characters."""
_OLD_ROUNDS: Final = 50_000


def write_pfx(credential: Credential, name: str, password: bytes) -> bytes:
    """The file, encrypted with AES as OpenSSL 3 and Windows from 2019 on read it. `name` is what a store shows."""
    issuers = list(credential.issuers)
    return serialize_key_and_certificates(
        name.encode(), credential.key, credential.certificate, issuers, BestAvailableEncryption(password)
    )


def write_old_pfx(credential: Credential, name: str, password: bytes) -> bytes:
    """The same for Windows before 2019 and its like: triple DES and SHA-1, which protect little."""
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_OLD_ROUNDS)
        .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())  # noqa: S303 — all that those systems know
        .build(password)
    )
    issuers = list(credential.issuers)
    return serialize_key_and_certificates(name.encode(), credential.key, credential.certificate, issuers, encryption)


def new_password() -> str:
    """A password that nobody guesses."""
    return secrets.token_urlsafe(PASSWORD_BYTES)
