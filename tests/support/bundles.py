"""Bundles of firmware as the release tools make them, signed by a key made for this run."""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.firmware.bundle import Bundle, read_manifest, write_bundle

MODEL: Final = "nodemcu"


@cache
def release_key() -> rsa.RSAPrivateKey:
    """The key of this run's releases."""
    return rsa.generate_private_key(65_537, 2_048)


@cache
def another_key() -> rsa.RSAPrivateKey:
    """A key that nobody pinned."""
    return rsa.generate_private_key(65_537, 2_048)


def write_public_key(path: Path) -> Path:
    """The public half of the release key in a file, as GATEWAY_RELEASE_KEY names it."""
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(release_key().public_key().public_bytes(serialization.Encoding.PEM, kind))
    return path


def image_of(version: str, size: int = 10_000) -> bytes:
    """Bytes that are no other version's."""
    return hashlib.shake_128(version.encode()).digest(size)


def members(
    version: str = "1.1.0",
    serial: int = 2,
    *,
    model: str = MODEL,
    image: bytes | None = None,
    key: rsa.RSAPrivateKey | None = None,
) -> dict[str, Any]:
    """A manifest's members, signed."""
    data = image_of(version) if image is None else image
    sha256 = hashlib.sha256(data).hexdigest()
    text = f"edge-firmware-1\n{model}\n{version}\n{serial}\n{len(data)}\n{sha256}\nromfs\n"
    signature = (key or release_key()).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return {
        "model": model,
        "version": version,
        "serial": serial,
        "size": len(data),
        "sha256": sha256,
        "format": "romfs",
        "signature": base64.b64encode(signature).decode(),
    }


def make_bundle(version: str = "1.1.0", serial: int = 2, **more: Any) -> Bundle:
    """A bundle; see `members`."""
    image = more.get("image")
    text = json.dumps(members(version, serial, **more)).encode()
    return Bundle(read_manifest(text), image_of(version) if image is None else image)


def write_bundle_file(path: Path, version: str = "1.1.0", serial: int = 2, **more: Any) -> Path:
    """A bundle in a file."""
    path.write_bytes(write_bundle(make_bundle(version, serial, **more)))
    return path
