"""Passwords as they are kept: salted and hashed by scrypt (RFC 7914), never as they are."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from typing import Final

COST: Final = 16_384
"""scrypt's N: with r = 8 it takes 16 MiB and some 50 ms here, 200 ms on a Raspberry Pi."""
BLOCK: Final = 8
ROOM: Final = 1_024
"""What scrypt needs beside its N blocks, in blocks; OpenSSL refuses to take more memory than it is told."""
MAX_COST: Final = 131_072
"""The largest N that is taken from a file: 128 MiB for the time of one login."""
MAX_PASSWORD_BYTES: Final = 65_535
"""As long as MQTT has them."""
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
NEW_PASSWORD_BYTES: Final = 18
"""Of a password that is made: 24 characters, which nobody guesses."""

_SCHEME: Final = "scrypt"


class PasswordError(ValueError):
    """What is wrong with a password, or with the text of a hash."""


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A password's hash and what it was made with."""

    cost: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def fits(self, password: bytes) -> bool:
        """Whether it is this password's. Takes the time and memory that `cost` says; call it in a thread."""
        return hmac.compare_digest(self.digest, _derive(password, self.salt, self.cost))

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.digest))
        return f"{_SCHEME}${self.cost}${salt}${digest}"


def hash_password(password: bytes) -> PasswordHash:
    """The hash of a new password. Raises PasswordError for one that nobody can log in with."""
    if not password:
        raise PasswordError("the password is empty")
    if len(password) > MAX_PASSWORD_BYTES:
        raise PasswordError(f"the password is longer than {MAX_PASSWORD_BYTES} bytes")
    salt = os.urandom(SALT_BYTES)
    return PasswordHash(COST, salt, _derive(password, salt, COST))


def parse_hash(text: str) -> PasswordHash:
    """The hash that `str` of one wrote. Raises PasswordError."""
    scheme, _, rest = text.partition("$")
    parts = rest.split("$")
    if scheme != _SCHEME or len(parts) != 3 or not (parts[0].isascii() and parts[0].isdigit()):
        raise PasswordError(f"a password is kept as {_SCHEME}$N$salt$hash")
    cost = int(parts[0][:12])
    if not 1 < cost <= MAX_COST or cost & (cost - 1):
        raise PasswordError(f"N must be a power of two up to {MAX_COST}")
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[1:])
    except (binascii.Error, ValueError):
        raise PasswordError("salt or hash is no base64") from None
    if len(salt) != SALT_BYTES or len(digest) != HASH_BYTES:
        raise PasswordError(f"a salt has {SALT_BYTES} bytes, a hash {HASH_BYTES}")
    return PasswordHash(cost, salt, digest)


def new_password() -> str:
    """A password that nobody guesses."""
    return secrets.token_urlsafe(NEW_PASSWORD_BYTES)


def _derive(password: bytes, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(
        password, salt=salt, n=cost, r=BLOCK, p=1, maxmem=128 * BLOCK * (cost + ROOM), dklen=HASH_BYTES
    )
