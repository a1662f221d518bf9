"""The release key: its public half, which says who may make firmware for the boards of this site."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.firmware.bundle import SIGNATURE_BYTES, Manifest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_KEY_FILE_BYTES: Final = 16_384
"""A public key takes below 500 in PEM."""
_EXPONENT: Final = 65_537
"""The one that boards compute with."""


class ReleaseKeyError(Exception):
    """The key file cannot be used, or the key did not sign; the text says what follows."""


class ReleaseKey:
    """A public key that is pinned here."""

    __slots__ = ("_key", "_path")

    def __init__(self, path: Path) -> None:
        """Read the PEM file at `path`. Raises ReleaseKeyError."""
        self._path = path
        self._key = _read(path)

    def check(self, manifest: Manifest) -> None:
        """Raise ReleaseKeyError unless the key signed this manifest: RSA, PKCS #1 v1.5, SHA-256."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 — see _read
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 — see _read
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 — see _read

        try:
            self._key.verify(manifest.signature, manifest.signed_text, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise ReleaseKeyError(
                f"version {manifest.version} for {manifest.model} is not signed by the release key of "
                f"GATEWAY_RELEASE_KEY ({self._path}): boards with that key would refuse it. Sign it with that key"
            ) from None


def read_release_key(path: Path | None) -> ReleaseKey | None:
    """The key in this file; None where none is pinned. Raises ReleaseKeyError."""
    return None if path is None else ReleaseKey(path)


def _read(path: Path) -> "RSAPublicKey":
    # Loaded when a manifest is to be checked: where no key is pinned, none is.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            text = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise ReleaseKeyError(f"GATEWAY_RELEASE_KEY: {path} cannot be read: {error.strerror or error}") from error
    if b"PRIVATE KEY" in text:
        raise ReleaseKeyError(
            f"GATEWAY_RELEASE_KEY: {path} is a private key. Take it off this machine: whoever has it can make firmware "
            "for every board. Put the public key in its place"
        )
    try:
        key = load_pem_public_key(text[:MAX_KEY_FILE_BYTES])
    except ValueError as error:
        raise ReleaseKeyError(f"GATEWAY_RELEASE_KEY: {path} is no public key in PEM") from error
    is_fit = isinstance(key, RSAPublicKey) and (key.key_size, key.public_numbers().e) == (
        8 * SIGNATURE_BYTES,
        _EXPONENT,
    )
    if not isinstance(key, RSAPublicKey) or not is_fit:
        raise ReleaseKeyError(f"GATEWAY_RELEASE_KEY: {path} must be an RSA key of 2048 bits with exponent {_EXPONENT}")
    return key
