"""How a mirror lies on disk: encrypted where a workload API keeps the key, else as it is.

    plain   00, the record
    sealed  01, 12 bytes nonce, the record by AES-256-GCM with 16 bytes tag

The identity is the associated data, so a twin cannot be put in another one's place. A nonce is random: 2^32 writes of
one key are safe (NIST SP 800-38D §8.3), a hundred years at one a second.
"""

import os
from typing import Final, Protocol

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edgewire.message import Identity

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_PLAIN: Final = b"\x00"
_SEALED: Final = b"\x01"
_PROOF: Final = b"twins"
_PROOF_OF: Final = b"proof of the key"


class SealError(Exception):
    """Bytes that this seal did not make, or not for this identity."""


class Seal(Protocol):
    """Makes of a record what is on disk, and back."""

    def close(self, who: Identity, record: bytes) -> bytes:
        """The record as it lies on disk."""
        ...

    def open(self, who: Identity, sealed: bytes) -> bytes:
        """The record. Raises SealError."""
        ...


class PlainSeal:
    """No key: the record as it is."""

    def close(self, _who: Identity, record: bytes) -> bytes:
        """The record as it lies on disk."""
        return _PLAIN + record

    def open(self, _who: Identity, sealed: bytes) -> bytes:
        """The record. Raises SealError for an encrypted one."""
        if sealed[:1] != _PLAIN:
            raise SealError("it is encrypted")
        return sealed[1:]


class KeySeal:
    """Encrypted by a key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, who: Identity, record: bytes) -> bytes:
        """The record as it lies on disk."""
        return self._close(_name(who), record)

    def open(self, who: Identity, sealed: bytes) -> bytes:
        """The record. Raises SealError if key, identity or a byte of it is another one."""
        return self._open(_name(who), sealed)

    def proof(self) -> bytes:
        """Bytes by which this key knows itself again."""
        return self._close(_PROOF_OF, _PROOF)

    def proves(self, proof: bytes) -> bool:
        """Whether `proof` was made by this key."""
        try:
            return self._open(_PROOF_OF, proof) == _PROOF
        except SealError:
            return False

    def _close(self, name: bytes, plain: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return _SEALED + nonce + self._cipher.encrypt(nonce, plain, name)

    def _open(self, name: bytes, sealed: bytes) -> bytes:
        if sealed[:1] != _SEALED:
            raise SealError("it is not encrypted, and it must be")
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, name)
        except (InvalidTag, ValueError) as error:
            raise SealError("key, identity or content is another one") from error


def _name(who: Identity) -> bytes:
    return orjson.dumps([who.device, who.module])
