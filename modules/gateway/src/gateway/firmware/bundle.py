"""Bundles: a manifest and its image in one file, as `device-firmware/tools` packs and signs them.

`NAME.fw` is the length of the manifest (4 bytes, big endian), the manifest (JSON) and the image, with nothing behind
it. The manifest is kept and served as the bytes that came: boards read it themselves.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from json import JSONDecodeError, loads
from typing import Any, Final

LENGTH_BYTES: Final = 4
MAX_MANIFEST_BYTES: Final = 1_024
"""A signature in base64 takes 344, the rest some 250; the buffer of the smallest boards has as much."""
MAX_IMAGE_BYTES: Final = 1_048_576
"""An ESP8266 has 320 KiB for its ROMFS, an ESP32 not much more."""
MAX_SERIAL: Final = 2**53 - 1
"""The largest whole number that every reader of JSON keeps."""
SIGNATURE_BYTES: Final = 256
"""RSA-2048."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MEMBERS: Final = frozenset({"model", "version", "serial", "size", "sha256", "format", "signature"})
NAME_RULE: Final = "1 to 40 letters, digits, dots, underscores and hyphens, of which the first is a letter or a digit"


class BundleError(Exception):
    """That is no bundle; the text says why."""


class Format(Enum):
    """What an image is."""

    ROMFS = "romfs"
    FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is said of an image, and signed. `text` is the manifest as it came."""

    model: str
    version: str
    serial: int
    size: int
    sha256: str
    format: Format
    signature: bytes = field(repr=False)
    text: bytes = field(repr=False)

    @property
    def signed_text(self) -> bytes:
        """What the signature covers."""
        lines = (
            "edge-firmware-1",
            *(self.model, self.version, str(self.serial)),
            *(str(self.size), self.sha256, self.format.value),
        )
        return "".join(f"{line}\n" for line in lines).encode("ascii")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A manifest and the image that it describes."""

    manifest: Manifest
    image: bytes = field(repr=False)


def is_name(text: str) -> bool:
    """Whether this may be a model or a version: one segment of a path, and never `.` or `..`."""
    return _NAME.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Whether this may be the hash of an image, as manifests write it."""
    return _SHA256.fullmatch(text) is not None


def read_bundle(data: bytes) -> Bundle:
    """The bundle in these bytes, its image as the manifest says. Raises BundleError."""
    length = int.from_bytes(data[:LENGTH_BYTES], "big")
    if len(data) < LENGTH_BYTES or not 0 < length <= MAX_MANIFEST_BYTES:
        raise BundleError(f"it does not begin with the length of a manifest, 1 to {MAX_MANIFEST_BYTES} bytes")
    if len(data) < LENGTH_BYTES + length:
        raise BundleError("it ends inside its manifest")
    manifest = read_manifest(data[LENGTH_BYTES : LENGTH_BYTES + length])
    image = data[LENGTH_BYTES + length :]
    if len(image) != manifest.size:
        raise BundleError(f"the manifest says that the image has {manifest.size} bytes, and it has {len(image)}")
    if hashlib.sha256(image).hexdigest() != manifest.sha256:
        raise BundleError("the image is not the one of the manifest: its SHA-256 is another")
    return Bundle(manifest, image)


def write_bundle(bundle: Bundle) -> bytes:
    """The bytes of a bundle."""
    text = bundle.manifest.text
    return len(text).to_bytes(LENGTH_BYTES, "big") + text + bundle.image


def read_manifest(text: bytes) -> Manifest:
    """The manifest in this JSON. Raises BundleError."""
    members = _members(text)
    model, version, sha256 = (_text(members, name) for name in ("model", "version", "sha256"))
    for name, value in (("model", model), ("version", version)):
        if not is_name(value):
            raise BundleError(f"the manifest's '{name}' must be {NAME_RULE}")
    if not is_sha256(sha256):
        raise BundleError("the manifest's 'sha256' must be 64 digits of lower-case hexadecimal")
    return Manifest(
        model=model,
        version=version,
        serial=_number(members, "serial", MAX_SERIAL),
        size=_number(members, "size", MAX_IMAGE_BYTES),
        sha256=sha256,
        format=_format(_text(members, "format")),
        signature=_signature(_text(members, "signature")),
        text=text,
    )


def _members(text: bytes) -> dict[str, Any]:
    try:
        members = loads(text.decode("ascii"), object_pairs_hook=_once)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError("the manifest is not JSON in ASCII") from error
    if not isinstance(members, dict) or members.keys() != _MEMBERS:
        raise BundleError(f"the manifest must be an object of {', '.join(sorted(_MEMBERS))}, and nothing else")
    return members


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An object; readers differ in which of two members of one name they take."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise BundleError(f"the manifest has '{name[:32]}' twice")
        members[name] = value
    return members


def _text(members: dict[str, Any], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise BundleError(f"the manifest's '{name}' must be a text")
    return value


def _number(members: dict[str, Any], name: str, most: int) -> int:
    value = members[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BundleError(f"the manifest's '{name}' must be a whole number from 1 to {most}")
    return value


def _format(text: str) -> Format:
    try:
        return Format(text)
    except ValueError:
        raise BundleError("the manifest's 'format' must be romfs or files") from None


def _signature(text: str) -> bytes:
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if len(signature) != SIGNATURE_BYTES:
        raise BundleError(f"the manifest's 'signature' must be {SIGNATURE_BYTES} bytes in base64: RSA-2048")
    return signature
